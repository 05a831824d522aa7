"""Check what the steps of a definition refer to, and turn it into what each step waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from local_aws.pipelines.model.expressions import EXECUTION_VARIABLES, ExpressionError, Path, is_expression, paths
from local_aws.pipelines.model.parameters import Parameter
from local_aws.pipelines.model.refusals import NOT_AN_ARRAY, DefinitionError
from local_aws.pipelines.model.step import TRIGGERS, Step


class References:
    """What may be referred to in one definition.

    Args:
        parameters: the pipeline's.
        steps: every step that can run, but those of ForEach bodies, which only their siblings can refer to.
        region: the pipeline's Region.
        runs_image: whether an image of a Processing step runs here.
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        steps: dict[str, Step],
        region: str,
        runs_image: Callable[[str], bool],
    ) -> None:
        self.parameters, self.steps, self.region, self.runs_image = parameters, steps, region, runs_image

    def link(self, step: Step, siblings: dict[str, Step] | None = None, loop: Step | None = None) -> Step:
        """The step with its `needs`, from its references, its dependencies and the condition whose branch it stands in.

        Args:
            siblings: for a step of a ForEach body, the steps of that body.
            loop: for a step of a ForEach body, the ForEach step.

        Raises:
            DefinitionError: it refers to what is not there.
        """
        siblings = siblings or {}
        needs = {}
        for member, value in step.inputs.items():
            for where, path in self.paths(f"Step {step.name}: {member}", value):
                if upstream := self.check(where, path, siblings, loop or step):
                    needs[upstream] = "Completed"
        needs |= self._depends_on(step, siblings)
        if step.branch:
            needs.setdefault(step.branch[0], "Completed")
        for name in step.kind.needs(step):
            needs.setdefault(name, "Completed")
        body = {child.name: child for child in step.body}
        children = [self.link(child, body, step) for child in step.body]
        # What a child needs from outside the body, the ForEach step waits for.
        for child in children:
            needs |= {name: trigger for name, trigger in child.needs.items() if name not in body}
        if step.name in needs:
            raise DefinitionError(f"Step {step.name} depends on itself.")
        inner = [
            replace(child, needs={name: trigger for name, trigger in child.needs.items() if name in body})
            for child in children
        ]
        return replace(step, needs=needs, body=tuple(inner))

    def _depends_on(self, step: Step, siblings: dict[str, Step]) -> dict[str, str]:
        entries = step.spec.get("DependsOn") or []
        if not isinstance(entries, list):
            raise DefinitionError(f"Step {step.name}: DependsOn must be a list.", NOT_AN_ARRAY)
        needs = {}
        for entry in entries:
            trigger = "Completed"
            if isinstance(entry, dict) and set(entry) == {"Step", "Trigger"}:
                entry, trigger = entry["Step"], entry["Trigger"]
                if trigger not in TRIGGERS:
                    raise DefinitionError(f"Step {step.name}: trigger {trigger!r} is not one of {', '.join(TRIGGERS)}.")
            upstream = siblings.get(entry) or self.steps.get(entry) if isinstance(entry, str) else None
            if upstream is None:
                raise DefinitionError(f"Step {step.name}: DependsOn names {entry!r}, which is not a step.")
            if upstream.kind.ends_execution:
                raise DefinitionError(f"Step {step.name}: can not depend on the Fail step {entry}.")
            needs[upstream.name] = trigger
        return needs

    def paths(self, where: str, value: Any) -> Iterator[tuple[str, Path]]:
        """Every path a value refers to, each with the place of its expression, such as `Step A: Arguments.x`."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.paths(f"{where}[{index}]", item)
        elif isinstance(value, dict) and not is_expression(value):
            for name, item in value.items():
                yield from self.paths(f"{where}.{name}", item)
        else:
            try:
                yield from ((where, path) for path in paths(value))
            except ExpressionError as error:
                raise DefinitionError(f"{where}: {error}.") from None

    def check(self, where: str, path: Path, siblings: dict[str, Step], step: Step | None) -> str | None:
        """Check one reference. Returns the name of the step it needs, if any.

        Raises:
            DefinitionError: there is no such thing, or not in this place.
        """
        if path.root == "Steps":
            upstream = siblings.get(path.name) or self.steps.get(path.name)
            if upstream is None:
                raise DefinitionError(
                    f"{where}: {path.text} refers to {path.name}, which is not a step it can refer to."
                )
            upstream.kind.check_property(where, path.text, upstream, path.keys)
            return upstream.name
        if problem := self._problem(path, bool(siblings), step):
            raise DefinitionError(f"{where}: {path.text} {problem}.")
        return None

    def _problem(self, path: Path, in_body: bool, step: Step | None) -> str | None:
        """What is wrong with a reference to something that is no step, or None."""
        if path.root == "Parameters":
            return "is not a parameter of the pipeline" if path.name not in self.parameters or path.keys else None
        if path.root == "Execution":
            if path.name not in EXECUTION_VARIABLES or path.keys:
                return f"is not one of Execution.{', '.join(EXECUTION_VARIABLES)}"
            if path.name == "TrainingJobName" or (path.name == "ProcessingJobName" and not _runs_jobs(step)):
                return "has a value only in a step that runs such a job"
            return None
        if path.root == "ForEach":
            ours = path.name == "CurrentItem" and in_body
            return None if ours else "has a value only in the body of a ForEach step"
        if path.root == "IterationOutput":
            ours = step is not None and bool(step.kind.body) and not in_body
            return None if ours else "has a value only in the Selector of a ForEach step"
        return "must begin with Parameters, Execution or Steps"


def _runs_jobs(step: Step | None) -> bool:
    return step is not None and (step.kind.runs_job or any(child.kind.runs_job for child in step.body))
