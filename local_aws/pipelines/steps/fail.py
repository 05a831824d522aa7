"""Fail steps, which end the execution.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-fail
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.pipelines.model.expressions import is_expression, to_text
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps.step_type import StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References

MAX_MESSAGE_CHARACTERS = 3072


class FailStep(StepType):
    name = "Fail"
    ends_execution = True

    def check(self, step: Step, references: References) -> None:
        self.check_arguments(step, required=set(), allowed={"ErrorMessage"})
        message = step.arguments.get("ErrorMessage", "")
        if not is_expression(message) and not (isinstance(message, str) and len(message) <= MAX_MESSAGE_CHARACTERS):
            raise DefinitionError(
                f"Step {step.name}: Arguments.ErrorMessage must be a string of at most 3,072 characters."
            )

    def start(self, work: StepWork) -> None:
        text = to_text(work.resolve(work.step.arguments.get("ErrorMessage", "")))[:MAX_MESSAGE_CHARACTERS]
        work.run.metadata["Fail"] = {"ErrorMessage": text}
        work.executing()
        work.end("Failed", text)
