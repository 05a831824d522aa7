"""Draw README's picture, docs/run.svg. It shows the latest execution that succeeded, at the pace at which it ran.

    make tutorial ARGS=--keep && .venv/bin/python docs/draw_run.py

It asks AWS (the embedded one unless SAGEMAKER_BATCH_TARGET says otherwise) for the times of the steps and jobs. The
bars lie on an axis of time, so one cover that slides to the right reveals them as they came. A box changes its color
when its step began and when it ended. Without animation the picture shows the end.
"""

from __future__ import annotations

import html
import itertools
from pathlib import Path

import boto3
import pandas as pd

from utils.config import load_config
from utils.monitoring import jobs
from utils.monitoring.charts import COLORS
from utils.monitoring.step_graph import STATUS_COLORS
from utils.pipeline import latest_execution
from utils.session import connect

PICTURE = Path(__file__).parent / "run.svg"
WIDTH, MARGIN, GAP, BOX = 960, 24, 16, 46
ROW, TOP, LEFT = 9, 120, 150  # a job's row; where the rows begin; where the axis begins
LONGEST = 40  # seconds: a longer run is shown faster
PAUSE = 4  # seconds at the end, before it begins again


def steps(session: boto3.Session, execution: str) -> pd.DataFrame:
    """Columns step, began and ended, in the order in which they began."""
    steps = session.client("sagemaker").list_pipeline_execution_steps(
        PipelineExecutionArn=execution, SortOrder="Ascending"
    )["PipelineExecutionSteps"]
    return pd.DataFrame([(each["StepName"], each["StartTime"], each["EndTime"]) for each in steps]).set_axis(
        ["step", "began", "ended"], axis="columns"
    )


def draw(steps: pd.DataFrame, jobs: pd.DataFrame) -> str:
    """The picture as SVG.

    Args:
        steps: as above.
        jobs: as `monitoring.jobs` returns them, with columns job, definition, created, started and stopped.
    """
    zero = steps["began"].min()
    whole = (steps["ended"].max() - zero).total_seconds()
    pace = min(1, LONGEST / whole)
    loop = whole * pace + PAUSE
    height = TOP + ROW * len(jobs) + 56

    def percent(moment: pd.Timestamp) -> float:
        """Of the loop, when the picture shows this moment."""
        return 100 * (moment - zero).total_seconds() * pace / loop

    def across(moment: pd.Timestamp) -> float:
        """Where on the axis it lies."""
        return LEFT + (WIDTH - MARGIN - LEFT) * (moment - zero).total_seconds() / whole

    style = [
        "text { font: 13px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle }",
        ".small { font-size: 11px; fill: #57606a }",
        f".on {{ animation: {loop:.2f}s step-end infinite }}",
        f".cover {{ animation: slide {loop:.2f}s linear infinite; transform: translateX({WIDTH}px) }}",
        f"@keyframes slide {{ 0% {{ transform: none }} {percent(steps['ended'].max()):.2f}%, 100% "
        f"{{ transform: translateX({WIDTH - MARGIN - LEFT}px) }} }}",
        "@media (prefers-reduced-motion: reduce) { .on, .cover { animation: none } }",
    ]
    shapes = []
    wide = (WIDTH - 2 * MARGIN - GAP * (len(steps) - 1)) / len(steps)
    for number, step in enumerate(steps.itertuples()):
        x = MARGIN + number * (wide + GAP)
        box = f'x="{x:.1f}" y="52" width="{wide:.1f}" height="{BOX}" rx="6"'
        shapes.append(f'<rect {box} fill="#fff" stroke="#5b636d"/>')
        for state, since in (("Executing", step.began), ("Succeeded", step.ended)):
            name = f"{state[0]}{number}"
            style.append(f"@keyframes {name} {{ 0% {{ opacity: 0 }} {percent(since):.2f}%, 100% {{ opacity: 1 }} }}")
            filled = f'{box} fill="{STATUS_COLORS[state]}" stroke="#5b636d"'
            shapes.append(f'<rect class="on" style="animation-name: {name}" {filled}/>')
        seconds = (step.ended - step.began).total_seconds()
        shapes.append(f'<text x="{x + wide / 2:.1f}" y="71">{html.escape(step.step)}</text>')
        shapes.append(f'<text class="small" x="{x + wide / 2:.1f}" y="88">{seconds:.1f} s</text>')
        if number:
            shapes.append(f'<path d="M{x - GAP + 2:.1f} 75h{GAP - 5}m-5 -4l5 4l-5 4" fill="none" stroke="#5b636d"/>')

    colors = dict(zip(jobs["definition"].unique(), itertools.cycle(COLORS), strict=False))  # as in the Gantt chart
    for row, job in enumerate(jobs.itertuples()):
        y = TOP + ROW * row
        waited = f'x="{across(job.created):.1f}" width="{across(job.started) - across(job.created):.1f}"'
        ran = f'x="{across(job.started):.1f}" width="{across(job.stopped) - across(job.started):.1f}"'
        shapes.append(f'<rect class="waited" {waited} y="{y + 2}" height="3" fill="#b8bec6"/>')
        shapes.append(f'<rect class="ran" {ran} y="{y}" height="{ROW - 2}" fill="{colors[job.definition]}"/>')
    bottom = TOP + ROW * len(jobs)
    shapes.append(
        f'<rect class="cover" x="{LEFT}" y="{TOP - 6}" width="{WIDTH}" height="{bottom - TOP + 8}" fill="#fff"/>'
    )
    for step, mine in jobs.groupby(jobs["job"].str.rsplit("-", n=1).str[0], sort=False):
        middle = TOP + ROW * (mine.index.min() + mine.index.max() + 1) / 2
        kind = mine["definition"].iloc[0].rsplit("-", 1)[1]
        shapes.append(f'<text x="{LEFT / 2 + 6:.0f}" y="{middle - 4:.0f}">{len(mine)} {kind} jobs</text>')
        shapes.append(f'<text class="small" x="{LEFT / 2 + 6:.0f}" y="{middle + 11:.0f}">of {html.escape(step)}</text>')
    shapes.append(f'<path d="M{LEFT} {TOP - 6}V{bottom + 4}H{WIDTH - MARGIN}" fill="none" stroke="#5b636d"/>')
    apart = next(each for each in (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600) if whole / each <= 12)
    for second in range(0, int(whole) + 1, apart):
        x = across(zero + pd.Timedelta(seconds=second))
        shapes.append(f'<text class="small" x="{x:.1f}" y="{bottom + 19}">{second} s</text>')
    told = "at its real pace" if pace == 1 else f"{1 / pace:.1f} times as fast"
    shapes.append(f'<text x="{WIDTH / 2}" y="30">An execution of the pipeline and its jobs on AWS Batch, {told}</text>')
    legend = f'<text class="small" x="{(LEFT + WIDTH - MARGIN) / 2:.0f}" y="{bottom + 40}">'
    shapes.append(f"{legend}thin: the job waits for room; thick: it runs</text>")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{len(steps)} steps and {len(jobs)} jobs in {whole:.0f} seconds</title>",
            f"<style>\n{chr(10).join(style)}\n</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#fff"/>',
            *shapes,
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" fill="none" stroke="#d0d7de"/>',
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    config = load_config()
    session = connect(config.target, config.region)
    execution = latest_execution(session, config.pipeline, status="Succeeded")
    PICTURE.write_text(draw(steps(session, execution), jobs(session, config.job_queue, execution)))
    print(PICTURE)  # noqa: T201
