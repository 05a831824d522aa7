"""prefect-aws in a Prefect flow: it submits jobs, and waits for them with a waiter of boto3."""

import json

from .conftest import HERE


def flow(account, *names):
    definition = account.definition("prefect", "true")
    return account.run(
        "python", HERE / "prefect" / "flow.py", account.queue, definition, *names,
        DO_NOT_TRACK="1", PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="300",
    )  # fmt: skip


def test_jobs(account):
    done = flow(account, "works", "array")
    assert done.returncode == 0, done.stderr
    single, array = json.loads(done.stdout.splitlines()[-1])
    assert account.lines(account.job(single)) == ["hello"]
    assert account.job(array)["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    assert account.lines(account.job(f"{array}:2")) == ["child 2"]


def test_a_job_that_fails(account):
    done = flow(account, "fails")
    assert done.returncode == 1
    assert 'Waiter JobComplete failed: Waiter encountered a terminal failure state: For expression "jobs[].status"' in (
        done.stderr
    )
    assert "Finished in state Failed" in done.stdout + done.stderr
