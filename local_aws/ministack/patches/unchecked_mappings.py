"""Mappings of queues to functions: what AWS refuses is refused, and the function's role must be able to read the queue.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import functools
import json
import logging
from typing import Any

from local_aws.ministack.ports import roles
from local_aws.protocol import ApiError

SERVICE = "lambda.amazonaws.com"
# What the function's role needs on the queue.
ACTIONS = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
FILTERS = 5

log = logging.getLogger("local_aws.ministack")
_logged: dict[str, str] = {}  # by mapping, the action that its function's role lacks, as the log has it


def apply() -> None:
    """Check what is created and changed, and the role again at each poll."""
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc

    create, update, concurrency = lambda_svc._create_esm, lambda_svc._update_esm, lambda_svc._sqs_esm_concurrency

    @functools.wraps(create)
    def checked_create(data: dict[str, Any]) -> tuple:
        try:
            if not data.get("EventSourceArn"):
                raise _invalid("EventSourceArn is required, because the embedded AWS polls queues only.")
            _check(data, data["EventSourceArn"], data["FunctionName"])
            _check_duplicate(data["EventSourceArn"], data["FunctionName"], "")
        except ApiError as error:
            return error_response_json(error.code, error.message, error.status)
        return create(data)

    @functools.wraps(update)
    def checked_update(mapping_id: str, data: dict[str, Any]) -> tuple:
        mapping = lambda_svc._esms.get(mapping_id)
        try:
            # Who only stops a mapping may do so when its queue, function or role is gone.
            if mapping and {name: data[name] for name in data if name != "UUID"} != {"Enabled": False}:
                function = data.get("FunctionName") or _function_of(mapping)
                _check({**mapping, **data}, mapping["EventSourceArn"], function)
                _check_duplicate(mapping["EventSourceArn"], function, mapping_id)
        except ApiError as error:
            return error_response_json(error.code, error.message, error.status)
        return update(mapping_id, data)

    @functools.wraps(concurrency)
    def allowed_concurrency(mapping: dict, function: dict, config: dict, queue: dict | None = None) -> int:
        """No batch may be in flight while the role may not read the queue, so nothing is received."""
        refused = _refused_action(config.get("Role", ""), mapping["EventSourceArn"])
        if refused and _logged.get(mapping["UUID"]) != refused:
            log.warning("%s is not polled: its function's role may not call %s.", mapping["EventSourceArn"], refused)
            _logged[mapping["UUID"]] = refused
        elif not refused:
            _logged.pop(mapping["UUID"], None)
        return 0 if refused else concurrency(mapping, function, config, queue)

    lambda_svc._create_esm, lambda_svc._update_esm = checked_create, checked_update
    lambda_svc._sqs_esm_concurrency = allowed_concurrency


def check(mapping: dict[str, Any], mapping_id: str = "") -> None:
    """Refuse what CreateEventSourceMapping refuses. `mapping` has the names of its parameters.

    Args:
        mapping_id: of a mapping that is to be changed. Default: it is to be made.

    Raises:
        ApiError: in Lambda's words.
    """
    _check(mapping, mapping["EventSourceArn"], mapping["FunctionName"])
    _check_duplicate(mapping["EventSourceArn"], mapping["FunctionName"], mapping_id)


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValueException", message)


def _function_of(mapping: dict[str, Any]) -> str:
    qualifier = mapping.get("Qualifier")
    return mapping["FunctionName"] + (f":{qualifier}" if qualifier else "")


def _refused_action(role: str, queue: str) -> str | None:
    """The first action that the role may not do on the queue, or the first of all when it can't be assumed."""
    try:
        credentials = roles.assume_role(role, SERVICE, session_name="event-source-mapping")
    except ApiError:
        return ACTIONS[0]
    region = queue.split(":")[3]
    return next((name for name in ACTIONS if roles.is_allowed(credentials, f"sqs:{name}", queue, region)), None)


def _check(data: dict[str, Any], source: str, function: str) -> None:
    """Refuse a mapping that AWS refuses: `data` is the whole mapping, as it would be."""
    from ministack.services import lambda_svc, sqs

    name, qualifier, missing = lambda_svc._resolve_existing_esm_function(function)
    if missing:
        raise ApiError("ResourceNotFoundException", f"Function not found: {_arn(function)}", 404)
    _, malformed = lambda_svc._validate_event_source_arn(source)
    if malformed:
        raise _invalid(json.loads(malformed[2])["message"])
    if source.split(":")[2] != "sqs":
        raise _invalid(f"The embedded AWS polls queues only, and {source} is none.")
    _, config = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    queue = sqs._queue_by_arn(source)
    if queue is None:
        raise _invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist for this wsdl version."
        )
    if refused := _refused_action(config.get("Role", ""), source):
        raise _invalid(f"The function execution role does not have permissions to call {refused} on SQS")
    visible, timeout = int(queue["attributes"]["VisibilityTimeout"]), config.get("Timeout", 3)
    if visible < timeout:
        raise _invalid(f"Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds")
    _check_batches(data, queue["is_fifo"])
    _check_filters(data.get("FilterCriteria") or {})


def _arn(function: str) -> str:
    from ministack.services import lambda_svc

    return function if function.startswith("arn:") else lambda_svc._func_arn(function)


def _check_batches(data: dict[str, Any], fifo: bool) -> None:
    size, window = data.get("BatchSize") or 10, data.get("MaximumBatchingWindowInSeconds") or 0
    if fifo and window:
        raise _invalid("Batching window is not supported for FIFO queues")
    if fifo and size > 10:
        raise _invalid("Batch size for FIFO queues must not be greater than 10")
    if size > 10 and not window:
        raise _invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _check_filters(criteria: dict[str, Any]) -> None:
    filters = criteria.get("Filters") or []
    if len(filters) > FILTERS:
        raise _invalid(f"A mapping has {FILTERS} filters at most.")
    for one in filters:
        try:
            pattern = json.loads(one.get("Pattern") or "")
        except (ValueError, RecursionError):
            pattern = None
        if not _is_pattern(pattern):
            raise _invalid("Invalid filter pattern definition.")


def _is_pattern(pattern: Any) -> bool:
    """An object whose leaves are lists: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html"""
    if not isinstance(pattern, dict) or not pattern:
        return False
    return all(bool(value) if isinstance(value, list) else _is_pattern(value) for value in pattern.values())


def _check_duplicate(source: str, function: str, mapping_id: str) -> None:
    """A queue and a function, or a version of it, have one mapping."""
    from ministack.services import lambda_svc

    name, qualifier = lambda_svc._resolve_request_scoped_name_and_qualifier(function)
    for other in lambda_svc._esms.values():
        same = (other["EventSourceArn"], other["FunctionName"], other.get("Qualifier")) == (source, name, qualifier)
        if same and other["UUID"] != mapping_id:
            raise ApiError(
                "ResourceConflictException",
                f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") already exists. '
                f"Please update or delete the existing mapping with UUID {other['UUID']}",
                409,
            )
