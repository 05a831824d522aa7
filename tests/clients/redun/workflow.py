"""A workflow whose tasks run on AWS Batch: redun run workflow.py main, or breaks."""

import os

from redun import script, task
from redun.scheduler import catch

redun_namespace = "tried"


@task(executor="batch")
def word(text: str) -> str:
    """A job of its own, whose value comes back through S3."""
    assert "AWS_BATCH_JOB_ID" in os.environ
    return text.upper()


@task(executor="batch")
def square(number: int) -> tuple[int, int]:
    """Enough of these at once become an array job."""
    return number * number, int(os.environ["AWS_BATCH_JOB_ARRAY_INDEX"])


@task(executor="batch")
def fail(why: str) -> None:
    print("this is in the job's log")
    raise ValueError(why)


@task()
def reported(error: Exception) -> str:
    return f"caught {type(error).__name__}: {error}"


@task()
def main() -> dict:
    return {
        "word": word("hello"),
        "squares": [square(number) for number in range(4)],
        "script": script("echo from a script in $AWS_BATCH_JQ_NAME", executor="batch"),
        "caught": catch(fail("expected"), ValueError, reported),
    }


@task()
def breaks() -> None:
    return fail("not expected")
