"""Condition steps, which choose a branch.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-condition
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.pipelines.model import conditions
from local_aws.pipelines.model.refusals import NOT_AN_ARRAY, DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps.step_type import StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References


class ConditionStep(StepType):
    name = "Condition"
    branches = {True: "IfSteps", False: "ElseSteps"}  # noqa: RUF012 - as declared: a ClassVar

    def check(self, step: Step, references: References) -> None:
        self.check_arguments(step, required={"Conditions"}, allowed={"Conditions", *self.holds_steps})
        written = step.arguments["Conditions"]
        if not isinstance(written, list):
            raise DefinitionError(f"Step {step.name}: Arguments.Conditions must be a list.", NOT_AN_ARRAY)
        for index, condition in enumerate(written):
            if problem := conditions.check(condition):
                raise DefinitionError(f"Step {step.name}: Arguments.Conditions[{index}]: {problem}.")

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        if keys != ("Outcome",):
            raise DefinitionError(f"{where}: a Condition step has the property Outcome only, not {text}.")

    def start(self, work: StepWork) -> None:
        outcome = all(conditions.evaluate(condition) for condition in work.resolve(work.step.arguments["Conditions"]))
        work.run.properties["Outcome"] = outcome
        work.run.metadata["Condition"] = {"Outcome": str(outcome)}
        work.executing()
        work.end("Succeeded")
