"""How long the notebooks take on AWS and what they cost, computed beforehand from the assumptions below.

What the notebooks and README say of it is held to `notebooks()` by a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from . import batch, cost, kit, preflight, team
from .config import PYTHON_IMAGE

# Assumptions. AWS publishes no number for any of them.
# Fargate pulls the image anew for each job: 900 MB took 70 seconds, and tasks of a 250 MB image started after 60.
# https://github.com/aws/containers-roadmap/issues/696
PULL_MB_PER_SECOND = 13
START_SECONDS = 40  # from the submission, or the end of the wave before, to the beginning of the pull
# Packed, as they are pulled. The slim one is 150 MB unpacked; the others are guesses.
IMAGE_MB: dict[str, float] = {batch.AWS_CLI_IMAGE: 150, PYTHON_IMAGE: 45, batch.SAGEMAKER_IMAGE: 4000}
STEP_SECONDS = 10  # of SageMaker's own, a step
ANSWER = 1.125  # check_jobs answers up to a quarter late, since a poll comes after a quarter of the time waited so far


@dataclass(frozen=True)
class Program:
    """What jobs run.

    Attributes:
        image: container image.
        packages_mb: MB that pip downloads where the image lacks the packages. Measured with the pinned versions.
        install_seconds: seconds of one vCPU to install and import them. Measured at about half of it.
        run_seconds: seconds of one vCPU for the rest.
    """

    image: str
    packages_mb: float
    install_seconds: float
    run_seconds: float


COPY = Program(batch.AWS_CLI_IMAGE, packages_mb=0, install_seconds=0, run_seconds=3)
AGGREGATE = Program(PYTHON_IMAGE, packages_mb=45, install_seconds=12, run_seconds=5)
PRACTISE = Program(PYTHON_IMAGE, packages_mb=17, install_seconds=6, run_seconds=1)


@dataclass(frozen=True)
class Jobs:
    """Jobs that a notebook submits together and waits for.

    Attributes:
        program: what they run.
        number: how many.
        vcpus, memory_gb: of each. Default: those of notebook 02's.
        idle_seconds: seconds that the program only waits. Default: 0.
        queue_vcpus: vCPUs of the queue. Default: those of notebook 02's.
    """

    program: Program
    number: int
    vcpus: float = cost.VCPUS
    memory_gb: float = cost.MEMORY_GB
    idle_seconds: float = 0
    queue_vcpus: float = preflight.MAX_VCPUS

    def paid_seconds(self, image: str = PYTHON_IMAGE) -> float:
        """The paid seconds of one job, from the beginning of the pull to the end of the program.

        Args:
            image: of the Python jobs. Another one than the default is taken to have the packages.
        """
        program = self.program
        pulled = image if program.image == PYTHON_IMAGE else program.image
        megabytes, seconds = IMAGE_MB[pulled], program.run_seconds
        if pulled == PYTHON_IMAGE:
            megabytes, seconds = megabytes + program.packages_mb, seconds + program.install_seconds
        return megabytes / PULL_MB_PER_SECOND + seconds / self.vcpus + self.idle_seconds

    def seconds(self, image: str = PYTHON_IMAGE) -> float:
        """Seconds until all jobs have ended, in waves of as many jobs as the vCPUs allow."""
        at_once = int(self.queue_vcpus / self.vcpus)
        return math.ceil(self.number / at_once) * (START_SECONDS + self.paid_seconds(image))


def _small(program: Program, number: int, idle_seconds: float = 0) -> Jobs:
    """Jobs as `kit.deploy` defines them."""
    return Jobs(program, number, kit.JOB_VCPUS, kit.JOB_MEMORY_MIB / 1024, idle_seconds)


@dataclass(frozen=True)
class Notebook:
    """What of a notebook takes time on AWS.

    Attributes:
        stages: jobs, one stage after another.
        steps: steps of the pipelines it runs. Default: none.
        settle_seconds: seconds in which what it makes becomes usable, or what it deletes is gone. Default: 0.
        processing_jobs: processing jobs, one after another. Default: none.
    """

    stages: tuple[Jobs, ...] = ()
    steps: int = 0
    settle_seconds: float = 0
    processing_jobs: int = 0


# Until a processing job's instance has started and its script has run. All of it is taken to be paid.
PROCESSING_SECONDS = 240
KIT_SECONDS = 240  # what 02, 04 and 07 wait for, in one notebook
NOTEBOOKS = {
    "01_iam": Notebook(),
    "02_batch_setup": Notebook((Jobs(COPY, 1),), settle_seconds=60),
    "03_lambdas": Notebook((Jobs(COPY, 6),)),
    # A job, one more for the loop, and one that fails; eight executions of one step.
    "04_sqs_and_mapping": Notebook((Jobs(COPY, 1),) * 3, steps=8, settle_seconds=180),
    "05_pipeline_build": Notebook((Jobs(COPY, 12), Jobs(AGGREGATE, 12)), steps=6),
    # Its alarm goes off after CloudWatch has measured the queue and evaluated the alarm.
    "06_monitoring": Notebook((Jobs(COPY, 12),), steps=3, settle_seconds=180),
    "07_cleanup": Notebook(settle_seconds=120),
    "array_jobs": Notebook((_small(AGGREGATE, 31),), steps=2, settle_seconds=KIT_SECONDS),
    "event_driven_callback": Notebook((_small(PRACTISE, 3, 5),) * 2, steps=4, settle_seconds=KIT_SECONDS),
    # Ten items twice, two of them again in a new run and in a retry, a job of two attempts, four that are stopped.
    "failures_and_stopping": Notebook(
        tuple(_small(PRACTISE, number) for number in (10, 10, 2, 2, 1, 1, 4)), steps=11, settle_seconds=KIT_SECONDS
    ),
    # A trial of two, and the other ten. Two processing jobs, and a second queue to make and delete.
    "your_own_pipeline": Notebook(
        tuple(Jobs(AGGREGATE, number, 0.5, 1, queue_vcpus=team.MAX_VCPUS) for number in (2, 10)),
        steps=8,
        settle_seconds=2 * KIT_SECONDS,
        processing_jobs=2,
    ),
}
TUTORIAL = [name for name in NOTEBOOKS if name[0].isdigit()]
CALLS, WAITING_SECONDS = 60, 900  # of the tutorial's functions, and of the mapping that polls the queue


def notebooks(image: str = PYTHON_IMAGE) -> pd.DataFrame:
    """What each notebook takes on AWS.

    Args:
        image: of the Python jobs, one that IMAGE_MB knows. Default: the slim public one.

    Returns:
        Columns notebook, jobs, minutes (rounded up, 0 where nothing has to be waited for) and usd.
    """
    rows = [
        (name, sum(stage.number for stage in plan.stages), math.ceil(_seconds(plan, image) / 60), _usd(plan, image))
        for name, plan in NOTEBOOKS.items()
    ]
    return pd.DataFrame(rows, columns=["notebook", "jobs", "minutes", "usd"])


def tutorial(image: str = PYTHON_IMAGE) -> pd.DataFrame:
    """What the seven notebooks will cost, jobs, calls and messages, by price.

    Returns:
        Columns what, amount, unit, usd.
    """
    stages = [stage for name in TUTORIAL for stage in NOTEBOOKS[name].stages]
    tables = [_of_stage(stage, image) for stage in stages]
    # The mapping polls with five requests every 20 seconds.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    polls = cost.table(sqs_requests=5 * WAITING_SECONDS / 20, log_gb=cost.log_gb(sum(s.number for s in stages)))
    return cost.add([*tables, cost.of_calls(CALLS), polls])


def words(name: str) -> tuple[str, str]:
    """A notebook's time and cost in words, such as ("about 6 minutes", "about 2 cents")."""
    row = notebooks().set_index("notebook").loc[name]
    minutes, cents = int(row.minutes), round(100 * row.usd)
    return (
        f"about {minutes} minute{'s' if minutes > 1 else ''}" if minutes else "seconds",
        f"about {cents} cent{'s' if cents > 1 else ''}" if row.usd >= 0.01 else "less than a cent",
    )


def _seconds(plan: Notebook, image: str) -> float:
    waited = sum(stage.seconds(image) for stage in plan.stages)
    processing = plan.processing_jobs * PROCESSING_SECONDS
    return plan.settle_seconds + processing + plan.steps * STEP_SECONDS + waited * (ANSWER if plan.steps else 1)


def _usd(plan: Notebook, image: str) -> float:
    processing = cost.of_processing([PROCESSING_SECONDS] * plan.processing_jobs)
    return sum(table["usd"].sum() for table in [processing, *(_of_stage(stage, image) for stage in plan.stages)])


def _of_stage(stage: Jobs, image: str) -> pd.DataFrame:
    return cost.of_jobs([stage.paid_seconds(image)] * stage.number, vcpus=stage.vcpus, memory_gb=stage.memory_gb)
