"""Accounts: an access key of twelve digits is the root of one. Others can't see or use what it has."""

import functools
import json
import time

import boto3
import pytest
from botocore.exceptions import ClientError
from functions import refusal, zipped

OWNER, OTHER = "100000000007", "100000000008"
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
DEFINITION = json.dumps(
    {"Version": "2020-12-01", "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}]}
)


def client_of(aws, account, service):
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "any"}
    return boto3.client(service, endpoint_url=aws.endpoint_url, region_name=aws.region, **keys)


@pytest.fixture(scope="module")
def owner(aws):
    return functools.partial(client_of, aws, OWNER)


@pytest.fixture(scope="module")
def other(aws):
    return functools.partial(client_of, aws, OTHER)


@pytest.fixture(scope="module")
def owned(owner):
    """What one account has, and the calls by which another would meet it."""
    owner("s3").create_bucket(Bucket="accounts-own")
    owner("s3").put_object(Bucket="accounts-own", Key="k", Body=b"1")
    url = owner("sqs").create_queue(QueueName="accounts-own")["QueueUrl"]
    topic = owner("sns").create_topic(Name="accounts-own")["TopicArn"]
    role = owner("iam").create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps({"Statement": TRUST}))
    arn, code = role["Role"]["Arn"], {"ZipFile": zipped("def h(event, context):\n    return 1\n")}
    owner("lambda").create_function(FunctionName="own", Runtime="python3.13", Handler="f.h", Role=arn, Code=code)
    owner("logs").create_log_group(logGroupName="own")
    owner("events").put_rule(Name="own", EventPattern='{"source": ["own"]}')
    subnets = [each["SubnetId"] for each in owner("ec2").describe_subnets()["Subnets"]]
    groups = [each["GroupId"] for each in owner("ec2").describe_security_groups()["SecurityGroups"]]
    resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": subnets, "securityGroupIds": groups}
    environment = owner("batch").create_compute_environment(
        computeEnvironmentName="own", type="MANAGED", computeResources=resources
    )["computeEnvironmentArn"]
    return {
        "s3 read": ("s3", "get_object", {"Bucket": "accounts-own", "Key": "k"}),
        "s3 write": ("s3", "put_object", {"Bucket": "accounts-own", "Key": "k", "Body": b"2"}),
        "s3 head": ("s3", "head_bucket", {"Bucket": "accounts-own"}),
        "sqs": ("sqs", "send_message", {"QueueUrl": url, "MessageBody": "x"}),
        "sns": ("sns", "publish", {"TopicArn": topic, "Message": "x"}),
        "iam": ("iam", "get_role", {"RoleName": "own"}),
        "lambda": ("lambda", "get_function", {"FunctionName": "own"}),
        "logs": ("logs", "filter_log_events", {"logGroupName": "own"}),
        "events": ("events", "describe_rule", {"Name": "own"}),
        "batch": ("batch", "describe_compute_environments", {"computeEnvironments": [environment]}),
    }


CALLS = ["s3 read", "s3 write", "s3 head", "sqs", "sns", "iam", "lambda", "logs", "events", "batch"]


@pytest.mark.parametrize("name", CALLS)
def test_another_account_is_refused_what_the_owner_may(owner, other, owned, name):
    service, call, arguments = owned[name]
    getattr(owner(service), call)(**arguments)
    code, _ = refusal(getattr(other(service), call), **arguments)
    assert code in ("AccessDenied", "403", "AuthorizationError", "NoSuchEntity", "ClientException") or (
        "NotFound" in code
    )


def test_an_execution_is_not_another_accounts(owner, other):
    trust = TRUST | {"Principal": {"Service": "sagemaker.amazonaws.com"}}
    for client in (owner, other):  # both may have the same names
        role = client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument=json.dumps({"Statement": trust}))
        client("sagemaker").create_pipeline(
            PipelineName="own-pipeline", RoleArn=role["Role"]["Arn"], PipelineDefinition=DEFINITION
        )
    started = owner("sagemaker").start_pipeline_execution(PipelineName="own-pipeline")["PipelineExecutionArn"]
    assert f":{OWNER}:" in started
    assert other("sagemaker").list_pipeline_executions(PipelineName="own-pipeline")["PipelineExecutionSummaries"] == []
    code, _ = refusal(other("sagemaker").describe_pipeline_execution, PipelineExecutionArn=started)
    assert code == "ResourceNotFound"
    deadline = time.monotonic() + 30
    while (
        owner("sagemaker").describe_pipeline_execution(PipelineExecutionArn=started)["PipelineExecutionStatus"]
        != "Failed"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_only_buckets_share_their_names(owner, other, owned):
    assert refusal(other("s3").create_bucket, Bucket="accounts-own")[0] == "BucketAlreadyExists"
    other("sqs").create_queue(QueueName="accounts-own")
    assert other("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "12345"])
def test_a_key_that_is_no_account_is_refused(aws, key):
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client_of(aws, key, "sts").get_caller_identity()
    assert client_of(aws, OWNER, "sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{OWNER}:root"
