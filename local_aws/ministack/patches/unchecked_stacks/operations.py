"""CloudFormation's operations: what a request says, whose template it reads, and how one ends that fails midway."""

from __future__ import annotations

import functools
import logging
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session

from local_aws.protocol import ApiError, Request

log = logging.getLogger("local_aws.ministack")


def apply() -> None:
    """End a stack's operation as failed when MiniStack fails at it: it would stay in progress."""
    from ministack.services.cloudformation import changesets, handlers, stacks

    schedule = stacks._create_stack_task_in_region

    @functools.wraps(schedule)
    def ending(work: Coroutine, stack: dict[str, Any] | None, stack_id: str | None = None) -> None:
        schedule(_ended(work, stack), stack, stack_id)

    changesets._create_stack_task_in_region = handlers._create_stack_task_in_region = ending


async def _ended(work: Coroutine, stack: dict[str, Any] | None) -> None:
    try:
        await work
    except Exception as error:
        if stack is None:
            raise
        log.warning("An operation of stack %s failed: %r", stack["StackName"], error)
        _fail(stack, "The template has a value that can't stand where it does.")


def _fail(stack: dict[str, Any], why: str) -> None:
    from ministack.services.cloudformation import stacks

    status = stack["StackStatus"].replace("_CLEANUP", "").replace("_COMPLETE", "").removesuffix("_IN_PROGRESS")
    stack |= {"StackStatus": f"{status}_FAILED", "StackStatusReason": why}
    name, arn = stack["StackName"], stack["StackId"]
    stacks._add_event(arn, name, name, "AWS::CloudFormation::Stack", stack["StackStatus"], why, arn)


def exists(operation: str) -> bool:
    """Whether AWS has the operation."""
    return operation in botocore.session.Session().get_service_model("cloudformation").operation_names


def form(headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> dict[str, str]:
    """The parameters of a request.

    Raises:
        ApiError: it is in JSON, which MiniStack would read past the checks of a form.
    """
    if "x-amz-target" in headers:
        raise ApiError("UnsupportedProtocol", "CloudFormation reads forms, of the query protocol, only.")
    given = parse_qs(body.decode(errors="replace"), keep_blank_values=True) | query
    return {name: values[0] for name, values in given.items()}


def template(form: dict[str, str], request: Request) -> str:
    """The text of the template that a request brings, or names by its place in S3. "" without one.

    Raises:
        ApiError: its caller may not read it, or it is no text.
    """
    from ministack.services import s3
    from ministack.services.cloudformation import helpers

    if form.get("TemplateBody") or not form.get("TemplateURL"):
        return form.get("TemplateBody", "")
    bucket, _, key = urlsplit(form["TemplateURL"]).path.lstrip("/").partition("/")  # as MiniStack reads it
    request.authorize("s3:GetObject", f"arn:{request.partition}:s3:::{bucket}/{key}")
    content = s3._get_object_data(bucket, key) if bucket and key else None
    if content is None:
        return ""  # MiniStack says what is missing
    if len(content) > helpers.TEMPLATE_BODY_MAX_BYTES:
        why = f"The embedded AWS reads templates of up to {helpers.TEMPLATE_BODY_MAX_BYTES} bytes, from S3 also."
        raise ApiError("ValidationError", why)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ApiError("ValidationError", "Template format error: the template is not UTF-8.") from None
