"""What a BatchStep is given, and what is wrong with it, before any AWS call. It needs no SageMaker SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# As in submit_jobs and check_jobs. SQS forgets a message after 14 days at most, hence 13 for a deadline.
LIMITS: dict[str, tuple[float, float]] = {
    "max_jobs": (1, 1_000),
    "trial": (1, 1_000),
    "deadline": (1, 13 * 86_400),
    "tolerated_failure_percentage": (0, 100),
    # https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
    "vcpus": (0.25, 10_000),
    "memory_mib": (4, 100_000_000),
    "attempts": (1, 10),
    "timeout": (60, 2_147_483_647),
    "scheduling_priority": (0, 9_999),
}
FRACTIONS = ("deadline", "tolerated_failure_percentage", "vcpus")
S3_URI = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?"
FUNCTION_ARN = r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:function:.+"
QUEUE_URL = r"https?://[^/]+/.+"
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
PARAMETER_NAME = r"[A-Za-z0-9_-]+"


@dataclass(frozen=True, kw_only=True)
class BatchStepOptions:
    """The arguments of a BatchStep. Its docstring explains them.

    Raises:
        ValueError: they don't go together, or the functions would not accept one of them.
    """

    name: str
    job_definition: Any
    job_queue: Any
    output_uri: Any
    submit_function_arn: Any
    callback_queue_url: Any
    items: Any = None
    input_uri: Any = None
    may_be_empty: Any = False
    max_jobs: Any = None
    input_name: Any = None
    output_name: Any = None
    trial: Any = None
    tolerated_failure_percentage: Any = None
    deadline: Any = None
    parameters: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    vcpus: Any = None
    memory_mib: Any = None
    attempts: Any = None
    timeout: Any = None
    share_identifier: Any = None
    scheduling_priority: Any = None
    iteration: Any = None

    def __post_init__(self) -> None:
        self._check_name()
        self._check_what_goes_together()
        self._check_uris()
        self._check_numbers()
        self._check_names_of_values()
        self._check_iteration()

    @property
    def mode(self) -> str:
        """The mode of submit_jobs, either a plain job for each numbered file, or arrays."""
        return "array" if self.max_jobs is None else "per_file"

    def refuse(self, sentence: str) -> None:
        raise ValueError(f'BatchStep "{self.name}": {sentence}')

    def _check_name(self) -> None:
        ending = "-Trial-Submit" if self.trial is not None else "-Submit"
        room = 64 - len(ending)
        if not re.fullmatch(f"[A-Za-z0-9_-]{{1,{room}}}", self.name):
            self.refuse(f'its name must have 1 to {room} letters, digits, "-" and "_", to leave room for "{ending}".')

    def _check_what_goes_together(self) -> None:
        if (self.items is None) == (self.input_uri is None):
            self.refuse("it needs either items (a manifest) or input_uri (a prefix).")
        if self.items is not None and self.max_jobs is not None:
            self.refuse("max_jobs goes with input_uri, since items already says how many. Leave one of them out.")
        if not is_variable(self.may_be_empty) and str(self.may_be_empty).lower() not in ("true", "false", "none"):
            self.refuse(f"may_be_empty must be True or False, not {self.may_be_empty!r}.")
        if self.max_jobs is not None and str(self.may_be_empty).lower() not in ("false", "none"):
            self.refuse("may_be_empty does not go with max_jobs, which is 1 or more. Leave one of them out.")
        if self.max_jobs is None and (self.input_name or self.output_name):
            self.refuse("input_name and output_name are for numbered files. Pass max_jobs too, or leave them out.")

    def _check_uris(self) -> None:
        for key in ("items", "input_uri", "output_uri"):
            uri = getattr(self, key)
            if not _is_text(uri, S3_URI):
                self.refuse(f"{key} must have the form s3://bucket/prefix, not {uri!r}.")
        if not _is_text(self.submit_function_arn, FUNCTION_ARN):
            self.refuse(f"submit_function_arn must be a Lambda function's ARN, not {self.submit_function_arn!r}.")
        if not _is_text(self.callback_queue_url, QUEUE_URL):
            self.refuse(f"callback_queue_url must be an SQS queue's URL, not {self.callback_queue_url!r}.")
        variable = is_variable(self.input_uri) or is_variable(self.output_uri)
        if self.mode == "per_file" or self.input_uri is None or variable:
            return
        if f"{self.output_uri.rstrip('/')}/".startswith(f"{self.input_uri.rstrip('/')}/"):
            self.refuse("output_uri must not lie within input_uri, or the next run takes outputs for inputs.")

    def _check_numbers(self) -> None:
        for key, (low, high) in LIMITS.items():
            number, whole = getattr(self, key), key not in FRACTIONS
            number = number.total_seconds() if isinstance(number, timedelta) else number
            if not (number is None or is_variable(number) or _is_number(number, low, high, whole)):
                kind = "whole number" if whole else "number"
                self.refuse(f"{key} is {number!r}. It must be a {kind} from {low:,} to {high:,}.")

    def _check_names_of_values(self) -> None:
        """Environment and parameters. What submit_jobs itself gives the jobs can't be given here."""
        taken = {
            "parameters": ("s3Input", "s3Output") if self.mode == "per_file" else (),
            "environment": ("MANIFEST_URI", "MANIFEST_LINE_BYTES") if self.mode == "array" else (),
        }
        for key, pattern in (("parameters", PARAMETER_NAME), ("environment", VARIABLE_NAME)):
            for name, value in (getattr(self, key) or {}).items():
                if not isinstance(name, str) or not re.fullmatch(pattern, name):
                    self.refuse(f"{key} has the name {name!r}. Use letters, digits and underscores.")
                if name in taken[key] or (key == "environment" and name.startswith("AWS_BATCH")):
                    self.refuse(f"{key} has {name}, which the kit sets for each job. Use another name.")
                if not is_variable(value) and not isinstance(value, str | int | float):
                    self.refuse(f"{key} has {name}={value!r}. A value is a string, a number or a pipeline variable.")
        if not _is_text(self.share_identifier, "[A-Za-z0-9]{1,255}"):
            self.refuse(f"share_identifier has 1 to 255 letters and digits, so it can't be {self.share_identifier!r}.")

    def _check_iteration(self) -> None:
        """Check the jobs' names. They contain step and iteration, by which submit_jobs recognizes its jobs."""
        if self.iteration is not None and not is_variable(self.iteration):
            self.refuse(f"iteration is a variable such as CurrentItem(), not {self.iteration!r}.")
        if self.iteration is None and any("ForEach.CurrentItem" in json.dumps(expr) for expr in self._variables()):
            self.refuse(
                "its jobs would have the same names in each iteration of the ForEachStep, so that all but the first "
                "iteration would take the first one's jobs for theirs. Pass iteration=CurrentItem() or a member of it."
            )

    def _variables(self) -> Iterator[Any]:
        """All pipeline variables among the values, as in a definition."""
        for value in vars(self).values():
            for each in value.values() if isinstance(value, dict) and not is_variable(value) else [value]:
                if is_variable(each):
                    yield to_json(each)


def is_variable(value: Any) -> bool:
    """Whether a value is known only when the pipeline runs, as an SDK's variable or its form in a definition."""
    return hasattr(value, "expr") or (
        isinstance(value, dict) and len(value) == 1 and next(iter(value)) in JSON_VARIABLE
    )


JSON_VARIABLE = ("Get", "Std:Join", "Std:JsonGet")


def to_json(value: Any) -> Any:
    """The value as it stands in a pipeline definition."""
    if hasattr(value, "expr"):
        return value.expr
    if isinstance(value, dict):
        return {key: to_json(each) for key, each in value.items()}
    return [to_json(each) for each in value] if isinstance(value, list) else value


def _is_text(value: Any, pattern: str) -> bool:
    """Whether it is such a text. What isn't given, and what is known only when the pipeline runs, passes."""
    if value is None or is_variable(value):
        return True
    return isinstance(value, str) and bool(re.fullmatch(pattern, value.rstrip("/")))


def _is_number(value: Any, low: float, high: float, whole: bool) -> bool:
    """The value as the functions see it, where a string may be a number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, bool) and low <= number <= high and (not whole or number.is_integer())
