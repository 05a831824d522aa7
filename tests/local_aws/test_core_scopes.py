"""Calls that MiniStack alone would authorize on "*" are authorized on the resource that AWS names."""

import json

import pytest
from botocore.exceptions import ClientError

SCOPED = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iam:SimulatePrincipalPolicy",
            "Resource": "arn:aws:iam::000000000000:user/${aws:username}",
        },
        {
            "Effect": "Allow",
            "Action": ["lambda:CreateFunction", "events:*"],
            "Resource": [
                "arn:aws:lambda:us-east-1:000000000000:function:scopes-*",
                "arn:aws:events:us-east-1:000000000000:rule/scopes-*",
            ],
        },
    ],
}


@pytest.fixture(scope="module")
def user(aws):
    iam = aws.client("iam")
    iam.create_user(UserName="scopes")
    iam.put_user_policy(UserName="scopes", PolicyName="own", PolicyDocument=json.dumps(SCOPED))
    key = iam.create_access_key(UserName="scopes")["AccessKey"]
    return lambda service: aws.client(service, key)


def test_a_function_is_created_under_the_names_that_are_allowed(user):
    def create(name):
        user("lambda").create_function(
            FunctionName=name,
            Role="arn:aws:iam::000000000000:role/none",
            Runtime="python3.13",
            Handler="x.y",
            Code={"ZipFile": b"no zip"},
        )

    with pytest.raises(ClientError) as refused:
        create("other")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    with pytest.raises(ClientError) as passed:
        create("scopes-function")
    assert "CreateFunction because" not in str(passed.value), "another reason: its role can't be passed"


def test_rules_of_the_default_bus_are_named_without_it(user):
    events = user("events")
    arn = events.put_rule(Name="scopes-rule", ScheduleExpression="rate(1 day)")["RuleArn"]
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "k", "Value": "v"}])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    events.put_targets(Rule="scopes-rule", Targets=[{"Id": "t", "Arn": "arn:aws:sqs:us-east-1:000000000000:q"}])
    assert len(events.list_targets_by_rule(Rule="scopes-rule")["Targets"]) == 1
    events.remove_targets(Rule="scopes-rule", Ids=["t"])
    events.delete_rule(Name="scopes-rule")
    for call in (
        lambda: events.put_rule(Name="other", ScheduleExpression="rate(1 day)"),
        lambda: events.tag_resource(ResourceARN=arn.replace("scopes", "other"), Tags=[{"Key": "k", "Value": "v"}]),
        lambda: events.put_targets(Rule="other", Targets=[{"Id": "t", "Arn": "arn:aws:sqs:us-east-1:0:q"}]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


def test_a_user_may_ask_the_simulator_about_itself_and_nobody_else(user):
    def ask(name):
        arn = f"arn:aws:iam::000000000000:user/{name}"
        return user("iam").simulate_principal_policy(PolicySourceArn=arn, ActionNames=["events:PutRule"])

    assert ask("scopes")["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"
    with pytest.raises(ClientError, match="AccessDenied"):
        ask("other")


def test_the_simulator_is_told_of_the_call(aws):
    """ContextEntries are what conditions are judged by; a key with several values is one of them."""
    iam = aws.client("iam")
    iam.create_user(UserName="simulated")
    statements = [
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::000000000000:role/a-*",
         "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]}}},
        {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ]  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="simulated", PolicyName="own", PolicyDocument=document)

    def decision(action, resource, *services):
        entry = {"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string", "ContextKeyValues": services}
        answer = iam.simulate_principal_policy(
            PolicySourceArn="arn:aws:iam::000000000000:user/simulated", ActionNames=[action],
            ResourceArns=[resource], ContextEntries=[entry] if services else [],
        )["EvaluationResults"]  # fmt: skip
        assert [(one["EvalActionName"], one["EvalResourceName"]) for one in answer] == [(action, resource)]
        return answer[0]["EvalDecision"]

    role = "arn:aws:iam::000000000000:role/a-role"
    assert decision("iam:PassRole", role, "lambda.amazonaws.com") == "allowed"
    assert decision("iam:PassRole", role, "ec2.amazonaws.com") == "implicitDeny"
    assert decision("iam:PassRole", role) == "implicitDeny"
    assert decision("iam:PassRole", role.replace("a-role", "b"), "lambda.amazonaws.com") == "implicitDeny"
    assert decision("s3:GetObject", "arn:aws:s3:::b/<k>&") == "explicitDeny"


def test_a_condition_says_which_managed_policies_may_be_attached_and_detached(aws):
    role, policy = "scopes-role", "arn:aws:iam::aws:policy/{}"
    statement = {
        "Effect": "Allow",
        "Action": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
        "Resource": f"arn:aws:iam::000000000000:role/{role}",
        "Condition": {"ArnEquals": {"iam:PolicyARN": [policy.format("AmazonSQSFullAccess")]}},
    }
    root = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    root.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))
    root.create_user(UserName="attacher")
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    root.put_user_policy(UserName="attacher", PolicyName="own", PolicyDocument=document)
    iam = aws.client("iam", root.create_access_key(UserName="attacher")["AccessKey"])
    for call in (iam.attach_role_policy, iam.detach_role_policy):
        with pytest.raises(ClientError) as refused:
            call(RoleName=role, PolicyArn=policy.format("AmazonS3FullAccess"))
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        call(RoleName=role, PolicyArn=policy.format("AmazonSQSFullAccess"))
