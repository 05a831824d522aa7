"""CloudFormation: a stack's resources are made as its caller, checked by their services, and never over others."""

import itertools
import json
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, WaiterError

import local_aws
from local_aws.ministack.patches.unchecked_stacks.types import TYPES

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
README = Path(local_aws.__file__).with_name("README.md")
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
CODE = {"ZipFile": "def handler(event, context): return 1"}
_numbers = itertools.count(1)


def function(role, **more):
    properties = {"Role": role, "Runtime": "python3.13", "Handler": "index.handler", "Code": CODE, **more}
    return {"Type": "AWS::Lambda::Function", "Properties": properties}


@pytest.fixture
def stack(aws):
    """Make a stack of these resources, and wait for its end: why it failed, by resource, or {}."""
    client, made = aws.client("cloudformation"), []

    def make(resources, key=None):
        name = f"stack-{next(_numbers)}"
        aws.client("cloudformation", key).create_stack(
            StackName=name, TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        made.append(name)
        try:
            client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
        except WaiterError:
            events = client.describe_stack_events(StackName=name)["StackEvents"]
            return {
                e["LogicalResourceId"]: e["ResourceStatusReason"] for e in events if "_FAILED" in e["ResourceStatus"]
            }
        return {}

    yield make
    for name in made:
        client.delete_stack(StackName=name)
        client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})


@pytest.fixture
def user(aws):
    """A user who may do these actions."""

    def make(*actions):
        name, iam = f"stack-user-{next(_numbers)}", aws.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": ["cloudformation:*", *actions], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        return iam.create_access_key(UserName=name)["AccessKey"]

    return make


def test_a_resource_needs_its_callers_permission(stack, user):
    queue = {"Type": "AWS::SQS::Queue", "Properties": {}}
    assert "not authorized to perform: sqs:CreateQueue" in stack({"Queue": queue}, user("iam:*"))["Queue"]
    assert stack({"Queue": queue}, user("sqs:CreateQueue", "sqs:DeleteQueue")) == {}


def test_a_function_needs_a_role_that_its_caller_may_pass(stack, user):
    resources = {"Role": ROLE, "Function": function({"Fn::GetAtt": ["Role", "Arn"]})}
    reasons = stack(resources, user("iam:CreateRole", "iam:PutRolePolicy", "iam:Delete*", "lambda:*"))
    assert "not authorized to perform: iam:PassRole" in reasons["Function"]
    assert stack(resources) == {}


def test_a_mapping_is_checked_as_lambda_checks_it(stack):
    resources = {
        "Role": ROLE,
        "Function": function({"Fn::GetAtt": ["Role", "Arn"]}),
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {"EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "FunctionName": {"Ref": "Function"}},
        },
    }
    assert "does not have permissions to call ReceiveMessage on SQS" in stack(resources)["Mapping"]


def test_what_exists_is_not_replaced(aws, stack):
    aws.client("sqs").create_queue(QueueName="stack-theirs", Attributes={"DelaySeconds": "7"})
    reasons = stack({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "stack-theirs"}}})
    assert reasons["Queue"] == "Resource of type 'AWS::SQS::Queue' with identifier 'stack-theirs' already exists."
    url = aws.client("sqs").get_queue_url(QueueName="stack-theirs")["QueueUrl"]
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["DelaySeconds"] == "7"


def test_a_property_or_a_type_that_is_not_here_is_refused_by_name(stack):
    fifo = {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": "alias/x"}}
    assert "does not have the property KmsMasterKeyId of AWS::SQS::Queue" in stack({"Queue": fifo})["Queue"]
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::DynamoDB::Table\]"):
        stack({"Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}}})


def test_operations_that_are_not_here_are_refused_by_name(aws):
    client = aws.client("cloudformation")
    with pytest.raises(ClientError, match="does not cover cloudformation:DetectStackDrift") as refused:
        client.detect_stack_drift(StackName="any")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    with pytest.raises(ClientError, match="as its caller only, without RoleARN"):
        client.create_stack(StackName="any", TemplateBody="{}", RoleARN="arn:aws:iam::000000000000:role/deployer")


def doubled(times):
    """A function in a function: each makes a text twice as long as the one inside it."""
    text = "xx"
    for _ in range(times):
        text = {"Fn::Sub": ["${A}${A}", {"A": text}]}
    return text


ALIASES = "A0: &a0 [x, x]\n" + "".join(f"A{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
QUEUE = {"Type": "AWS::SQS::Queue"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ALIASES + "Resources: {Queue: {Type: 'AWS::SQS::Queue'}}", "YAML aliases are not allowed"),
        ('{"a":' * 5_000, "Template format error"),
        ("[" * 5_000, "nested more than"),
        ("- " * 5_000, "recursion"),
        ({"Resources": {"Queue": QUEUE}, "Metadata": json.loads("[" * 200 + "]" * 200)}, "objects and lists"),
        ("Resources: [", "Template format error"),
        ("Resources: !!python/object:os.system x", "Template format error"),
        ("Resources: {1: {Type: 'AWS::SQS::Queue'}}", "Put it in quotes"),
        ("Resources: {Queue: {Type: !!binary aGk=}}", "of a kind of YAML's"),
        ({"Resources": {"Queue": {**QUEUE, "Properties": None}}}, "'null' values are not allowed"),
        ({"Resources": {"Queue": {**QUEUE, "Properties": {"QueueName": "\ud800"}}}}, "half a character"),
        ({"Resources": {"Queue": QUEUE}, "Description": {"Ref": "x"}}, "Description must be a string"),
        ({"Resources": {"Queue": {**QUEUE, "DependsOn": [{}]}}}, "DependsOn"),
        ({"Resources": [QUEUE]}, "Resources must be an object"),
        ({"Resources": {"Queue": "AWS::SQS::Queue"}}, "must be an object"),
        ({"Resources": {"Queue": QUEUE}, "Outputs": {"Url": {"Value": "v", "Description": []}}}, "must be a string"),
        ({"Resources": {"Queue": QUEUE}, "Conditions": {"C": {"Condition": "C"}}}, "Template error"),
        ({"Transform": "AWS::LanguageExtensions", "Resources": {"Queue": QUEUE}}, "has no transforms"),
    ],
)
def test_what_is_no_template_is_refused_before_anything_is_made(aws, template, said):
    client = aws.client("cloudformation")
    body = template if isinstance(template, str) else json.dumps(template)
    begin = time.monotonic()
    with pytest.raises(ClientError, match=said) as refused:
        client.create_stack(StackName="stack-of-none", TemplateBody=body)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert time.monotonic() - begin < 20


def test_a_text_that_functions_make_too_long_fails_its_stack(stack):
    assert "more than 51200 characters" in json.dumps(stack({"Queue": {**QUEUE, "Properties": {"Tags": [
        {"Key": "a", "Value": doubled(20)}]}}}))  # fmt: skip


def test_an_operation_that_fails_midway_ends(aws, stack):
    stack({"Queue": {**QUEUE, "Properties": {"Tags": {"Ref": ["x"]}}}})
    listed = aws.client("cloudformation").describe_stacks()["Stacks"]
    assert not [one for one in listed if one["StackStatus"].endswith("IN_PROGRESS")]


def test_a_template_in_s3_needs_its_callers_permission_to_read_it(aws, user):
    aws.client("s3").create_bucket(Bucket="stack-templates")
    aws.client("s3").put_object(
        Bucket="stack-templates", Key="t.json", Body=json.dumps({"Resources": {"Queue": QUEUE}}).encode()
    )
    url = "https://s3.amazonaws.com/stack-templates/t.json"
    with pytest.raises(ClientError, match="not authorized to perform: s3:GetObject"):
        aws.client("cloudformation", user()).validate_template(TemplateURL=url)
    aws.client("cloudformation", user("s3:GetObject")).validate_template(TemplateURL=url)


def test_a_role_keeps_its_boundary(aws, stack):
    boundary = aws.client("iam").create_policy(
        PolicyName="stack-boundary",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
        ),
    )["Policy"]["Arn"]
    properties = {**ROLE["Properties"], "RoleName": "stack-bounded", "PermissionsBoundary": boundary}
    assert stack({"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}) == {}
    role = aws.client("iam").get_role(RoleName="stack-bounded")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary


def test_an_alarm_shows_its_description(aws, stack):
    properties = {
        "AlarmName": "described", "AlarmDescription": "Look at the log.", "Namespace": "AWS/SQS", "Period": 60,
        "MetricName": "NumberOfMessagesSent", "Statistic": "Sum", "EvaluationPeriods": 1, "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    assert stack({"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}}) == {}
    (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=["described"])["MetricAlarms"]
    assert alarm["AlarmDescription"] == "Look at the log."


def test_the_readme_lists_what_is_covered():
    page = README.read_text()
    for name, kind in TYPES.items():
        assert f"| {name} | {', '.join(kind.properties.split())} |" in page
