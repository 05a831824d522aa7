"""Metaflow's @batch: steps that run as jobs, with code and data in S3, a foreach, a retry and a caught failure.

A job's command installs boto3 and requests with pip, which finds both in the image; Metaflow itself comes from S3.
"""

import re

from .conftest import HERE


def flow(account, file):
    return account.run(
        "python", HERE / "metaflow" / file, "--datastore=s3", "--metadata=local", "run",
        METAFLOW_DATASTORE_SYSROOT_S3=f"s3://{account.bucket}/metaflow",
        METAFLOW_BATCH_JOB_QUEUE=account.queue,
        METAFLOW_ECS_S3_ACCESS_IAM_ROLE=account.job_role,
        METAFLOW_USER="stranger",
    )  # fmt: skip


def test_a_flow(account):
    done = flow(account, "flow.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\[\d+/end/\d+ .*total 14 of 3 jobs, 2 tries, caught invalid literal for int", done.stdout), (
        done.stdout
    )
    assert re.search(r"/join/\d+ .*joining 3 squares", done.stdout), done.stdout
    ended = {job["jobName"].split("-", 3)[3].rsplit("-", 2)[0] + job["jobName"][-1]: job for job in account.jobs()}
    assert ended["second_try0"]["status"] == "FAILED"
    assert ended["second_try1"]["status"] == "SUCCEEDED"
    assert ended["caught0"]["status"] == "SUCCEEDED"  # the job itself catches the error of its last try


def test_a_flow_that_fails(account):
    done = flow(account, "breaks.py")
    assert done.returncode == 1
    assert "invalid literal for int() with base 10: 'not expected'" in done.stdout + done.stderr
    assert "AWS Batch error" in done.stdout + done.stderr
