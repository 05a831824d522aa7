"""Read a run: its steps, its jobs, their logs, and why it failed (notebook 06). Public APIs only, on either target."""

from utils.monitoring.alarms import alarm_names, ensure_alarms
from utils.monitoring.batch_jobs import described_jobs, jobs, wait_for_jobs
from utils.monitoring.charts import delays, gantt, queue_over_time
from utils.monitoring.dashboard import ensure_dashboard
from utils.monitoring.failure import explain
from utils.monitoring.figures import picture
from utils.monitoring.live_view import Watched, watch
from utils.monitoring.logs import answers, job_log
from utils.monitoring.pipeline_steps import step_outputs, steps
from utils.monitoring.step_graph import graph

__all__ = [
    "Watched",
    "alarm_names",
    "answers",
    "delays",
    "described_jobs",
    "ensure_alarms",
    "ensure_dashboard",
    "explain",
    "gantt",
    "graph",
    "job_log",
    "jobs",
    "picture",
    "queue_over_time",
    "step_outputs",
    "steps",
    "wait_for_jobs",
    "watch",
]
