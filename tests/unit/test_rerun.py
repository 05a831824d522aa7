import json

import pytest
from botocore.exceptions import ClientError

from utils import iam
from utils.rerun import end_earlier_jobs, unless_it_exists


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
