"""The commands of AWS ParallelCluster's awsbatch scheduler, on a cluster described by their configuration file."""

import re
import sys
import time

import pytest

CLUSTER = """\
[main]
cluster_name = here
region = us-east-1

[cluster here]
region = us-east-1
s3_bucket = {bucket}
artifact_directory = artifacts
batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0
compute_environment = arn:aws:batch:us-east-1:000000000000:compute-environment/instances
job_queue = {queue}
job_definition = {definition}
head_node_ip = 10.0.0.1
proxy = NONE
"""


@pytest.fixture(scope="module")
def cluster(account):
    if sys.version_info >= (3, 13):
        pytest.skip("awsbsub imports pipes, which Python 3.13 no longer has.")
    definition = account.definition("cluster", "true", resourceRequirements=[], vcpus=1, memory=128)
    folder = account.home / ".parallelcluster"
    folder.mkdir()
    (folder / "awsbatch-cli.cfg").write_text(
        CLUSTER.format(bucket=account.bucket, queue=account.queue, definition=definition)
    )
    return account


def submit(account, script, *options):
    """Submit a script with awsbsub, which uploads it to S3 and has the job download it."""
    file = account.home / "script.sh"
    file.write_text("#!/bin/sh\n" + script)
    told = run(account, "awsbsub", *options, "-cf", file)
    return re.fullmatch(r"Job (\S+) \(\w+\) has been submitted\.", told.strip())[1]


def run(account, program, *arguments):
    done = account.run(program, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def details(account, job_id):
    """What awsbstat shows of one job."""
    pairs = (line.partition(":") for line in run(account, "awsbstat", "-d", job_id).splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def ended(account, job_id):
    deadline = time.monotonic() + 90
    while (told := details(account, job_id))["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < deadline, told
    return told


def test_a_job_and_its_output(cluster):
    job_id = submit(cluster, "echo hello from $PWD", "-jn", "works", "-p", 2, "-m", 256)
    told = ended(cluster, job_id)
    assert (told["status"], told["exitCode"], told["vcpus"], told["memory[MB]"]) == ("SUCCEEDED", "0", "2", "256")
    assert re.search(rf"hello from \S+/job-{job_id}$", run(cluster, "awsbout", job_id).strip())


def test_a_job_that_fails(cluster):
    job_id = submit(cluster, "echo why; exit 3", "-jn", "fails")
    told = ended(cluster, job_id)
    assert (told["status"], told["exitCode"]) == ("FAILED", "3")
    assert told["statusReason"] == "Essential container in task exited"
    assert run(cluster, "awsbout", job_id).strip().endswith(": why")
    assert re.search(rf"^{job_id} +fails +FAILED ", run(cluster, "awsbstat", "-s", "FAILED"), re.MULTILINE)


def test_an_array(cluster):
    job_id = submit(cluster, "echo child $AWS_BATCH_JOB_ARRAY_INDEX", "-jn", "array", "-a", 2)
    cluster.wait_for(job_id, "SUCCEEDED")
    rows = [row.split() for row in run(cluster, "awsbstat", "-s", "ALL", "-e", job_id).splitlines()[2:]]
    assert [(row[0], row[-1]) for row in rows] == [(job_id, "-"), (f"{job_id}:0", "0"), (f"{job_id}:1", "0")]
    assert run(cluster, "awsbout", f"{job_id}:1").strip().endswith(": child 1")


def test_a_job_that_follows_another(cluster):
    first = submit(cluster, "sleep 1", "-jn", "first")
    second = submit(cluster, "echo later", "-jn", "second", "-d", f"jobId={first},type=SEQUENTIAL")
    assert ended(cluster, second)["status"] == "SUCCEEDED"
    assert cluster.job(second)["startedAt"] >= cluster.job(first)["stoppedAt"]


def test_the_queue(cluster):
    assert re.search(r"^instances +VALID$", run(cluster, "awsbqueues"), re.MULTILINE)


def test_a_job_that_is_killed(cluster):
    job_id = submit(cluster, "sleep 300", "-jn", "long")
    cluster.wait_for(job_id, "RUNNING")
    assert "termination request" in run(cluster, "awsbkill", "-r", "enough", job_id)
    told = ended(cluster, job_id)
    assert (told["status"], told["statusReason"]) == ("FAILED", "enough")
    assert f"Job ({job_id}) is already in (FAILED) status." in run(cluster, "awsbkill", job_id)
