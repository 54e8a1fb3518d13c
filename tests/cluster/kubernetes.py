"""kubernetes.py SOURCE BUILD: the manifest of the examples is sound, and its commands are ones that beckon takes."""

import subprocess
import sys

import yaml

from support import BECKON, SOURCE, check, environment

# What the codes of docs/errors.md ask for; 137 and 143 are those of SIGKILL and SIGTERM.
AGAIN = {75, 130, 137, 143}
NEVER = {2, 66, 69, 70, 73}
SOME_PICTURES = {65}


def codes(job, action):
    return {
        code
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        if rule["action"] == action and "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }


def check_job(job):
    check(job["apiVersion"] == "batch/v1" and job["kind"] == "Job", "not a job")
    pod = job["spec"]["template"]["spec"]
    # A policy about failures of pods asks for it.
    check(pod["restartPolicy"] == "Never", "restartPolicy")
    (container,) = pod["containers"]
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        check(rule["action"] in ("Ignore", "FailIndex", "FailJob", "Count"), rule)
        check(("onExitCodes" in rule) != ("onPodConditions" in rule), rule)
        if "onExitCodes" in rule:
            check(rule["onExitCodes"]["containerName"] == container["name"], rule)
            check(0 not in rule["onExitCodes"]["values"], "0 is no failure")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    check(mounted == {volume["name"] for volume in pod["volumes"]}, "volumes")
    check(all(isinstance(word, str) for word in container["command"]), "words of the command")
    return container


def run(container, **index):
    given = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    check(all(isinstance(value, str) for value in given.values()), "values of variables are texts")
    return subprocess.run(
        [BECKON, *container["command"][1:]],
        env=environment(**given, **index),
        capture_output=True,
        text=True,
    )


def main():
    path = SOURCE / "examples/cluster/kubernetes.yaml"
    work, merge = yaml.safe_load_all(path.read_text())

    container = check_job(work)
    spec = work["spec"]
    check(spec["completionMode"] == "Indexed", "completionMode")
    check(spec["backoffLimitPerIndex"] > 0, "backoffLimitPerIndex, which FailIndex needs")
    (count,) = [one["value"] for one in container["env"] if one["name"] == "JOB_COMPLETIONS"]
    check(int(count) == spec["completions"], "JOB_COMPLETIONS is not completions")
    check(spec["completions"] >= 2 * spec["parallelism"], "many more shards than workers")
    check(codes(work, "FailJob") == NEVER, "codes of FailJob")
    check(codes(work, "FailIndex") == SOME_PICTURES, "codes of FailIndex")
    check(codes(work, "Count") == AGAIN, "codes of Count")
    # The folder is not here, which is found out after the words were understood.
    result = run(container, JOB_COMPLETION_INDEX="3")
    check(result.returncode == 66 and "/data/photos: cannot open" in result.stderr, result.stderr)
    check(f"shard 3 of {count} (the first is 0), from JOB_COMPLETION_INDEX" in result.stderr, result.stderr)

    container = check_job(merge)
    (rule,) = [rule for rule in merge["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    check(rule["action"] == "FailJob" and rule["onExitCodes"]["operator"] == "NotIn", "rule of the merge")
    check(set(rule["onExitCodes"]["values"]) == AGAIN, "codes of the merge")
    result = run(container)
    check(result.returncode == 66 and "/data/masks: cannot open" in result.stderr, result.stderr)

    # What the page shows is what is tested here and beside.
    page = (SOURCE / "docs/clusters.md").read_text()
    for name in ["slurm.sh", "parallel.sh", "kubernetes.yaml"]:
        check((SOURCE / "examples/cluster" / name).read_text() in page, f"docs/clusters.md shows another {name}")


if __name__ == "__main__":
    sys.exit(main())
