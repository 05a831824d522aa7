"""Charts of jobs, of delays and of the queue."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from .batch_jobs import step_of
from .figures import picture

COLORS = ("#4c8eda", "#e07b39", "#7a5cc0", "#3f7d4f")  # of the job definitions, in turn


def gantt(table: pd.DataFrame):
    """A chart of when each job waited and ran.

    Args:
        table: as `jobs` returns it.

    Returns:
        A matplotlib figure. Its `alt` attribute describes it in words.
    """
    import matplotlib.pyplot as plt

    run = table.dropna(subset=["started", "stopped"])
    zero = run["created"].min()
    created, started, stopped = (
        (run[column] - zero).dt.total_seconds() for column in ("created", "started", "stopped")
    )
    figure, axes = plt.subplots(figsize=(9, 0.17 * len(run) + 1), layout="constrained")  # a screen for 24 jobs
    axes.barh(run.index, started - created, left=created, color="#b8bec6", height=0.35, label="waiting")
    for definition, color in zip(run["definition"].unique(), itertools.cycle(COLORS), strict=False):
        mine = run["definition"] == definition
        axes.barh(
            run.index[mine],
            (stopped - started)[mine],
            left=started[mine],
            color=color,
            height=0.75,
            label=f"{definition.rpartition('-')[2]} runs",
        )
    axes.set_yticks(run.index, run["job"], fontsize=8)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the first job was submitted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return picture(figure, _gantt_in_words(run, created, started, stopped))


def _gantt_in_words(run: pd.DataFrame, created: pd.Series, started: pd.Series, stopped: pd.Series) -> str:
    """The chart in words: when each step's jobs ran, how long the last one waited, how many ran at once."""
    of_step = run["job"].map(step_of)
    told = []
    for step in of_step.unique():
        mine = of_step == step
        begun, ended = started[mine], stopped[mine]
        at_once = max(int(((begun <= moment) & (ended > moment)).sum()) for moment in begun)
        waited = (begun - created[mine]).max()
        told.append(
            f"{mine.sum()} of {step} ran from second {begun.min():.0f} to {ended.max():.0f}, "
            f"{at_once} at once at most, and none waited longer than {waited:.0f} seconds"
        )
    return f"Gantt chart of {len(run)} jobs over {stopped.max():.0f} seconds: {'. Then '.join(told)}."


def delays(summary: dict[str, Any]):
    """The answer as a picture, the mean arrival delay by scheduled hour.

    Args:
        summary: what the pipeline's last step wrote.
    """
    import matplotlib.pyplot as plt

    hours = pd.DataFrame(summary["by_hour"]).dropna(subset=["mean_arr_delay"])
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.bar(hours["hour"], hours["mean_arr_delay"], color="#4c8eda")
    axes.axhline(0, color="#7a828c", linewidth=0.8)
    axes.set_xticks(hours["hour"])
    axes.set_xlabel("scheduled hour of departure")
    axes.set_ylabel("mean arrival delay (min)")
    axes.spines[["top", "right"]].set_visible(False)
    best, worst = (hours.loc[hours["mean_arr_delay"].agg(which)] for which in ("idxmin", "idxmax"))
    told = [f"{each['mean_arr_delay']:.0f} minutes at {each['hour']:.0f} o'clock" for each in (best, worst)]
    return picture(figure, f"Bar chart: the mean arrival delay by scheduled hour, from {told[0]} to {told[1]}.")


def queue_over_time(samples: pd.DataFrame):
    """The messages in the callback queue while an execution ran, as `watch` saw them.

    Args:
        samples: columns seconds, waiting, hidden. On AWS, SQS's counts are approximate, and settle within a minute.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 2.2), layout="constrained")
    for column, color, label in (
        ("hidden", "#e07b39", "hidden until the next poll"),
        ("waiting", "#4c8eda", "waiting to be polled"),
    ):
        axes.fill_between(samples["seconds"], samples[column], step="post", color=color, alpha=0.55, label=label)
    axes.set_xlabel("seconds since the watching began")
    axes.set_ylabel("messages")
    axes.locator_params("y", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    most = int((samples["waiting"] + samples["hidden"]).max())
    return picture(figure, f"Line chart: the callback queue holds {most} message{'s' * (most != 1)} at most.")
