#!/usr/bin/env bash
# Annotates a folder as a Slurm array, a shard a task:
#
#   sbatch slurm.sh photos -o masks --model mobile-sam --prompts prompts.json
#
# Which shard a task is, beckon sees from the array. A task that may succeed when it is tried again is put back into the
# queue and goes on where it was; the same happens when its machine is lost or needed for something else.
#SBATCH --job-name=annotate
#SBATCH --array=0-15
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
export BECKON_THREADS=${SLURM_CPUS_PER_TASK:-1}

code=0
beckon annotate "$@" || code=$?
case $code in
  # Try again: disk full, I/O error, another process on this shard; interrupted; killed, for lack of memory perhaps.
  75 | 130 | 137 | 143)
    if ((${SLURM_RESTART_COUNT:-0} < 10)); then
      echo "code $code: back into the queue" >&2
      scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    fi
    ;;
esac
exit "$code"
