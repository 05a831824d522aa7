"""Read a run's steps, jobs and logs, and why it failed (notebook 06). Public APIs only, on either target."""

from .alarms import alarm_names, ensure_alarms, wait_for_alarm
from .batch_jobs import described_jobs, jobs, wait_for_jobs
from .charts import delays, gantt, queue_over_time
from .dashboard import ensure_dashboard
from .dashboard_picture import draw_dashboard
from .failure import explain
from .figures import picture
from .following import follow
from .live_view import Watched, watch
from .logs import answers, job_log
from .loop import watch_job, watch_loop
from .pipeline_steps import step_outputs, steps
from .step_graph import graph

__all__ = [
    "Watched",
    "alarm_names",
    "answers",
    "delays",
    "described_jobs",
    "draw_dashboard",
    "ensure_alarms",
    "ensure_dashboard",
    "explain",
    "follow",
    "gantt",
    "graph",
    "job_log",
    "jobs",
    "picture",
    "queue_over_time",
    "step_outputs",
    "steps",
    "wait_for_alarm",
    "wait_for_jobs",
    "watch",
    "watch_job",
    "watch_loop",
]
