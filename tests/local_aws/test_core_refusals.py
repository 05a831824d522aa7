"""What the embedded AWS does not have, or can't read, it refuses in words that each client can read."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from .functions import name, refusal

# One service of each protocol that is not here, with a call of it.
ABSENT = {
    "json": ("dynamodb", "list_tables", {}),
    "query": ("autoscaling", "describe_auto_scaling_groups", {}),
    "query, another": ("autoscaling", "describe_auto_scaling_groups", {}),
    "rest-json": ("eks", "list_clusters", {}),
    "rest-xml": ("route53", "list_hosted_zones", {}),
    "rest-xml, another": ("cloudfront", "list_distributions", {}),
    "cbor": ("arc-region-switch", "list_plans", {}),
}


@pytest.mark.parametrize(("service", "call", "arguments"), ABSENT.values(), ids=ABSENT)
def test_a_service_that_is_not_here_is_named_to_its_client(aws: Any, service: str, call: str, arguments: dict) -> None:
    client = aws.client(service, retries={"total_max_attempts": 1})
    code, message = refusal(getattr(client, call), **arguments)
    assert code == "NotImplementedException"
    assert message.startswith(f"The embedded AWS does not have the service {client.meta.service_model.signing_name!r}")


def test_botocores_cbor_is_read_too(aws: Any) -> None:
    """CloudWatch's first protocol: what a client reads in it, a request of it is refused in."""
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    status, answer, headers = sent(aws, "monitoring", path, b"\xa0", headers)
    assert (status, headers["content-type"]) == (400, "application/cbor")
    assert b"Use JSON or the query protocol" in answer


def sent(aws: Any, service: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, Any]:
    """What a signed POST is answered with: status, body and headers."""
    url = urlsplit(aws.endpoint_url)
    request = AWSRequest("POST", aws.endpoint_url + path, headers={"Host": url.netloc, **headers}, data=body)
    SigV4Auth(Credentials("test", "test"), service, "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request("POST", path, body, dict(request.headers.items()))
    response = connection.getresponse()
    return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}


JSON_TARGETS = {
    "sqs": "AmazonSQS.ListQueues",
    "events": "AWSEvents.ListRules",
    "logs": "Logs_20140328.DescribeLogGroups",
    "tagging": "ResourceGroupsTaggingAPI_20170126.GetResources",
    "monitoring": "GraniteServiceVersion20100801.ListMetrics",
    "sagemaker": "SageMaker.ListPipelines",
    "ecs": "AmazonEC2ContainerServiceV20141113.StopTask",
    "servicequotas": "ServiceQuotasV20190624.GetServiceQuota",
}
UNREADABLE = {
    "not UTF-8": b'{"a": "\xff"}',
    "too deep": b"[" * 100_000,
    "cut": b'{"a": ',
    "a list": b"[]",
    "a constant that JSON lacks": b'{"a": NaN}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("service", JSON_TARGETS)
def test_a_body_that_is_no_json_object_is_refused(aws: Any, service: str, body: bytes) -> None:
    headers = {"X-Amz-Target": JSON_TARGETS[service], "Content-Type": "application/x-amz-json-1.1"}
    status, answer, _ = sent(aws, service, "/", body, headers)
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("service", "target", "body"),
    [
        ("sqs", "AmazonSQS.TagQueue", {"QueueUrl": [1], "Tags": {}}),
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": "u", "MaxNumberOfMessages": "1"}),
        ("events", "AWSEvents.PutRule", {"Name": {"a": "b"}}),
        ("logs", "Logs_20140328.PutLogEvents", {"logGroupName": "g", "logStreamName": "s", "logEvents": "x"}),
    ],
)
def test_a_value_of_another_type_is_refused(aws: Any, service: str, target: str, body: dict) -> None:
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    status, answer, _ = sent(aws, service, "/", json.dumps(body).encode(), headers)
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(
    ("service", "path"),
    [("lambda", "/2015-03-31/functions"), ("lambda", "/2015-03-31/event-source-mappings/"), ("batch", "/v1/submitjob")],
)
def test_a_rest_body_that_is_no_json_object_is_refused(aws: Any, service: str, path: str, body: bytes) -> None:
    status, _, headers = sent(aws, service, path, body, {"Content-Type": "application/json"})
    assert (status, headers["x-amzn-errortype"]) == (400, "SerializationException")


@pytest.mark.parametrize("service", ["iam", "sts", "ec2", "sqs", "monitoring"])
def test_a_form_that_is_not_utf_8_is_refused_in_xml(aws: Any, service: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer, _ = sent(aws, service, "/", b"Action=List\xff&Version=2010-05-08", form)
    assert status == 400
    assert b"<Code>MalformedQueryString</Code>" in answer


def test_what_xml_can_not_have_is_not_repeated_in_it(aws: Any) -> None:
    iam = aws.client("iam", parameter_validation=False)
    assert refusal(iam.get_role, RoleName="\x00")[0] == "ValidationError"
    assert refusal(aws.client("s3").get_object, Bucket=name("nosuch"), Key="\x01")[0] == "NoSuchBucket"


@pytest.mark.parametrize(
    ("service", "call", "arguments", "code", "says"),
    [
        ("iam", "get_role", {"RoleName": "a b"}, "ValidationError", "'roleName' failed to satisfy constraint"),
        ("iam", "get_role", {}, "ValidationError", "Value null at 'roleName'"),
        ("iam", "create_role", {"RoleName": "x" * 65, "AssumeRolePolicyDocument": "{}"}, "ValidationError", "to 64"),
        ("sts", "assume_role", {"RoleArn": "short", "RoleSessionName": "s"}, "ValidationError", "or equal to 20"),
        ("events", "put_rule", {"Name": "a b"}, "ValidationException", "'name' failed to satisfy constraint"),
        ("events", "put_rule", {"Name": "r", "State": "ON"}, "ValidationException", "enum value set"),
        ("logs", "create_log_group", {"logGroupName": "a b"}, "InvalidParameterException", "regular expression"),
        ("cloudwatch", "describe_alarms", {"MaxRecords": 101}, "ValidationError", "less than or equal to 100"),
        ("resourcegroupstaggingapi", "get_resources", {"ResourceARNList": ["x" * 2000]}, "InvalidParameterE", "1011"),
        ("lambda", "get_function", {"FunctionName": "a b"}, "ValidationException", "regular expression pattern"),
        ("lambda", "list_functions", {"MaxItems": 0}, "ValidationException", "greater than or equal to 1"),
        ("ec2", "create_security_group", {"GroupName": "g"}, "MissingParameter", "Description"),
        ("ec2", "describe_subnets", {"MaxResults": 4}, "InvalidParameterValue", "greater than or equal to 5"),
    ],
)
def test_what_a_services_model_refuses_it_refuses(
    aws: Any, service: str, call: str, arguments: dict, code: str, says: str
) -> None:
    refused_code, message = refusal(getattr(aws.client(service, parameter_validation=False), call), **arguments)
    assert refused_code.startswith(code)
    assert says in message


RESERVED = {
    "iam": ("create_user", {"UserName": "tagged", "Tags": [{"Key": "aws:x", "Value": "1"}]}),
    "sqs": ("create_queue", {"QueueName": "tagged", "tags": {"aws:x": "1"}}),
    "events": (
        "put_rule",
        {"Name": "t", "EventPattern": "{}", "Tags": [{"Key": "aws:x", "Value": "1"}]},
    ),
    "logs": ("create_log_group", {"logGroupName": "tagged", "tags": {"aws:x": "1"}}),
    "ec2": ("create_tags", {"Resources": ["subnet-1"], "Tags": [{"Key": "aws:x", "Value": "1"}]}),
    "cloudformation": (
        "create_stack",
        {"StackName": "tagged", "TemplateBody": "{}", "Tags": [{"Key": "aws:x", "Value": "1"}]},
    ),
    "batch": ("create_scheduling_policy", {"name": "tagged", "tags": {"AWS:x": "1"}}),
    "sagemaker": (
        "add_tags",
        {
            "ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:pipeline/p",
            "Tags": [{"Key": "aws:x", "Value": "1"}],
        },
    ),
}


@pytest.mark.parametrize("service", RESERVED)
def test_tag_keys_of_awss_own_are_refused(aws: Any, service: str) -> None:
    call, arguments = RESERVED[service]
    _, message = refusal(getattr(aws.client(service), call), **arguments)
    assert "aws:" in message.lower()
    assert "tag" in message.lower()


def test_system_tags_of_buckets_and_objects_are_refused(aws: Any) -> None:
    s3, own, tags = aws.client("s3"), name("bucket"), {"TagSet": [{"Key": "aws:x", "Value": "1"}]}
    s3.create_bucket(Bucket=own)
    s3.put_object(Bucket=own, Key="k", Body=b"")
    assert refusal(s3.put_bucket_tagging, Bucket=own, Tagging=tags)[0] == "InvalidTag"
    assert refusal(s3.put_object_tagging, Bucket=own, Key="k", Tagging=tags)[0] == "InvalidTag"
    header = {"Bucket": own, "Key": "new", "Tagging": "a=1&AWS%3Ax=1"}
    copied = {**header, "CopySource": f"{own}/k"}
    assert refusal(s3.put_object, **header)[0] == "InvalidTag"
    assert refusal(s3.copy_object, **copied, TaggingDirective="REPLACE")[0] == "InvalidTag"
    s3.copy_object(**copied)
    assert s3.get_object_tagging(Bucket=own, Key="new")["TagSet"] == []
    tagged = {"Bucket": name("bucket"), "CreateBucketConfiguration": {"Tags": tags["TagSet"]}}
    assert refusal(s3.create_bucket, **tagged)[0] == "InvalidTag"


def test_an_unsigned_form_is_refused_in_xml(aws: Any) -> None:
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    client = aws.session.client("iam", endpoint_url=aws.endpoint_url, config=config)
    assert refusal(client.list_roles)[0] == "MissingAuthenticationToken"
