"""The types of this function, for a step that waits, its jobs, and its answer."""

from dataclasses import dataclass, field

LEASE_SECONDS = 930  # who submits for a try is alone for longer than a Lambda function can run, which is 900 s


@dataclass(frozen=True)
class PendingStep:
    """One CallbackStep that waits for its answer, from its message or from the tags of its first job."""

    token: str
    execution_arn: str
    job_ids: str  # as submit_jobs returned them: ids joined by spaces, the URI of a list, or "none"
    stopping: bool = False  # the execution is being stopped
    deadline_seconds: float = float("inf")
    tolerated_failure_percentage: float | None = None
    report_uri: str = ""
    output_uri: str = ""  # where its jobs write, to be handed on
    succeeded_before: int = 0  # jobs of the step's trial, which count with its own
    polls: int = 1  # how often SQS has delivered the message
    max_polls: float = float("inf")  # how often it may
    sent: float = 0.0  # when SageMaker sent the message, in seconds since 1970
    number: int = 0  # of its try: 1 for the first, 2 after a retry. 0 if it isn't known, and then nothing is retried
    over: bool = False  # its try has failed, so that a late copy of its message submits nothing again

    def age(self, now):
        """Seconds since the message was sent. The clocks of SQS and of this function may differ."""
        return max(0.0, now - self.sent) if self.sent else 0.0

    def is_past_deadline(self, now):
        return self.age(now) > self.deadline_seconds or self.polls >= self.max_polls


@dataclass(frozen=True)
class StepResult:
    """The step's answer. Without a failure reason it is a success."""

    outputs: dict[str, str] | None = None
    failure: str | None = None
    jobs_ended: float | None = None  # when the last job ended, in seconds since 1970


@dataclass(frozen=True)
class JobCounts:
    """How many jobs of a step are in which state, with an array's children counted singly."""

    jobs: dict[str, dict]  # JobDetails by id, of the jobs that Batch knows
    unknown: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    total: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Try:
    """One try of a step, either the first or one that a retry of the execution has begun."""

    number: int = 0  # 1 for the first, 0 if it isn't known
    uri: str = ""  # of its record
    etag: str = ""
    record: dict = field(default_factory=dict)
    replaced: dict[str, dict] = field(default_factory=dict)  # {id of a first job: {"id": ..., "size": ...}}

    @property
    def stopping(self):
        """The execution is being stopped, which ends the try."""
        return self.record.get("stopping", False)

    @property
    def over(self):
        """The try has failed. Its answer is sent, or will be."""
        return self.record.get("over", False)

    def is_submitting(self, now):
        """Whether another call may be submitting jobs for it just now."""
        # A time far ahead is of a clock that was set back since.
        return 0 < self.record.get("submitting_until", 0) - now < 2 * LEASE_SECONDS
