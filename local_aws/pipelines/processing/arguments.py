"""The arguments, property files and properties that a Processing step may have.

Its Arguments are those of CreateProcessingJob:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.model import Shape

from local_aws.images import environment_of
from local_aws.pipelines.model.expressions import is_expression
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.processing import shapes

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


@cache
def _request_shape() -> Shape:
    model = botocore.session.Session().get_service_model("sagemaker")
    return model.operation_model("CreateProcessingJob").input_shape


def runs_here(image: str, images: Mapping[str, Path]) -> bool:
    """Whether a container image runs here, as a process of a Python environment.

    Args:
        images: folders of the environments that images are mapped to.
    """
    return environment_of(images, image) is not None or bool(_PYTHON_IMAGES.fullmatch(image))


def check(arguments: dict[str, Any], runs_image: Callable[[str], bool]) -> None:
    """Refuse the arguments of a job that are wrong, or that a job here does not have.

    Args:
        runs_image: whether an image runs here.

    Raises:
        DefinitionError: with the argument that is.
    """
    if foreign := sorted((set(arguments) & set(_request_shape().members)) - _ARGUMENTS):
        raise DefinitionError(f"Arguments.{foreign[0]} is not something the embedded AWS's processing jobs have.")
    shapes.check(arguments, _request_shape(), "Arguments")
    if problem := _not_run_here(arguments, runs_image):
        raise DefinitionError(f"{problem}.")


def _not_run_here(arguments: dict[str, Any], runs_image: Callable[[str], bool]) -> str | None:
    application = arguments["AppSpecification"]
    image = application.get("ImageUri")
    if not is_expression(image) and not (isinstance(image, str) and runs_image(image)):
        return (
            f"Arguments.AppSpecification.ImageUri {image!r} is not an image the embedded AWS runs. It runs "
            "the Python images python, sagemaker-distribution, sagemaker-scikit-learn, sagemaker-base-python and "
            "sagemaker-data-science, and images that are mapped to a Python environment (python -m local_aws start "
            "--image NAME=PATH)"
        )
    cluster = arguments["ProcessingResources"].get("ClusterConfig") or {}
    if not is_expression(cluster.get("InstanceCount")) and cluster.get("InstanceCount") != 1:
        return "Arguments.ProcessingResources.ClusterConfig.InstanceCount must be 1. The embedded AWS has one machine"
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
            return f"{where} has AppManaged. In the embedded AWS it is the job that copies its data"
        allowed = {
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3CompressionType": "None",
            "S3DataDistributionType": "FullyReplicated",
        }
        for member, only in allowed.items():
            if source.get(member, only) != only:
                return f"{where} has {member} {source[member]!r}. The embedded AWS runs {only!r} only"
        if not str(source.get("LocalPath") or "").startswith("/opt/ml/processing"):
            return f"{where} must have a LocalPath in /opt/ml/processing"
    for item in (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        target = item.get("S3Output")
        where = f"output {item.get('OutputName')!r}"
        if not target or item.get("FeatureStoreOutput"):
            return f"{where} must be an S3Output"
        if item.get("AppManaged"):
            return f"{where} has AppManaged. In the embedded AWS it is the job that copies its data"
        if target.get("S3UploadMode", "EndOfJob") != "EndOfJob":
            return f"{where} has S3UploadMode {target['S3UploadMode']!r}. The embedded AWS runs 'EndOfJob' only"
        if not str(target.get("LocalPath") or "").startswith("/opt/ml/processing"):
            return f"{where} must have a LocalPath in /opt/ml/processing"
    return None


def check_files(spec: dict[str, Any]) -> None:
    """Check a step's PropertyFiles.

    Raises:
        DefinitionError: one is wrong, or in an output that the step does not declare.
    """
    written = (spec["Arguments"].get("ProcessingOutputConfig") or {}).get("Outputs") or []
    outputs = [item["OutputName"] for item in written]
    files = spec.get("PropertyFiles") or []
    if not isinstance(files, list):
        raise DefinitionError("PropertyFiles must be a list.")
    for item in files:
        strings = isinstance(item, dict) and all(isinstance(value, str) for value in item.values())
        if not strings or set(item) != {"PropertyFileName", "OutputName", "FilePath"}:
            raise DefinitionError("each of PropertyFiles needs PropertyFileName, OutputName and FilePath.")
        if item["OutputName"] not in outputs:
            name, output = item["PropertyFileName"], item["OutputName"]
            raise DefinitionError(f"property file {name!r} is in output {output!r}, which is not declared.")


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
