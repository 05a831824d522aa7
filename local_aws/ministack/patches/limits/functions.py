"""Lambda's limits, and what of its functions can't be had here.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""

from __future__ import annotations

import json
import re
from typing import Any

from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError
from local_aws.shapes import no_constant

NAME_LENGTH = 64
HIGHEST = {"Timeout": 900, "MemorySize": 10240}  # the model's are those of functions on instances of one's own
ENVIRONMENT_BYTES = 4096
PAYLOAD_BYTES = {"RequestResponse": 6_291_456, "Event": 1_048_576}
RESERVED = {
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}  # fmt: skip
# AWS creates no functions of these any more: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_DEPRECATED = re.compile(
    r"nodejs(4\.3(-edge)?|6\.10|8\.10|1[0246]\.x)?|python(2\.7|3\.[678])|java8|dotnetcore.*|dotnet6|go1\.x|ruby2\..*"
    r"|provided"
)
_RUNS = re.compile(r"python3\.\d+|nodejs\d+\.x|provided\.al2(023)?")

# What a function may have on AWS and can't have here; a value that means "none" is taken.
_ABSENT = {
    "VpcConfig": "a VPC of one's own",
    "FileSystemConfigs": "file systems",
    "ImageConfig": "container images",
    "KMSKeyArn": "KMS",
    "CodeSigningConfigArn": "code signing",
    "TenancyConfig": "tenant isolation",
    "CapacityProviderConfig": "capacity providers",
    "DurableConfig": "durable functions",
    "PublishTo": "capacity providers",
}


def check(call: Call, body: bytes) -> None:
    """Refuse what Lambda refuses, and by name what can't be had here."""
    if call.operation.name in ("CreateFunction", "UpdateFunctionConfiguration"):
        _check_configuration(call.params)
    if call.operation.name == "CreateFunction":
        _check_new(call.params)
    if call.operation.name in ("Invoke", "InvokeAsync", "InvokeWithResponseStream"):
        _check_payload(call.params, body)


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValueException", message)


def _check_new(params: dict[str, Any]) -> None:
    name = params["FunctionName"]
    if not name.startswith("arn:") and len(name.rpartition(":")[2]) > NAME_LENGTH:
        rule = f"Member must have length less than or equal to {NAME_LENGTH}"
        why = f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: {rule}"
        raise ApiError("ValidationException", why)
    code = params["Code"]
    if params.get("PackageType") == "Image" or "ImageUri" in code:
        raise _invalid("The embedded AWS does not run container images as functions. Give the code as a .zip.")
    if not params.get("Handler") or not params.get("Runtime"):
        raise _invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    places = [name for name in ("ZipFile", "S3Bucket") if code.get(name) is not None]
    if len(places) != 1 or ("S3Bucket" in code) != ("S3Key" in code):
        raise _invalid("Please provide a source for function code.")


def _check_configuration(params: dict[str, Any]) -> None:
    for name, most in HIGHEST.items():
        if params.get(name, 0) > most:
            at = name[0].lower() + name[1:]
            rule = f"Member must have value less than or equal to {most}"
            why = f"Value '{params[name]}' at '{at}' failed to satisfy constraint: {rule}"
            raise ApiError("ValidationException", f"1 validation error detected: {why}")
    runtime = params.get("Runtime")
    if runtime and _DEPRECATED.fullmatch(runtime):
        raise _invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions."
        )
    if runtime and not _RUNS.fullmatch(runtime):
        raise _invalid(f"The embedded AWS does not run functions of {runtime}. It runs those of Python and Node.js.")
    for name, what in _ABSENT.items():
        if _means_something(params.get(name)):
            raise _invalid(f"{name} is not supported: the embedded AWS has no {what} for functions.")
    if (params.get("SnapStart") or {}).get("ApplyOn", "None") != "None":
        raise _invalid("SnapStart is not supported, because the embedded AWS has no snapshots of functions.")
    _check_dead_letters((params.get("DeadLetterConfig") or {}).get("TargetArn") or "")
    _check_environment((params.get("Environment") or {}).get("Variables") or {})


def _check_dead_letters(target: str) -> None:
    """A dead-letter queue, or topic, exists. MiniStack checks the ARN's form.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
    """
    from ministack.services import sns, sqs

    found = {"sqs": sqs._queue_by_arn, "sns": sns.topic_policy_for_arn}
    service = target.split(":")[2] if target.count(":") == 5 else ""
    if service in found and found[service](target) is None:
        raise _invalid(f"The target of DeadLetterConfig does not exist: {target}")


def _means_something(value: Any) -> bool:
    return any(map(_means_something, value.values())) if isinstance(value, dict) else bool(value)


def _check_environment(variables: dict[str, str]) -> None:
    begin = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    if reserved := sorted(RESERVED & variables.keys()):
        raise _invalid(
            f"{begin} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, ensure_ascii=False, separators=(",", ":"))
    if len(measured.encode(errors="surrogatepass")) > ENVIRONMENT_BYTES:
        raise _invalid(f"{begin} exceeded the 4KB limit. String measured: {measured}")


def _check_payload(params: dict[str, Any], body: bytes) -> None:
    most = PAYLOAD_BYTES.get(params.get("InvocationType", "RequestResponse"), PAYLOAD_BYTES["RequestResponse"])
    if len(body) > most:
        why = f"Request must be smaller than {most} bytes for the InvokeFunction operation"
        raise ApiError("RequestTooLargeException", why, 413)
    try:
        json.loads(body or b"null", parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        why = f"Could not parse request body into json: {error}"
        raise ApiError("InvalidRequestContentException", why) from None
