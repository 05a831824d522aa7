"""What every step type has in common."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.processing import caching

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References

COMMON_MEMBERS = frozenset({"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"})


class StepType:
    """One type of step. The StepRun has the state.

    Attributes:
        name: as the definition has it in Type.
        members: what a step of this type may have.
        branches: the arguments that hold the steps of its branches, by the outcome that takes them.
        body: the argument that holds the steps it runs for each item, or "".
        runs_job: whether a step of this type runs a Processing job.
        ends_execution: whether a step of this type ends its execution.
    """

    name: ClassVar[str]
    members: ClassVar[frozenset[str]] = COMMON_MEMBERS
    branches: ClassVar[dict[bool, str]] = {}
    body: ClassVar[str] = ""
    runs_job: ClassVar[bool] = False
    ends_execution: ClassVar[bool] = False

    @property
    def holds_steps(self) -> tuple[str, ...]:
        """The arguments that hold other steps."""
        return (*self.branches.values(), self.body) if self.body else tuple(self.branches.values())

    # --- in a definition -------------------------------------------------------------------------------------------

    def check_common(self, step: Step) -> None:
        """Check what steps of every type may have.

        Raises:
            DefinitionError: it is wrong.
        """
        for member, limit in (("DisplayName", 256), ("Description", 3072)):
            value = step.spec.get(member)
            if value is not None and (not isinstance(value, str) or len(value) > limit):
                raise DefinitionError(f"Step {step.name}: {member} must be a string of at most {limit:,} characters.")
        cache = step.spec.get("CacheConfig")
        if cache is not None and (problem := caching.check(cache)):
            raise DefinitionError(f"Step {step.name}: CacheConfig {problem}.")

    def check(self, step: Step, references: References) -> None:
        """Check what a step of this type says.

        Raises:
            DefinitionError: it is wrong, or does not run here.
        """
        raise NotImplementedError

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        """Check that a step of this type has the property that `keys` lead to.

        Args:
            where: the place of the reference.
            text: the reference as it is written.

        Raises:
            DefinitionError: it has not.
        """
        raise DefinitionError(f"{where}: {text} refers to a {self.name} step, which has no properties.")

    def needs(self, step: Step) -> Iterable[str]:
        """Steps it waits for besides those it refers to and depends on."""
        return ()

    def check_arguments(self, step: Step, required: set[str], allowed: set[str]) -> None:
        """Check the names of a step's arguments.

        Raises:
            DefinitionError: one is missing or is not known.
        """
        if missing := sorted(required - set(step.arguments)):
            raise DefinitionError(f"Step {step.name}: Arguments needs {', '.join(missing)}.")
        if unknown := sorted(set(step.arguments) - allowed):
            raise DefinitionError(f"Step {step.name}: Arguments of a {self.name} step has no {', '.join(unknown)}.")

    # --- in an execution -------------------------------------------------------------------------------------------

    def start(self, work: StepWork) -> Coroutine[Any, Any, None] | None:
        """Begin a step, when the values of its expressions are there.

        Returns:
            Return what the caller has left to do in a task, or None when the step has ended or waits for others.
        """
        raise NotImplementedError

    def resume(self, work: StepWork, killed: bool) -> None:
        """Go on with a step that had not ended when the last server did. Most are done again from the beginning.

        Args:
            killed: whether the last server was killed. False after a clean stop.
        """
        if work.run.status == "Stopping":
            work.end("Stopped")
        else:
            work.begin()

    def finish(self, work: StepWork, properties: dict[str, Any]) -> None:
        """End a step with a body when all that it ran for its items has ended.

        Args:
            properties: what `scheduling.loop_properties` says of it.
        """
        raise NotImplementedError

    def stop(self, work: StepWork) -> None:
        """Stop a step that runs. Its status is Stopping already."""
