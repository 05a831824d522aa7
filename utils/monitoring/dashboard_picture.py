"""A dashboard's graphs as one picture."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from .charts import COLORS
from .figures import picture

COLUMNS = 3
# Above the graph, where it covers no line, in two rows as wide as the graph.
LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "ncols": 2,
    "fontsize": 7.5,
    "frameon": False,
    "borderpad": 0,
    "borderaxespad": 0.3,
    "labelspacing": 0.2,
    "handlelength": 1,
    "handletextpad": 0.4,
    "columnspacing": 0.8,
}


@dataclass
class Line:
    """A metric of a graph.

    Attributes:
        label: its name in the legend.
        query: of GetMetricData.
        values: by their times.
    """

    label: str
    query: dict[str, Any]
    values: dict[datetime, float] = field(default_factory=dict)


def draw_dashboard(session: boto3.Session, name: str, *, minutes: float = 60) -> Any:
    """The graphs of a dashboard as a picture, with the values that CloudWatch has.

    Args:
        name: the dashboard's name.
        minutes: how far back the picture goes. Default: an hour.

    Returns:
        A matplotlib figure. Its `alt` attribute describes it in words.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetDashboard.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
    """
    cloudwatch = session.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    widgets = [widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"]
    graphs = {widget["title"]: _lines(widget, number) for number, widget in enumerate(widgets)}
    lines = {line.query["Id"]: line for graph in graphs.values() for line in graph}
    now = datetime.now(UTC)
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[line.query for line in lines.values()],
        StartTime=now - timedelta(minutes=minutes),
        EndTime=now,
    )
    for result in (result for page in pages for result in page["MetricDataResults"]):
        lines[result["Id"]].values |= dict(zip(result["Timestamps"], result["Values"], strict=True))
    return _draw(graphs)


def _lines(widget: dict[str, Any], number: int) -> list[Line]:
    """The metrics of a graph. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    lines = []
    for place, (namespace, metric, *more) in enumerate(widget["metrics"]):
        options = more.pop() if more and isinstance(more[-1], dict) else {}
        dimensions = [{"Name": key, "Value": value} for key, value in zip(more[::2], more[1::2], strict=True)]
        named = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
        query = {
            "Id": f"graph{number}_line{place}",
            "MetricStat": {"Metric": named, "Period": widget["period"], "Stat": widget["stat"]},
        }
        lines.append(Line(options.get("label", metric), query))
    return lines


def _draw(graphs: dict[str, list[Line]]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.dates import DateFormatter

    rows = -(-len(graphs) // COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(9, 2.1 * rows + 0.3), sharex=True, squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(graphs) :]:
        axes.axis("off")
    for axes, (title, lines) in zip(grid.flat, graphs.items(), strict=False):
        axes.set_title(title, fontsize=9, loc="left", pad=26)  # above the legend
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(_times())
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
        axes.locator_params("y", integer=True, nbins=4)
        for line, color in zip(lines, itertools.cycle(COLORS), strict=False):
            times = sorted(line.values)
            axes.plot(times, [line.values[time] for time in times], marker="o", ms=3, color=color, label=line.label)
        axes.set_ylim(0, 1.15 * max([1, *(value for line in lines for value in line.values.values())]))
        if not any(line.values for line in lines):
            axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", fontsize=8, color="#5b636d")
        elif len(lines) > 1:
            axes.legend(**LEGEND)
    for axes in grid[-1]:
        axes.set_xlabel("time (UTC)", fontsize=8)
    return picture(figure, _in_words(graphs))


def _times() -> Any:
    """Up to six times below a graph, each a whole minute, since CloudWatch gives one value for a minute."""
    from matplotlib.dates import MINUTELY, AutoDateLocator

    locator = AutoDateLocator(minticks=1, maxticks=6)
    locator.intervald[MINUTELY] = [1, 2, 5, 10, 15, 30]
    return locator


def _in_words(graphs: dict[str, list[Line]]) -> str:
    """The picture in words: the highest value of each line."""
    told = []
    for title, lines in graphs.items():
        highest = [f"{line.label} at most {max(line.values.values()):.3g}" for line in lines if line.values]
        told.append(f"{title}: {', '.join(highest) or 'no values yet'}.")
    return " ".join([f"{len(graphs)} line charts.", *told])
