"""The stack on the embedded AWS, by the AWS CLI: deployed, run by a BatchStep, updated while it waits, deleted."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deployed import described

from utils import batch, cleanup, data, iam, kit, monitoring, pipeline
from utils.config import load_config
from utils.monitoring import alarms
from utils.session import embedded_session
from utils.stack import backend

ROOT = Path(__file__).resolve().parents[2]
STACK = "sagemaker-churn"
WAITS = """
import pathlib, time
while not pathlib.Path({path!r}).exists():
    time.sleep(0.2)
"""
TEAM = {"team": "churn"}
RESOURCES = {
    "lambda": ("list_functions", "Functions"),
    "sqs": ("list_queues", "QueueUrls"),
    "events": ("list_rules", "Rules"),
    "iam": ("list_roles", "Roles"),
    "logs": ("describe_log_groups", "logGroups"),
    "cloudwatch": ("describe_alarms", "MetricAlarms"),
}

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


class Team:
    """An account with a queue, a definition, a bucket and a pipeline's role, before the stack."""

    def __init__(self, aws, gate):
        self.gate = gate  # the job ends when there is such a file
        self.endpoint_url = aws.endpoint_url
        self.session = embedded_session(aws.endpoint_url)
        config = load_config(target="local", prefix="sagemaker-stacked")
        data.ensure_bucket(self.session, "team-stack-data", tags=TEAM)
        logs = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
        role = self.role("stack-team-jobs", "ecs-tasks.amazonaws.com", logs)
        subnets, groups = batch.default_network(self.session)
        environment = batch.ensure_compute_environment(
            self.session, "stack-compute", subnets=subnets, security_groups=groups, max_vcpus=4, tags=TEAM
        )
        batch.ensure_job_queue(
            self.session, "stack-queue", compute_environment=environment["computeEnvironmentArn"], tags=TEAM
        )
        batch.ensure_log_group(self.session, config.job_log_group, tags=TEAM)
        definition = batch.python_job(config, WAITS.format(path=str(gate)), role, role)
        batch.ensure_job_definition(self.session, definition | {"jobDefinitionName": "stack-etl", "tags": TEAM})
        self.pipeline_role = self.role("stack-team-pipeline", "sagemaker.amazonaws.com", logs)

    def role(self, name, service, statement):
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        documents = [{"Version": "2012-10-17", "Statement": [each]} for each in (trust, statement)]
        return iam.ensure_role(self.session, name, trust=documents[0], policy=documents[1], tags=TEAM)

    def make(self, command, *arguments, key=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"] if key else "test",
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"] if key else "test",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        program = [sys.executable, "-m", "deploy.stack", command, "--stack", STACK, *arguments]
        return subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    def deploy(self, *more, key=None):
        return self.make(
            "deploy", "--pipelines", "my-churn-model", "--job-queues", "stack-queue", "--job-definitions", "stack-etl",
            "--buckets", "team-stack-data", "--pipeline-roles", "stack-team-pipeline", "--poll-min-seconds", "1", *more,
            key=key,
        )  # fmt: skip

    def start(self):
        """Start a pipeline with a BatchStep, as deploy/README.md writes one."""
        uri = "s3://team-stack-data"
        self.session.client("s3").put_object(Bucket="team-stack-data", Key="in/a.csv", Body=b"1")
        sdk = pipeline.sdk_session(self.session, "team-stack-data")
        from sagemaker.mlops.workflow import Pipeline  # here, since it takes seconds and needs a region

        from utils.batch_step import BatchStep

        files = BatchStep(
            "Files",
            job_queue="stack-queue",
            job_definition="stack-etl",
            input_uri=f"{uri}/in",
            output_uri=f"{uri}/out",
            **backend(self.session, STACK),
            sagemaker_session=sdk,
        )
        flow = Pipeline("my-churn-model", steps=[*files.steps], pipeline_experiment_config=None, sagemaker_session=sdk)
        flow.upsert(role_arn=self.pipeline_role)
        return flow.start().arn

    def steps(self, execution):
        steps = self.session.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return {
            each["StepName"]: each.get("FailureReason", each["StepStatus"]) for each in steps["PipelineExecutionSteps"]
        }

    def policy(self):
        """What the stack lets a pipeline do."""
        client, iam_client = self.session.client("cloudformation"), self.session.client("iam")
        resource = client.describe_stack_resource(StackName=STACK, LogicalResourceId="PipelinePolicy")
        arn = resource["StackResourceDetail"]["PhysicalResourceId"]
        version = iam_client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return iam_client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]

    def left(self):
        """Everything with the stack's name, and its policies and mappings."""
        named = [
            each
            for service, (call, key) in RESOURCES.items()
            for each in json.loads(json.dumps(getattr(self.session.client(service), call)().get(key, []), default=str))
            if STACK in json.dumps(each)
        ]
        policies = self.session.client("iam").list_policies(Scope="Local")["Policies"]
        mappings = self.session.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        mappings = [each for each in mappings if STACK in each["EventSourceArn"]]
        objects = self.session.client("s3").list_objects_v2(Bucket="team-stack-data", Prefix=STACK).get("Contents", [])
        return [*named, *[p for p in policies if STACK in p["PolicyName"]], *mappings, *objects]


@pytest.fixture(scope="module")
def team(aws, tmp_path_factory):
    team = Team(aws, tmp_path_factory.mktemp("gate") / "open")
    deployed = team.deploy()
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert json.loads(deployed.stdout.partition("backend = ")[2]) == backend(team.session, STACK)
    yield team
    s3, of_the_team = team.session.client("s3"), {"Bucket": "team-stack-data", "Key": f"{STACK}/results.csv"}
    s3.put_object(**of_the_team)
    deleted = team.make("delete")
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    s3.get_object(**of_the_team)  # the bucket is the team's, and so is what it has below the stack's name
    s3.delete_object(**of_the_team)
    assert team.left() == []


def test_a_step_that_waits_during_an_update_is_answered(team):
    execution = team.start()
    deadline = time.monotonic() + 60
    while team.steps(execution).get("Files") != "Executing":
        assert time.monotonic() < deadline, team.steps(execution)
        time.sleep(0.2)
    refused = team.make("delete")
    assert refused.returncode == 1 and f"--pipeline-execution-arn {execution}" in refused.stderr
    updated = team.deploy("--push", "--deadline-seconds", "3600")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    settings = team.session.client("lambda").get_function_configuration(FunctionName=f"{STACK}-check-jobs")
    assert settings["Environment"]["Variables"]["DEADLINE_SECONDS"] == "3600"
    assert settings["Environment"]["Variables"]["PUSH_EVENTS"] == "true"
    assert team.steps(execution)["Files"] == "Executing"
    team.gate.touch()
    pipeline.wait_for_execution(team.session, execution, seconds=120)
    assert team.steps(execution) == {"Files-Submit": "Succeeded", "Files": "Succeeded"}
    outputs = monitoring.step_outputs(team.session, execution, "Files")
    assert (outputs["jobs_total"], outputs["jobs_succeeded"]) == ("1", "1")


def test_it_has_what_the_notebooks_make(team):
    config = load_config(target="local", prefix="sagemaker-notebooks").with_existing(
        pipelines=["my-churn-model"], job_queues=["stack-queue"], job_definitions=["stack-etl"],
        buckets=["team-stack-data"],
    )  # fmt: skip
    updated = team.deploy("--push", "--deadline-seconds", "86400")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    kit.deploy(team.session, config, program=None, push=True)
    alarms.ensure_alarms(team.session, config)
    stack = described(team.session, load_config(target="local", prefix=STACK), team.policy())
    notebooks = described(team.session, config, iam.inline_policy(team.session, config.pipeline_role))
    # A stack names its queues by their ARNs, and has a setting for each of its parameters.
    assert stack["settings"].pop("JOB_QUEUES") == config.arn("batch", "job-queue/stack-queue")
    assert notebooks["settings"].pop("JOB_QUEUES") == "stack-queue"
    assert stack["settings"].pop("DEADLINE_SECONDS") == "86400"
    assert stack == notebooks
    cleanup.delete_all(team.session, config)
