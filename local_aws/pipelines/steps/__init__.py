"""One class per step type says what it accepts, how it starts, how it goes on after a restart, and how it stops."""

from __future__ import annotations

from local_aws.pipelines.steps.callback import CallbackStep
from local_aws.pipelines.steps.cleanup import CleanupStep
from local_aws.pipelines.steps.condition import ConditionStep
from local_aws.pipelines.steps.fail import FailStep
from local_aws.pipelines.steps.for_each import ForEachStep
from local_aws.pipelines.steps.function import LambdaStep
from local_aws.pipelines.steps.processing import ProcessingStep
from local_aws.pipelines.steps.step_type import StepType

TYPES: dict[str, StepType] = {
    kind.name: kind
    for kind in (
        CallbackStep(), CleanupStep(), ConditionStep(), FailStep(), ForEachStep(), LambdaStep(), ProcessingStep(),
    )
}  # fmt: skip

__all__ = ["TYPES"]
