"""slurm.py SOURCE BUILD: the Slurm script of the examples, really run by a Slurm of our own on this machine.

Its controller and its node listen on loopback and keep everything in a temporary folder. Tasks are killed while they
work and one is put back into the queue by hand; the end must have the bytes of a single undisturbed run."""

import contextlib
import getpass
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from support import MODEL, PROMPTS, SOURCE, annotate_once, check, contents, environment, expect_same
from support import make_pictures, workers_on

PICTURES = 1200
KILLS = 6
PATIENCE = 240  # seconds
SCRIPT = SOURCE / "examples/cluster/slurm.sh"

CONFIGURATION = """
ClusterName=beckon
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000
ReturnToService=2
JobRequeue=1
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=3 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def program(name):
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    check(path, f"{name} is not installed: apt-get install slurm-wlm")
    return path


class Slurm:
    """A controller and a node, ended with all they started when the block is left."""

    def __init__(self, folder):
        self.folder = folder
        self.put_back = {}  # tasks that wait, since when
        controller_port, node_port = free_ports(2)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        text = CONFIGURATION.format(
            controller_port=controller_port, node_port=node_port, user=getpass.getuser(), folder=folder
        )
        (folder / "slurm.conf").write_text(text)
        self.environment = environment(SLURM_CONF=str(folder / "slurm.conf"))

    def __enter__(self):
        self.daemons = []
        for name, arguments in [("slurmctld", ["-D", "-i"]), ("slurmd", ["-D", "-N", "localhost"])]:
            output = (self.folder / f"{name}.out").open("w")
            self.daemons.append(
                subprocess.Popen([program(name), *arguments], env=self.environment, stdout=output, stderr=output)
            )
        try:
            self.wait_for("the node to be idle", lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            self.ask("scancel", "--user", getpass.getuser())
            self.wait_for("the queue to empty", lambda: not self.ask("squeue", "-h").strip(), 15)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, name, *arguments, expect=0, **more):
        result = subprocess.run(
            [program(name), *map(str, arguments)],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if expect is not None and result.returncode != expect:
            raise subprocess.SubprocessError(f"{name} {arguments}: {result.stdout}{result.stderr}")
        return result.stdout

    def wait_for(self, what, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(subprocess.SubprocessError):
                if condition():
                    return
            for daemon in self.daemons:
                check(daemon.poll() is None, f"{daemon.args[0]} ended by itself\n{self.logs()}")
            check(time.monotonic() < end, f"waited {seconds} s for {what}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        text = ""
        for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")):
            text += f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}\n"
        return text

    def hurry(self):
        """Slurm lets a task that was put back wait for two minutes. A few seconds do: within one, the node takes it
        for the one that was just ended."""
        waiting = set()
        for line in self.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r").splitlines():
            task, reason = line.split(maxsplit=1)
            if reason == "BeginTime":
                waiting.add(task)
                if time.monotonic() - self.put_back.setdefault(task, time.monotonic()) > 3:
                    self.ask("scontrol", "update", f"JobId={task}", "StartTime=now", expect=None)
        self.put_back = {task: since for task, since in self.put_back.items() if task in waiting}

    def finished(self):
        self.hurry()
        return not self.ask("squeue", "-h").strip()


def disturb(slurm, out):
    """Kills workers while they work, and sends one task back to the queue as an administrator would."""
    dice = random.Random()
    killed, sent_back = 0, False
    while killed < KILLS and not slurm.finished():
        time.sleep(dice.uniform(0.02, 0.25))
        workers = workers_on(out)
        if not workers:
            continue
        if killed == KILLS // 2 and not sent_back:
            running = slurm.ask("squeue", "-h", "-r", "-t", "R", "-o", "%i").split()
            if running:
                slurm.ask("scontrol", "requeue", running[0], expect=None)
                sent_back = True
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(workers), signal.SIGKILL)
            killed += 1
    check(killed == KILLS and sent_back, f"the work was over after {killed} kills of {KILLS}")


def submit(slurm, *arguments, **variables):
    return slurm.ask("sbatch", "--parsable", "--output=%a.txt", *arguments, **variables).strip()


def run(work):
    photos, out, prompts = work / "photos", work / "masks", work / "prompts.json"
    make_pictures(photos, PICTURES)
    prompts.write_text(PROMPTS)
    expected = annotate_once(photos, work / "single", prompts)
    arguments = [photos, "-o", out, "--model", MODEL, "--prompts", prompts]
    (work / "slurm").mkdir()
    with Slurm(work / "slurm") as slurm:
        start = time.monotonic()
        submit(slurm, SCRIPT, *arguments)
        disturb(slurm, out)
        slurm.wait_for("the array to finish", slurm.finished)
        said = "".join(path.read_text() for path in (work / "slurm").glob("*.txt"))
        # A worker may have ended by itself just before it was killed.
        put_back = said.count("code 137: back into the queue")
        check(put_back >= KILLS // 2, f"{put_back} tasks were put back after {KILLS} kills:\n{said}")
        check("shard 15 of 16 (the first is 0), from SLURM_ARRAY_TASK_ID" in said, said)

        # A single task of the array, once more: it has to be told how many there are, and is not tried again.
        for i in range(16):
            check((out / f"shards/{i}-of-16.json").exists(), f"shard {i} is not done:\n{said}\n{slurm.logs()}")
        (out / "shards/3-of-16.json").unlink()
        submit(slurm, "--array=3", SCRIPT, *arguments)
        slurm.wait_for("the lone task to be refused", slurm.finished)
        text = (work / "slurm/3.txt").read_text()
        check("set BECKON_SHARDS" in text and "back into the queue" not in text.splitlines()[-1], text)
        merged = subprocess.run(
            [shutil.which("beckon", path=environment()["PATH"]), "annotate", "--merge", out],
            env=environment(),
            capture_output=True,
            text=True,
        )
        check(merged.returncode == 75 and "1 of 16 shards are missing: 3;" in merged.stderr, merged.stderr)
        submit(slurm, "--array=3", SCRIPT, *arguments, BECKON_SHARDS="16")
        slurm.wait_for("the lone task", slurm.finished)

        submit(slurm, "--wrap", f"beckon annotate --merge '{out}'")
        slurm.wait_for("the merge", slurm.finished)
        seconds = time.monotonic() - start
    expect_same(contents(out), expected)
    print(f"{PICTURES} pictures in 16 tasks of a Slurm array, {put_back} killed, {seconds:.0f} s")


if __name__ == "__main__":
    # Slurm's configuration has no way to write a space.
    with tempfile.TemporaryDirectory(prefix="beckon-slurm-") as name:
        run(pathlib.Path(name))
