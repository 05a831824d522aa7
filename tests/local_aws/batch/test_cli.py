"""`aws batch …`: a client we did not write, every verb a user would try."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import awscli
import pytest
from awscli.clidriver import create_clidriver

from .conftest import Account, wait


class Cli:
    """The AWS CLI in this process: to start one for each command would take most of the test's time."""

    def __init__(self) -> None:
        self.driver = create_clidriver()

    def __call__(self, *words: str, fails: bool = False) -> Any:
        """What the command prints: JSON as Python, text else; of one that is to fail, its error."""
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = self.driver.main(["batch", *words])
        assert (code != 0) == fails, error.getvalue()
        if fails:
            return error.getvalue()
        return json.loads(out.getvalue()) if out.getvalue().startswith("{") else out.getvalue()


@pytest.fixture
def cli(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The CLI's import sets this; tests/conftest.py has removed it with all that begins with AWS_.
    monkeypatch.setenv("AWS_DATA_PATH", str(Path(awscli.__file__).parent / "data"))
    return Cli()


def test_every_verb(account: Account, cli: Cli) -> None:
    resources = f"type=FARGATE,maxvCpus=4,subnets={account.subnet},securityGroupIds={account.group}"
    cli("create-compute-environment", "--compute-environment-name", "cli", "--type", "MANAGED",
        "--compute-resources", resources)  # fmt: skip
    account.environment_is("cli", "VALID")
    cli("create-job-queue", "--job-queue-name", "cli", "--priority", "1",
        "--compute-environment-order", "order=1,computeEnvironment=cli")  # fmt: skip
    account.queue_is("cli", "VALID")
    container = json.dumps(account.container("sh", "-c", "echo $AWS_BATCH_JOB_ID"))
    definition = cli("register-job-definition", "--job-definition-name", "cli", "--type", "container",
                     "--platform-capabilities", "FARGATE", "--retry-strategy", "attempts=2",
                     "--container-properties", container)  # fmt: skip
    assert definition["revision"] == 1
    submitted = cli("submit-job", "--job-name", "one", "--job-queue", "cli", "--job-definition", "cli",
                    "--tags", "a=b", "--propagate-tags")  # fmt: skip
    job = wait(lambda: account.job_is(submitted["jobId"]))
    [described] = cli("describe-jobs", "--jobs", submitted["jobId"])["jobs"]
    assert (described["status"], described["jobArn"]) == ("SUCCEEDED", submitted["jobArn"])
    assert account.lines(job) == [submitted["jobId"]]
    listed = cli("list-jobs", "--job-queue", "cli", "--job-status", "SUCCEEDED", "--query", "jobSummaryList[].jobName",
                 "--output", "text")  # fmt: skip
    assert listed.split() == ["one"]
    filtered = cli("list-jobs", "--job-queue", "cli", "--filters", "name=JOB_NAME,values=o*")
    assert len(filtered["jobSummaryList"]) == 1
    array = cli("submit-job", "--job-name", "many", "--job-queue", "cli", "--job-definition", "cli:1",
                "--array-properties", "size=3", "--container-overrides", 'command=["sleep","60"]')["jobId"]  # fmt: skip
    wait(lambda: account.job(array)["arrayProperties"]["statusSummary"]["RUNNING"] == 3)
    children = cli("list-jobs", "--array-job-id", array)["jobSummaryList"]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    assert cli("get-job-queue-snapshot", "--job-queue", "cli")["frontOfQueue"]["jobs"] == []
    cli("cancel-job", "--job-id", f"{array}:0", "--reason", "no effect on what runs")
    # The bulk verbs are newer than the botocore that this CLI carries.
    cli("terminate-job", "--job-id", f"{array}:0", "--reason", "this one")
    cli("terminate-job", "--job-id", array, "--reason", "and the rest")
    account.job_is(array)
    assert [account.job(f"{array}:{index}")["statusReason"] for index in (0, 1)] == ["this one", "and the rest"]

    policy = cli("create-scheduling-policy", "--name", "cli", "--fairshare-policy", "shareDecaySeconds=60")["arn"]
    cli("update-scheduling-policy", "--arn", policy, "--fairshare-policy", "shareDecaySeconds=120")
    [described] = cli("describe-scheduling-policies", "--arns", policy)["schedulingPolicies"]
    assert described["fairsharePolicy"]["shareDecaySeconds"] == 120
    assert {"arn": policy} in cli("list-scheduling-policies")["schedulingPolicies"]
    cli("delete-scheduling-policy", "--arn", policy)

    cli("tag-resource", "--resource-arn", definition["jobDefinitionArn"], "--tags", "one=1,two=2")
    cli("untag-resource", "--resource-arn", definition["jobDefinitionArn"], "--tag-keys", "one")
    assert cli("list-tags-for-resource", "--resource-arn", definition["jobDefinitionArn"])["tags"] == {"two": "2"}
    assert cli("describe-job-definitions", "--job-definition-name", "cli", "--status", "ACTIVE")["jobDefinitions"]
    cli("deregister-job-definition", "--job-definition", "cli:1")
    assert "ClientException" in cli("delete-job-queue", "--job-queue", "cli", fails=True)
    cli("update-job-queue", "--job-queue", "cli", "--state", "DISABLED")
    account.queue_is("cli", "VALID")
    cli("delete-job-queue", "--job-queue", "cli")
    account.queue_is("cli", None)
    cli("update-compute-environment", "--compute-environment", "cli", "--state", "DISABLED")
    account.environment_is("cli", "VALID")
    cli("delete-compute-environment", "--compute-environment", "cli")
    account.environment_is("cli", None)
    assert cli("describe-compute-environments", "--compute-environments", "cli")["computeEnvironments"] == []
    assert cli("describe-job-queues", "--job-queues", "cli")["jobQueues"] == []
    assert "does not cover" in cli("list-service-jobs", "--job-queue", "cli", fails=True)
