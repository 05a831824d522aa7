"""The values that go into Lambda and Callback steps and come out of them: flat inputs, typed outputs, failures.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from local_aws.pipelines import expressions
from local_aws.pipelines.definition import MAX_OUTPUT_CHARACTERS, Step, typed
from local_aws.protocol import ApiError


class StepFailed(Exception):
    """A step can't go on; the message is its failure reason. `timed_out`: it reached its limit."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


def refuse_nested(inputs: dict[str, Any]) -> None:
    """The inputs of Lambda and Callback steps are flat, also those that are known only now.

    Raises:
        StepFailed: one is not.
    """
    for name, value in inputs.items():
        if not isinstance(value, str | int | float | bool):
            kind = type(value).__name__
            raise StepFailed(f"ClientError: the input {name} is a {kind}, not a string, a number or a boolean.")


_QUEUE_PATH = re.compile(r"/\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?")
_LOOPBACK = re.compile(r"(.+\.)?(localhost|127\.0\.0\.1)")


def check_queue_url(url: str, region: str, endpoint_url: str) -> None:
    """Refuse a URL that is of no queue in this Region: AWS sends to the host it names, not to the queue of that name.

    Args:
        url: a Callback step's SqsQueueUrl.
        region: of the pipeline.
        endpoint_url: of the embedded AWS, whose queues' URLs have its port and a name of this machine.

    Raises:
        StepFailed: in SQS's words.
    """
    try:
        parts, here = urlsplit(url), urlsplit(endpoint_url)
        local = _LOOPBACK.fullmatch(parts.hostname or "") and parts.port == here.port
    except ValueError:
        parts, local = urlsplit(""), None  # a port that is no number, a bracket too many
    hosts = (f"sqs.{region}.amazonaws.com", f"sqs.{region}.amazonaws.com.cn", f"{region}.queue.amazonaws.com")
    if not (_QUEUE_PATH.fullmatch(parts.path) and (local or (parts.scheme == "https" and parts.netloc in hosts))):
        raise StepFailed(
            f"ClientError: Failed to invoke sqs:SendMessage. Error Details: The address {url} is not valid for this "
            f"endpoint. Give the step the URL of a queue in {region}, as GetQueueUrl answers it."
        )


def function_error(arn: str, payload: bytes) -> StepFailed:
    """The reason of a function that raised or ran out of time, in its own words."""
    try:
        error = json.loads(payload)
    except ValueError:
        error = {}
    message = error.get("errorMessage") if isinstance(error, dict) else None
    kind = error.get("errorType", "") if isinstance(error, dict) else ""
    words = f"{kind}: {message}" if kind and message else message or payload.decode("utf-8", "replace")
    timed_out = "Task timed out" in str(message)
    return StepFailed(f"ClientError: The Lambda function {arn} failed: {words}", timed_out=timed_out)


def lambda_outputs(step: Step, arn: str, payload: bytes) -> dict[str, Any]:
    """The declared outputs, taken from the function's answer.

    Raises:
        StepFailed: an output is missing, of another type, or too long.
    """
    if not step.outputs:
        return {}
    try:
        answer = expressions.load_json(payload or b"null")
    except ValueError as error:
        raise StepFailed(f"ClientError: What the Lambda function {arn} returned is not JSON: {error}.") from None
    if not isinstance(answer, dict):
        raise StepFailed(f"ClientError: The Lambda function {arn} must return a JSON object with the step's outputs.")
    outputs = {}
    for name, kind in step.outputs.items():
        if name not in answer:
            raise StepFailed(f"ClientError: What the Lambda function {arn} returned lacks the output {name}.")
        value = typed(answer[name], kind)
        if value is None:
            raise StepFailed(f"ClientError: Output {name} of {arn} must be of type {kind}, not {answer[name]!r}.")
        if len(expressions.to_text(value)) > MAX_OUTPUT_CHARACTERS:
            raise StepFailed(
                f"ClientError: Output {name} of {arn} has {len(expressions.to_text(value)):,} characters; "
                f"the limit is {MAX_OUTPUT_CHARACTERS:,}."
            )
        outputs[name] = value
    return outputs


def callback_outputs(step: Step, given: list[dict[str, str]]) -> dict[str, Any]:
    """The outputs a Callback step was answered with, typed as declared.

    Raises:
        ApiError: ValidationException.
    """
    outputs: dict[str, Any] = {}
    for parameter in given:
        name, text = parameter["Name"], parameter["Value"]
        if name not in step.outputs or name in outputs:
            problem = "given twice" if name in outputs else "not an output of the step"
            declared = ", ".join(step.outputs) or "none"
            message = f"Output parameter {name} of step {step.name} is {problem} (it declares: {declared})."
            raise ApiError("ValidationException", message)
        value = typed(text, step.outputs[name])
        if value is None:
            kind = step.outputs[name]
            message = f"Output parameter {name} of step {step.name} must be of type {kind}, not {text!r}."
            raise ApiError("ValidationException", message)
        outputs[name] = value
    return outputs


def as_parameters(values: dict[str, Any]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": expressions.to_text(value)} for name, value in values.items()]
