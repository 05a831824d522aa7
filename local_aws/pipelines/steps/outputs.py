"""The flat inputs and typed outputs of Lambda and Callback steps.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

from __future__ import annotations

from typing import Any

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.model.expressions import is_expression, load_json, to_text
from local_aws.pipelines.model.parameters import PYTHON_TYPES, typed
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.protocol import ApiError

MAX_OUTPUTS = 50
MAX_OUTPUT_CHARACTERS = 1024


# --- in a definition -------------------------------------------------------------------------------------------------


def check_inputs(step: Step) -> None:
    """Refuse arguments that are not flat.

    Raises:
        DefinitionError: one is nested or null.
    """
    for name, value in step.arguments.items():
        if not is_expression(value) and not isinstance(value, str | int | float | bool):
            raise DefinitionError(
                f"Step {step.name}: Arguments.{name} is nested or null. A {step.type} step's inputs must be "
                "strings, numbers, booleans or expressions."
            )


def check_declared(step: Step) -> None:
    """Check the outputs that a step declares.

    Raises:
        DefinitionError: they are too many, or one has no name, no known type, or the name of another.
    """
    declared = step.spec.get("OutputParameters") or []
    if not isinstance(declared, list) or len(declared) > MAX_OUTPUTS:
        raise DefinitionError(f"Step {step.name}: OutputParameters must be a list of at most {MAX_OUTPUTS}.")
    seen = set()
    for item in declared:
        name = item.get("OutputName") if isinstance(item, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 256 or set(item) - {"OutputName", "OutputType"}:
            raise DefinitionError(f"Step {step.name}: each of OutputParameters needs an OutputName and an OutputType.")
        kind = item.get("OutputType", "String")
        if not isinstance(kind, str) or kind not in PYTHON_TYPES:
            raise DefinitionError(
                f"Step {step.name}: output {name} has type {kind!r}. It must be String, Integer, Boolean or Float."
            )
        if name in seen:
            raise DefinitionError(f"Step {step.name}: output {name} is declared twice.")
        seen.add(name)


def check_property(where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
    """Check a reference to an output.

    Raises:
        DefinitionError: the step does not declare it, or the reference reaches into it.
    """
    if keys[:1] != ("OutputParameters",) or len(keys) < 2 or keys[1] not in step.outputs:
        declared = ", ".join(step.outputs) or "none"
        raise DefinitionError(f"{where}: {text} is not an output of step {step.name} (it has: {declared}).")
    if len(keys) > 2:
        raise DefinitionError(f"{where}: {text} reaches into an output, which is one string and has no members.")


# --- in an execution -------------------------------------------------------------------------------------------------


def refuse_nested(inputs: dict[str, Any]) -> None:
    """The inputs of Lambda and Callback steps are flat, also those that are known only now.

    Raises:
        StepFailed: one is not.
    """
    for name, value in inputs.items():
        if not isinstance(value, str | int | float | bool):
            kind = type(value).__name__
            raise StepFailed(f"ClientError: the input {name} is a {kind}, not a string, a number or a boolean.")


def of_function(step: Step, arn: str, payload: bytes) -> dict[str, Any]:
    """The declared outputs, taken from the function's answer.

    Raises:
        StepFailed: an output is missing, of another type, or too long.
    """
    if not step.outputs:
        return {}
    try:
        answer = load_json(payload or b"null")
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
        if len(to_text(value)) > MAX_OUTPUT_CHARACTERS:
            raise StepFailed(
                f"ClientError: Output {name} of {arn} has {len(to_text(value)):,} characters. "
                f"The limit is {MAX_OUTPUT_CHARACTERS:,}."
            )
        outputs[name] = value
    return outputs


def of_callback(step: Step, given: list[dict[str, str]]) -> dict[str, Any]:
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
    """Outputs as the API shows them."""
    return [{"Name": name, "Value": to_text(value)} for name, value in values.items()]
