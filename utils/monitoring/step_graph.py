"""A pipeline as a graph of the steps that wait for each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pandas as pd

from .figures import picture
from .pipeline_steps import steps

BRANCHES = ("IfSteps", "ElseSteps")  # the arguments of a Condition step that are steps
NOT_STARTED = "Not started"  # our word: AWS lists only steps that have begun
STATUS_COLORS = {
    "Succeeded": "#bfe3c6",
    "Executing": "#cfe0f7",
    "Starting": "#cfe0f7",
    "Failed": "#f3c0bd",
    "Stopping": "#f5dfb0",
    "Stopped": "#f5dfb0",
}


def graph(session: boto3.Session, execution: str):
    """An execution as a picture, with a box per step, its status and seconds, and an arrow to each step that follows.

    Returns:
        A matplotlib figure. Its `alt` attribute describes it in words.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineDefinitionForExecution.html
    """
    return draw_graph(dependencies(step_definitions(session, execution)), steps(session, execution))


def step_definitions(session: boto3.Session, execution: str) -> list[dict[str, Any]]:
    """The steps of the pipeline definition that this execution runs, those in the branches of conditions too."""
    answer = session.client("sagemaker").describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)
    return list(with_branches(json.loads(answer["PipelineDefinition"])["Steps"]))


def with_branches(steps: list[dict[str, Any]], condition: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """These steps and, behind each condition, those of its branches, of which the first wait for it."""
    waits_for = dependencies([_alone(step) for step in steps])
    for step in steps:
        after = () if waits_for[step["Name"]] else condition
        yield {**_alone(step), "DependsOn": [*step.get("DependsOn", []), *after]}
        for branch in BRANCHES if step["Type"] == "Condition" else ():
            yield from with_branches(step["Arguments"].get(branch, []), [step["Name"]])


def _alone(step: dict[str, Any]) -> dict[str, Any]:
    """A step without the steps of its branches."""
    if step["Type"] != "Condition":
        return step
    return {**step, "Arguments": {key: value for key, value in step["Arguments"].items() if key not in BRANCHES}}


def dependencies(definition: list[dict[str, Any]]) -> dict[str, set[str]]:
    """For each step of a definition the steps it waits for, by DependsOn or because it uses their outputs."""
    names = {step["Name"] for step in definition}
    waits_for = {}
    for step in definition:
        # A step that waits for another's failure names it with that as the trigger.
        named = {each["Step"] if isinstance(each, dict) else each for each in step.get("DependsOn", [])}
        waits_for[step["Name"]] = names & (named | steps_used(step["Arguments"]))
    return waits_for


def steps_used(arguments: Any) -> set[str]:
    """The steps whose outputs these arguments use."""
    return set(re.findall(r'"Get": ?"Steps\.([^.\[]+)', json.dumps(arguments)))


def columns_of(waits_for: dict[str, set[str]]) -> dict[str, int]:
    """Each step's column, to the right of all steps it waits for."""
    columns: dict[str, int] = {}
    while len(columns) < len(waits_for):  # a definition has no cycles
        columns |= {
            step: 1 + max((columns[before] for before in waits), default=-1)
            for step, waits in waits_for.items()
            if step not in columns and waits <= columns.keys()
        }
    return columns


def direct(waits_for: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same without what follows from the others. An arrow past a step would cross its box."""

    def all_before(step: str) -> set[str]:
        return waits_for[step].union(*map(all_before, waits_for[step]))

    return {step: waits - set().union(*map(all_before, waits)) for step, waits in waits_for.items()}


def draw_graph(waits_for: dict[str, set[str]], table: pd.DataFrame, jobs_done: dict[str, str] | None = None) -> Any:
    """Steps in columns, with arrows between them.

    Args:
        waits_for: as `dependencies` returns it.
        table: as `steps` returns it.
        jobs_done: how far the jobs are that a step waits for, such as "7 of 12 jobs". Default: none.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    columns = columns_of(waits_for)
    places: dict[str, tuple[float, float]] = {}
    for column in range(max(columns.values()) + 1):
        mine = [step for step in waits_for if columns[step] == column]
        places |= {step: (column, (len(mine) - 1) / 2 - row) for row, step in enumerate(mine)}
    rows = 2 * max(y for _, y in places.values()) + 1
    figure, axes = plt.subplots(figsize=(1.5 * (max(columns.values()) + 1), 0.8 * rows + 0.1), layout="constrained")
    arrows = direct(waits_for)
    known = table.set_index("step")
    wide, high = 0.84, 0.72  # of a box, where columns and rows are 1 apart
    fontsize = min(8.5, 135 / max(map(len, waits_for)))  # the longest name fits
    for step, (x, y) in places.items():
        status = known.at[step, "status"] if step in known.index else NOT_STARTED
        seconds = known.at[step, "seconds"] if step in known.index else None
        more = (jobs_done or {}).get(step, "") if seconds is None or pd.isna(seconds) else f"{seconds:.1f} s"
        told = f"{status}\n{more}" if more else status
        axes.add_patch(
            FancyBboxPatch(
                (x - wide / 2, y - high / 2),
                wide,
                high,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=STATUS_COLORS.get(status, "#ffffff"),
                edgecolor="#5b636d",
            )
        )
        axes.text(x, y, f"{step}\n{told}", ha="center", va="center", fontsize=fontsize, color="#1b1f24")
        for before in arrows[step]:
            from_x, from_y = places[before]
            begin, end = (from_x + wide / 2, from_y), (x - wide / 2, y)
            arrow = {"arrowstyle": "-|>", "color": "#5b636d", "shrinkA": 1, "shrinkB": 1}
            axes.annotate("", xytext=begin, xy=end, arrowprops=arrow)
    axes.set_xlim(-0.6, max(columns.values()) + 0.6)
    axes.set_ylim(-rows / 2, rows / 2)
    axes.axis("off")
    in_order = sorted(waits_for, key=lambda step: columns[step])
    words = [f"{step} {known.at[step, 'status'] if step in known.index else NOT_STARTED}" for step in in_order]
    return picture(figure, "The pipeline as a graph, its steps in their order: " + ", ".join(words) + ".")
