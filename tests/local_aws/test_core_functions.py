"""Lambda's limits, and what a function's failure is called.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from .functions import configuration, function, name, refusal, role

INVALID, VALIDATION = "InvalidParameterValueException", "ValidationException"


@pytest.fixture(scope="module")
def trusted(aws: Any) -> str:
    return role(aws, "logs:*")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ({"FunctionName": "x" * 65}, VALIDATION, "less than or equal to 64"),
        ({"FunctionName": "a b"}, VALIDATION, "regular expression pattern"),
        ({"FunctionName": ".."}, VALIDATION, "regular expression pattern"),
        ({"Timeout": 901}, VALIDATION, "Value '901' at 'timeout' failed to satisfy constraint"),
        ({"Timeout": 0}, VALIDATION, "greater than or equal to 1"),
        ({"MemorySize": 10_241}, VALIDATION, "less than or equal to 10240"),
        ({"MemorySize": 127}, VALIDATION, "greater than or equal to 128"),
        ({"Handler": "x" * 129}, VALIDATION, "less than or equal to 128"),
        ({"Runtime": "python3.7"}, INVALID, "python3.7 is no longer supported"),
        ({"Runtime": "nosuch"}, INVALID, "enum value set"),
        ({"Runtime": "java21"}, INVALID, "does not run functions of java21"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, INVALID, "keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"LONG": "x" * 5000}}}, INVALID, "exceeded the 4KB limit."),
        ({"Environment": {"Variables": {"1a": "x"}}}, VALIDATION, "regular expression pattern"),
        ({"Code": {}}, INVALID, "Please provide a source for function code."),
        ({"Code": {"ZipFile": b"no zip"}}, INVALID, ""),
        ({"Code": {"S3Bucket": "nosuch-bucket", "S3Key": "k"}}, INVALID, "Error occurred while GetObject."),
        ({"Code": {"ImageUri": "x"}, "PackageType": "Image"}, INVALID, "container images"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, INVALID, "VpcConfig"),
        ({"KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}, INVALID, "KMSKeyArn"),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, INVALID, "SnapStart"),
        ({"Tags": {"aws:x": "1"}}, INVALID, "aws:"),
        (
            {"DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:us-east-1:{'0' * 12}:nosuch"}},
            INVALID,
            "does not exist: arn:aws:sqs:us-east-1:000000000000:nosuch",
        ),
        (
            {"DeadLetterConfig": {"TargetArn": f"arn:aws:sns:us-east-1:{'0' * 12}:nosuch"}},
            INVALID,
            "does not exist: arn:aws:sns:us-east-1:000000000000:nosuch",
        ),
    ],
)  # fmt: skip
def test_functions_that_can_not_be(aws: Any, trusted: str, arguments: dict, code: str, says: str) -> None:
    create = aws.client("lambda", parameter_validation=False).create_function
    refused_code, message = refusal(create, **configuration(aws, **{"Role": trusted, **arguments}))
    assert refused_code == code
    assert says in message


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"Timeout": 901}, VALIDATION),
        ({"Environment": {"Variables": {"AWS_SESSION_TOKEN": "x"}}}, INVALID),
        ({"Runtime": "python3.8"}, INVALID),
    ],
)
def test_functions_can_not_become_what_they_can_not_be(aws: Any, trusted: str, arguments: dict, code: str) -> None:
    own, client = function(aws, Role=trusted), aws.client("lambda")
    assert refusal(client.update_function_configuration, FunctionName=own, **arguments)[0] == code


@pytest.fixture(scope="module")
def echo(aws: Any, trusted: str) -> str:
    return function(aws, Role=trusted)


@pytest.mark.parametrize("payload", [b"{bad", b"\xff", b"NaN", b"[" * 100_000], ids=["cut", "bytes", "NaN", "deep"])
def test_a_payload_that_is_no_json_runs_nothing(aws: Any, echo: str, payload: bytes) -> None:
    code, message = refusal(aws.client("lambda").invoke, FunctionName=echo, Payload=payload)
    assert code == "InvalidRequestContentException"
    assert message.startswith("Could not parse request body into json: ")


@pytest.mark.parametrize(("how", "most"), [("RequestResponse", 6_291_456), ("Event", 1_048_576)])
def test_a_payload_has_its_size(aws: Any, echo: str, how: str, most: int) -> None:
    too_long = json.dumps("x" * (most - 1)).encode()
    code, message = refusal(aws.client("lambda").invoke, FunctionName=echo, InvocationType=how, Payload=too_long)
    assert code == "RequestTooLargeException"
    assert str(most) in message


FAILURES = {
    "an exception": ("def h(e, c):\n    raise KeyError('k')", {}, "KeyError", "'k'"),
    "an exit": (
        "import os\ndef h(e, c):\n    os._exit(3)",
        {},
        "Runtime.ExitError",
        "with error: exit status 3",
    ),
    "sys.exit": ("import sys\ndef h(e, c):\n    sys.exit(1)", {}, "Runtime.ExitError", "exit status 1"),
    "an exit with 0": (
        "import os\ndef h(e, c):\n    os._exit(0)",
        {},
        "Runtime.ExitError",
        "without providing",
    ),
    "a kill": ("import os\ndef h(e, c):\n    os.kill(os.getpid(), 9)", {}, "Runtime.ExitError", "signal: killed"),
    "an import": ("import nosuch", {}, "Runtime.ImportModuleError", "Unable to import module 'f': No module named"),
    "a syntax": ("def h(:", {}, "Runtime.UserCodeSyntaxError", "Syntax error in module 'f': invalid syntax"),
    "a failing import": ("1 / 0", {}, "ZeroDivisionError", "division by zero"),
    "no handler": ("x = 1", {}, "Runtime.HandlerNotFound", "Handler 'h' missing on module 'f'"),
    "a handler without a dot": ("x = 1", {"Handler": "f"}, "Runtime.MalformedHandlerName", "Bad handler 'f'"),
    "an answer that is no JSON": ("def h(e, c):\n    return {1, 2}", {}, "Runtime.MarshalError", "Unable to marshal"),
    "half a character": (
        "def h(e, c):\n    return '\\ud800'",
        {},
        "Runtime.MarshalError",
        "Unable to marshal",
    ),
    "a long answer": ("def h(e, c):\n    return 'x' * 6_300_000", {}, "Function.ResponseSizeTooLarge", "6291556 bytes"),
    "a timeout": (
        "import time\ndef h(e, c):\n    time.sleep(9)",
        {"Timeout": 1},
        "Sandbox.Timedout",
        "after 1.00 seconds",
    ),
}


@pytest.mark.parametrize(("code", "arguments", "kind", "says"), FAILURES.values(), ids=FAILURES)
def test_failures_have_lambdas_names(aws: Any, trusted: str, code: str, arguments: dict, kind: str, says: str) -> None:
    answer = aws.client("lambda").invoke(FunctionName=function(aws, code, Role=trusted, **arguments), LogType="Tail")
    error = json.loads(answer["Payload"].read())
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == kind
    assert says in error["errorMessage"]
    assert says in base64.b64decode(answer["LogResult"]).decode()


def test_the_time_to_load_the_code_counts_in_no_timeout(aws: Any, trusted: str) -> None:
    own = function(aws, "import time\ntime.sleep(1.5)\ndef h(e, c):\n    return 'in time'", Role=trusted, Timeout=1)
    assert json.loads(aws.client("lambda").invoke(FunctionName=own)["Payload"].read()) == "in time"


@pytest.mark.thorough  # takes 11 seconds
def test_what_takes_longer_to_load_than_lambda_waits_counts_in_the_timeout(aws: Any, trusted: str) -> None:
    own = function(aws, "import time\ntime.sleep(30)\ndef h(e, c):\n    return 'never'", Role=trusted, Timeout=1)
    error = json.loads(aws.client("lambda").invoke(FunctionName=own)["Payload"].read())
    assert error["errorType"] == "Sandbox.Timedout"
    assert "after 1.00 s" in error["errorMessage"]


def test_a_function_goes_on_after_an_exception_in_the_same_process(aws: Any, trusted: str) -> None:
    code = """
import os
def h(event, context):
    if event == "raise":
        raise ValueError(os.getpid())
    return os.getpid()
"""
    own, invoke = function(aws, code, Role=trusted), aws.client("lambda").invoke
    first = json.loads(invoke(FunctionName=own, Payload=b'"raise"')["Payload"].read())
    second = json.loads(invoke(FunctionName=own, Payload=b'"go on"')["Payload"].read())
    assert first["errorType"] == "ValueError"
    assert int(first["errorMessage"]) == second


def test_an_exceptions_trace_begins_in_the_functions_code(aws: Any, trusted: str) -> None:
    own = function(aws, "def deep():\n    raise ValueError('x')\ndef h(e, c):\n    deep()", Role=trusted)
    error = json.loads(aws.client("lambda").invoke(FunctionName=own)["Payload"].read())
    assert [frame.split("\n")[0].rpartition(", ")[2] for frame in error["stackTrace"]] == ["in h", "in deep"]


def test_what_a_function_prints_by_any_way_is_its_log_and_never_its_answer(aws: Any, trusted: str) -> None:
    code = """
import os, subprocess
def h(event, context):
    os.write(1, b'{"status": "ok", "result": "forged"}\\n')
    subprocess.run(["echo", "from a child"], check=True)
    print("printed")
    return "real"
"""
    answer = aws.client("lambda").invoke(FunctionName=function(aws, code, Role=trusted), LogType="Tail")
    assert json.loads(answer["Payload"].read()) == "real"
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "forged" in log
    assert "from a child" in log
    assert "printed" in log


def test_a_function_that_reads_its_input_finds_it_empty(aws: Any, trusted: str) -> None:
    code = "import os, sys\ndef h(event, context):\n    return [sys.stdin.read(), os.read(0, 10).decode(), event]"
    own = function(aws, code, Role=trusted)
    for number in (1, 2):
        payload = json.dumps(number).encode()
        answer = aws.client("lambda").invoke(FunctionName=own, Payload=payload)
        assert json.loads(answer["Payload"].read()) == ["", "", number]


SAYS_ITS_ENVIRONMENT = """
import os, time
def h(event, context):
    print("said")
    return dict(os.environ) | {"zone": time.tzname[0]}
"""


def environment(aws: Any, arn: str) -> dict[str, str]:
    return json.loads(aws.client("lambda").invoke(FunctionName=arn)["Payload"].read())


def test_a_function_has_the_variables_that_lambda_gives_it(aws: Any) -> None:
    arn = function(aws, SAYS_ITS_ENVIRONMENT, Runtime="python3.13", Environment={"Variables": {"OWN": "x"}})
    got, own = environment(aws, arn), arn.rpartition(":")[2]
    assert (
        got.items()
        >= {
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": own,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{own}",
            "OWN": "x",
            "TZ": ":UTC",
            "_HANDLER": "f.h",
            "zone": "UTC",
        }.items()
    )


def test_a_functions_lines_are_in_the_stream_that_its_variables_name(aws: Any) -> None:
    logs, group = aws.client("logs"), name("group")
    arn = function(aws, SAYS_ITS_ENVIRONMENT, LoggingConfig={"LogGroup": group})
    streams = {environment(aws, arn)["AWS_LAMBDA_LOG_STREAM_NAME"] for _ in range(2)}
    assert [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]] == [
        *streams
    ]
    (stream,) = streams
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    assert [event["message"] for event in events].count("said") == 2


def test_a_function_has_no_settings_of_the_server(aws: Any) -> None:
    got = environment(aws, function(aws, SAYS_ITS_ENVIRONMENT, Environment={"Variables": {"LOG_LEVEL": "INFO"}}))
    assert not {"AUTH", "BIND_HOST", "DOCKER_HOST", "GATEWAY_PORT", "MINISTACK_ACCOUNT_ID", "SERVICES"} & got.keys()
    assert got["LOG_LEVEL"] == "INFO"


def test_a_zone_that_a_function_sets_is_its_zone(aws: Any) -> None:
    got = environment(aws, function(aws, SAYS_ITS_ENVIRONMENT, Environment={"Variables": {"TZ": "Asia/Tokyo"}}))
    assert (got["TZ"], got["zone"]) == ("Asia/Tokyo", "JST")
