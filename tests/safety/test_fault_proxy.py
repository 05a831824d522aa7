"""The proxy itself: each fault does what it promises, so that what passes on it has passed something."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError
from fault_proxy import Call, FaultInjectionProxy
from faults import InPartition, OneItemAPage, RegionNotEnabled, RolesTake, SlowStates, Throttled
from recorded import (
    FailedJobsHaveNoLog,
    FirstAnswerIsLost,
    FunctionsBehindProxy,
    ImageOfARegistry,
    RegisterRemembers,
    ShortListings,
    SimulatorRefusesCalls,
    black_hole,
)
from servers import Server, package, until

TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)


def client(proxy: FaultInjectionProxy, service: str, key: tuple[str, str] = ("test", "test"), **config: Any) -> Any:
    return boto3.client(
        service, endpoint_url=proxy.endpoint_url, region_name=config.pop("region", "us-east-1"),
        aws_access_key_id=key[0], aws_secret_access_key=key[1], config=Config(**config),
    )  # fmt: skip


ONCE = {"retries": {"total_max_attempts": 1}}


def test_every_protocol_passes_unharmed_and_is_counted(server: Server) -> None:
    with FaultInjectionProxy(server.info.endpoint_url) as proxy:
        client(proxy, "iam").create_role(RoleName="proxy-role", AssumeRolePolicyDocument=TRUST)
        client(proxy, "s3").create_bucket(Bucket="proxy-bucket")
        client(proxy, "s3").put_object(Bucket="proxy-bucket", Key="a b/é", Body=b"x" * 100_000)
        assert client(proxy, "s3").get_object(Bucket="proxy-bucket", Key="a b/é")["Body"].read() == b"x" * 100_000
        url = client(proxy, "sqs").create_queue(QueueName="proxy-queue")["QueueUrl"]
        client(proxy, "sqs").send_message(QueueUrl=url, MessageBody="x")
        client(proxy, "batch").describe_jobs(jobs=["x"])
        client(proxy, "sagemaker").list_pipelines()
        client(proxy, "ec2").describe_subnets()
        client(proxy, "lambda").list_functions()
    assert [call.action for call in proxy.calls if call.service != "s3"] == [
        "iam:CreateRole", "sqs:CreateQueue", "sqs:SendMessage", "batch:DescribeJobs", "sagemaker:ListPipelines",
        "ec2:DescribeSubnets", "lambda:ListFunctions",
    ]  # fmt: skip
    assert proxy.writes == ["iam:CreateRole", "s3:CreateBucket", "s3:PutObject", "sqs:CreateQueue", "sqs:SendMessage"]
    assert not [call for call in proxy.calls if call.error]


def test_a_refusal_arrives_and_is_counted_by_its_code(server: Server) -> None:
    with FaultInjectionProxy(server.info.endpoint_url) as proxy, pytest.raises(ClientError):
        client(proxy, "iam").get_role(RoleName="nosuch")
    assert proxy.calls[-1].error == "NoSuchEntity"
    with FaultInjectionProxy(server.info.endpoint_url) as proxy, pytest.raises(ClientError):
        client(proxy, "sagemaker").describe_pipeline(PipelineName="nosuch")
    assert proxy.calls[-1].error == "ResourceNotFound"


@pytest.mark.parametrize(
    ("service", "operation"),
    [("iam", "list_roles"), ("sqs", "list_queues"), ("batch", "describe_jobs"), ("sagemaker", "list_pipelines"),
     ("ec2", "describe_vpcs"), ("s3", "list_buckets"), ("lambda", "list_functions"), ("logs", "describe_log_groups")],
)  # fmt: skip
def test_throttling_is_one_botocore_understands(server: Server, service: str, operation: str) -> None:
    arguments = {"jobs": ["x"]} if service == "batch" else {}
    with FaultInjectionProxy(server.info.endpoint_url, [Throttled()]) as proxy:
        getattr(client(proxy, service), operation)(**arguments)
        assert [bool(call.error) for call in proxy.calls] == [True, False]
        proxy.faults = [Throttled()]
        with pytest.raises(ClientError) as refused:
            getattr(client(proxy, service, **ONCE), operation)(**arguments)
    assert refused.value.response["Error"]["Message"] == "Rate exceeded"


def test_a_new_role_is_not_assumed_for_a_while(server: Server) -> None:
    fault = RolesTake(0.5)
    with FaultInjectionProxy(server.info.endpoint_url, [fault]) as proxy:
        arn = client(proxy, "iam").create_role(RoleName="young", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        function = {"FunctionName": "young", "Runtime": "python3.13", "Handler": "a.b", "Role": arn, "Code": package()}
        with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
            client(proxy, "lambda").create_function(**function)
        fault.seconds = 0
        client(proxy, "lambda").create_function(**function)
    assert fault.refused == 1


def test_pages_hold_one_item(server: Server) -> None:
    user = server.client("iam")
    user.create_user(UserName="pager")
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    user.put_user_policy(UserName="pager", PolicyName="p", PolicyDocument=policy)
    made = user.create_access_key(UserName="pager")["AccessKey"]
    key = (made["AccessKeyId"], made["SecretAccessKey"])
    for name in ("page-1", "page-2", "page-3"):
        user.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        server.client("logs").create_log_group(logGroupName=f"/proxy/{name}")
    with FaultInjectionProxy(server.info.endpoint_url, [OneItemAPage()], dict([key])) as proxy:
        assert len(client(proxy, "iam", key).list_roles()["Roles"]) == 1
        pages = client(proxy, "iam", key).get_paginator("list_roles").paginate()
        assert {"page-1", "page-2", "page-3"} <= {role["RoleName"] for page in pages for role in page["Roles"]}
        groups = client(proxy, "logs", key).get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/proxy/")
        assert [len(page["logGroups"]) for page in groups] == [1, 1, 1]
        assert len(client(proxy, "lambda", key).list_functions()["Functions"]) <= 1


def test_states_settle_after_some_looks(server: Server) -> None:
    role = server.client("iam").create_role(RoleName="slow", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    arguments = {"Runtime": "python3.13", "Handler": "a.b", "Role": role, "Code": package()}
    with FaultInjectionProxy(
        server.info.endpoint_url, [SlowStates(looks=5)]
    ) as proxy:  # of which boto3 may repeat some
        functions = client(proxy, "lambda")
        functions.create_function(FunctionName="slow", **arguments)
        states = [functions.get_function_configuration(FunctionName="slow")["LastUpdateStatus"] for _ in range(2)]
        assert states == ["InProgress", "InProgress"]
        until(lambda: functions.get_function_configuration(FunctionName="slow")["LastUpdateStatus"] == "Successful")


def test_in_another_partition_every_arn_is_its_own_and_a_wrong_one_is_noted(server: Server) -> None:
    fault = InPartition("aws-cn", "cn-north-1")
    with FaultInjectionProxy(server.info.endpoint_url, [fault]) as proxy:
        there = {"key": ("123456789012", "any"), "region": "cn-north-1"}
        roles, logs = client(proxy, "iam", **there), client(proxy, "logs", **there)
        arn = roles.create_role(RoleName="china", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        assert arn == "arn:aws-cn:iam::123456789012:role/china"
        logs.create_log_group(logGroupName="/proxy/china")
        (group,) = logs.describe_log_groups(logGroupNamePrefix="/proxy/china")["logGroups"]
        assert group["arn"].startswith("arn:aws-cn:logs:cn-north-1:123456789012:log-group:/proxy/china")
        client(proxy, "sts", **there).get_caller_identity()
        assert fault.wrong == []
        policy = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
        roles.attach_role_policy(RoleName="china", PolicyArn=policy)
    assert any("policy%2FAmazonS3FullAccess" in wrong for wrong in fault.wrong)


def test_a_region_not_enabled_knows_no_key(server: Server) -> None:
    with FaultInjectionProxy(server.info.endpoint_url, [RegionNotEnabled("ap-east-1")]) as proxy:
        for service, operation in (("sts", "get_caller_identity"), ("batch", "describe_job_queues")):
            with pytest.raises(ClientError, match="security token included in the request is invalid"):
                getattr(client(proxy, service, region="ap-east-1"), operation)()
            getattr(client(proxy, service), operation)


def called(service: str, operation: str, **params: Any) -> Call:
    return Call(service, operation, "us-east-1", "test", params)


def test_an_operation_of_s3_is_told_by_its_address(server: Server) -> None:
    with FaultInjectionProxy(server.info.endpoint_url) as proxy:
        s3 = client(proxy, "s3")
        s3.create_bucket(Bucket="proxy-names")
        s3.put_object(Bucket="proxy-names", Key="a", Body=b"1")
        s3.copy_object(Bucket="proxy-names", Key="b", CopySource={"Bucket": "proxy-names", "Key": "a"})
        s3.list_objects_v2(Bucket="proxy-names")
        s3.list_object_versions(Bucket="proxy-names")
        s3.put_bucket_tagging(Bucket="proxy-names", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        s3.get_bucket_tagging(Bucket="proxy-names")
        s3.head_object(Bucket="proxy-names", Key="a")
        s3.delete_objects(Bucket="proxy-names", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
        s3.delete_bucket(Bucket="proxy-names")
    assert [call.operation for call in proxy.calls] == [
        "CreateBucket", "PutObject", "CopyObject", "ListObjectsV2", "ListObjectVersions", "PutBucketTagging",
        "GetBucketTagging", "HeadObject", "DeleteObjects", "DeleteBucket",
    ]  # fmt: skip


def test_a_simulator_that_refuses_two_actions_answers_one(server: Server) -> None:
    user = server.client("iam").create_user(UserName="simulated")["User"]["Arn"]
    fault = SimulatorRefusesCalls()
    with FaultInjectionProxy(server.info.endpoint_url, [fault]) as proxy:
        ask = client(proxy, "iam").simulate_principal_policy
        with pytest.raises(ClientError, match="require different authorization information"):
            ask(PolicySourceArn=user, ActionNames=["s3:GetObject", "s3:PutObject"])
        assert len(ask(PolicySourceArn=user, ActionNames=["s3:GetObject"])["EvaluationResults"]) == 1
    assert fault.refused == 1


def test_a_register_that_remembers_lists_what_was_deleted(server: Server) -> None:
    with FaultInjectionProxy(server.info.endpoint_url, [RegisterRemembers()]) as proxy:
        queue = client(proxy, "sqs").create_queue(QueueName="proxy-remembered", tags={"proxy": "remembered"})
        listing = {"TagFilters": [{"Key": "proxy", "Values": ["remembered"]}]}
        register = client(proxy, "resourcegroupstaggingapi")
        before = register.get_resources(**listing)["ResourceTagMappingList"]
        client(proxy, "sqs").delete_queue(QueueUrl=queue["QueueUrl"])
        assert register.get_resources(**listing)["ResourceTagMappingList"] == before
    assert [item["ResourceARN"].rsplit(":", 1)[1] for item in before] == ["proxy-remembered"]


def test_a_filtered_listing_lacks_the_start_and_another_has_it() -> None:
    def listed(**params: Any) -> dict[str, Any]:
        answer = {"jobSummaryList": [{"jobId": "j", "startedAt": 1, "statusReason": "x"}]}
        ShortListings().after(called("batch", "ListJobs", **params), answer)
        return answer["jobSummaryList"][0]

    assert listed(filters=[{"name": "JOB_NAME", "values": ["x*"]}]) == {"jobId": "j"}
    assert listed(jobStatus="SUCCEEDED") == {"jobId": "j", "startedAt": 1, "statusReason": "x"}


def test_the_log_of_a_failed_job_does_not_exist_and_others_do() -> None:
    fault = FailedJobsHaveNoLog()
    jobs = [{"status": status, "container": {"logStreamName": status}} for status in ("FAILED", "SUCCEEDED")]
    fault.after(called("batch", "DescribeJobs"), {"jobs": jobs})
    assert fault.before(called("logs", "GetLogEvents", logStreamName="FAILED"))[0] == "ResourceNotFoundException"
    assert fault.before(called("logs", "GetLogEvents", logStreamName="SUCCEEDED")) is None


def test_a_lost_response_is_of_a_call_that_has_succeeded(server: Server) -> None:
    class LostOnce:
        left = 1

        def lose(self, call: Call) -> tuple[str, str, int] | None:
            self.left -= 1
            return None if self.left < 0 else ("InternalFailure", "unknown", 500)

    with FaultInjectionProxy(server.info.endpoint_url, [LostOnce()]) as proxy:
        create = client(proxy, "logs").create_log_group
        with pytest.raises(ClientError, match="already exists"):
            create(logGroupName="/proxy/lost")
    assert [call.error for call in proxy.calls] == ["InternalFailure", "ResourceAlreadyExistsException"]


def test_a_second_answer_is_refused_with_a_text() -> None:
    fault = FirstAnswerIsLost()
    first, other = (called("sagemaker", "SendPipelineExecutionStepSuccess", CallbackToken=token) for token in "tu")
    assert fault.before(first) is None
    assert fault.lose(first)[2] == 500
    assert fault.before(first)[:1] == ("ValidationException",)
    assert (fault.before(other), fault.lose(other)) == (None, None)


def test_what_an_act_changes_the_client_does_not_see(server: Server) -> None:
    """A function's endpoint, a definition's image: described as they were given."""
    role = server.client("iam").create_role(RoleName="unseen", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    with FaultInjectionProxy(server.info.endpoint_url) as proxy:
        proxy.faults = [FunctionsBehindProxy(proxy), ImageOfARegistry("given", "registry/it")]
        functions, batch = client(proxy, "lambda"), client(proxy, "batch")
        variables = {"Variables": {"NAME": "b"}}
        functions.create_function(
            FunctionName="unseen", Runtime="python3.13", Handler="a.b", Role=role, Code=package(), Environment=variables
        )
        container = {"image": "given", "command": ["x"], "executionRoleArn": role}
        container["resourceRequirements"] = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
        batch.register_job_definition(
            jobDefinitionName="unseen", type="container", platformCapabilities=["FARGATE"],
            containerProperties=container,
        )  # fmt: skip

        def seen(functions: Any, batch: Any) -> tuple[dict[str, str], str]:
            (definition,) = batch.describe_job_definitions(jobDefinitionName="unseen")["jobDefinitions"]
            environment = functions.get_function(FunctionName="unseen")["Configuration"]["Environment"]
            return environment["Variables"], definition["containerProperties"]["image"]

        assert seen(functions, batch) == ({"NAME": "b"}, "given")
    there = {"NAME": "b", "AWS_ENDPOINT_URL_SAGEMAKER": proxy.endpoint_url}
    assert seen(server.client("lambda"), server.client("batch")) == (there, "registry/it")


def test_a_connection_to_a_black_hole_hangs() -> None:
    with black_hole() as endpoint_url, pytest.raises(ConnectTimeoutError):
        boto3.client(
            "iam", endpoint_url=endpoint_url, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test", config=Config(connect_timeout=0.3, **ONCE),
        ).list_roles()  # fmt: skip
