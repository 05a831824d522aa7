import json

import pytest
from botocore.exceptions import ClientError

from utils import iam
from utils.rerun import delete_earlier_messages, end_earlier_jobs, unless_it_exists


def test_a_creating_call_is_left_out_where_the_resource_exists(session, config):
    trust = json.dumps(iam.render("trust.json", config, service="lambda.amazonaws.com"))
    reached = []
    for run in (1, 2):
        with unless_it_exists():
            session.client("iam").create_role(RoleName=config.data_lambda_role, AssumeRolePolicyDocument=trust)
            reached.append(run)
    assert reached == [1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ClientException", "Object already exists"),
        ("ValidationException", "Pipeline with name (flights) already exists."),
        ("AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds"),
        ("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."),
    ],
)
def test_what_ensure_will_settle_is_no_error(code, message):
    with unless_it_exists():
        raise ClientError({"Error": {"Code": code, "Message": message}}, "Create")


def test_any_other_refusal_is_an_error():
    refusal = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, "Create")
    with pytest.raises(ClientError, match="not authorized"), unless_it_exists():
        raise refusal


def test_only_unfinished_jobs_are_ended(session, calls):
    states = {"a": "RUNNABLE", "b": "SUCCEEDED", "c": "FAILED", "d": "RUNNING"}
    jobs = [{"jobId": id, "jobName": "by-hand", "status": state} for id, state in states.items()]
    calls.answer("ListJobs", {"jobSummaryList": jobs})
    calls.answer("TerminateJob", {}, {})
    ended = []
    session.events.register(
        "provide-client-params.batch.TerminateJob", lambda params, **_: ended.append(params["jobId"])
    )
    end_earlier_jobs(session, "jobs", "by-hand")
    assert ended == ["a", "d"]


def test_of_an_interrupted_run_only_messages_that_nobody_waits_for_are_deleted(session, config, calls):
    sqs = session.client("sqs")
    url = sqs.create_queue(QueueName=config.callback_queue, Attributes={"VisibilityTimeout": "1"})["QueueUrl"]

    def arn(pipeline, execution):
        return f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{pipeline}/execution/{execution}"

    bodies = {
        "ended": {"token": "a", "pipelineExecutionArn": arn("by-hand", "ended")},
        "event": {"source": "aws.sagemaker", "detail": {"pipelineExecutionArn": arn("By-Hand", "ended")}},
        "gone": {"token": "d", "pipelineExecutionArn": arn("by-hand", "gone")},
        "waits": {"token": "b", "pipelineExecutionArn": arn("by-hand", "waits")},
        "another's": {"token": "c", "pipelineExecutionArn": arn("flights", "ended")},
        "senseless": {"greeting": "hello"},
    }
    for body in [*map(json.dumps, bodies.values()), "no JSON", "[1]"]:
        sqs.send_message(QueueUrl=url, MessageBody=body)

    def describe(params, **_):
        if params["PipelineExecutionArn"].endswith("gone"):
            return  # the embedded AWS doesn't know it either
        status = "Executing" if params["PipelineExecutionArn"].endswith("waits") else "Stopped"
        calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": status})

    session.events.register("provide-client-params.sagemaker.DescribePipelineExecution", describe)
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)  # it is hidden for a second, as in an interrupted call
    assert delete_earlier_messages(session, url, "by-hand", seconds=3) == 3
    left = set()
    while len(left) < 5:
        left |= {message["Body"] for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]}
    assert left == {*(json.dumps(bodies[each]) for each in ("waits", "another's", "senseless")), "no JSON", "[1]"}
