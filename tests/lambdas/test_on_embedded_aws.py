"""The functions, deployed with their least-privilege roles, in real pipelines on the embedded AWS."""

import json
import time
from types import SimpleNamespace

import pytest

from utils import iam, kit, monitoring, pipeline, queues
from utils.config import load_config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

WAIT_OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")


class Deployed:
    """The kit deployed once for this module, and pipelines of one submitting and one waiting step on it."""

    def __init__(self, aws):
        self.session = embedded_session(aws.endpoint_url)
        self.config = load_config(target="local", prefix="sagemaker-lambda-tests")
        self.deploy()
        # Their policies name the kit's own pipeline. There are more here.
        for role, template, sid in (
            (self.config.monitor_lambda_role, "monitor_lambda.json", "AnswerCallbackSteps"),
            (self.config.submit_lambda_role, "submit_lambda.json", "ReadTheSelectedSteps"),
        ):
            (statement,) = (each for each in iam.render(template, self.config)["Statement"] if each["Sid"] == sid)
            statement["Resource"] = self.config.arn("sagemaker", f"pipeline/{self.config.prefix}-*")
            document = json.dumps({"Version": "2012-10-17", "Statement": statement})
            self.session.client("iam").put_role_policy(
                RoleName=role, PolicyName="more-pipelines", PolicyDocument=document
            )

    def deploy(self, push=False, **settings):
        self.kit = kit.deploy(
            self.session,
            self.config,
            program=kit.job_code("practise.py"),
            max_vcpus=16,
            push=push,
            check_settings=settings,
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
                "FunctionArn": self.kit.submit_function,
                "Arguments": {
                    "mode": "array",
                    "manifest_uri": uri,
                    "output_uri": self.config.s3_uri(f"output/{number}"),
                    "job_queue": self.config.job_queue,
                    "job_definition": self.kit.job_definition,
                    "execution_id": {"Get": "Execution.PipelineExecutionArn"},
                    "step_name": "Items",
                },
                "OutputParameters": [{"OutputName": n, "OutputType": "String"} for n in ("jobIds", "reportUri")],
            },
            {
                "Name": "Wait",
                "Type": "Callback",
                "SqsQueueUrl": self.kit.callback_queue,
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
            sagemaker.create_pipeline(PipelineName=name, RoleArn=self.kit.pipeline_role, **definition)
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
        page = self.session.client("batch").list_jobs(jobQueue=self.config.job_queue, filters=filters)
        return page["jobSummaryList"]

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.1)
        return result


@pytest.fixture(scope="module")
def deployed(aws):
    return Deployed(aws)


def test_a_partly_failed_array_is_tolerated_reported_and_run_again(deployed):
    items = [{"n": n, "exit_code": 3 if n in (2, 5) else 0} for n in range(8)]
    execution = deployed.start(items, tolerated_failure_percentage="50")
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    outputs = deployed.outputs(execution)
    assert (outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("8", "6", "2")

    bucket, _, key = outputs["failed_items_uri"].removeprefix("s3://").partition("/")
    report = deployed.session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    failed = [json.loads(line) for line in report.splitlines()]
    assert [item["n"] for item in failed] == [2, 5]
    assert {item["batch_failure"]["exit_code"] for item in failed} == {3}

    again = deployed.start(outputs["failed_items_uri"])
    ended = deployed.finish(again)
    assert ended["PipelineExecutionStatus"] == "Failed"
    reason = deployed.wait_step(again)["FailureReason"]
    assert "exit code 3" in reason
    stream = reason.rsplit("Log stream: ", 1)[1]
    streams = deployed.session.client("logs").describe_log_streams(logGroupName=deployed.config.job_log_group)[
        "logStreams"
    ]
    assert stream in [each["logStreamName"] for each in streams]
    [array] = deployed.jobs(again)
    assert array["arrayProperties"]["size"] == 2


def test_a_stopped_execution_terminates_its_jobs_within_seconds(deployed):
    execution = deployed.start([{"seconds": 300}] * 4)
    deployed.until(lambda: (deployed.wait_step(execution) or {}).get("StepStatus") == "Executing")
    deployed.until(lambda: deployed.jobs(execution))
    deployed.session.client("sagemaker").stop_pipeline_execution(
        PipelineExecutionArn=execution, ClientRequestToken="stop".ljust(32, "0")
    )
    assert deployed.finish(execution, seconds=20)["PipelineExecutionStatus"] == "Stopped"
    [array] = deployed.until(lambda: [job for job in deployed.jobs(execution) if job["status"] == "FAILED"])
    assert "stopped" in array["statusReason"]


def test_a_retry_runs_again_only_the_failed_items(deployed):
    """As Studio's Retry does, twice: what the items lack is there only then."""
    s3, sagemaker = deployed.session.client("s3"), deployed.session.client("sagemaker")
    lacks = [None, "late/one.json", None, "late/two.json"]
    for key in filter(None, lacks):
        s3.delete_object(Bucket=deployed.config.bucket, Key=key)
    execution = deployed.start([{"n": n, **({"needs": key} if key else {})} for n, key in enumerate(lacks)])
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Failed"
    for key, status in (("late/one.json", "Failed"), ("late/two.json", "Succeeded")):
        s3.put_object(Bucket=deployed.config.bucket, Key=key, Body=b"{}")
        deployed.until(lambda: all(job["status"] in ("SUCCEEDED", "FAILED") for job in deployed.jobs(execution)))
        sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=key.ljust(32, "0"))
        assert deployed.finish(execution)["PipelineExecutionStatus"] == status
    outputs = deployed.outputs(execution)
    assert (outputs["jobs_total"], outputs["jobs_succeeded"]) == ("4", "4")
    sizes = {
        job["jobName"].split("-", 1)[1]: job.get("arrayProperties", {}).get("size") for job in deployed.jobs(execution)
    }
    assert sizes == {"Items-01": 4, "Items-01-try2": 2, "Items-01-try3": None}, "one item is a plain job"


def test_a_retry_after_a_stop_runs_what_was_terminated(deployed):
    execution = deployed.start([{"seconds": [300, 1]}] * 2)
    deployed.until(lambda: (deployed.wait_step(execution) or {}).get("StepStatus") == "Executing")
    sagemaker = deployed.session.client("sagemaker")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="stop".ljust(32, "0"))
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Stopped"
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="again".ljust(32, "0"))
    deployed.until(lambda: [job for job in deployed.jobs(execution) if job["jobName"].endswith("-try2")])
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="again".ljust(32, "1"))
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Stopped"
    deployed.until(lambda: all(job["status"] == "FAILED" for job in deployed.jobs(execution)))


def test_a_deadline_ends_a_step_whose_jobs_go_on_for_ever(deployed):
    execution = deployed.start([{"seconds": 300}], deadline_seconds="3")
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Failed"
    assert "after the deadline of 3 s and terminated" in deployed.wait_step(execution)["FailureReason"]
    deployed.until(lambda: deployed.jobs(execution)[0]["status"] == "FAILED")


def test_an_unreadable_message_is_in_the_dead_letter_queue_at_once(deployed):
    sqs = deployed.session.client("sqs")
    dead = queues.queue_url(deployed.session, deployed.config.dead_letter_queue)
    sqs.send_message(QueueUrl=deployed.kit.callback_queue, MessageBody="no message of a callback step")
    received = deployed.until(lambda: sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"]).get("Messages"))
    assert received[0]["Body"] == "no message of a callback step"
    assert "not JSON" in received[0]["MessageAttributes"]["Reason"]["StringValue"]


def test_push_answers_before_any_poll_would(deployed):
    for _ in range(2):  # ensured twice
        deployed.deploy(push=True, PUSH_POLL_SECONDS="600")
    execution = deployed.start([{"seconds": 3}] * 3)
    assert deployed.finish(execution, seconds=45)["PipelineExecutionStatus"] == "Succeeded"
    assert deployed.outputs(execution)["jobs_succeeded"] == "3"


def test_jobs_of_an_execution_stopped_before_its_callback_step_are_terminated(deployed):
    """As if the execution were stopped while its submitting step still runs."""
    batch = deployed.session.client("batch")
    execution = deployed.start([{"seconds": 300}])
    stray = batch.submit_job(
        jobName=f"{execution.rsplit('/', 1)[1]}-Other-01",
        jobQueue=deployed.config.job_queue,
        jobDefinition=deployed.kit.job_definition,
        containerOverrides={"command": ["python", "-c", "import time; time.sleep(300)"]},
    )["jobId"]
    deployed.until(lambda: (deployed.wait_step(execution) or {}).get("StepStatus") == "Executing")
    deployed.session.client("sagemaker").stop_pipeline_execution(
        PipelineExecutionArn=execution, ClientRequestToken="stop".ljust(32, "0")
    )
    deployed.finish(execution)
    [job] = deployed.until(
        lambda: [job for job in batch.describe_jobs(jobs=[stray])["jobs"] if job["status"] == "FAILED"]
    )
    assert "stopped" in job["statusReason"]


@pytest.fixture
def sdk(deployed, aws, monkeypatch):
    """What it takes to make BatchSteps of the deployed kit, and to run them as a pipeline."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the SDK makes clients of its own when it is imported
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
    session = pipeline.sdk_session(deployed.session, deployed.config.bucket)
    from sagemaker.mlops.workflow import Pipeline

    from utils.batch_step import BatchStep

    def step(name, items, **options):
        options = {"output_uri": deployed.config.s3_uri(name), "job_queue": deployed.kit.job_queue, **options}
        options.setdefault("job_definition", deployed.kit.job_definition)
        return BatchStep(
            name,
            items=items,
            submit_function_arn=deployed.kit.submit_function,
            callback_queue_url=deployed.kit.callback_queue,
            sagemaker_session=session,
            **options,
        )

    def manifest(name, items):
        body = "\n".join(json.dumps(item) for item in items).encode()
        deployed.session.client("s3").put_object(Bucket=deployed.config.bucket, Key=f"{name}.jsonl", Body=body)
        return deployed.config.s3_uri(f"{name}.jsonl")

    def flow(name, steps, parameters=()):
        made = Pipeline(
            f"{deployed.config.prefix}-{name}", steps=steps, parameters=[*parameters], sagemaker_session=session
        )
        made.upsert(role_arn=deployed.kit.pipeline_role)
        return made

    return SimpleNamespace(step=step, manifest=manifest, flow=flow)


def statuses(deployed, execution):
    page = deployed.session.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
    return {step["StepName"]: step["StepStatus"] for step in page["PipelineExecutionSteps"]}


def test_batch_steps_run_in_parallel_and_feed_the_next(deployed, sdk):
    """Two at once, on one pair of functions and one queue; two more run again what failed in each, if anything did."""
    failing = [{"n": n, "exit_code": 3 if n == 1 else 0, "seconds": 1} for n in range(3)]
    first = sdk.step("First", sdk.manifest("three", failing), tolerated_failure_percentage=50)
    second = sdk.step("Second", sdk.manifest("one", [{"seconds": 1}]))
    failed = first.properties.Outputs["failed_items_uri"]
    third = sdk.step("Third", failed, may_be_empty=True, tolerated_failure_percentage=100, depends_on=[second])
    fourth = sdk.step("Fourth", second.properties.Outputs["failed_items_uri"], may_be_empty=True)
    execution = sdk.flow("steps", [*fourth.steps, *third.steps, *first.steps, *second.steps]).start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"

    names = ("First", "Second", "Third", "Fourth")
    outputs = [monitoring.step_outputs(deployed.session, execution, name) for name in names]
    assert [of["jobs_total"] for of in outputs] == ["3", "1", "1", "0"]
    assert [of["jobs_failed"] for of in outputs] == ["1", "0", "1", "0"]
    page = deployed.session.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
    times = {s["StepName"]: (s["StartTime"], s["EndTime"]) for s in page["PipelineExecutionSteps"]}
    assert times["First"][0] < times["Second"][1] and times["Second"][0] < times["First"][1], "both waited at once"
    assert times["Third-Submit"][0] >= max(times["First"][1], times["Second"][1])
    assert {job["jobName"].split("-")[1] for job in deployed.jobs(execution)} == {"First", "Second", "Third"}
    answered = monitoring.answers(deployed.session, deployed.config, execution)
    assert {*answered["step"].dropna()} == {"First", "Second", "Third"}
    assert answered["answer"].tolist() == ["Success"] * 4


def test_a_retry_of_a_batch_step_runs_again_only_the_failed_files(deployed, sdk):
    """Plain jobs, one a file, and the selection of the waiting step alone, which names both."""
    from sagemaker.mlops.workflow.selective_execution_config import SelectiveExecutionConfig

    s3, sagemaker = deployed.session.client("s3"), deployed.session.client("sagemaker")
    program = "import sys, boto3; u = sys.argv[1].split('/', 3); boto3.client('s3').head_object(Bucket=u[2], Key=u[3])"
    definition = deployed.session.client("batch").describe_job_definitions(jobDefinitions=[deployed.kit.job_definition])
    container = {
        **definition["jobDefinitions"][0]["containerProperties"],
        "command": ["python", "-c", program, "Ref::s3Input", "Ref::s3Output"],
    }
    revision = deployed.session.client("batch").register_job_definition(
        jobDefinitionName=deployed.config.aggregate_job_definition,
        type="container",
        platformCapabilities=["FARGATE"],
        containerProperties=container,
    )["jobDefinitionArn"]
    s3.put_object(Bucket=deployed.config.bucket, Key="files/file_01.json", Body=b"{}")
    s3.delete_object(Bucket=deployed.config.bucket, Key="files/file_02.json")
    step = sdk.step("Files", None, input_uri=deployed.config.s3_uri("files"), max_jobs=2, job_definition=revision)
    flow = sdk.flow("files", [*step.steps])
    execution = flow.start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Failed"
    s3.put_object(Bucket=deployed.config.bucket, Key="files/file_02.json", Body=b"{}")
    deployed.until(lambda: all(job["status"] in ("SUCCEEDED", "FAILED") for job in deployed.jobs(execution)))
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="files".ljust(32, "0"))
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    names = {job["jobName"].split("-", 1)[1]: job["status"] for job in deployed.jobs(execution)}
    assert names == {"Files-01": "SUCCEEDED", "Files-02": "FAILED", "Files-02-try2": "SUCCEEDED"}

    selected = SelectiveExecutionConfig(selected_steps=["Files"], source_pipeline_execution_arn=execution)
    alone = flow.start(selective_execution_config=selected).arn
    assert deployed.finish(alone)["PipelineExecutionStatus"] == "Failed"
    page = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=alone)["PipelineExecutionSteps"]
    assert '"Files-Submit" and "Files"' in next(s["FailureReason"] for s in page if s["StepName"] == "Files")


@pytest.mark.thorough
def test_batch_steps_in_a_condition_run_only_where_it_leads(deployed, sdk):
    from sagemaker.core.workflow.conditions import ConditionEquals
    from sagemaker.core.workflow.parameters import ParameterString
    from sagemaker.mlops.workflow import ConditionStep

    answer = ParameterString("Answer", default_value="no")
    items = sdk.manifest("condition", [{"n": 1}, {"n": 2}])
    before = sdk.step("Before", items)
    taken, deep, other = (sdk.step(name, items, depends_on=[before]) for name in ("Taken", "Deep", "Other"))
    deep.add_depends_on([taken])
    after = sdk.step("After", taken.properties.Outputs["failed_items_uri"], may_be_empty=True)
    nested = ConditionStep("Nested", conditions=[ConditionEquals(answer, "no")], else_steps=[*deep.steps])
    condition = ConditionStep(
        "If",
        conditions=[ConditionEquals(answer, "yes")],
        if_steps=[*taken.steps, nested],
        else_steps=[*other.steps],
    )
    flow = sdk.flow("condition", [*before.steps, condition, *after.steps], parameters=[answer])
    for given, ran in (("yes", {"Taken", "Deep", "After"}), ("no", {"Other"})):
        execution = flow.start({"Answer": given}).arn
        assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
        steps = statuses(deployed, execution)
        assert set(steps) - {"If", "Nested"} == {each + end for each in {"Before", *ran} for end in ("", "-Submit")}
        assert set(steps.values()) == {"Succeeded"}
        jobs = deployed.jobs(execution)
        assert {job["jobName"].split("-")[1] for job in jobs} == {"Before", *ran} - {"After"}, "After has no items"
        assert {job["status"] for job in jobs} == {"SUCCEEDED"}, "every job was waited for"


@pytest.mark.thorough
def test_a_trial_runs_first_and_a_condition_compares_the_counts(deployed, sdk):
    from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo
    from sagemaker.mlops.workflow import ConditionStep

    items = [{"n": n, "exit_code": 3 if n == 4 else 0} for n in range(5)]
    days = sdk.step("Days", sdk.manifest("days", items), trial=2, tolerated_failure_percentage=50)
    few = ConditionLessThanOrEqualTo(days.properties.Outputs["jobs_failed"], 1)
    train = sdk.step("Train", sdk.manifest("train", [{"n": 1}]))
    condition = ConditionStep("Few", conditions=[few], if_steps=[*train.steps])
    execution = sdk.flow("trial", [*days.steps, condition]).start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    assert "Train" in statuses(deployed, execution)
    outputs = monitoring.step_outputs(deployed.session, execution, "Days")
    assert (outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("5", "4", "1")
    assert outputs["output_uri"] == deployed.config.s3_uri("Days")
    sizes = {
        job["jobName"].split("-", 1)[1]: job["arrayProperties"]["size"]
        for job in deployed.jobs(execution)
        if "arrayProperties" in job
    }
    assert sizes == {"Days-Trial-01": 2, "Days-02": 3}


def test_a_trial_that_fails_keeps_the_rest_from_being_submitted(deployed, sdk):
    items = [{"n": n, "exit_code": 3 if n == 0 else 0} for n in range(5)]
    days = sdk.step("Days", sdk.manifest("bad-days", items), trial=1, tolerated_failure_percentage=50)
    execution = sdk.flow("bad-trial", [*days.steps]).start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Failed"
    assert statuses(deployed, execution) == {"Days-Trial-Submit": "Succeeded", "Days-Trial": "Failed"}
    assert len(deployed.jobs(execution)) == 1


@pytest.mark.thorough
def test_the_step_that_submits_can_not_be_selected_alone(deployed, sdk):
    from sagemaker.mlops.workflow.selective_execution_config import SelectiveExecutionConfig

    days = sdk.step("Days", sdk.manifest("selected-days", [{"n": 1}]))
    flow = sdk.flow("selected", [*days.steps])
    first = flow.start().arn
    deployed.finish(first)
    for selected, status in ((["Days-Submit"], "Failed"), (["Days-Submit", "Days"], "Succeeded")):
        config = SelectiveExecutionConfig(selected_steps=selected, source_pipeline_execution_arn=first)
        execution = flow.start(selective_execution_config=config).arn
        assert deployed.finish(execution)["PipelineExecutionStatus"] == status
        assert len(deployed.jobs(execution)) == (status == "Succeeded")
    page = deployed.session.client("sagemaker").list_pipeline_executions(
        PipelineName=f"{deployed.config.prefix}-selected"
    )
    assert len(page["PipelineExecutionSummaries"]) == 3


def test_jobs_are_told_what_the_step_says_also_in_a_fair_share_queue(deployed, sdk):
    """A queue with a fair-share policy, which refuses jobs that name no share. It is used, and not the kit's."""
    client, name = deployed.session.client("batch"), f"{deployed.config.prefix}-fair"
    policy = client.create_scheduling_policy(
        name=name, fairsharePolicy={"shareDistribution": [{"shareIdentifier": "churn"}]}
    )
    kit_queue = client.describe_job_queues(jobQueues=[deployed.config.job_queue])["jobQueues"][0]
    queue = client.create_job_queue(
        jobQueueName=name,
        priority=1,
        computeEnvironmentOrder=kit_queue["computeEnvironmentOrder"],
        schedulingPolicyArn=policy["arn"],
    )["jobQueueArn"]
    deployed.until(lambda: client.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["status"] == "VALID")
    document = {"Effect": "Allow", "Action": ["batch:SubmitJob", "batch:TagResource"], "Resource": queue}
    deployed.session.client("iam").put_role_policy(
        RoleName=deployed.config.submit_lambda_role,
        PolicyName="another-queue",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": document}),
    )
    days = sdk.step(
        "Days",
        sdk.manifest("fair", [{"n": 1}]),
        job_queue=queue,
        share_identifier="churn",
        scheduling_priority=3,
        vcpus=0.5,
        memory_mib=1024,
        attempts=2,
        timeout=600,
        environment={"LOG_LEVEL": "DEBUG"},
    )
    execution = sdk.flow("fair", [*days.steps]).start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    filters = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}-*"]}]
    [summary] = client.list_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
    [job] = client.describe_jobs(jobs=[summary["jobId"]])["jobs"]
    assert (job["shareIdentifier"], job["schedulingPriority"], job["timeout"]) == (
        "churn",
        3,
        {"attemptDurationSeconds": 600},
    )
    assert job["retryStrategy"]["attempts"] == 2
    assert {"name": "LOG_LEVEL", "value": "DEBUG"} in job["container"]["environment"]
    assert {"type": "VCPU", "value": "0.5"} in job["container"]["resourceRequirements"]


@pytest.mark.thorough
def test_batch_steps_of_a_for_each_step_run_their_own_jobs(deployed, sdk):
    from sagemaker.core.workflow.functions import Join
    from sagemaker.mlops.workflow import CurrentItem, ForEachStep

    items = [{"name": n * "x", "uri": sdk.manifest(f"loop-{n}", [{"n": i} for i in range(n)])} for n in (1, 2, 3)]
    each = sdk.step(
        "Each",
        CurrentItem().uri,
        output_uri=Join(on="/", values=[deployed.config.s3_uri("loop"), CurrentItem().name]),
        iteration=CurrentItem().name,
    )
    loop = ForEachStep(
        "Loop", iterable_items=[json.dumps(item) for item in items], max_concurrency=3, for_each_body=each.steps
    )
    execution = sdk.flow("loop", [loop]).start().arn
    assert deployed.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
    outputs = [monitoring.step_outputs(deployed.session, execution, f"Each-{number}") for number in range(3)]
    assert [of["jobs_succeeded"] for of in outputs] == ["1", "2", "3"]
    names = {job["jobName"].split("-", 1)[1] for job in deployed.jobs(execution)}
    assert names == {"Each-x-01", "Each-xx-01", "Each-xxx-01"}
