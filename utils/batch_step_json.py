"""The steps of a BatchStep as a pipeline definition has them. It needs no SageMaker SDK.

    definition["Steps"] += batch_step_json("Days", job_queue="my-queue", ...)

For a pipeline of the SDK's v2, or one that no SDK has made. Later steps refer to
`{"Get": "Steps.Days.OutputParameters['jobs_failed']"}`, and to run after it they have `"DependsOn": ["Days"]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .batch_step_options import BatchStepOptions, is_variable, to_json

SUBMIT_OUTPUTS = {"jobIds": "String", "jobCount": "Integer", "submittedCount": "Integer", "reportUri": "String"}
WAIT_OUTPUTS = {
    "job_status": "String",
    "jobs_total": "Integer",
    "jobs_succeeded": "Integer",
    "jobs_failed": "Integer",
    "failed_items_uri": "String",
    "output_uri": "String",
}
# What submit_jobs is told under the same name.
SUBMIT_KEYS = (
    *("input_uri", "output_uri", "max_jobs", "input_name", "output_name", "trial", "job_queue", "job_definition"),
    *("vcpus", "memory_mib", "attempts", "share_identifier", "scheduling_priority"),
)


@dataclass(frozen=True)
class StepOutput:
    """An output of an earlier step, which a later step is given."""

    step: str
    output: str

    @property
    def expr(self) -> dict[str, str]:
        return {"Get": f"Steps.{self.step}.OutputParameters['{self.output}']"}


def batch_step_json(name: str, *, depends_on: Sequence[str] = (), **options: Any) -> list[dict[str, Any]]:
    """The steps that submit AWS Batch jobs and wait for them, for the `Steps` of a pipeline definition.

    Args:
        name: the name of the step that waits.
        depends_on: names of steps that must succeed before the jobs are submitted. Default: none.
        options: as BatchStep takes them. A pipeline variable is what a definition has for it, such as
            `{"Get": "Parameters.InputUri"}`.

    Returns:
        A Lambda step and a Callback step. With `trial` there are two more before them.

    Raises:
        ValueError: as BatchStep raises it.

    https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/
    """
    first, *others = to_json(step_definitions(BatchStepOptions(name=name, **options)))
    return [{**first, "DependsOn": list(depends_on)} if depends_on else first, *others]


def step_definitions(options: BatchStepOptions) -> list[dict[str, Any]]:
    """As `batch_step_json`, with the pipeline variables as they were given, and StepOutputs."""
    if options.trial is None:
        return [_submitting(options, options.name), _waiting(options, options.name)]
    trial = f"{options.name}-Trial"
    submitting, waiting = _submitting(options, trial), _waiting(options, trial)
    submitting["Arguments"]["only_trial"] = "true"
    waiting["Arguments"].pop("tolerated_failure_percentage", None)  # any failure of the trial is one too many
    after = {**_submitting(options, options.name), "DependsOn": [trial]}
    return [submitting, waiting, after, _waiting(options, options.name)]


def _submitting(options: BatchStepOptions, name: str) -> dict[str, Any]:
    given = {key: getattr(options, key) for key in SUBMIT_KEYS}
    arguments = {
        "mode": options.mode,
        **given,
        "manifest_uri": options.items,
        "may_be_empty": _text_of_truth(options.may_be_empty),
        "timeout_seconds": _seconds(options.timeout),
        **_prefixed("parameters", options.parameters),
        **_prefixed("environment", options.environment),
        "execution_id": {"Get": "Execution.PipelineExecutionArn"},
        "step_name": options.name if options.iteration is None else _joined(options.name, options.iteration),
        "pipeline_steps": " ".join(_names(options)),
    }
    return {
        "Name": f"{name}-Submit",
        "Type": "Lambda",
        "Arguments": _given(arguments),
        "FunctionArn": options.submit_function_arn,
        "OutputParameters": _outputs(
            SUBMIT_OUTPUTS if options.trial is None else {**SUBMIT_OUTPUTS, "trialCount": "Integer"}
        ),
    }


def _waiting(options: BatchStepOptions, name: str) -> dict[str, Any]:
    arguments = {
        "job_ids": StepOutput(f"{name}-Submit", "jobIds"),
        "report_uri": StepOutput(f"{name}-Submit", "reportUri"),
        "output_uri": options.output_uri,
        "tolerated_failure_percentage": options.tolerated_failure_percentage,
        "deadline_seconds": _seconds(options.deadline),
    }
    if options.trial is not None and name == options.name:
        arguments["succeeded_before"] = StepOutput(f"{name}-Submit", "trialCount")
    return {
        "Name": name,
        "Type": "Callback",
        "Arguments": _given(arguments),
        "SqsQueueUrl": options.callback_queue_url,
        "OutputParameters": _outputs(WAIT_OUTPUTS),
    }


def _names(options: BatchStepOptions) -> list[str]:
    waiting = [options.name] if options.trial is None else [f"{options.name}-Trial", options.name]
    return [name for step in waiting for name in (f"{step}-Submit", step)]


def _joined(name: str, iteration: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "-", "Values": [name, iteration]}}


def _prefixed(kind: str, values: dict[str, Any] | None) -> dict[str, Any]:
    """A Lambda step's arguments hold no dicts, so each value has a key that names it."""
    return {f"{kind}.{name}": value for name, value in (values or {}).items()}


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _text_of_truth(value: Any) -> Any:
    return value if is_variable(value) else "true" if str(value).lower() == "true" else None


def _outputs(types: dict[str, str]) -> list[dict[str, str]]:
    return [{"OutputName": name, "OutputType": kind} for name, kind in types.items()]


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}
