"""A pipeline, a role, a queue, a definition and a bucket that are not the kit's are used, and stay as they are."""

import dataclasses
import json

import pytest

from utils import batch, cleanup, data, iam, kit, pipeline
from utils.config import load_config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

TEAM = {"team": "churn"}
OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")
PIPELINE = "my-Churn-model"


class Team:
    """What a team has before it takes the kit home: none of it has the kit's prefix or its tag."""

    def __init__(self, aws):
        self.session = embedded_session(aws.endpoint_url)
        self.config = load_config(target="local", prefix="sagemaker-taken-home")
        data.ensure_bucket(self.session, "team-churn-data", tags=TEAM)
        jobs = self.role("team-jobs", "ecs-tasks.amazonaws.com", ["s3:GetObject"], ["arn:aws:s3:::team-churn-data/*"])
        execution = self.role(
            "team-execution", "ecs-tasks.amazonaws.com", ["logs:CreateLogStream", "logs:PutLogEvents"], ["*"]
        )
        subnets, groups = batch.default_network(self.session)
        environment = batch.ensure_compute_environment(
            self.session, "team-compute", subnets=subnets, security_groups=groups, max_vcpus=4, tags=TEAM
        )
        batch.ensure_job_queue(
            self.session, "team-queue", compute_environment=environment["computeEnvironmentArn"], tags=TEAM
        )
        theirs = dataclasses.replace(self.config, prefix="sagemaker-team")
        batch.ensure_log_group(self.session, theirs.job_log_group, tags=TEAM)
        definition = batch.python_job(theirs, "print('It ran.')", jobs, execution)
        batch.ensure_job_definition(self.session, definition | {"jobDefinitionName": "team-etl", "tags": TEAM})

    def role(self, name, service, actions, resources):
        trust = iam.render("trust.json", self.config, service=service)
        statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        return iam.ensure_role(self.session, name, trust=trust, policy=policy, tags=TEAM)

    def deploy(self, **more):
        return kit.deploy(
            self.session,
            self.config,
            program=None,
            job_queues=["team-queue"],
            job_definitions=["team-etl"],
            buckets=["team-churn-data"],
            check_settings={"POLL_MIN_SECONDS": "1", "POLL_MAX_SECONDS": "1"},
            **more,
        )

    def run(self, deployed, role, *, name=PIPELINE):
        uri = "s3://team-churn-data"
        self.session.client("s3").put_object(Bucket="team-churn-data", Key="in/a.csv", Body=b"1")
        submit = {
            "mode": "array", "input_uri": f"{uri}/in", "output_uri": f"{uri}/out", "step_name": "Files",
            "job_queue": deployed.job_queue, "job_definition": deployed.job_definition,
            "execution_id": {"Get": "Execution.PipelineExecutionArn"},
        }  # fmt: skip
        steps = [
            {"Name": "Submit", "Type": "Lambda", "FunctionArn": deployed.submit_function, "Arguments": submit,
             "OutputParameters": [{"OutputName": "jobIds", "OutputType": "String"}]},
            {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": deployed.callback_queue,
             "Arguments": {"job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"}},
             "OutputParameters": [{"OutputName": name, "OutputType": "String"} for name in OUTPUTS]},
        ]  # fmt: skip
        sagemaker = self.session.client("sagemaker")
        definition = json.dumps({"Version": "2020-12-01", "Steps": steps})
        sagemaker.create_pipeline(PipelineName=name, RoleArn=role, PipelineDefinition=definition)
        execution = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
        pipeline.wait_for_execution(self.session, execution, seconds=60)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        return {step["StepName"]: step.get("FailureReason", step["StepStatus"]) for step in steps}


@pytest.fixture(scope="module")
def team(aws):
    return Team(aws)


@pytest.fixture
def deployed(team):
    deployed = team.deploy(pipelines=[PIPELINE])
    yield deployed
    cleanup.delete_all(team.session, team.config)


def own_role(team, deployed):
    resources = [deployed.submit_function, team.config.arn("sqs", team.config.callback_queue)]
    return team.role(
        "team-pipeline", "sagemaker.amazonaws.com", ["lambda:InvokeFunction", "sqs:SendMessage"], resources
    )


def test_it_runs_with_a_role_of_its_own_and_with_the_kits(team, deployed):
    for name, role in ((PIPELINE, own_role(team, deployed)), (f"{PIPELINE}-2", deployed.pipeline_role)):
        deployed = team.deploy(pipelines=[PIPELINE, f"{PIPELINE}-2"])
        assert team.run(deployed, role, name=name) == {"Submit": "Succeeded", "Wait": "Succeeded"}


def test_what_exists_is_neither_changed_nor_deleted(team):
    batch_client = team.session.client("batch")

    def described():
        return (
            batch_client.describe_job_queues()["jobQueues"],
            batch_client.describe_compute_environments()["computeEnvironments"],
            batch_client.describe_job_definitions()["jobDefinitions"],
            team.session.client("s3").get_bucket_tagging(Bucket="team-churn-data")["TagSet"],
        )

    before = described()
    team.deploy(pipelines=[PIPELINE], push=True)
    assert described() == before, "the kit makes no Batch resources without a program"
    cleanup.delete_all(team.session, team.config)
    assert described() == before
    assert cleanup.leftovers(team.session, team.config) == []
