"""Each action of each role's policy is needed: without it, something that the tutorial does fails.

For every (policy, action) there is the smallest piece of the tutorial that needs the action. It is done once with the
policy as it is, and must succeed, and once with the action taken out, and must fail. What can't be seen to fail here
stands in NOT_SEEN_HERE, with the AWS document that asks for it.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from deployment import Deployment, flights
from servers import until

import local_aws
from utils import batch, data, iam, lambdas, pipeline, queues
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

# What succeeds does so in seconds on an idle machine. What doesn't is known by the refusal in a log, and by this many
# seconds in which nothing else has made up for it.
SECONDS_TO_SUCCEED, SECONDS_AFTER_A_REFUSAL = 180, 8
# On AWS a changed policy counts after seconds. Here Batch keeps a yes for one second.
SECONDS_A_YES_IS_KEPT = 1.1
_numbers = itertools.count(1)
# Where the functions keep their own files when output_uri is a folder, and when it is the bucket itself.
FOLDERS = ("out/_jobs/", "_jobs/")

LAMBDA_LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html"
# (policy, action): why AWS needs it although nothing fails here without it, and where AWS says so.
NOT_SEEN_HERE: dict[tuple[str, str], tuple[str, str]] = {
    **{
        (task, action): ("Lambda writes a function's log with its role; MiniStack writes it itself", LAMBDA_LOGS)
        for task in ("submit_lambda", "monitor_lambda", "data_lambda")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    },
}


class Failed(AssertionError):
    """A piece of the tutorial did not do what it should; the text begins with its name."""


class NotInTime(Failed):
    """It may only be slow: the refusal must be found in a log."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("privileges")
    server = local_aws.start(port=0, home=home)
    config = Config("local", "sagemaker-least", "us-east-1", "000000000000")
    deployed = Deployment(embedded_session(server.endpoint_url), config)
    # With push on, the function also tags the jobs; with this it goes on polling as quickly.
    deployed.check_settings |= {"PUSH_EVENTS": "true", "PUSH_POLL_SECONDS": "1"}
    deployed.server_log = server.log
    yield deployed.deploy()
    local_aws.stop(home)


class patience:
    """How long a piece is waited for: until it was `refused`, and a little longer."""

    refused: Callable[[], Any] = staticmethod(lambda: False)

    @classmethod
    def until(cls, done: Callable[[], Any], otherwise: str) -> Any:
        """The first true answer.

        Raises:
            NotInTime: there is none.
        """
        deadline, refused = time.monotonic() + SECONDS_TO_SUCCEED, False
        while not (answer := done()):
            if not refused and (refused := bool(cls.refused())):
                deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_REFUSAL)
            if time.monotonic() > deadline:
                raise NotInTime(otherwise)
            time.sleep(0.1)
        return answer


# --- pieces of the tutorial ------------------------------------------------------------------------------------------


def whole_pipeline(kit: Deployment) -> None:
    execution, sagemaker = kit.start(), kit.client("sagemaker")

    def ended() -> str:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"]
        return status if status in pipeline.FINAL else ""

    try:
        status = patience.until(ended, "the pipeline has not ended")
    except NotInTime:
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
        raise
    failed = {name: reason for name, (status, reason) in kit.steps(execution).items() if status == "Failed"}
    if status != "Succeeded" or failed:
        raise Failed(f"{failed or status}")


def failing_job(kit: Deployment) -> None:
    """A month is missing: the waiting step must fail with the job's own reason."""
    key = f"{data.INPUT}/file_01.json"
    kit.client("s3").delete_object(Bucket=kit.config.bucket, Key=key)
    try:
        whole_pipeline(kit)
    except NotInTime:
        raise
    except Failed as failure:
        if "WaitForCopies" in str(failure) and "Job " in str(failure):
            return
        raise Failed(f"WaitForCopies: no reason of a job: {failure}") from None
    finally:
        kit.client("s3").put_object(Bucket=kit.config.bucket, Key=key, Body=flights(1))
    raise Failed("WaitForCopies: succeeded without its input")


def submit(kit: Deployment, execution: str = "", **event: Any) -> dict[str, Any]:
    number = next(_numbers)
    event = {
        "output_uri": kit.config.s3_uri(f"out/{number}"), "job_queue": kit.config.job_queue, "step_name": "Submit",
        "job_definition": kit.config.copy_job_definition, "execution_id": execution or f"alone{number}", **event,
    }  # fmt: skip
    try:
        return lambdas.invoke(kit.session, kit.config.submit_jobs_function, event)
    except lambdas.FunctionFailed as failure:
        raise Failed(f"submit_jobs: {failure}") from None


def a_job(kit: Deployment) -> None:
    answer = submit(kit, input_uri=kit.config.s3_uri(data.INPUT), max_jobs=1)
    kit.client("batch").terminate_job(jobId=answer["jobIds"], reason="seen enough")


def submit_array(kit: Deployment, **source: str) -> None:
    """With a definition whose command has no placeholders, since an array's jobs have no parameters to fill them."""
    roles = (iam.role_arn(kit.session, name) for name in (kit.config.batch_job_role, kit.config.batch_execution_role))
    definition = batch.ensure_job_definition(kit.session, batch.python_job(kit.config, "print('an item')", *roles))
    try:
        submit(kit, mode="array", job_definition=definition, **source)
    finally:
        kit.client("batch").deregister_job_definition(jobDefinition=definition)  # the pipeline uses an earlier revision


def items_under_a_prefix(kit: Deployment) -> None:
    submit_array(kit, input_uri=kit.config.s3_uri(data.INPUT))


def items_of_a_manifest(kit: Deployment) -> None:
    body = "".join(json.dumps({"n": n}) + "\n" for n in range(2))
    kit.client("s3").put_object(Bucket=kit.config.bucket, Key="items.jsonl", Body=body.encode())
    submit_array(kit, manifest_uri=kit.config.s3_uri("items.jsonl"))


def step_done_again(kit: Deployment) -> None:
    """The second call finds the first one's jobs, and sees that they came of the same request."""
    again = {"execution": f"again{next(_numbers)}", "input_uri": kit.config.s3_uri(data.INPUT), "max_jobs": 2}
    first, second = (submit(kit, **again, output_uri=kit.config.s3_uri("again")) for _ in range(2))
    if first["jobIds"] != second["jobIds"] or second["submittedCount"]:
        raise Failed(f"submit_jobs: {first}, and then {second}")


def part_of_a_step_selected(kit: Deployment) -> None:
    """A selective execution selects one of two steps that belong together: the function sees it and refuses."""
    selected = {"SelectedSteps": [{"StepName": "CountInputs"}]}
    execution = kit.client("sagemaker").start_pipeline_execution(
        PipelineName=kit.config.pipeline, SelectiveExecutionConfig=selected
    )["PipelineExecutionArn"]
    event = {"input_uri": kit.config.s3_uri(data.INPUT), "max_jobs": 1, "pipeline_steps": "CountInputs SubmitCopies"}
    try:
        submit(kit, execution, **event)
    except Failed as refusal:
        if "belong together" in str(refusal):
            return
        raise
    raise Failed("submit_jobs: submitted jobs of a step that is selected in part")


def job_submitted_twice(kit: Deployment) -> None:
    name = f"twice{next(_numbers)}"
    for _ in range(2):
        sleeping_job(kit, f"{name}-Submit-01")
    answer = submit(kit, name, input_uri=kit.config.s3_uri(data.INPUT), max_jobs=2)
    if answer["jobCount"] != 2:
        raise Failed(f"submit_jobs: {answer}")


def sleeping_job(kit: Deployment, name: str, program: str = "import time; time.sleep(20)") -> str:
    return kit.client("batch").submit_job(
        jobName=name, jobQueue=kit.config.job_queue, jobDefinition=kit.config.aggregate_job_definition,
        containerOverrides={"command": ["python", "-c", program]},
    )["jobId"]  # fmt: skip


def look(kit: Deployment, arguments: dict[str, str], **body: str) -> dict[str, Any]:
    """Give check_jobs one message, as its mapping would; the token is nobody's."""
    message = {"token": "abcdefghij", "pipelineExecutionArn": "arn:x/execution/alone", "arguments": arguments, **body}
    return deliver(kit, message)


def deliver(kit: Deployment, message: dict[str, Any]) -> dict[str, Any]:
    record = {
        "messageId": "m", "receiptHandle": "r", "body": json.dumps(message),
        "eventSourceARN": kit.config.arn("sqs", kit.config.callback_queue),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))},
    }  # fmt: skip
    return lambdas.invoke(kit.session, kit.config.check_jobs_function, {"Records": [record]})


def stopped_execution(kit: Deployment) -> None:
    job = sleeping_job(kit, f"stopped{next(_numbers)}-Submit-01")
    look(kit, {"job_ids": job}, status="Stopping")
    job_ends(kit, job, "check_jobs, told of a stop")


def stopped_before_its_wait(kit: Deployment) -> None:
    execution = f"unseen{next(_numbers)}"
    job = sleeping_job(kit, f"{execution}-Submit-01")
    detail = {"currentPipelineExecutionStatus": "Stopped", "pipelineExecutionArn": f"arn:x/execution/{execution}"}
    deliver(kit, {"source": "aws.sagemaker", "time": dt.datetime.now(dt.UTC).isoformat(), "detail": detail})
    job_ends(kit, job, "check_jobs, told of a stopped execution")


def job_ends(kit: Deployment, job: str, who: str) -> None:
    described = kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]
    if not (described.get("isTerminated") or described.get("isCancelled") or described["status"] == "FAILED"):
        kit.client("batch").terminate_job(jobId=job, reason="the test is over")
        raise Failed(f"{who}: the job goes on")


def list_of_ids_on_s3(kit: Deployment) -> None:
    for folder in FOLDERS:
        job = sleeping_job(kit, f"listed{next(_numbers)}-Submit-01")
        key = f"{folder}job_ids.json"
        body = json.dumps({"job_ids": [job]}).encode()
        kit.client("s3").put_object(Bucket=kit.config.bucket, Key=key, Body=body)
        look(kit, {"job_ids": kit.config.s3_uri(key)}, status="Stopping")
        job_ends(kit, job, f"check_jobs, given a list of ids in {folder}")


def report_of_failures(kit: Deployment) -> None:
    job = sleeping_job(kit, f"failing{next(_numbers)}-Submit-01", "raise SystemExit(3)")
    until(lambda: kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]["status"] == "FAILED")
    for folder in FOLDERS:
        key = f"{folder}failed-{next(_numbers)}.jsonl"
        look(kit, {"job_ids": job, "tolerated_failure_percentage": "100", "report_uri": kit.config.s3_uri(key)})
        listed = kit.client("s3").list_objects_v2(Bucket=kit.config.bucket, Prefix=key)
        if not listed["KeyCount"]:
            raise Failed(f"check_jobs: no report of the failed items in {folder}")


def token_on_the_first_job(kit: Deployment) -> None:
    job = sleeping_job(kit, f"tagged{next(_numbers)}-Submit-01", "import time; time.sleep(5)")
    look(kit, {"job_ids": job})
    if "sagemaker-batch:token" not in kit.client("batch").describe_jobs(jobs=[job])["jobs"][0].get("tags", {}):
        raise Failed("check_jobs: the first job has no token for the event that tells of its end")


def retried_step(kit: Deployment) -> None:
    """A step whose job has failed is retried: the job is submitted again."""
    submitted = submit(kit, input_uri=kit.config.s3_uri("nothing"), max_jobs=1)
    job, arguments = submitted["jobIds"], {"job_ids": submitted["jobIds"], "report_uri": submitted["reportUri"]}
    until(lambda: kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]["status"] == "FAILED")
    name = kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]["jobName"]
    execution = f"arn:x/execution/{name.rsplit('-', 2)[0]}"
    for token in ("aaaaaaaaaa", "bbbbbbbbbb"):
        look(kit, arguments, token=token, pipelineExecutionArn=execution)
    filters = [{"name": "JOB_NAME", "values": [f"{name}-try2"]}]
    if not kit.client("batch").list_jobs(jobQueue=kit.config.job_queue, filters=filters)["jobSummaryList"]:
        raise Failed("check_jobs: the failed job is not submitted again")


def unreadable_message(kit: Deployment) -> None:
    url = queues.queue_url(kit.session, kit.config.dead_letter_queue)
    before = queues.message_counts(kit.session, url)["waiting"]
    callbacks = queues.queue_url(kit.session, kit.config.callback_queue)
    kit.client("sqs").send_message(QueueUrl=callbacks, MessageBody="rubbish")
    patience.until(
        lambda: queues.message_counts(kit.session, url)["waiting"] > before,
        "check_jobs: the invalid message is not in the dead-letter queue",
    )


def next_poll_in_time(kit: Deployment) -> None:
    """Unfinished jobs: the message is hidden until the next poll. The function has forgotten the queue's address."""
    client, name, begin = kit.client("lambda"), kit.config.check_jobs_function, int(time.time() * 1000)
    settings = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    settings["NUMBER"] = str(next(_numbers))
    client.update_function_configuration(FunctionName=name, Environment={"Variables": settings})
    until(lambda: client.get_function(FunctionName=name)["Configuration"]["LastUpdateStatus"] == "Successful")
    job = sleeping_job(kit, f"unfinished{next(_numbers)}-Submit-01")
    message = {"token": "abcdefghij", "pipelineExecutionArn": "arn:x/execution/alone", "arguments": {"job_ids": job}}
    url = queues.queue_url(kit.session, kit.config.callback_queue)
    kit.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(message))
    try:
        until(lambda: any(line.startswith("END") for line in since(job, log_of(kit, begin))))
        said = since(job, log_of(kit, begin))
    finally:
        kit.client("sqs").purge_queue(QueueUrl=url)
        kit.client("batch").terminate_job(jobId=job, reason="seen enough")
    late = [line for line in said if "the next poll waits for the queue's own visibility timeout" in line]
    if late:
        raise Failed(f"WaitForCopies: {late[0]}")


def since(text: str, lines: list[str]) -> list[str]:
    """The lines from the first one with this text on."""
    return list(itertools.dropwhile(lambda line: text not in line, lines))


def unpolled(kit: Deployment) -> list[str]:
    """The server's lines about a mapping whose function's role may not read the queue."""
    return [line for line in kit.server_log.read_text().splitlines() if "is not polled" in line]


def log_of(kit: Deployment, begin: int) -> list[str]:
    """What the checking function has logged since `begin`, in milliseconds since the epoch."""
    group = kit.config.lambda_log_group(kit.config.check_jobs_function)
    return [
        event["message"]
        for event in kit.client("logs").filter_log_events(logGroupName=group, startTime=begin)["events"]
    ]


def line_in_the_jobs_log(kit: Deployment) -> None:
    job = sleeping_job(kit, f"saying{next(_numbers)}", "print('a word')")
    until(lambda: kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]["status"] in ("SUCCEEDED", "FAILED"))
    ended = kit.client("batch").describe_jobs(jobs=[job])["jobs"][0]
    stream = {
        "logGroupName": kit.config.job_log_group,
        "logStreamName": ended["container"].get("logStreamName", "none"),
    }
    try:
        lines = kit.client("logs").get_log_events(**stream)["events"]
    except kit.client("logs").exceptions.ResourceNotFoundException:
        lines = []
    if not lines:
        raise Failed(f"the job's log: nothing in it, the job {ended['status']}: {ended.get('statusReason')}")


def call(function: str) -> Callable[[Deployment], None]:
    def piece(kit: Deployment) -> None:
        with suppress(lambdas.FunctionFailed):  # it says so in its log, which is what is looked at
            lambdas.invoke(kit.session, getattr(kit.config, f"{function}_function"), {"Records": [], "input_uri": "x"})
        logs, group = kit.client("logs"), kit.config.lambda_log_group(getattr(kit.config, f"{function}_function"))
        until(lambda: logs.describe_log_streams(logGroupName=group)["logStreams"])

    piece.__name__ = f"line_in_the_log_of_{function}"
    return piece


NEEDED_BY: dict[str, dict[str, Callable[[Deployment], None]]] = {
    "pipeline": {"lambda:InvokeFunction": whole_pipeline, "sqs:SendMessage": whole_pipeline},
    "submit_lambda": {
        "batch:SubmitJob": a_job,
        "batch:TagResource": a_job,
        "batch:ListJobs": a_job,
        "batch:DescribeJobs": step_done_again,
        "batch:TerminateJob": job_submitted_twice,
        "sagemaker:DescribePipelineExecution": part_of_a_step_selected,
        "s3:ListBucket": items_under_a_prefix,
        "s3:PutObject": items_under_a_prefix,
        "s3:GetObject": items_of_a_manifest,
        "logs:CreateLogStream": call("submit_jobs"),
        "logs:PutLogEvents": call("submit_jobs"),
    },
    "monitor_lambda": {
        "sqs:ReceiveMessage": whole_pipeline,
        "sqs:DeleteMessage": whole_pipeline,
        "sqs:GetQueueAttributes": whole_pipeline,
        "sqs:GetQueueUrl": next_poll_in_time,
        "sqs:ChangeMessageVisibility": next_poll_in_time,
        "sqs:SendMessage": unreadable_message,
        "batch:DescribeJobs": whole_pipeline,
        "batch:ListJobs": stopped_before_its_wait,
        "batch:TerminateJob": stopped_execution,
        "batch:TagResource": token_on_the_first_job,
        "batch:SubmitJob": retried_step,
        "s3:GetObject": list_of_ids_on_s3,
        "s3:PutObject": report_of_failures,
        "sagemaker:SendPipelineExecutionStepSuccess": whole_pipeline,
        "sagemaker:SendPipelineExecutionStepFailure": failing_job,
        "logs:CreateLogStream": call("check_jobs"),
        "logs:PutLogEvents": call("check_jobs"),
    },
    "data_lambda": {
        "s3:ListBucket": whole_pipeline,
        "s3:GetObject": whole_pipeline,
        "s3:PutObject": whole_pipeline,
        "logs:CreateLogStream": call("count_inputs"),
        "logs:PutLogEvents": call("count_inputs"),
    },
    "batch_job": {"s3:GetObject": whole_pipeline, "s3:PutObject": whole_pipeline},
    "batch_execution": {"logs:CreateLogStream": whole_pipeline, "logs:PutLogEvents": line_in_the_jobs_log},
}


# --- the tests -------------------------------------------------------------------------------------------------------


def entries() -> list[tuple[str, int, str]]:
    """(task, number of the statement, action) of every policy."""
    config = Config("local", "sagemaker-least", "us-east-1", "000000000000")
    granted = []
    for task, (_, template, _) in iam.TASKS.items():
        for number, statement in enumerate(iam.render(template, config)["Statement"]):
            actions = statement["Action"]
            granted += [(task, number, action) for action in ([actions] if isinstance(actions, str) else actions)]
    return granted


@contextmanager
def without(kit: Deployment, task: str, number: int, action: str) -> Iterator[None]:
    """The role's policy less one action of one statement."""
    role, whole = getattr(kit.config, f"{task}_role"), iam.render(iam.TASKS[task][1], kit.config)
    less = copy.deepcopy(whole)
    actions = less["Statement"][number]["Action"]
    kept = [one for one in ([actions] if isinstance(actions, str) else actions) if one != action]
    if kept:
        less["Statement"][number]["Action"] = kept
    else:
        del less["Statement"][number]
    write = kit.client("iam")
    if less["Statement"]:
        write.put_role_policy(RoleName=role, PolicyName=iam.INLINE_POLICY, PolicyDocument=json.dumps(less))
    else:
        write.delete_role_policy(RoleName=role, PolicyName=iam.INLINE_POLICY)
    time.sleep(SECONDS_A_YES_IS_KEPT)
    try:
        yield
    finally:
        write.put_role_policy(RoleName=role, PolicyName=iam.INLINE_POLICY, PolicyDocument=json.dumps(whole))


def test_every_action_has_its_piece() -> None:
    listed = {(task, action) for task, pieces in NEEDED_BY.items() for action in pieces}
    assert {(task, action) for task, _, action in entries()} == listed
    assert set(NOT_SEEN_HERE) <= listed


PIECES = sorted({piece for pieces in NEEDED_BY.values() for piece in pieces.values()}, key=lambda piece: piece.__name__)


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.__name__)
def test_the_policies_suffice(kit: Deployment, piece: Callable[[Deployment], None]) -> None:
    piece(kit)


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("task", "number", "action"), entries())
def test_no_action_is_too_many(
    kit: Deployment, task: str, number: int, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = NEEDED_BY[task][action]
    begin, known = int(time.time() * 1000), len(unpolled(kit))
    of_the_mapping = f"may not call {action.removeprefix('sqs:')}."

    def refusals() -> list[str]:
        by_function = [line for line in log_of(kit, begin) if f"not authorized to perform: {action}" in line]
        return by_function or [line for line in unpolled(kit)[known:] if of_the_mapping in line]

    with without(kit, task, number, action):
        if (task, action) in NOT_SEEN_HERE:
            piece(kit)  # else it can be seen to fail, and must not be listed
            return
        monkeypatch.setattr(patience, "refused", staticmethod(refusals))
        with pytest.raises(Failed) as failure:
            piece(kit)
    if failure.errisinstance(NotInTime):
        assert refusals(), f"late, but nobody was refused {action}"
