"""IAM's policy simulator answers as AWS's was recorded to (see local_aws/ministack/patches/unfinished_simulator.py)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.ministack.patches.resource_types import REFERENCE

from .iam_reference import reference, written

ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
ACCOUNT = "000000000000"
BATCH, LOGS = f"arn:aws:batch:us-east-1:{ACCOUNT}:", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
SAGEMAKER = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:"
_numbers = itertools.count(1)


def test_the_reference_is_awss() -> None:
    assert REFERENCE.read_text() == written(reference()), "run python tests/local_aws/iam_reference.py"


@pytest.fixture
def user(aws: Any) -> Callable[..., str]:
    """Make a user with these statements, and say its ARN."""

    def make(*statements: dict[str, Any], boundary: str = "") -> str:
        iam, name = aws.client("iam"), f"simulated-{next(_numbers)}"
        arn = iam.create_user(UserName=name, **({"PermissionsBoundary": boundary} if boundary else {}))["User"]["Arn"]
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        return arn

    return make


def ask(aws: Any, arn: str, *actions: str, on: list[str] | None = None, **context: str) -> list[dict[str, Any]]:
    entries = [
        {"ContextKeyName": key.replace("_", ":"), "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, value in context.items()
    ]
    resources = {} if on is None else {"ResourceArns": on}
    return aws.client("iam").simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=list(actions), ContextEntries=entries, **resources
    )["EvaluationResults"]


@pytest.mark.parametrize(
    ("action", "resource", "decision"),
    [
        ("batch:RegisterJobDefinition", BATCH + "job-definition/x", "allowed"),
        ("batch:DeregisterJobDefinition", BATCH + "job-definition/x", "implicitDeny"),
        ("batch:DeregisterJobDefinition", BATCH + "job-definition/x:1", "allowed"),
        ("batch:TerminateJob", BATCH + "job-queue/x", "implicitDeny"),
        ("logs:GetLogEvents", LOGS + "x", "implicitDeny"),
        ("logs:GetLogEvents", LOGS + "x:log-stream:y", "allowed"),
        ("sagemaker:StopPipelineExecution", SAGEMAKER + "pipeline/x", "implicitDeny"),
        ("sagemaker:StopPipelineExecution", SAGEMAKER + "pipeline/x/execution/y", "allowed"),
        ("batch:DescribeJobs", BATCH + "job/x", "implicitDeny"),  # takes no resource
        ("batch:DescribeJobs", "*", "allowed"),
        ("s3:ListBucket", "arn:aws:s3:::x/key", "allowed"),  # bucket and object are one to the simulator
        ("iam:GetUser", f"arn:aws:iam::{ACCOUNT}:role/x", "implicitDeny"),
        ("iam:GetUser", f"arn:aws-cn:iam::{ACCOUNT}:user/a/b", "allowed"),
        ("s3:MadeUp", "arn:aws:sqs:us-east-1:1:x", "allowed"),  # what the simulator does not know it takes literally
        ("dynamodb:GetItem", "arn:aws:s3:::x", "allowed"),  # of a service that the embedded AWS does not have
    ],
)
def test_an_action_fits_its_own_types_of_resource_even_for_who_is_allowed_all(
    aws: Any, user: Callable[..., str], action: str, resource: str, decision: str
) -> None:
    (result,) = ask(aws, user(ALL), action, on=[resource])
    assert (result["EvalDecision"], result["EvalResourceName"]) == (decision, resource)


def test_each_of_several_resources_has_its_own_answer(aws: Any, user: Callable[..., str]) -> None:
    queues = [f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}" for name in "ab"]
    (result,) = ask(aws, user(ALL | {"Resource": queues[0]}), "sqs:SendMessage", on=queues)
    assert result["EvalDecision"] == "implicitDeny"
    assert [(each["EvalResourceName"], each["EvalResourceDecision"]) for each in result["ResourceSpecificResults"]] == [
        (queues[0], "allowed"),
        (queues[1], "implicitDeny"),
    ]


def test_what_the_call_lacks_is_said_beside_a_no(aws: Any, user: Callable[..., str]) -> None:
    """Of all the principal's conditions: AWS names those of other statements, too."""
    condition = {"StringEquals": {"aws:SourceVpc": "vpc-1"}, "Bool": {"aws:MultiFactorAuthPresent": "true"}}
    arn, queue = user(ALL | {"Action": "sqs:*", "Condition": condition}), f"arn:aws:sqs:us-east-1:{ACCOUNT}:a"
    (on_all,) = ask(aws, arn, "s3:GetObject", aws_SourceVpc="vpc-1")
    assert on_all["MissingContextValues"] == ["aws:MultiFactorAuthPresent"]
    (on_one,) = ask(aws, arn, "sqs:SendMessage", on=[queue])
    assert on_one["MissingContextValues"] == []
    assert on_one["ResourceSpecificResults"][0]["MissingContextValues"] == [
        "aws:MultiFactorAuthPresent",
        "aws:SourceVpc",
    ]
    (allowed,) = ask(aws, user(ALL), "sqs:SendMessage", on=[queue])
    assert allowed["ResourceSpecificResults"][0]["MissingContextValues"] == []


def test_a_permissions_boundary_counts_and_is_named(aws: Any, user: Callable[..., str]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALL | {"Action": "sqs:*"}]})
    boundary = aws.client("iam").create_policy(PolicyName=f"boundary-{next(_numbers)}", PolicyDocument=document)
    results = ask(aws, user(ALL, boundary=boundary["Policy"]["Arn"]), "sqs:SendMessage", "s3:GetObject")
    assert [
        (each["EvalDecision"], each["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"])
        for each in results
    ] == [("allowed", True), ("implicitDeny", False)]


def test_a_group_has_policies_of_its_own(aws: Any) -> None:
    iam, name = aws.client("iam"), f"group-{next(_numbers)}"
    arn = iam.create_group(GroupName=name)["Group"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALL | {"Action": "sqs:SendMessage"}]})
    iam.put_group_policy(GroupName=name, PolicyName="own", PolicyDocument=document)
    decisions = [result["EvalDecision"] for result in ask(aws, arn, "sqs:SendMessage", "sqs:ReceiveMessage")]
    assert decisions == ["allowed", "implicitDeny"]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}, "NoSuchEntity", "role with name nobody"),
        (
            {"PolicySourceArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b"},
            "InvalidInput",
            "Invalid Entity Arn: .*assumed-role/a/b does not clearly define entity type and name",
        ),
        ({"ActionNames": ["GetObject"]}, "InvalidInput", "missing names"),
        ({"ResourceArns": ["x"]}, "InvalidInput", "not in a valid ARN format: x"),
        ({"ResourceArns": ["*", "arn:aws:s3:::x"]}, "InvalidInput", r"not in a valid ARN format: \*"),
        (
            {"ActionNames": ["s3:GetObject", "s3:MadeUp"], "ResourceArns": ["arn:aws:s3:::x"]},
            "InvalidInput",
            r"\[s3:GetObject\] and \[s3:MadeUp\] require different authorization information",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    aws: Any, user: Callable[..., str], changes: dict[str, Any], code: str, message: str
) -> None:
    question = {"PolicySourceArn": user(ALL), "ActionNames": ["s3:GetObject"]}
    with pytest.raises(ClientError, match=message) as error:
        aws.client("iam").simulate_principal_policy(**question | changes)
    assert error.value.response["Error"]["Code"] == code


def test_policies_that_nobody_has_are_simulated_alike(aws: Any) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALL]})
    results = aws.client("iam").simulate_custom_policy(
        PolicyInputList=[document], ActionNames=["logs:GetLogEvents"], ResourceArns=[LOGS + "x"]
    )["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["implicitDeny"]


def test_the_results_come_in_pages(aws: Any, user: Callable[..., str]) -> None:
    actions = [f"sqs:{name}" for name in ("SendMessage", "ReceiveMessage", "DeleteMessage")]
    simulate, question = aws.client("iam").simulate_principal_policy, {"PolicySourceArn": user(ALL)}
    first = simulate(**question, ActionNames=actions, MaxItems=2)
    second = simulate(**question, ActionNames=actions, MaxItems=2, Marker=first["Marker"])
    assert (first["IsTruncated"], second["IsTruncated"]) == (True, False)
    results = first["EvaluationResults"] + second["EvaluationResults"]
    assert [result["EvalActionName"] for result in results] == actions


def test_what_the_caller_brings_counts_beside_the_principals_own(aws: Any, user: Callable[..., str]) -> None:
    def decision(**brought: list[str]) -> str:
        question = {"PolicySourceArn": arn, "ActionNames": ["sqs:SendMessage"]}
        return aws.client("iam").simulate_principal_policy(**question, **brought)["EvaluationResults"][0][
            "EvalDecision"
        ]

    def document(**changes: str) -> list[str]:
        return [json.dumps({"Version": "2012-10-17", "Statement": [ALL | changes]})]

    arn = user(ALL)
    assert decision(PolicyInputList=document(Effect="Deny")) == "explicitDeny"
    assert decision(PermissionsBoundaryPolicyInputList=document(Action="s3:*")) == "implicitDeny"
    with pytest.raises(ClientError, match="InvalidInput"):
        decision(PolicyInputList=["{"])
