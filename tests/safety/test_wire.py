"""The embedded AWS's surfaces, tried with bytes no SDK sends: it refuses them, keeps its manners and stays up."""

from __future__ import annotations

import copy
import gzip
import http.client
import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from fuzzing import Fuzzer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from populated_account import furnish, recipes
from servers import Server, until
from tiers import examples, randomness

REQUESTS = examples(500, 5_000)  # benchmarks/fuzz.py sends 100,000


@pytest.fixture(scope="module")
def furniture(server: Server) -> dict[str, list[str]]:
    return furnish(server.info.endpoint_url)


@pytest.mark.slow
def test_random_requests_get_an_answer_and_never_a_crash(server: Server, furniture: dict[str, list[str]]) -> None:
    fuzzer = Fuzzer(server.info.endpoint_url, randomness("random requests"), furniture, recipes(furniture))
    problems = [case for case in (fuzzer.run_one() for _ in range(REQUESTS)) if case.problem]
    assert not problems, "\n".join(str(case) for case in problems[:5])
    assert fuzzer.counts["200"] > REQUESTS / 20, "too few requests got anywhere to mean something"
    assert server.answers()
    # What went wrong without anybody being told stands here.
    assert "Traceback" not in server.info.log.read_text()


@settings(max_examples=examples(60, 600), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_an_answer(server: Server, body: bytes) -> None:
    assert server.signed("batch", "/v1/submitjob", body)[0] == 400
    target = "SageMaker.StartPipelineExecution"
    assert server.signed("sagemaker", "/", body, X_Amz_Target=target)[0] == 400


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b'{"jobs": NaN}', b'{"jobs": [Infinity]}', b"1" * 10_000, b"\xff\xfe"],
    ids=["deep list", "deep object", "NaN", "inner NaN", "infinity", "long number", "not UTF-8"],
)
def test_json_that_is_none_is_a_client_error(server: Server, body: bytes) -> None:
    status, text = server.signed("batch", "/v1/describejobs", body)
    assert status == 400, text
    assert "JSON" in text


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b'{"jobId":' * 7_000, b"[]", b"null", b"1", b'"x"', b"\xff", b"", b"{}", b'{"jobId": null}',
     b'{"jobId": ["a"]}', b'{"jobId": {}}', b'{"jobId": NaN}', b'{"jobId": "\\ud800"}'],
)  # fmt: skip
def test_what_is_sent_to_the_routes_of_our_own_is_a_client_error(server: Server, body: bytes) -> None:
    status, text = server.signed("batch", "/_local_aws/batch/spot-reclaim", body, Content_Type="application/json")
    assert status == 400, text
    assert json.loads(text)["message"]


@pytest.mark.parametrize(
    ("service", "path", "target"),
    [
        ("batch", "/v1/describejobs", ""),
        ("ecs", "/", "AmazonEC2ContainerServiceV20141113.StopTask"),
        ("sagemaker", "/", "SageMaker.ListPipelines"),
        ("servicequotas", "/", "ServiceQuotasV20190624.GetServiceQuota"),
        ("logs", "/", "Logs_20140328.PutDestination"),
        ("logs", "/", "Logs_20140328.DescribeDestinations"),
        ("events", "/", "AWSEvents.PutRule"),
        ("tagging", "/", "ResourceGroupsTaggingAPI_20170126.GetResources"),
        ("monitoring", "/", "GraniteServiceVersion20100801.PutDashboard"),
        ("sqs", "/", "AmazonSQS.CreateQueue"),
        ("lambda", "/2015-03-31/functions", ""),
    ],
)
@pytest.mark.parametrize(
    "body", [b'{"DestinationNamePrefix": "\\ud800"}', b'{"a": [{"\\uDC00": 1}]}', b'{"a": "\xed\xa0\x80"}']
)
def test_half_a_character_is_refused(server: Server, service: str, path: str, target: str, body: bytes) -> None:
    headers = {"X_Amz_Target": target, "Content_Type": "application/x-amz-json-1.1"} if target else {}
    status, text = server.signed(service, path, body, **headers)
    assert status == 400, text
    assert "lone surrogate" in text or "not JSON" in text


@pytest.mark.parametrize("service", ["events", "logs", "tagging"])
@pytest.mark.parametrize("kind", ["application/x-amz-json-1.1", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("body", [b"\x89", b"\xff\xfe\x00", b"[" * 100_000], ids=["bytes", "half", "deep list"])
@pytest.mark.parametrize("packed", [False, True])
def test_json_that_is_none_is_a_client_error_without_an_operation_too(
    server: Server, service: str, kind: str, body: bytes, packed: bool
) -> None:
    headers = {"Content_Type": kind, **({"Content_Encoding": "gzip"} if packed else {})}
    status, text = server.signed(service, "/", gzip.compress(body) if packed else body, **headers)
    assert status == 400, text
    assert "SerializationException" in text


@pytest.mark.parametrize(
    ("service", "target", "given", "null"),
    [
        ("events", "AWSEvents.ListRuleNamesByTarget", {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"}, "Limit"),
        ("events", "AWSEvents.ListRules", {}, "Limit"),
        ("events", "AWSEvents.ListEventBuses", {}, "NamePrefix"),
        ("logs", "Logs_20140328.DescribeLogGroups", {}, "limit"),
        ("monitoring", "GraniteServiceVersion20100801.PutMetricData", {"Namespace": "a"}, "MetricData"),
        ("monitoring", "GraniteServiceVersion20100801.DescribeAlarms", {}, "MaxRecords"),
        ("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", {}, "TagFilters"),
        ("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", {"TagFilters": [{"Key": "a"}]}, "Values"),
        ("sqs", "AmazonSQS.ListQueues", {}, "MaxResults"),
        ("sagemaker", "SageMaker.ListPipelines", {}, "MaxResults"),
    ],
)
def test_a_member_that_is_null_is_not_given(
    server: Server, service: str, target: str, given: dict[str, Any], null: str
) -> None:
    headers = {"X_Amz_Target": target, "Content_Type": "application/x-amz-json-1.1"}
    nulled = copy.deepcopy(given)
    [place] = nulled.get("TagFilters", [nulled])
    place[null] = None

    def answer(members: dict[str, Any]) -> tuple[int, str]:
        return server.signed(service, "/", json.dumps(members).encode(), **headers)

    assert answer(given)[0] == 200
    until(lambda: answer(nulled) == answer(given))  # a function that still runs may change a number between the two


def test_a_json_service_takes_post_only(server: Server) -> None:
    request = AWSRequest("GET", server.info.endpoint_url + "/", headers={"X-Amz-Target": "SageMaker.ListPipelines"})
    SigV4Auth(Credentials("test", "test"), "sagemaker", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/", headers=dict(request.headers.items()))
    assert connection.getresponse().status == 400


def test_an_action_that_is_given_twice_is_refused(server: Server) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    path = "/?Action=ListUsers&Version=2010-05-08"
    status, text = server.signed("iam", path, b"Action=CreateUser&UserName=evil&Version=2010-05-08", **form)
    assert status == 400, text
    assert "The parameter Action is in both" in text
