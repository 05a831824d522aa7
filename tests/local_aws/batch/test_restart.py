"""What outlives a server, and what does not outlive it."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local_aws

from .conftest import Account, checked, make_account, wait

LOST = "Your Spot Task was interrupted."  # on Fargate; on EC2 it is "Host EC2 (instance i-...) terminated."


class Own:
    """An embedded AWS of a test's own, that can be killed and started again on the same state."""

    def __init__(self, aws: Any, home: Path, state: Path | None) -> None:
        self.template, self.home, self.state = aws, home, state
        self.start()
        self.account: Account = make_account(self.aws)
        self.new_queue()

    def new_queue(self) -> None:
        """A queue that no other test has used."""
        self.environment = self.account.environment()
        self.queue = self.account.queue(self.environment)

    def start(self) -> None:
        server = local_aws.start(port=0, home=self.home, state_dir=self.state)
        self.aws = dataclasses.replace(self.template, server=server, home=self.home)

    def _role_is_kept(self) -> bool:
        name = self.account.execution_role.rsplit("/", 1)[1].encode()
        return any(name in file.read_bytes() for file in (self.state / "ministack").glob("*iam*"))

    def again(self, number: int | None = None) -> None:
        """Stop the server, or kill it with a signal, and start it again."""
        if number is None:
            local_aws.stop(self.home)
        else:
            if self.state:  # the other services' state is written every two seconds
                wait(self._role_is_kept, "a snapshot of the roles")
            os.kill(self.aws.server.pid, number)
            wait(lambda: local_aws.find(self.home) is None, "the server's end")
        self.start()
        self.account.aws = self.aws
        self.account.batch = checked(self.aws.client("batch", retries={"total_max_attempts": 1}))


@pytest.fixture(scope="module")
def shared(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("restart")
    yield Own(aws, folder / "home", folder / "state")
    local_aws.stop(folder / "home")


@pytest.fixture
def own(shared: Own) -> Own:
    shared.new_queue()
    return shared


def pid_of(account: Account, job_id: str) -> int:
    """Of a job that prints its process id."""
    job = account.job_is(job_id, "RUNNING")
    return int(wait(lambda: account.lines(job))[0])


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("number", [None, signal.SIGKILL], ids=["stopped", "killed"])
def test_what_ran_when_the_server_ended_is_lost_and_retried_by_its_strategy(own: Own, number: int | None) -> None:
    account, queue = own.account, own.queue
    definition = account.definition("sh", "-c", "echo $$; test $AWS_BATCH_JOB_ATTEMPT = 2 || exec sleep 60")
    once = account.submit(queue, definition, tags={"a": "b"})
    rules = [{"onStatusReason": LOST, "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    twice = account.submit(queue, definition, retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    waiting = account.submit(queue, definition, dependsOn=[{"jobId": twice}], retryStrategy={"attempts": 2})
    done = account.run(queue, "echo", "kept")
    pids = [pid_of(account, once), pid_of(account, twice)]
    own.again(number)
    for pid in pids:
        wait(lambda pid=pid: gone(pid), "the job's end")
    job = account.job_is(once)
    assert (job["status"], job["tags"]) == ("FAILED", {"a": "b"})
    assert job["statusReason"].startswith(LOST)
    job = account.job_is(twice)
    assert job["status"] == "SUCCEEDED", job
    assert job["attempts"][0]["statusReason"].startswith(LOST)
    account.batch.terminate_job(jobId=waiting, reason="enough")
    assert account.job_is(waiting)["statusReason"] in ("enough", "Essential container in task exited")
    assert account.job(done["jobId"]) == done
    if number is None:  # lines written in a killed server's last two seconds are lost
        assert account.lines(done) == ["kept"]


def test_resources_are_as_they_were(own: Own) -> None:
    account = own.account
    policy = account.batch.create_scheduling_policy(name="p", fairsharePolicy={"shareDecaySeconds": 60})["arn"]
    definition = account.definition("echo", "hello", tags={"a": "b"})
    account.batch.deregister_job_definition(jobDefinition=account.definition())

    def everything() -> list:
        batch = account.batch
        return [
            batch.describe_compute_environments()["computeEnvironments"],
            batch.describe_job_queues()["jobQueues"],
            sorted(batch.describe_job_definitions()["jobDefinitions"], key=str),
            batch.describe_scheduling_policies(arns=[policy])["schedulingPolicies"],
        ]

    before = everything()
    own.again()
    assert everything() == before
    assert account.job_is(account.submit(own.queue, definition))["status"] == "SUCCEEDED"
    name = definition.rsplit("/", 1)[1].partition(":")[0]
    registered = account.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        platformCapabilities=["FARGATE"],
        containerProperties=account.container(),
    )
    assert registered["revision"] == 2


def test_an_array_goes_on_where_it_was(own: Own) -> None:
    account = own.account
    account.batch.update_compute_environment(computeEnvironment=own.environment, computeResources={"maxvCpus": 1})
    script = "test $AWS_BATCH_JOB_ARRAY_INDEX -lt 4 || test $AWS_BATCH_JOB_ATTEMPT = 2 || sleep 60"
    array = account.submit(
        own.queue, account.definition("sh", "-c", script), arrayProperties={"size": 12}, retryStrategy={"attempts": 2}
    )

    def four_hang() -> bool:
        counts = account.job(array)["arrayProperties"]["statusSummary"]
        return counts["SUCCEEDED"] == 4 and counts["RUNNING"] == 4

    wait(four_hang)
    own.again(signal.SIGKILL)
    wait(lambda: account.job(array)["arrayProperties"]["statusSummary"]["RUNNING"] == 4)
    assert account.job(f"{array}:0")["attempts"][0]["container"]["exitCode"] == 0
    account.batch.terminate_job(jobId=array, reason="seen enough")
    job = account.job_is(array)
    summary = job["arrayProperties"]["statusSummary"]
    assert summary["SUCCEEDED"] + summary["FAILED"] == 12
    assert summary["SUCCEEDED"] >= 8
    assert len(account.job(f"{array}:5")["attempts"]) == 2


def test_without_a_state_directory_nothing_is_kept_and_no_job_is_left(aws: Any, tmp_path: Path) -> None:
    own = Own(aws, tmp_path / "home", None)
    try:
        job_id = own.account.submit(own.queue, own.account.definition("sh", "-c", "echo $$; exec sleep 60"))
        pid = pid_of(own.account, job_id)
        own.again(signal.SIGKILL)
        wait(lambda: gone(pid), "the job's end")
        assert own.account.batch.describe_jobs(jobs=[job_id])["jobs"] == []
    finally:
        local_aws.stop(tmp_path / "home")


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the supervisor by /proc")
def test_a_supervisor_that_dies_is_replaced_and_its_jobs_have_failed(own: Own) -> None:
    account = own.account
    definition = account.definition("sh", "-c", "echo $$; exec sleep 60")
    jobs = [account.submit(own.queue, definition) for _ in range(2)]
    pids = [pid_of(account, job_id) for job_id in jobs]
    for child in Path(f"/proc/{own.aws.server.pid}/task/{own.aws.server.pid}/children").read_text().split():
        if b"supervisor.py" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
    for job_id, pid in zip(jobs, pids, strict=True):
        assert account.job_is(job_id)["statusReason"].startswith(LOST)
        wait(lambda pid=pid: gone(pid), "the job's end")
    assert account.run(own.queue, "echo", "again")["status"] == "SUCCEEDED"


def test_ten_thousand_children_are_submitted_at_once_and_cancelled_at_once(own: Own) -> None:
    array = own.account.submit(own.queue, own.account.definition("sleep", "60"), arrayProperties={"size": 10_000})
    wait(lambda: own.account.job(array)["arrayProperties"]["statusSummary"]["RUNNING"])
    own.account.batch.terminate_job(jobId=array, reason="enough")
    job = own.account.job_is(array)
    assert job["arrayProperties"]["statusSummary"]["FAILED"] == 10_000
    began = time.monotonic()
    pages = own.account.batch.get_paginator("list_jobs").paginate(arrayJobId=array, jobStatus="FAILED")
    assert sum(len(page["jobSummaryList"]) for page in pages) == 10_000
    assert time.monotonic() - began < 60
