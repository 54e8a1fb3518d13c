"""kills.py SOURCE BUILD: 16 shards on 4 workers under GNU parallel, killed at 100 random moments.

The end must have the bytes of a single undisturbed run, and no kill may cost more than the one picture in flight."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from support import MODEL, PROMPTS, SOURCE, annotate_once, check, contents, environment, expect_same
from support import make_pictures, temporary_folder, workers_on

PICTURES = 900
KILLS = 100
SHARDS, WORKERS = 16, 4
PATIENCE = 300  # seconds


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def main():
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    dice = random.Random(seed)
    with temporary_folder() as name:
        work = pathlib.Path(name)
        photos, out, log = work / "photos", work / "masks", work / "log"
        make_pictures(photos, PICTURES)
        prompts = work / "prompts.json"
        prompts.write_text(PROMPTS)
        expected = annotate_once(photos, work / "single", prompts)

        said = (work / "said").open("w+")
        start = time.monotonic()
        job = subprocess.Popen(
            [SOURCE / "examples/cluster/parallel.sh", str(SHARDS), str(WORKERS), photos, out]
            + ["--model", MODEL, "--prompts", prompts, "--log", log],
            env=environment(RETRIES="200"),
            stderr=said,
            stdout=said,
            start_new_session=True,
        )
        try:
            # Kills are spread over the work, not over time: a slow machine gets as many.
            kills = 0
            while kills < KILLS and job.poll() is None:
                check(time.monotonic() - start < PATIENCE, f"{kills} kills after {PATIENCE} s")
                left = PICTURES - len(lines(log)) // 2
                pause = dice.uniform(0, 1.6) * max(0, left) / (KILLS - kills)
                until = len(lines(log)) // 2 + pause
                while len(lines(log)) // 2 < until and job.poll() is None:
                    time.sleep(0.002)
                time.sleep(dice.uniform(0, 0.01))
                workers = workers_on(out)
                if not workers:
                    continue
                try:
                    os.kill(dice.choice(workers), signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
            code = job.wait(timeout=PATIENCE)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
        said.seek(0)
        text = said.read()
        check(code == 0, f"parallel.sh: code {code}\n{text[-3000:]}")

        # What parallel saw, not what was tried here: a worker may have ended just before.
        killed = text.count(": code 137, to be tried again")
        check(killed >= 0.9 * KILLS, f"only {killed} workers were killed at work, of {kills} attempts")
        expect_same(contents(out), expected)
        begun = sum(json.loads(line)["event"] == "begin" for line in lines(log))
        check(begun >= PICTURES, f"{begun} pictures begun of {PICTURES}")
        check(begun - PICTURES <= killed, f"{begun - PICTURES} pictures done again after {killed} kills")
        seconds = time.monotonic() - start
        print(f"{PICTURES} pictures, {killed} kills, {begun - PICTURES} done again, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
