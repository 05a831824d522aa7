"""What is said of a wrong definition: the words AWS was recorded to answer, if there are any, then our sentence.

The recordings are in issues of https://github.com/aws/sagemaker-python-sdk: 3908 (object), 2345 (array), 4994 (member).
The words for an enumeration were quoted for ProcessingS3InputMode, in a comment of a public pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable

NOT_AN_OBJECT = "Expecting start of Json Object."
NOT_AN_ARRAY = "Expecting start of Json Array."


class DefinitionError(ValueError):
    """A definition is wrong.

    Args:
        problem: one sentence that names the place and says what belongs there.
        recorded: AWS's own words for this kind of fault, which then come first.
    """

    def __init__(self, problem: str, recorded: str = "") -> None:
        super().__init__(f"{recorded} {problem}" if recorded else problem)
        self.problem, self.recorded = problem, recorded

    def at(self, place: str) -> DefinitionError:
        """The same error with the place that it was met in."""
        return DefinitionError(f"{place}: {self.problem}", self.recorded)


def unknown_argument(member: str) -> str:
    """AWS's words for an argument that the job's API does not have."""
    return f"Unknown Argument member '{member}'."


def not_in_enum(value: str, shape: str, allowed: Iterable[str]) -> str:
    """AWS's words for a value outside an enumeration of the job's API."""
    values = ", ".join(allowed)
    return f"Model Validation failed: Value '{value}' for '{shape}' failed to satisfy enum value set: [{values}]."
