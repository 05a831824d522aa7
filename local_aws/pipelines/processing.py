"""What a Processing step may ask for: its checks, its cache key, its properties. `jobs.py` runs it.

Its Arguments are those of CreateProcessingJob:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import operator
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape

from local_aws.pipelines.expressions import is_expression
from local_aws.pipelines.refusals import NOT_AN_ARRAY, NOT_AN_OBJECT, DefinitionError, not_in_enum, unknown_argument

# Images whose containers are a Python with the usual data libraries; they run as this environment's Python.
_PYTHON_IMAGES = re.compile(
    r"(.*/)?(python|sagemaker-distribution(-prod|-cpu)?|sagemaker-scikit-learn|sagemaker-base-python(-\d+)?"
    r"|sagemaker-data-science(-\d+)?|sagemaker-pandas)(:[\w.\-]+)?(@sha256:[0-9a-f]{64})?"
)

_ARGUMENTS = {
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "ProcessingInputs",
    "ProcessingJobName",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "RoleArn",
    "StoppingCondition",
    "Tags",
}
_PROPERTIES = (_ARGUMENTS - {"Tags"}) | {
    "CreationTime",
    "ExitMessage",
    "FailureReason",
    "LastModifiedTime",
    "ProcessingEndTime",
    "ProcessingJobArn",
    "ProcessingJobStatus",
    "ProcessingStartTime",
}
_RETRYABLE = {
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
}
_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400}
_TIME_UNITS = {"h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"p?((?:\d+[ymwd])*)(?:t((?:\d+[hms])+))?", re.IGNORECASE)


_PRIMITIVES: dict[str, Any] = {"string": str, "integer": int, "boolean": bool}
# RetryPolicy's numbers: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
_RETRY_LIMITS: dict[str, tuple[type | tuple[type, ...], int, float]] = {
    "MaxAttempts": (int, 1, 20),
    "ExpireAfterMin": (int, 0, 14_400),
    "IntervalSeconds": (int, 0, 43_200),
    "BackoffRate": ((int, float), 0, 1_000),  # AWS gives no limit; with this one a pause is always a number
}


@cache
def _request_shape() -> Shape:
    model = botocore.session.Session().get_service_model("sagemaker")
    return model.operation_model("CreateProcessingJob").input_shape


def _check_shape(value: Any, shape: Shape, where: str) -> None:
    """Refuse a value that is not of the API's form; an expression may stand for any string, number or boolean.

    Raises:
        DefinitionError: with the place of what is wrong.
    """
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise DefinitionError(f"{where} must be an object.", NOT_AN_OBJECT)
        if unknown := sorted(set(value) - set(shape.members)):
            raise DefinitionError(f"{where} has no member {unknown[0]}.", unknown_argument(unknown[0]))
        missing = [name for name in shape.required_members if value.get(name) is None and name != "ProcessingJobName"]
        if missing:
            raise DefinitionError(f"{where} needs {missing[0]}.")
        for name, item in value.items():
            _check_shape(item, shape.members[name], f"{where}.{name}")
    elif kind == "list":
        if not isinstance(value, list):
            raise DefinitionError(f"{where} must be a list.", NOT_AN_ARRAY)
        for index, item in enumerate(value):
            _check_shape(item, shape.member, f"{where}[{index}]")
    elif kind == "map":
        if not isinstance(value, dict) or is_expression(value):
            raise DefinitionError(f"{where} must be an object.", NOT_AN_OBJECT)
        for key, item in value.items():
            _check_shape(item, shape.value, f"{where}.{key}")
    elif not is_expression(value):
        _check_literal(value, shape, where)


def _check_literal(value: Any, shape: Shape, where: str) -> None:
    kind, limits = shape.type_name, shape.metadata
    if not isinstance(value, _PRIMITIVES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise DefinitionError(f"{where} must be of type {kind}, or an expression.")
    if "enum" in limits and value not in limits["enum"]:
        raise DefinitionError(f"{where} can't be {value!r}.", not_in_enum(value, shape.name, limits["enum"]))
    size = len(value) if kind == "string" else value
    for limit, broken, words in (("min", operator.lt, "least"), ("max", operator.gt, "most")):
        if limit in limits and broken(size, limits[limit]):
            what = (
                f"have at {words} {limits[limit]:,} characters"
                if kind == "string"
                else f"be at {words} {limits[limit]:,}"
            )
            raise DefinitionError(f"{where} must {what}.")


def is_python_image(image: str) -> bool:
    """Whether a container image runs here, as a process of this environment's Python."""
    return bool(_PYTHON_IMAGES.fullmatch(image))


def check(spec: dict[str, Any]) -> None:
    """Refuse a Processing step that is wrong, or that does not run here.

    Raises:
        DefinitionError: with the member that it is.
    """
    arguments = spec.get("Arguments") or {}
    if foreign := sorted((set(arguments) & set(_request_shape().members)) - _ARGUMENTS):
        raise DefinitionError(f"Arguments.{foreign[0]} is not something the embedded AWS's processing jobs have.")
    _check_shape(arguments, _request_shape(), "Arguments")
    if problem := _not_run_here(arguments) or _check_files(spec) or _check_retries(spec.get("RetryPolicies") or []):
        raise DefinitionError(f"{problem}.")


def _not_run_here(arguments: dict[str, Any]) -> str | None:
    application = arguments["AppSpecification"]
    image = application.get("ImageUri")
    if not is_expression(image) and not (isinstance(image, str) and is_python_image(image)):
        return (
            f"Arguments.AppSpecification.ImageUri {image!r} is not an image the embedded AWS runs; it runs "
            "the Python images python, sagemaker-distribution, sagemaker-scikit-learn, sagemaker-base-python and "
            "sagemaker-data-science"
        )
    cluster = arguments["ProcessingResources"].get("ClusterConfig") or {}
    if not is_expression(cluster.get("InstanceCount")) and cluster.get("InstanceCount") != 1:
        return "Arguments.ProcessingResources.ClusterConfig.InstanceCount must be 1; the embedded AWS has one machine"
    if cluster.get("VolumeKmsKeyId") or (arguments.get("ProcessingOutputConfig") or {}).get("KmsKeyId"):
        return "the embedded AWS has no KMS, so neither VolumeKmsKeyId nor KmsKeyId can be used"
    if any((arguments.get("NetworkConfig") or {}).values()):
        return "Arguments.NetworkConfig is not something the embedded AWS's processing jobs have"
    return _check_channels(arguments)


def _check_channels(arguments: dict[str, Any]) -> str | None:
    for item in arguments.get("ProcessingInputs") or []:
        source = item.get("S3Input")
        where = f"input {item.get('InputName')!r}"
        if not source or item.get("DatasetDefinition"):
            return f"{where} must be an S3Input"
        if item.get("AppManaged"):
            return f"{where} has AppManaged; in the embedded AWS it is the job that copies its data"
        allowed = {
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3CompressionType": "None",
            "S3DataDistributionType": "FullyReplicated",
        }
        for member, only in allowed.items():
            if source.get(member, only) != only:
                return f"{where} has {member} {source[member]!r}; the embedded AWS runs {only!r} only"
        if not str(source.get("LocalPath") or "").startswith("/opt/ml/processing"):
            return f"{where} must have a LocalPath in /opt/ml/processing"
    for item in (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        target = item.get("S3Output")
        where = f"output {item.get('OutputName')!r}"
        if not target or item.get("FeatureStoreOutput"):
            return f"{where} must be an S3Output"
        if item.get("AppManaged"):
            return f"{where} has AppManaged; in the embedded AWS it is the job that copies its data"
        if target.get("S3UploadMode", "EndOfJob") != "EndOfJob":
            return f"{where} has S3UploadMode {target['S3UploadMode']!r}; the embedded AWS runs 'EndOfJob' only"
        if not str(target.get("LocalPath") or "").startswith("/opt/ml/processing"):
            return f"{where} must have a LocalPath in /opt/ml/processing"
    return None


def _check_files(spec: dict[str, Any]) -> str | None:
    outputs = [
        item["OutputName"] for item in ((spec["Arguments"].get("ProcessingOutputConfig") or {}).get("Outputs") or [])
    ]
    files = spec.get("PropertyFiles") or []
    if not isinstance(files, list):
        return "PropertyFiles must be a list"
    for item in files:
        strings = isinstance(item, dict) and all(isinstance(value, str) for value in item.values())
        if not strings or set(item) != {"PropertyFileName", "OutputName", "FilePath"}:
            return "each of PropertyFiles needs PropertyFileName, OutputName and FilePath"
        if item["OutputName"] not in outputs:
            return (
                f"property file {item['PropertyFileName']!r} is in output {item['OutputName']!r}, which is not declared"
            )
    return None


def _check_retries(policies: Any) -> str | None:
    if not isinstance(policies, list):
        return "RetryPolicies must be a list"
    for policy in policies:
        exceptions = retried(policy) if isinstance(policy, dict) else None
        if not isinstance(exceptions, list) or not all(isinstance(each, str) for each in exceptions):
            return "RetryPolicies: each needs a list ExceptionType"
        if unknown := set(exceptions or ["none"]) - _RETRYABLE:
            return f"RetryPolicies: {unknown.pop()!r} is not one of {', '.join(sorted(_RETRYABLE))}"
        if foreign := sorted(set(policy) - {"ExceptionType", *_RETRY_LIMITS}):
            return f"RetryPolicies: a policy has no {foreign[0]}"
        if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
            return "RetryPolicies: each needs either MaxAttempts or ExpireAfterMin"
        for name, (kind, least, most) in _RETRY_LIMITS.items():
            value = policy.get(name, least)
            if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
                return f"RetryPolicies: {name} must be a number from {least} to {most:,}, not {value!r}"
    return None


def retried(policy: dict[str, Any]) -> list[str]:
    """The exceptions of a retry policy: a list in the guide and in what the SDK writes, one of them in the schema."""
    exceptions = policy.get("ExceptionType")
    return [exceptions] if isinstance(exceptions, str) else exceptions


def check_property(spec: dict[str, Any], keys: tuple[str | int, ...]) -> str | None:
    """What is wrong with a reference to a property of this step, or None."""
    if keys[:1] == ("PropertyFiles",):
        names = [item.get("PropertyFileName") for item in spec.get("PropertyFiles") or []]
        return None if len(keys) == 2 and keys[1] in names else "is not a property file of the step"
    if not keys or keys[0] not in _PROPERTIES:
        return "is not a property of a processing job"
    if keys[:2] == ("ProcessingOutputConfig", "Outputs") and len(keys) > 2 and isinstance(keys[2], str):
        outputs = (spec["Arguments"].get("ProcessingOutputConfig") or {}).get("Outputs") or []
        if keys[2] not in [item.get("OutputName") for item in outputs]:
            return "is not an output of the processing job"
    return None


def check_cache(cache: Any) -> str | None:
    """What is wrong with a CacheConfig, or None."""
    if (
        not isinstance(cache, dict)
        or not isinstance(cache.get("Enabled", False), bool)
        or set(cache) - {"Enabled", "ExpireAfter"}
    ):
        return "has Enabled, true or false, and ExpireAfter"
    if (cache.get("Enabled") or "ExpireAfter" in cache) and seconds(cache.get("ExpireAfter")) is None:
        return f"needs a duration like P30D or PT1H in ExpireAfter, not {cache.get('ExpireAfter')!r}"
    return None


def seconds(duration: Any) -> float | None:
    """The seconds of an ISO 8601 duration, with or without its P, in either case, as AWS's examples write them.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching-enabling.html
    """
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) and duration else None
    if not found or not (found.group(1) or found.group(2)):
        return None
    total = 0.0
    for text, units in ((found.group(1), _UNITS | {"m": 30 * 86400}), (found.group(2) or "", _TIME_UNITS)):
        for count, unit in re.findall(r"(\d+)([a-z])", text.lower()):
            total += int(count) * units[unit]
    return total


def cache_key(arguments: dict[str, Any]) -> str:
    """What must be the same for an earlier run to be reused.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
    """
    relevant = {name: arguments.get(name) for name in ("AppSpecification", "Environment", "ProcessingInputs")}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def is_fresh(ended: dt.datetime, cache: dict[str, Any], now: dt.datetime) -> bool:
    """Whether a run that ended then is still young enough to be reused."""
    return (now - ended).total_seconds() <= (seconds(cache.get("ExpireAfter")) or 0)
