"""CloudFormation's stacks: each resource is made as the caller, and checked as its own service checks it.

MiniStack's handlers of resources write into the services' stores: past IAM, past our checks of mappings and roles, and
over what exists already. What they don't know they ignore. Types and properties that are not in `types` are refused.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-template.html
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import Callable
from typing import Any

from local_aws import refusals
from local_aws.ministack import members
from local_aws.ministack.patches.unchecked_stacks import checks, operations, templates
from local_aws.ministack.patches.unchecked_stacks.types import TYPES, Type
from local_aws.ministack.ports import identity
from local_aws.protocol import ApiError, Request

# The others would change a stack without its caller's rights, or are of kinds that are not here.
OPERATIONS = members.HONOURED["cloudformation"].keys()

log = logging.getLogger("local_aws.ministack")

_access_key: contextvars.ContextVar[str] = contextvars.ContextVar("local_aws_stack_access_key", default="")


def apply() -> None:
    """Keep the types that are covered, with their checks, and the operations on stacks."""
    from ministack import app
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS
    for name in list(handlers):
        if name not in TYPES:
            del handlers[name]
        else:
            handlers[name] = _checked(name, TYPES[name], handlers[name])
    templates.apply()
    operations.apply()
    app.SERVICE_HANDLERS["cloudformation"] = _as_caller(app.SERVICE_HANDLERS["cloudformation"])


def _as_caller(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Check a request, and remember who calls, for the resources that are made after the answer."""
    from ministack.core import router
    from ministack.services import lambda_svc

    @functools.wraps(handler)
    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> tuple:
        key = router.extract_access_key_id(headers, query)
        try:
            form = operations.form(headers, body, query)
            _check_request(form)
            if text := operations.template(form, identity.caller("cloudformation", key)):
                await asyncio.to_thread(templates.check, text)
            _access_key.set(key)
            lambda_svc._request_access_key.set(key)  # an update of a function asks for it
            return await handler(method, path, headers, body, query)
        except ApiError as error:
            return _refused(error, headers)
        except templates.UNREADABLE as error:
            log.warning("CloudFormation could not read a request: %r", error)
            why = "Template error: the template has a value that can't stand where it does."
            return _refused(ApiError("ValidationError", why), headers)

    return handle


def _refused(error: ApiError, headers: dict[str, str]) -> tuple:
    answer = refusals.response(error, "cloudformation", headers)
    return answer.status, dict(answer.headers), answer.body


def _check_request(form: dict[str, str]) -> None:
    operation = form.get("Action", "")
    if operation not in OPERATIONS:
        if not operations.exists(operation):
            raise ApiError("InvalidAction", f"CloudFormation has no action {operation!r}.")
        raise ApiError(
            "NotImplementedException",
            f"The embedded AWS does not cover cloudformation:{operation}. local_aws/README.md lists what it has.",
            501,
        )
    if form.get("RoleARN"):
        raise ApiError("ValidationError", "The embedded AWS makes a stack as its caller only, without RoleARN.")
    if form.get("ChangeSetType") == "IMPORT":
        raise ApiError("ValidationError", "The embedded AWS does not import resources into a stack.")


def _checked(name: str, kind: Type, handler: dict[str, Any]) -> dict[str, Any]:
    """MiniStack's handler of a type, with our checks before each of its three calls."""

    def create(logical_id: str, props: dict, stack: str) -> tuple:
        def check(request: Request) -> None:
            checks.check_new(name, kind, request, props, checks.arn(kind, request, props, stack, logical_id))

        _as_value_error(check)
        made = handler["create"](logical_id, props, stack)
        kind.after(made[0], props)
        return made

    def update(physical_id: str, old: dict, new: dict, stack: str, logical_id: str | None = None) -> tuple:
        def check(request: Request) -> None:
            resource = checks.arn(kind, request, new, stack, logical_id or physical_id)
            checks.check_changed(name, kind, request, new, resource, physical_id)

        _as_value_error(check)
        more = (logical_id,) if handler.get("update_with_logical_id") else ()
        made = handler["update"](physical_id, old, new, stack, *more)
        kind.after(made[0], new)
        return made

    def delete(physical_id: str, props: dict, logical_id: str | None = None) -> None:
        def check(request: Request) -> None:
            checks.check_deleted(kind, request, checks.arn_of(kind, request, physical_id, props))

        _as_value_error(check)
        handler["delete"](physical_id, props, *((logical_id,) if handler.get("delete_with_logical_id") else ()))

    # Without `import`: what exists is not taken into a stack.
    flags = {"update_with_logical_id": True, "delete_with_logical_id": True}
    return {"create": create, "update": update, "delete": delete, **flags}


def _as_value_error(check: Callable[[Request], None]) -> None:
    """A refusal becomes the reason of the resource's failure, which MiniStack takes from a ValueError."""
    try:
        check(identity.caller("cloudformation", _access_key.get()))
    except ApiError as error:
        raise ValueError(error.message) from None
