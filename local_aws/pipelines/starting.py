"""Prepare an execution's parameter values, and the steps that a selective execution takes over."""

from __future__ import annotations

import dataclasses
from typing import Any

from local_aws.pipelines.model.definition import Definition
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.state import ENDED_EXECUTION, Execution
from local_aws.protocol import ApiError


def parameters(definition: Definition, given: list[dict[str, str]]) -> dict[str, Any]:
    """The typed value of every parameter, those by default included.

    Raises:
        ApiError: ValidationException for one that is unknown, given twice, missing or of another type.
    """
    values = {name: parameter.default for name, parameter in definition.parameters.items()}
    seen: set[str] = set()
    for item in given:
        name = item["Name"]
        if name not in definition.parameters or name in seen:
            problem = "given twice" if name in seen else "not a parameter of the pipeline"
            known = ", ".join(definition.parameters) or "none"
            raise ApiError("ValidationException", f"{name} is {problem} (its parameters: {known}).")
        seen.add(name)
        if not item["Value"]:
            # AWS's words: https://github.com/aws/sagemaker-python-sdk/issues/4016
            message = (
                '[string "" is too short (length: 0, required minimum: 1)] '
                f"Give parameter {name} a value, or leave it out to take its default."
            )
            raise ApiError("ValidationException", message)
        try:
            values[name] = definition.parameters[name].value(item["Value"])
        except DefinitionError as error:
            raise ApiError("ValidationException", str(error)) from None
    if missing := [name for name, value in values.items() if value is None]:
        message = f"Parameters without a default need a value: {', '.join(missing)}."
        raise ApiError("ValidationException", message)
    return values


def take_over(execution: Execution, definition: Definition, executions: dict[str, Execution]) -> None:
    """Prepare a selective execution. What its steps need from others comes from a reference execution.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html

    Raises:
        ApiError: ValidationException when the selection has gaps or unknown steps, or the reference does not do.
    """
    selected = execution.selected or set()
    if unknown := sorted(selected - set(definition.steps)):
        raise ApiError("ValidationException", f"SelectedSteps names {', '.join(unknown)}, not a step of the pipeline.")
    outside = {need for name in selected for need in definition.steps[name].needs} - selected
    _refuse_gaps(definition, selected)
    arn = (execution.selective or {}).get("SourcePipelineExecutionArn")
    if not outside:
        return
    source = executions.get(arn or "")
    if source is None or source.pipeline_arn != execution.pipeline_arn:
        raise ApiError(
            "ValidationException",
            f"Invalid SourcePipelineExecutionArn: {arn or 'null'}. The selected steps {sorted(selected)} have "
            f"dependencies on {sorted(outside)}",
        )
    if source.status not in ENDED_EXECUTION:
        raise ApiError("ValidationException", f"The reference execution {arn} has not ended ({source.status}).")
    for name in sorted(outside):
        run = source.runs.get(name)
        if run is None or run.status != "Succeeded":
            message = f"Step {name}, on which the selected steps depend, did not succeed in {arn}."
            raise ApiError("ValidationException", message)
        execution.runs[name] = dataclasses.replace(run, selective_source=source.arn)


def _refuse_gaps(definition: Definition, selected: set[str]) -> None:
    """ "All steps in all paths between two selected steps should be included"."""
    above: dict[str, set[str]] = {}
    for name in definition.order:
        above[name] = set().union(*({need} | above[need] for need in definition.steps[name].needs))
    for name in sorted(selected):
        between = {step for step in above[name] - selected if above[step] & selected}
        if between:
            message = f"SelectedSteps must include {', '.join(sorted(between))}, between the selected steps."
            raise ApiError("ValidationException", message)
