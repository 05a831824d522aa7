"""The functions, deployed with their least-privilege roles, in real pipelines on the embedded AWS."""

import json
import time

import pytest

from utils import batch, data, events, iam, lambdas, pipeline, queues
from utils.config import load_config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, sys, time, boto3
index, width = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0")), int(os.environ["MANIFEST_LINE_BYTES"])
bucket, _, key = os.environ["MANIFEST_URI"].removeprefix("s3://").partition("/")
span = f"bytes={index * width}-{(index + 1) * width - 1}"
item = json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key, Range=span)["Body"].read())
time.sleep(item.get("sleep", 0))
sys.exit(item.get("exit", 0))
"""
WAIT_OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")


class Kit:
    """The kit deployed once for this module, and pipelines of one submitting and one waiting step on it."""

    def __init__(self, aws):
        self.session = embedded_session(aws.endpoint_url)
        self.config = config = load_config(target="local", prefix="sagemaker-lambda-tests")
        tags = {"tags": config.tags}
        self.roles = iam.ensure_roles(self.session, config)
        data.ensure_bucket(self.session, config.bucket, **tags)
        subnets, groups = batch.default_network(self.session)
        compute = batch.ensure_compute_environment(
            self.session, config.compute_environment, subnets=subnets, security_groups=groups, max_vcpus=16, **tags
        )
        self.job_queue = batch.ensure_job_queue(
            self.session, config.job_queue, compute_environment=compute["computeEnvironmentArn"], **tags
        )["jobQueueArn"]
        batch.ensure_log_group(self.session, config.job_log_group, **tags)
        definition = batch.aggregate_job(config, self.roles["batch_job"], self.roles["batch_execution"])
        definition["containerProperties"]["command"] = ["python", "-c", PROGRAM]
        self.definition = batch.ensure_job_definition(self.session, definition)
        dead = queues.ensure_queue(self.session, config.dead_letter_queue, **tags)
        self.queue = queues.ensure_queue(
            self.session,
            config.callback_queue,
            visibility_timeout_seconds=900,
            dead_letter_queue=queues.queue_arn(self.session, dead),
            **tags,
        )
        self.dead_letter_queue = dead
        self.submit = self.function("submit_jobs", config.submit_jobs_function, "submit_lambda")
        self.check = self.function("check_jobs", config.check_jobs_function, "monitor_lambda", PUSH_EVENTS="false")
        queues.ensure_mapping(
            self.session,
            queue=queues.queue_arn(self.session, self.queue),
            function=config.check_jobs_function,
            **tags,
        )

    def function(self, folder, name, role, **environment):
        return lambdas.ensure_function(
            self.session,
            name,
            code=lambdas.package(folder),
            role=self.roles[role],
            timeout_seconds=60,
            environment={
                "POLL_MIN_SECONDS": "1",
                "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue,
                "JOB_QUEUES": self.config.job_queue,
                **environment,
            },
            tags=self.config.tags,
        )

    def start(self, items, **arguments):
        """Start an execution that runs these items as an array; its ARN."""
        s3, sagemaker = self.session.client("s3"), self.session.client("sagemaker")
        number = time.time_ns()
        uri = items
        if not isinstance(items, str):
            uri = self.config.s3_uri(f"items/{number}.jsonl")
            body = "\n".join(json.dumps(item) for item in items).encode()
            s3.put_object(Bucket=self.config.bucket, Key=f"items/{number}.jsonl", Body=body)
        steps = [
            {
                "Name": "Submit",
                "Type": "Lambda",
                "FunctionArn": self.submit,
                "Arguments": {
                    "mode": "array",
                    "manifest_uri": uri,
                    "output_uri": self.config.s3_uri(f"output/{number}"),
                    "job_queue": self.config.job_queue,
                    "job_definition": self.definition,
                    "execution_id": {"Get": "Execution.PipelineExecutionArn"},
                    "step_name": "Items",
                },
                "OutputParameters": [{"OutputName": n, "OutputType": "String"} for n in ("jobIds", "reportUri")],
            },
            {
                "Name": "Wait",
                "Type": "Callback",
                "SqsQueueUrl": self.queue,
                "Arguments": {
                    "job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"},
                    "report_uri": {"Get": "Steps.Submit.OutputParameters['reportUri']"},
                    **arguments,
                },
                "OutputParameters": [{"OutputName": n, "OutputType": "String"} for n in WAIT_OUTPUTS],
            },
        ]
        definition = {"PipelineDefinition": json.dumps({"Version": "2020-12-01", "Steps": steps})}
        name = self.config.pipeline
        if name not in [p["PipelineName"] for p in sagemaker.list_pipelines()["PipelineSummaries"]]:
            sagemaker.create_pipeline(PipelineName=name, RoleArn=self.roles["pipeline"], **definition)
        else:
            sagemaker.update_pipeline(PipelineName=name, **definition)
        return sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]

    def finish(self, execution, seconds=60):
        return pipeline.wait_for_execution(self.session, execution, seconds=seconds)

    def wait_step(self, execution):
        steps = self.session.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return next((step for step in steps["PipelineExecutionSteps"] if step["StepName"] == "Wait"), None)

    def outputs(self, execution):
        callback = self.wait_step(execution)["Metadata"]["Callback"]
        return {output["Name"]: output["Value"] for output in callback["OutputParameters"]}

    def jobs(self, execution):
        filters = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}-*"]}]
        found = self.session.client("batch").list_jobs(jobQueue=self.config.job_queue, filters=filters)
        return found["jobSummaryList"]

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.1)
        return result


@pytest.fixture(scope="module")
def kit(aws):
    return Kit(aws)


def test_a_partly_failed_array_is_tolerated_reported_and_run_again(kit):
    items = [{"n": n, "exit": 3 if n in (2, 5) else 0} for n in range(8)]
    execution = kit.start(items, tolerated_failure_percentage="50")
    assert kit.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    outputs = kit.outputs(execution)
    assert (outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("8", "6", "2")

    bucket, _, key = outputs["failed_items_uri"].removeprefix("s3://").partition("/")
    report = kit.session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    failed = [json.loads(line) for line in report.splitlines()]
    assert [item["n"] for item in failed] == [2, 5]
    assert {item["failure"]["exit_code"] for item in failed} == {3}

    again = kit.start(outputs["failed_items_uri"])
    ended = kit.finish(again)
    assert ended["PipelineExecutionStatus"] == "Failed"
    reason = kit.wait_step(again)["FailureReason"]
    assert "exit code 3" in reason
    stream = reason.rsplit("Log stream: ", 1)[1]
    streams = kit.session.client("logs").describe_log_streams(logGroupName=kit.config.job_log_group)["logStreams"]
    assert stream in [found["logStreamName"] for found in streams]
    [array] = kit.jobs(again)
    assert array["arrayProperties"]["size"] == 2


def test_a_stopped_execution_terminates_its_jobs_within_seconds(kit):
    execution = kit.start([{"sleep": 300}] * 4)
    kit.until(lambda: (kit.wait_step(execution) or {}).get("StepStatus") == "Executing")
    kit.until(lambda: kit.jobs(execution))
    kit.session.client("sagemaker").stop_pipeline_execution(
        PipelineExecutionArn=execution, ClientRequestToken="stop".ljust(32, "0")
    )
    assert kit.finish(execution, seconds=20)["PipelineExecutionStatus"] == "Stopped"
    [array] = kit.until(lambda: [job for job in kit.jobs(execution) if job["status"] == "FAILED"])
    assert "stopped" in array["statusReason"]


def test_a_deadline_ends_a_step_whose_jobs_go_on_for_ever(kit):
    execution = kit.start([{"sleep": 300}], deadline_seconds="3")
    assert kit.finish(execution)["PipelineExecutionStatus"] == "Failed"
    assert "after the deadline of 3 s and terminated" in kit.wait_step(execution)["FailureReason"]
    kit.until(lambda: kit.jobs(execution)[0]["status"] == "FAILED")


def test_an_unreadable_message_is_in_the_dead_letter_queue_at_once(kit):
    sqs = kit.session.client("sqs")
    sqs.send_message(QueueUrl=kit.queue, MessageBody="no message of a callback step")
    received = kit.until(
        lambda: sqs.receive_message(QueueUrl=kit.dead_letter_queue, MessageAttributeNames=["All"]).get("Messages")
    )
    assert received[0]["Body"] == "no message of a callback step"
    assert "not JSON" in received[0]["MessageAttributes"]["Reason"]["StringValue"]


def test_push_answers_before_any_poll_would(kit):
    kit.function(
        "check_jobs", kit.config.check_jobs_function, "monitor_lambda", PUSH_EVENTS="true", PUSH_POLL_SECONDS="600"
    )
    pattern = events.job_ended(kit.job_queue)
    for _ in range(2):  # ensured twice
        events.ensure_rule(
            kit.session, f"{kit.config.prefix}-job-ended", pattern, function=kit.check, tags=kit.config.tags
        )
    execution = kit.start([{"sleep": 3}] * 3)
    assert kit.finish(execution, seconds=45)["PipelineExecutionStatus"] == "Succeeded"
    assert kit.outputs(execution)["jobs_succeeded"] == "3"
