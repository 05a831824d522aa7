"""The definition that CreatePipeline and UpdatePipeline are given."""

from __future__ import annotations

from typing import Any

import botocore.exceptions

from local_aws.pipelines.execution.role_calls import RoleCalls
from local_aws.protocol import ApiError, Request

# AWS's words, as moto has them: https://github.com/getmoto/moto/blob/master/moto/sagemaker/models.py
NO_DEFINITION = "Either Pipeline Definition or Pipeline Definition S3 location should be provided"
TWO_DEFINITIONS = "Both Pipeline Definition and Pipeline Definition S3 Location shouldn't be present"
MAX_PIPELINE_CHARACTERS = 1024 * 1024


async def definition_text(request: Request, context: Any, calls: RoleCalls) -> str:
    """The definition that a call must give. The arguments are those of `given_definition_text`.

    Raises:
        ApiError: ValidationException when there is none, or two, or the object can't be read.
    """
    text = await given_definition_text(request, context, calls)
    if text is None:
        raise ApiError("ValidationException", NO_DEFINITION)
    return text


async def given_definition_text(request: Request, context: Any, calls: RoleCalls) -> str | None:
    """The definition a call gives, or the object it names, read as the caller.

    Args:
        context: the server's Context.
        calls: for the thread that reads.

    Returns:
        The definition's text, or None when the call gives none.

    Raises:
        ApiError: ValidationException when there are two, or the object can't be read.
    """
    params = request.params
    place = params.get("PipelineDefinitionS3Location")
    if place is None:
        return params.get("PipelineDefinition")
    if "PipelineDefinition" in params:
        raise ApiError("ValidationException", TWO_DEFINITIONS)
    where = f"s3://{place['Bucket']}/{place['ObjectKey']}"
    arguments = {"Bucket": place["Bucket"], "Key": place["ObjectKey"]}
    if "VersionId" in place:
        arguments["VersionId"] = place["VersionId"]
    credentials = context.ministack.caller_credentials(request)

    def read() -> bytes:
        client = context.ministack.client("s3", credentials, request.region)
        return client.get_object(**arguments)["Body"].read(4 * MAX_PIPELINE_CHARACTERS + 1)

    try:
        return (await calls.in_thread(read)).decode()
    except botocore.exceptions.ClientError as error:
        details = error.response.get("Error", {}).get("Message") or str(error)
        raise ApiError("ValidationException", f"The pipeline definition {where} can't be read: {details}") from None
    except UnicodeDecodeError:
        raise ApiError("ValidationException", f"The pipeline definition {where} is not UTF-8 text.") from None
