"""Both functions in thousands of random schedules: whatever comes late, twice, not at all or out of order.

A pipeline of one to three parallel steps submits jobs and waits for them, while calls are throttled, fail, fail after
they were done, or kill the function; events are lost, doubled and delayed; SQS delivers out of order and again what was
deleted; Batch shows its jobs late; the function's clock is off; the execution is stopped at any time, retried after it
has ended, and deleted. In the end each token has had one answer, the right one, no job was submitted twice, and nothing
is left running after a stop. A retry submits again what had failed, and only that, once.
"""

import heapq
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import fake_aws
import pytest
from fake_aws import EXECUTION, NEVER_STARTS, THROTTLED, UNAVAILABLE, Clock, Context, FakeAws, Fault, Plan
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiers import examples

SUBMIT, CHECK = fake_aws.load_lambda("submit_jobs"), fake_aws.load_lambda("check_jobs")
HOURS = 3600.0


class Killed(BaseException):
    """The function's sandbox ends in the middle of a call."""


class SkewedClock(Clock):
    """The function's own clock, some seconds off that of SQS and Batch."""

    def __init__(self, clock, skew):
        self.clock, self.skew = clock, skew

    def time(self):
        return self.clock.now + self.skew

    monotonic = perf_counter = time

    def sleep(self, seconds):
        self.clock.now += seconds


plans = st.one_of(
    st.builds(
        Plan, end=st.floats(1, 500), exit_code=st.sampled_from([0, 0, 0, 1]), reason=st.sampled_from(["", "bad"])
    ),
    st.just(NEVER_STARTS),
)
steps = st.fixed_dictionaries(
    {
        "tries": st.integers(
            1, 5
        ).flatmap(  # what becomes of each item in each try, the last one's for all further ones
            lambda items: st.lists(st.lists(plans, min_size=items, max_size=items), min_size=1, max_size=3)
        ),
        "array": st.booleans(),
        "tolerated": st.sampled_from([None, None, 0, 50, 100]),
    }
)
worlds = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "steps": st.lists(steps, min_size=1, max_size=3),
        "push": st.booleans(),
        "trouble": st.sampled_from([0.0, 0.1, 0.4]),
        "visible_after": st.floats(0, 4),
        "skew": st.floats(-120, 120),
        "stop_at": st.none() | st.floats(0, 600),
        "second_answer": st.sampled_from(["ConflictException", "ResourceNotFound", "ValidationException"]),
        "retry_after": st.none() | st.floats(5, 300),  # not before Batch shows what an earlier try has submitted
        "retries": st.integers(1, 3),
        "delete_at": st.sampled_from([None, None, None, 1]).flatmap(lambda it: st.floats(0, 900) if it else st.none()),
    }
)


@dataclass
class Simulation:
    """One run of the pipeline against the fake AWS, from its start until nothing happens any more."""

    seed: int
    steps: list[dict]
    push: bool
    trouble: float
    visible_after: float
    skew: float
    stop_at: float | None
    second_answer: str
    retry_after: float | None
    retries: int
    delete_at: float | None
    agenda: list = field(default_factory=list)
    numbers: itertools.count = field(default_factory=itertools.count)
    tokens: dict[str, int] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    arguments: dict[str, dict] = field(default_factory=dict)
    submitted: dict[int, dict] = field(default_factory=dict)
    stopped: bool = False
    stopped_at: float | None = None  # when that was asked for
    came_to_stop_at: float | None = None
    deleted: bool = False
    stopped_tokens: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.aws = FakeAws()
        self.aws.checks_answers = False  # the fake's own answers are checked by all other tests; here it takes seconds
        self.start = self.aws.clock.now
        self.aws.batch.seconds_until_visible = self.visible_after
        self.aws.batch.plan_of_job = self.plan
        self.aws.sqs.random = self.random
        self.aws.sagemaker.second_answer = self.second_answer
        if self.second_answer == "ValidationException":
            self.aws.sagemaker.second_answer_text = "Step Wait is already in a terminal status, but Step ..."
        self.aws.fault_rule = self.fault
        for function in (SUBMIT, CHECK):
            fake_aws.connect(function, self.aws, self.seed, clock=SkewedClock(self.aws.clock, self.skew))
        CHECK["schedule"].queue_url.cache_clear()

    def at(self, when, action, *arguments):
        heapq.heappush(self.agenda, (when, next(self.numbers), action, arguments))

    def fault(self, operation, _params):
        """Trouble with some calls in the first hour."""
        if self.random.random() > self.trouble or self.aws.clock.now > self.start + HOURS:
            return None
        error = self.random.choice([THROTTLED, UNAVAILABLE, UNAVAILABLE, Killed()])
        return Fault(error, after=error is not THROTTLED and self.random.random() < 0.5)

    def invoke(self, handler, event):
        known = set(self.aws.batch.jobs)
        try:
            return handler(event, Context())
        except Killed as killed:
            raise RuntimeError("the function was killed") from killed
        finally:
            for id in [id for id in self.aws.batch.jobs if id not in known]:  # in order, so that an example repeats
                self.schedule_event(id)

    def run(self):
        for number in range(len(self.steps)):
            self.at(self.start, self.submit, number, self.retries)
        if self.stop_at is not None:
            self.at(self.start + self.stop_at, self.stop)
        if self.delete_at is not None:
            self.at(self.start + self.delete_at, self.delete)
        if self.retry_after is not None:
            self.at(self.start + 1, self.retry_when_it_has_ended)
        self.at(self.start, self.poll)
        while self.agenda and self.aws.clock.now < self.start + 36 * HOURS:
            when, _, action, arguments = heapq.heappop(self.agenda)
            self.aws.clock.now = max(self.aws.clock.now, when)
            action(*arguments)

    def submit(self, number, retries):
        """The submitting step, run again until it succeeds, as a person would retry the pipeline.

        After a retry of a stopped execution only that runs it: two calls at once can't see each other's jobs.
        """
        if self.stopped or self.deleted or number in self.submitted or retries != self.retries:
            return
        step = self.steps[number]
        event = {
            "output_uri": f"s3://bucket-sagemaker/out{number}",
            "job_queue": "queue-sagemaker",
            "job_definition": "copy",
            "execution_id": EXECUTION,
            "step_name": f"Step{number}",
        }
        if step["array"]:
            uri = f"s3://bucket-sagemaker/items{number}.jsonl"
            self.aws.s3.objects[uri] = b"\n".join(b'{"n": %d}' % n for n in range(len(step["tries"][0])))
            event |= {"mode": "array", "manifest_uri": uri}
        else:
            event |= {"input_uri": "s3://bucket-sagemaker/in", "max_jobs": len(step["tries"][0])}
        try:
            answer = self.invoke(SUBMIT.lambda_handler, event)
        except Exception:  # noqa: BLE001 - the step fails for whatever reason, and is retried
            self.at(self.aws.clock.now + 30, self.submit, number, retries)
            answer = None
        if answer:
            self.submitted[number] = answer
            self.at(self.aws.clock.now + self.random.uniform(0, 5), self.wait, number, answer)

    def plan(self, job, index):
        """What becomes of a job: that of its item, in the try in which it is submitted."""
        tries = self.steps[self.step_of(job)]["tries"]
        return tries[min(max(try_of(job), 1), len(tries)) - 1][self.item_of(job, index)]

    @staticmethod
    def step_of(job):
        return int(job.tags["sagemaker-batch:step"].removeprefix("Step"))

    def item_of(self, job, index):
        """Which item of its step a job works on, as the job itself would see it."""
        environment = {pair["name"]: pair["value"] for pair in job.overrides.get("environment", [])}
        if "MANIFEST_URI" not in environment:
            return int(job.parameters["s3Input"][-7:-5]) - 1
        width = int(environment["MANIFEST_LINE_BYTES"])
        return json.loads(self.aws.s3.objects[environment["MANIFEST_URI"]][index * width : (index + 1) * width])["n"]

    def wait(self, number, submitted):
        if self.stopped or self.deleted:  # the execution ends before it comes to the callback step
            return
        arguments = {
            "job_ids": submitted["jobIds"],
            "report_uri": submitted["reportUri"],
            "deadline_seconds": "7200",
        }
        if self.steps[number]["tolerated"] is not None:
            arguments["tolerated_failure_percentage"] = str(self.steps[number]["tolerated"])
        token = self.aws.sagemaker.start_callback(**arguments)
        self.tokens[token], self.started[token] = number, self.aws.clock.now
        self.arguments[token] = arguments

    def stop(self):
        if self.stopped or self.deleted:
            return
        self.stopped, self.stopped_at = True, self.aws.clock.now
        for token in self.aws.sagemaker.waiting:
            self.aws.sagemaker.send(token, self.arguments[token], status="Stopping")
            self.stopped_tokens.add(token)
        self.at(self.aws.clock.now, self.report_stopped)

    def report_stopped(self):
        """When no callback step waits any more the execution is Stopped, and EventBridge reports it some time."""
        if self.aws.sagemaker.waiting:
            self.at(self.aws.clock.now + 5, self.report_stopped)
            return
        self.came_to_stop_at = self.aws.clock.now
        self.report(self.random.choice(["Stopped", "Stopped", "Failed"]), "Stopping")

    def report(self, current, previous):
        detail = {
            "pipelineExecutionArn": EXECUTION,
            "currentPipelineExecutionStatus": current,
            "previousPipelineExecutionStatus": previous,
        }
        event = {"source": "aws.sagemaker", "time": self.aws.clock.iso(), "detail": detail}
        for _ in range(self.random.choice([1, 1, 2])):
            self.at(self.aws.clock.now + self.random.choice([0, 0, self.random.uniform(0, 60)]), self.put, event)

    def put(self, event):
        """EventBridge tries a day long to put an event into a queue."""
        self.aws.sqs.send_message(self.aws.sqs.url("callbacks-sagemaker"), json.dumps(event))

    def answer_to(self, number):
        """The last answer that a step had."""
        return next(
            (kind for _, token, kind, _ in self.aws.sagemaker.answers[::-1] if self.tokens[token] == number), ""
        )

    def retry_when_it_has_ended(self):
        """RetryPipelineExecution: what did not succeed is run again, the others keep their outputs."""
        steps = range(len(self.steps))
        ended = not self.aws.sagemaker.waiting and (self.stopped or all(self.answer_to(number) for number in steps))
        if not ended:
            self.at(self.aws.clock.now + 5, self.retry_when_it_has_ended)
        elif not self.deleted and (self.stopped or "Failure" in map(self.answer_to, steps)):
            if not self.stopped:
                self.report("Failed", "Executing")
            self.at(self.aws.clock.now + self.retry_after, self.retry)

    def retry(self):
        if self.deleted:
            return
        self.stopped = False
        self.retries -= 1
        if self.retries:
            self.at(self.aws.clock.now + 10, self.retry_when_it_has_ended)
        for number in range(len(self.steps)):
            if number not in self.submitted:
                self.at(self.aws.clock.now, self.submit, number, self.retries)
            elif self.answer_to(number) != "Success":
                self.at(self.aws.clock.now, self.wait, number, self.submitted[number])

    def delete(self):
        """The pipeline is deleted, and with it the execution: no step waits for an answer any more."""
        self.deleted = True
        self.aws.sagemaker.waiting.clear()

    def schedule_event(self, id):
        job = self.aws.batch.jobs[id]
        end = self.aws.batch.end_of(job)
        for _ in range(self.random.choice([0, 1, 1, 1, 2])) if self.push and end < float("inf") else ():
            self.at(end + self.random.choice([0, 0, self.random.uniform(0, 60)]), self.deliver_end, job)

    def deliver_end(self, job):
        event = self.aws.batch.event(job)
        if event["detail"].get("status") in fake_aws.TERMINAL:
            self.deliver(event, 2)

    def deliver(self, event, retries):
        """Lambda calls a function again whose event it failed for."""
        try:
            self.invoke(CHECK.lambda_handler, event)
        except Exception:  # noqa: BLE001 - whatever the function failed with
            if retries:
                self.at(self.aws.clock.now + 60, self.deliver, event, retries - 1)

    def poll(self):
        result = self.aws.sqs.invoke(lambda event, _context: self.invoke(CHECK.lambda_handler, event))
        assert not isinstance(result, Exception) or "killed" in str(result), result
        waiting = [message.visible_at for message in self.aws.sqs.queues["callbacks-sagemaker"]]
        if waiting or self.agenda:
            coming = min([*waiting, *(item[0] for item in self.agenda[:1])])
            self.at(max(coming, self.aws.clock.now + 0.5), self.poll)

    def right_kind(self, token):
        """What the answer to a token must be, after all that has happened to the step's jobs."""
        step = self.steps[self.tokens[token]]
        runs = self.runs_of_items(token)
        late = [job.terminated for job, _ in runs if job.terminate_reason == CHECK["job_detail"].DEADLINE_PASSED]
        if any(terminated > self.started[token] for terminated in late):
            return "Failure"
        failed = [self.aws.batch.status(job, index) for job, index in runs].count("FAILED")
        if step["tolerated"] is None:
            return "Failure" if failed else "Success"
        return "Failure" if 100 * failed > step["tolerated"] * len(runs) else "Success"

    def runs_of_items(self, token):
        """For each item of a token's step, the job that ran it last in this try or before, and its index in that."""
        number = self.tokens[token]
        tries = [other for other in self.tokens if self.tokens[other] == number]
        runs = {}
        for job in sorted(self.jobs_that_count(), key=lambda job: job.created):
            if self.step_of(job) == number and try_of(job) <= tries.index(token) + 1:
                runs |= {self.item_of(job, index): (job, index) for index in range(len(job.plans))}
        return list(runs.values())

    def jobs_that_count(self):
        return [job for job in self.aws.batch.jobs.values() if "Duplicate" not in job.terminate_reason]

    def wrongly_run_again(self):
        """Jobs that a retry has submitted although what ran their item before had not failed by then."""
        wrong, runs = [], {}
        for job in sorted(self.jobs_that_count(), key=lambda job: job.created):
            for index in range(len(job.plans)):
                item = self.step_of(job), self.item_of(job, index)
                before = runs.get(item)
                if try_of(job) and not (before and self.failed_by(*before, job.created)):
                    wrong.append(job.name)
                runs[item] = job, index
        return wrong

    def failed_by(self, job, index, when):
        end = min(job.created + job.plans[index].end, job.terminated or float("inf"))
        return self.aws.batch.status(job, index) == "FAILED" and end <= when


def try_of(job):
    return int(job.name.rsplit("-try", 1)[1]) if "-try" in job.name else 0


def array(last):
    """A step of one array, whose third item never starts."""
    ends_at_once = Plan(end=1.0)
    return {"tries": [[ends_at_once, ends_at_once, NEVER_STARTS, last]], "array": True, "tolerated": None}


# A failed item has failed the first step, the function was killed after that answer, and a stop has terminated the
# rest of the array. The message comes once more, after the retry has submitted the failed items again.
LATE_COPY_OF_A_FAILED_TRY = {
    "seed": 705,
    "steps": [array(Plan(end=1.0, exit_code=1)), array(Plan(end=1.0))],
    "push": True,
    "trouble": 0.1,
    "visible_after": 0.0,
    "skew": 0.0,
    "stop_at": 262.0,
    "second_answer": "ConflictException",
    "retry_after": 5.0,
    "retries": 1,
    "delete_at": None,
}

# The message with "Stopping" is held up, and the execution is deleted. So the event of the stop terminates the jobs.
# The other message is polled after that.
EVENT_BEFORE_THE_STOP_MESSAGE = {
    "seed": 0,
    "steps": [
        {"tries": [fates], "array": False, "tolerated": None}
        for fates in ([NEVER_STARTS], [NEVER_STARTS], [NEVER_STARTS, NEVER_STARTS, *[Plan(end=1.0)] * 3])
    ],
    "push": False,
    "trouble": 0.1,
    "visible_after": 0.0,
    "skew": 0.0,
    "stop_at": 114.0,
    "second_answer": "ConflictException",
    "retry_after": 5.0,
    "retries": 1,
    "delete_at": 406.0,
}

# The answer to a job's submission gets lost in a retry, and another job fails the step at the next poll.
FAILED_WITH_A_JOB_UNRECORDED = {
    "seed": 10,
    "steps": [
        {
            "tries": [
                [Plan(end=1.0, exit_code=1)] * 2,
                [Plan(end=1.0, exit_code=1), NEVER_STARTS],
                [Plan(end=1.0)] * 2,
            ],
            "array": False,
            "tolerated": None,
        }
    ],
    "push": False,
    "trouble": 0.1,
    "visible_after": 0.0,
    "skew": 0.0,
    "stop_at": None,
    "second_answer": "ConflictException",
    "retry_after": 5.0,
    "retries": 2,
    "delete_at": None,
}


@pytest.mark.slow
@example(options=LATE_COPY_OF_A_FAILED_TRY)
@example(options=EVENT_BEFORE_THE_STOP_MESSAGE)
@example(options=FAILED_WITH_A_JOB_UNRECORDED)
@settings(max_examples=examples(150, 2_000), suppress_health_check=list(HealthCheck))
@given(options=worlds)
def test_every_schedule_ends_with_one_right_answer_to_each_step(options, monkeypatch_session):
    monkeypatch_session.setenv("PUSH_EVENTS", "true" if options["push"] else "false")
    simulation = Simulation(**options)
    simulation.run()

    answers = Counter(token for _, token, _, _ in simulation.aws.sagemaker.answers)
    assert not simulation.aws.sagemaker.waiting
    assert max(answers.values(), default=1) == 1, "no second answer"
    assert simulation.deleted or answers == dict.fromkeys(simulation.tokens, 1), "one answer to each token"
    for when, token, kind, what in simulation.aws.sagemaker.answers:
        number, left = (
            simulation.tokens[token],
            [simulation.aws.batch.jobs[id] for id in simulation.aws.batch.unfinished()],
        )
        left = [job.name for job in left if simulation.step_of(job) == number and job.created <= when]
        assert not left or "terminated" not in what, "an answer that says terminated is true"
        stopped = token in simulation.stopped_tokens and "stopped" in what
        if stopped and "terminated." in what:
            jobs = [
                job for job in simulation.jobs_that_count() if simulation.step_of(job) == number and job.created <= when
            ]
            assert max(map(simulation.aws.batch.end_of, jobs)) <= when, "its jobs are terminated before it is answered"
        assert stopped or kind == simulation.right_kind(token), what
    kept = Counter(
        job.name for job in simulation.aws.batch.jobs.values() if try_of(job) or job in simulation.jobs_that_count()
    )
    assert not [name for name, count in kept.items() if count > 1], "no job submitted twice"
    assert not simulation.wrongly_run_again(), "only what had failed is submitted again"
    if simulation.stopped_at is not None:
        # Events may be a minute late; with trouble, each call may fail for an hour.
        within = 2 * HOURS if options["trouble"] else 120.0
        before = [job for job in simulation.aws.batch.jobs.values() if job.created <= simulation.came_to_stop_at]
        ended = [simulation.aws.batch.end_of(job) - simulation.came_to_stop_at for job in before]
        assert max(ended, default=0) <= within, "nothing left running after a stop"
        assert simulation.came_to_stop_at - simulation.stopped_at <= within, "it stops within seconds"
        later = simulation.came_to_stop_at + CHECK["stop_events"].EVENT_TIME_SECONDS + 1
        again = [job for job in simulation.aws.batch.jobs.values() if job.created > later]
        assert not [job.name for job in again if "stopped" in job.terminate_reason], "what a retry submits goes on"
    else:
        reasons = [job.terminate_reason for job in simulation.aws.batch.jobs.values()]
        assert not [reason for reason in reasons if "stopped" in reason], "the jobs of one that only failed go on"
    if simulation.retry_after is not None or simulation.stopped_at is None:
        every = set(range(len(simulation.steps)))
        assert simulation.deleted or set(simulation.tokens.values()) == every, "every step came to its callback"
    assert not simulation.aws.sqs.queues["callbacks-sagemaker"], "no message left"
    dead = simulation.aws.sqs.queues["dead-letters-sagemaker"]
    assert not dead, [json.dumps(message.attributes) for message in dead]
