"""ForEach steps, which run their body once for each item. The rules of their children are in `scheduling.py`.

https://sagemaker.readthedocs.io (ForEachStep)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_aws.pipelines.model.expressions import ExpressionError, drill, is_expression, load_json, paths, to_text
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps.step_type import StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References

MAX_ITERATIONS = 100  # ForEachStep's limit for a list in the definition; the strictest reading for one at run time too
MAX_ITEM_CHARACTERS = 12_800
COUNTS = ("InputItemCount", "TotalStepCount", "SucceededStepCount", "FailedStepCount", "StoppedStepCount")


class ForEachStep(StepType):
    name = "ForEach"
    body = "ForEachBody"

    # --- in a definition -------------------------------------------------------------------------------------------

    def check(self, step: Step, references: References) -> None:
        required = {"IterableItems", "MaxConcurrency", self.body}
        self.check_arguments(step, required=required, allowed=required | {"Selector"})
        self._check_items(step, step.arguments["IterableItems"])
        width = step.arguments["MaxConcurrency"]
        if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 50:
            raise DefinitionError(f"Step {step.name}: MaxConcurrency must be a number from 1 to 50.")
        self._check_body(step)
        if "Selector" in step.arguments:
            self._check_selector(step, references)

    def _check_items(self, step: Step, items: Any) -> None:
        if not isinstance(items, list):
            if not is_expression(items):
                raise DefinitionError(
                    f"Step {step.name}: IterableItems must be a list, or an expression that gives one."
                )
            return
        if not 1 <= len(items) <= MAX_ITERATIONS:
            raise DefinitionError(f"Step {step.name}: IterableItems must have 1 to {MAX_ITERATIONS} items.")
        if not all(is_expression(item) or isinstance(item, str | int | float | bool) for item in items):
            raise DefinitionError(f"Step {step.name}: IterableItems must be expressions, strings, numbers or booleans.")

    def _check_body(self, step: Step) -> None:
        if not step.body:
            raise DefinitionError(f"Step {step.name}: ForEachBody must be a list of at least one step.")
        for child in step.body:
            if child.kind.branches or child.kind.body or child.kind.ends_execution:
                raise DefinitionError(
                    f"Step {step.name}: a {child.type} step ({child.name}) can't be in a ForEachBody."
                )
            needs = child.spec.get("DependsOn")
            if isinstance(needs, list) and any(isinstance(entry, dict) for entry in needs):
                raise DefinitionError(
                    f"Step {child.name}: a step of a ForEachBody can't depend on a failed or stopped step."
                )

    def _check_selector(self, step: Step, references: References) -> None:
        selector = step.arguments["Selector"]
        if not isinstance(selector, dict) or set(selector) != {"Pick", "Field"}:
            raise DefinitionError(f"Step {step.name}: Selector needs Pick and Field.")
        if selector["Pick"] not in ("MaxBy", "MinBy"):
            raise DefinitionError(f"Step {step.name}: Selector.Pick must be MaxBy or MinBy, not {selector['Pick']!r}.")
        where = f"Step {step.name}: Arguments.Selector.Field"
        fields = [path for _, path in references.paths(where, selector["Field"])]
        body = {child.name: child for child in step.body}
        if len(fields) != 1 or fields[0].root != "IterationOutput" or fields[0].name not in body or not fields[0].keys:
            raise DefinitionError(f"{where} must be IterationOutput.<step of the body>.<property>.")
        child = body[fields[0].name]
        child.kind.check_property(where, fields[0].text, child, fields[0].keys)

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        body = {child.name: child for child in step.body}
        if keys in (("Status",), *((count,) for count in COUNTS)):
            return
        if keys[:1] == ("IterationOutputs",) and len(keys) > 3 and isinstance(keys[1], int) and keys[2] in body:
            child, inner = body[str(keys[2])], keys[3:]
        elif keys[:1] == ("Selected",) and len(keys) > 1 and "Selector" in step.arguments:
            child, inner = body[next(paths(step.arguments["Selector"]["Field"])).name], keys[1:]
        else:
            raise DefinitionError(
                f"{where}: {text} is not a property of the ForEach step {step.name} "
                "(Status, its counts, IterationOutputs[index].Step.Property, or Selected.Property with a Selector)."
            )
        child.kind.check_property(where, text, child, inner)

    # --- in an execution -------------------------------------------------------------------------------------------

    def start(self, work: StepWork) -> None:
        items = work.resolve(work.step.arguments["IterableItems"])
        if isinstance(items, str):
            try:
                items = load_json(items)
            except ValueError:
                items = None
        if not isinstance(items, list):
            raise ExpressionError("IterableItems is not a JSON list in this execution")
        if len(items) > MAX_ITERATIONS:
            raise ExpressionError(f"IterableItems has {len(items)} items. The limit is {MAX_ITERATIONS}")
        if any(len(to_text(item)) > MAX_ITEM_CHARACTERS for item in items):
            raise ExpressionError(f"an item of IterableItems is over {MAX_ITEM_CHARACTERS:,} characters")
        work.run.properties["Items"] = items
        work.executing()

    def resume(self, work: StepWork, killed: bool) -> None:
        """One that has its items goes on by its children."""
        if "Items" not in work.run.properties or work.run.status == "Starting":
            super().resume(work, killed)

    def finish(self, work: StepWork, properties: dict[str, Any]) -> None:
        """End the step when its children have.

        Args:
            properties: what `scheduling.loop_properties` says of it.
        """
        reason = None
        if properties["Status"] == "Succeeded" and "Selector" in work.step.arguments:
            try:
                properties["Selected"] = _select(work.step, properties["IterationOutputs"])
            except ExpressionError as error:
                properties["Status"], reason = "Failed", f"ClientError: {error}."
        if properties["Status"] == "Failed" and not reason:
            failed, total = properties["FailedStepCount"], properties["TotalStepCount"]
            reason = f"ClientError: {failed} of {total} child steps failed."
        work.run.properties |= properties
        work.end(properties["Status"], reason)


def _select(step: Step, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    selector = step.arguments["Selector"]
    path = next(paths(selector["Field"]))
    values = [drill(output.get(path.name), path.keys, path.text) for output in outputs]
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ExpressionError(f"the Selector compares {path.text}, which is not a number in every iteration")
    best = (max if selector["Pick"] == "MaxBy" else min)(range(len(values)), key=values.__getitem__)
    return outputs[best][path.name]
