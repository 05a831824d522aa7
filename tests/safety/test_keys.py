"""A bucket with a KMS key: a kit that is deployed with the key has the permissions for it, and needs each of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

import local_aws
from utils import cleanup, data, iam, kit, pipeline
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

CONFIG = Config("local", "sagemaker-keys", "us-east-1", "000000000000")
BUCKET = "encrypted-data"
KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROLES = {
    "submit_lambda": ("submit_lambda.json", CONFIG.submit_lambda_role),
    "monitor_lambda": ("monitor_lambda.json", CONFIG.monitor_lambda_role),
    "batch_job": ("batch_job.json", CONFIG.batch_job_role),
}


class Deployed:
    """The kit, whose pipeline copies objects of the encrypted bucket within it. One of the three is missing."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session
        data.ensure_bucket(session, BUCKET, tags={"team": "churn"})
        rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}]
        s3 = session.client("s3")
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})
        for name in ("a", "b"):
            s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=b"x")
        items = [{key: f"s3://{BUCKET}/{key}/{name}" for key in ("input", "output")} for name in ("a", "b", "missing")]
        lines = "\n".join(json.dumps(item).replace("/input/", "/in/").replace("/output/", "/out/") for item in items)
        s3.put_object(Bucket=BUCKET, Key="items.jsonl", Body=lines.encode())

    def deploy(self, *keys: str) -> kit.Kit:
        return kit.deploy(
            self.session,
            CONFIG,
            program=kit.job_code("copy_item.py"),
            buckets=[BUCKET],
            kms_keys=keys,
            check_settings={"POLL_MIN_SECONDS": "1", "POLL_MAX_SECONDS": "1", "POLLS_TO_CONFIRM_ERROR": "2"},
        )

    def run(self, deployed: kit.Kit) -> tuple[dict[str, str], str]:
        """Each step's status, or why it has failed. And where the list of the missing item is, if there is one."""
        steps = batch_step_json(
            "Copies",
            job_queue=deployed.job_queue,
            job_definition=deployed.job_definition,
            items=f"s3://{BUCKET}/items.jsonl",
            output_uri=f"s3://{BUCKET}/out",
            tolerated_failure_percentage=50,
            deadline=60,
            **deployed.backend,
        )
        sagemaker = self.session.client("sagemaker")
        tags = [{"Key": key, "Value": value} for key, value in CONFIG.tags.items()]
        wanted = {"PipelineName": CONFIG.pipeline, "RoleArn": deployed.pipeline_role}
        wanted["PipelineDefinition"] = json.dumps({"Version": "2020-12-01", "Steps": steps})
        try:
            sagemaker.create_pipeline(**wanted, Tags=tags)
        except sagemaker.exceptions.ClientError:
            sagemaker.update_pipeline(**wanted)
        execution = sagemaker.start_pipeline_execution(PipelineName=CONFIG.pipeline)["PipelineExecutionArn"]
        try:
            pipeline.wait_for_execution(self.session, execution, seconds=90)
        except TimeoutError:  # check_jobs can't answer
            sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
            return {"Copies": "unanswered"}, ""
        listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        outputs = [step["Metadata"].get("Callback", {}).get("OutputParameters", []) for step in listed]
        failed = [each["Value"] for each in itertools.chain(*outputs) if each["Name"] == "failed_items_uri"]
        return {step["StepName"]: step.get("FailureReason", step["StepStatus"]) for step in listed}, "".join(failed)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    home = tmp_path_factory.mktemp("keys")
    yield Deployed(embedded_session(local_aws.start(port=0, home=home).endpoint_url))
    local_aws.stop(home)


def test_without_the_key_the_step_fails_and_with_it_it_succeeds(encrypted: Deployed) -> None:
    assert "lacks s3:GetObject on it or kms:Decrypt on its key" in encrypted.run(encrypted.deploy())[0]["Copies-Submit"]
    statuses, failed = encrypted.run(encrypted.deploy(KEY))
    assert statuses == {"Copies-Submit": "Succeeded", "Copies": "Succeeded"}
    assert failed.startswith(f"s3://{BUCKET}/out/_jobs/")
    head = encrypted.session.client("s3").head_object(Bucket=BUCKET, Key="out/a")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)
    for task, (_, name) in ROLES.items():
        role = iam.role_arn(encrypted.session, name)
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert iam.is_allowed(encrypted.session, role, action, KEY), task
            assert not iam.is_allowed(encrypted.session, role, action, KEY.replace("1234", "9999")), task
    encrypted.deploy()
    for _, name in ROLES.values():
        assert not iam.is_allowed(encrypted.session, iam.role_arn(encrypted.session, name), "kms:Decrypt", KEY)


def without(task: str, action: str) -> dict[str, Any]:
    """The policy of a task's role, for the key, without this action."""
    document = iam.render(ROLES[task][0], CONFIG.with_existing(buckets=[BUCKET], kms_keys=[KEY]))
    for statement in document["Statement"]:
        if statement["Sid"] == "UseBucketKeys":
            statement["Action"] = [other for other in statement["Action"] if other != action]
    return document


@pytest.mark.thorough
@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
@pytest.mark.parametrize("task", ROLES)
def test_no_role_works_without_one_of_its_actions_on_the_key(encrypted: Deployed, task: str, action: str) -> None:
    deployed = encrypted.deploy(KEY)
    encrypted.session.client("iam").put_role_policy(
        RoleName=ROLES[task][1], PolicyName=iam.INLINE_POLICY, PolicyDocument=json.dumps(without(task, action))
    )
    statuses, failed = encrypted.run(deployed)
    assert set(statuses.values()) != {"Succeeded"} or not failed


def test_a_cleanup_leaves_the_bucket_and_what_is_in_it(encrypted: Deployed) -> None:
    encrypted.deploy(KEY)
    cleanup.delete_all(encrypted.session, CONFIG)
    assert cleanup.leftovers(encrypted.session, CONFIG) == []
    assert encrypted.session.client("s3").get_object(Bucket=BUCKET, Key="in/a")["Body"].read() == b"x"
