"""One step of a definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_aws.pipelines.steps.step_type import StepType

TRIGGERS = ("Completed", "Failed", "Stopped", "Any")


@dataclass(frozen=True)
class Step:
    """One step that can run.

    Attributes:
        kind: what its type does.
        spec: the step as the definition has it.
        needs: the steps it waits for, each with the outcome that lets it run (one of TRIGGERS).
        branch: the Condition step whose branch it stands in, and the outcome that takes that branch.
        body: the steps a ForEach step runs for each item.
    """

    name: str
    kind: StepType
    spec: dict[str, Any]
    needs: dict[str, str]
    branch: tuple[str, bool] | None = None
    body: tuple[Step, ...] = ()

    @property
    def type(self) -> str:
        """The type's name, as in the definition."""
        return self.kind.name

    @property
    def arguments(self) -> dict[str, Any]:
        return self.spec.get("Arguments") or {}

    @property
    def outputs(self) -> dict[str, str]:
        """The declared output parameters of a Lambda or Callback step, each with its type."""
        return {
            item["OutputName"]: item.get("OutputType", "String") for item in self.spec.get("OutputParameters") or []
        }

    @property
    def inputs(self) -> Any:
        """Everything in the step that may hold an expression of the step itself (not of its branches or body)."""
        spec = {key: value for key, value in self.spec.items() if key not in ("DependsOn", "OutputParameters")}
        if "Arguments" in spec or self.kind.holds_steps:
            spec["Arguments"] = {
                key: value for key, value in self.arguments.items() if key not in self.kind.holds_steps
            }
        return spec
