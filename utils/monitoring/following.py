"""Follow an execution to its end on one line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import boto3

from ..config import Config
from ..pipeline import wait_for_execution
from ..support.live_line import live_line
from .batch_jobs import count_states, list_jobs
from .live_view import states_in_words


def follow(
    session: boto3.Session, config: Config, execution: str, *, job_queue: str | None = None, seconds: float = 3600
) -> dict[str, Any]:
    """Wait until an execution has ended. Meanwhile a line shows its status, its jobs by state, and the seconds.

    Nothing of the line stays. Where the steps matter, use `watch`, which shows them too, and leaves a table.

    Args:
        execution: its ARN.
        job_queue: name or ARN of the queue that has the jobs. Default: the kit's.
        seconds: how long to wait at most. Default: an hour.

    Returns:
        The execution as DescribePipelineExecution answers it.

    Raises:
        TimeoutError: it has not ended after `seconds`. It keeps running. Call again to keep waiting.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html
    """
    batch = session.client("batch")
    with live_line() as show:

        def show_jobs(described: dict[str, Any]) -> None:
            by_step = count_states(list_jobs(batch, job_queue or config.job_queue, execution))
            show(f"{described['PipelineExecutionStatus']}: {states_in_words(sum(by_step.values(), Counter()))}")

        return wait_for_execution(session, execution, seconds=seconds, show=show_jobs)
