#!/usr/bin/env bash
# Annotates a folder in shards, several at a time, with GNU parallel:
#
#   parallel.sh SHARDS WORKERS photos masks --model mobile-sam --prompts prompts.json
#
# $RETRIES is how often a shard is tried, 10 if not set; masks.joblog says what ran when.
set -euo pipefail
shards=$1 workers=$2 photos=$3 masks=$4
shift 4
cpus=$(nproc)
export BECKON_THREADS=${BECKON_THREADS:-$(((cpus + workers - 1) / workers))}

# One shard. Only codes that say "try again" are failures to parallel; others are noted, once.
shard() {
  local code=0
  beckon annotate "${@:2}" --shard "$1" || code=$?
  case $code in
    0) ;;
    75 | 130 | 137 | 143)
      echo "shard $1: code $code, to be tried again" >&2
      return "$code"
      ;;
    *) echo "shard $1: code $code" | tee -a "$masks.failed" >&2 ;;
  esac
}
export -f shard
export masks

rm -f "$masks.failed"
# --halt: when a tenth of the shards has used up its tries, something is wrong with more than a shard.
seq 0 $((shards - 1)) | SHELL=$(command -v bash) parallel --will-cite --quote --ungroup --jobs "$workers" \
  --retries "${RETRIES:-10}" --halt soon,fail=10% --joblog "$masks.joblog" \
  shard "{}/$shards" "$photos" -o "$masks" "$@"
beckon annotate --merge "$masks"
