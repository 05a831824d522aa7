"""A retried execution: check_jobs submits again the jobs and items that failed, and only those, once for each retry."""

import itertools
import json

import pytest
from fake_aws import EVENT, EXECUTION, NEVER_STARTS, THROTTLED, UNAVAILABLE, AwsError, Context, Fault, Plan, connect
from fake_aws import load_lambda as load

FAILS, LONG = Plan(end=30, exit_code=1, reason="bad input"), Plan(end=4000)


class Step:
    """A submitting step and the step that waits for its jobs."""

    def __init__(self, fake, submit, check):
        self.fake, self.check = fake, check
        self.submit_function = submit
        self.fates = {}  # {item: its plan in each try}
        fake.batch.plan_of_job = self.plan_of_job

    def item_of(self, job, index):
        environment = {pair["name"]: pair["value"] for pair in job.overrides.get("environment", [])}
        if "MANIFEST_URI" not in environment:
            return int(job.parameters["s3Input"][-7:-5]) - 1
        width = int(environment["MANIFEST_LINE_BYTES"])  # as job_code does, read only this line
        line = self.fake.s3.objects[environment["MANIFEST_URI"]][index * width : (index + 1) * width]
        return json.loads(line)["n"]

    def plan_of_job(self, job, index):
        fates = self.fates.get(self.item_of(job, index), [])
        number = int(job.name.rsplit("-try", 1)[1]) if "-try" in job.name else 1
        return fates[min(number, len(fates)) - 1] if fates else Plan()

    def submit(self, number, array=False):
        event = {**EVENT, "step_name": "Copies"}
        if array:
            uri = "s3://bucket-sagemaker/items.jsonl"
            self.fake.s3.objects[uri] = b"\n".join(b'{"n": %d}' % n for n in range(number))
            event |= {"mode": "array", "manifest_uri": uri}
            del event["input_uri"], event["max_jobs"]
        else:
            event |= {"max_jobs": number}
        self.submitted = self.submit_function.lambda_handler(event, Context())

    def wait(self, execution=EXECUTION, **arguments):
        """SageMaker sends the waiting step's message, the first time or in a retry. Returns its token."""
        arguments = {"job_ids": self.submitted["jobIds"], "report_uri": self.submitted["reportUri"], **arguments}
        token = self.fake.sagemaker.start_callback(**arguments)
        body = json.loads(self.fake.sqs.queues["callbacks-sagemaker"][-1].body)
        body["pipelineExecutionArn"] = execution
        self.fake.sqs.queues["callbacks-sagemaker"][-1].body = json.dumps(body)
        self.arguments = arguments
        return token

    def stop(self, token):
        self.fake.sagemaker.send(token, self.arguments, status="Stopping")

    def run(self, seconds=86_400):
        """Let the mapping work until the queue is empty; the last answer."""
        until, queue = self.fake.clock.now + seconds, self.fake.sqs.queues["callbacks-sagemaker"]
        for result in self.fake.sqs.run(self.check.lambda_handler, until, stop_when=lambda: not queue):
            assert not isinstance(result, Exception), result
        assert not self.fake.sqs.queues["callbacks-sagemaker"]
        assert not self.fake.sqs.queues["dead-letters-sagemaker"]
        return self.fake.sagemaker.answers[-1][2:]

    def names(self):
        """The jobs' names, without their execution's."""
        return [job.name.removeprefix("a1b2c3d4e5f6-") for job in self.fake.batch.jobs.values()]


@pytest.fixture
def step(fake, submit, check):
    return Step(fake, submit, check)


def test_a_retry_submits_only_the_failed_jobs_again(step):
    step.fates = {1: [FAILS, Plan()], 3: [FAILS, Plan()]}
    step.submit(5)
    step.wait(tolerated_failure_percentage="0")
    assert step.run()[0] == "Failure"
    step.wait(tolerated_failure_percentage="0")
    kind, outputs = step.run()
    assert kind == "Success"
    assert (outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("5", "5", "0")
    assert step.names()[5:] == ["Copies-02-try2", "Copies-04-try2"]


@pytest.mark.parametrize("hours", [1, 24])
def test_a_retry_is_one_although_the_clock_was_set_back(step, fake, hours):
    step.fates = {1: [FAILS, Plan()]}
    step.submit(3)
    step.wait()
    assert step.run()[0] == "Failure"
    [uri] = [uri for uri in fake.s3.objects if "/try-1-" in uri]
    record = json.loads(fake.s3.objects[uri])
    fake.s3.objects[uri] = json.dumps({**record, "sent": record["sent"] + hours * 3_600}).encode()
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names()[3:] == ["Copies-02-try2"]


def test_what_is_submitted_again_is_what_was_asked_for(step, fake):
    step.fates = {0: [FAILS, Plan()]}
    step.submit(2)
    step.wait()
    step.run()
    step.wait()
    step.run()
    first, _, again = fake.called("SubmitJob")
    assert again == {
        **first,
        "jobName": first["jobName"] + "-try2",
        "tags": {**first["tags"], "sagemaker-batch:try": "2"},
    }


def test_a_retry_submits_only_the_failed_items_of_an_array_again(step, fake):
    step.fates = {n: [FAILS, Plan()] for n in (2, 5, 6)}
    step.submit(8, array=True)
    step.wait()
    kind, reason = step.run()
    assert kind == "Failure" and "3 of 8 jobs failed" in reason
    step.wait()
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "8"
    assert step.names() == ["Copies-01", "Copies-01-try2"]
    again = list(fake.batch.jobs.values())[-1]
    assert [step.item_of(again, index) for index in range(len(again.plans))] == [2, 5, 6]


def test_one_failed_item_is_a_plain_job(step, fake):
    """Batch has no arrays of one."""
    step.fates = {4: [FAILS, FAILS, Plan()]}
    step.submit(6, array=True)
    for _ in range(2):
        step.wait()
        assert step.run()[0] == "Failure"
    step.wait()
    assert step.run()[0] == "Success"
    for again in list(fake.batch.jobs.values())[1:]:
        assert not again.is_array and step.item_of(again, 0) == 4


@pytest.mark.parametrize("array", [False, True])
def test_any_number_of_retries_each_submits_what_still_fails(step, array):
    step.fates = {n: [FAILS] * (n + 1) + [Plan()] for n in range(4)}
    step.submit(4, array)
    for expected in ("4 of 4", "3 of 4", "2 of 4"):
        step.wait(tolerated_failure_percentage="0")
        kind, reason = step.run()
        assert kind == "Failure" and f"{expected} jobs failed" in reason
    step.wait(tolerated_failure_percentage="0")
    assert step.run()[0] == "Failure"
    step.wait(tolerated_failure_percentage="0")
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "4"
    assert len(step.names()) == (5 if array else 4 + 4 + 3 + 2 + 1)


@pytest.mark.parametrize("array", [False, True])
def test_what_is_still_tolerated_after_a_retry_is_reported(step, fake, array):
    step.fates = {n: [FAILS, FAILS if n == 0 else Plan()] for n in range(3)}
    step.submit(4, array)
    step.wait(tolerated_failure_percentage="25")
    assert step.run()[0] == "Failure"
    step.wait(tolerated_failure_percentage="25")
    kind, outputs = step.run()
    assert kind == "Success" and (outputs["jobs_failed"], outputs["jobs_total"]) == ("1", "4")
    [line] = fake.s3.objects[outputs["failed_items_uri"]].splitlines()
    item = json.loads(line)
    assert item["n"] == 0 if array else item["input"].endswith("file_01.json")
    assert item["batch_failure"]["job_name"].endswith("-01-try2")


def test_the_failure_of_a_retry_names_the_job_that_failed_in_it(step):
    step.fates = {0: [FAILS, Plan()], 1: [FAILS, FAILS]}
    step.submit(2)
    for _ in range(2):
        step.wait()
        kind, reason = step.run()
        assert kind == "Failure"
    assert reason.startswith("Job a1b2c3d4e5f6-Copies-02-try2 failed, exit code 1: bad input")


def test_a_job_that_still_runs_is_waited_for_and_not_submitted_again(step, fake):
    step.fates = {0: [FAILS, Plan()], 1: [LONG]}
    step.submit(2)
    step.wait()
    assert step.run()[0] == "Failure"
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names() == ["Copies-01", "Copies-02", "Copies-01-try2"]
    assert fake.sagemaker.answers[-1][0] >= 1_800_000_000 + LONG.end


def test_a_job_of_the_first_try_that_fails_during_the_retry_is_submitted_again(step):
    step.fates = {0: [FAILS, Plan()], 1: [Plan(end=500, exit_code=1), Plan()]}
    step.submit(2)
    step.wait()
    assert step.run()[0] == "Failure"
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names() == ["Copies-01", "Copies-02", "Copies-01-try2", "Copies-02-try2"]


def test_items_of_an_array_are_submitted_again_once_it_has_ended(step):
    step.fates = {0: [FAILS, Plan()], 1: [Plan(end=500, exit_code=1), Plan()], 2: [LONG]}
    step.submit(4, array=True)
    step.wait()
    assert step.run()[0] == "Failure"
    step.wait()
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "4"
    assert step.names() == ["Copies-01", "Copies-01-try2"]


@pytest.mark.parametrize("array", [False, True])
def test_a_retry_after_a_stop_runs_what_was_terminated(step, fake, array):
    step.fates = {n: [LONG if n else Plan(end=20), Plan()] for n in range(3)}
    step.submit(3, array)
    token = step.wait()
    fake.clock.now += 100
    step.stop(token)
    kind, reason = step.run()
    assert kind == "Failure" and "stopped" in reason
    step.wait()
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "3"
    assert step.names()[-2:] == (["Copies-01", "Copies-01-try2"] if array else ["Copies-02-try2", "Copies-03-try2"])


@pytest.mark.parametrize("array", [False, True])
def test_a_retry_after_the_deadline_runs_what_was_terminated(step, array):
    step.fates = {1: [NEVER_STARTS, Plan()]}
    step.submit(3, array)
    step.wait(deadline_seconds="600")
    kind, reason = step.run()
    assert kind == "Failure" and "deadline" in reason
    step.wait(deadline_seconds="600")
    assert step.run()[0] == "Success"
    assert step.names()[-1] == ("Copies-01-try2" if array else "Copies-02-try2")


def test_what_a_deadline_terminated_may_end_after_the_retry_has_begun(step, fake):
    """Batch gives a container half a minute to end."""
    step.fates = {0: [NEVER_STARTS, Plan()]}
    step.submit(1)
    step.wait(deadline_seconds="600")
    step.run()
    [job] = fake.batch.jobs.values()
    step.wait(deadline_seconds="600")
    job.terminated = fake.clock.now + 40  # so that it ends in the retry
    assert step.run()[0] == "Success"


def stop_execution(fake):
    """EventBridge puts the end of a stopped execution into the queue."""
    detail = {"pipelineExecutionArn": EXECUTION, "currentPipelineExecutionStatus": "Stopped"}
    event = {"source": "aws.sagemaker", "time": fake.clock.iso(), "detail": detail}
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), json.dumps(event))


@pytest.mark.parametrize("array", [False, True])
def test_jobs_that_a_stop_ended_before_the_step_waited_run_again(step, fake, array, monkeypatch):
    """The execution is stopped between the two steps, and retried: the waiting step begins for the first time."""
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    step.fates = {n: [LONG, Plan()] for n in range(2)}
    step.submit(2, array)
    fake.clock.now += 10
    stop_execution(fake)
    step.fates = {}
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 3600):
        pass
    assert not fake.batch.unfinished()
    step.wait()
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "2"
    assert step.names()[-1] == ("Copies-01-try1" if array else "Copies-02-try1")


@pytest.mark.parametrize("array", [False, True])
def test_an_event_that_overtakes_the_message_of_the_stop_submits_nothing(step, fake, array, monkeypatch):
    """The event terminates the jobs of a step that waits, and the step's first message is polled after that."""
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    queue = fake.sqs.queues["callbacks-sagemaker"]
    step.fates = {n: [LONG, Plan()] for n in range(2)}
    step.submit(2, array)
    token = step.wait()
    first = queue.pop()
    fake.clock.now += 10
    step.stop(token)
    stopping = queue.pop()
    stop_execution(fake)
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 600):
        pass
    names = step.names()
    queue.append(first)
    kind, reason = step.run()
    assert kind == "Failure" and "The pipeline execution was stopped" in reason
    queue.append(stopping)
    step.run()
    assert step.names() == names
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names()[2 - array :] == [f"{name}-try2" for name in names]


def test_the_event_of_a_stop_leaves_alone_what_a_retry_right_after_it_submits(step, fake, monkeypatch):
    """An event's time is in whole seconds, and the retry's jobs may be submitted in the same one or the next."""
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    queue = fake.sqs.queues["callbacks-sagemaker"]
    step.fates = {0: [LONG, Plan(end=60)]}
    step.submit(2)
    token = step.wait()
    fake.clock.now += 20
    step.stop(token)
    assert "stopped" in step.run()[1]
    stop_execution(fake)
    late = queue.pop()
    step.wait()
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 0.5):
        pass
    assert step.names()[2:] == ["Copies-01-try2", "Copies-02-try2"]
    queue.append(late)
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "2"


def test_an_event_that_ends_a_job_of_an_earlier_try_while_a_retry_waits_submits_nothing(step, fake, monkeypatch):
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    queue = fake.sqs.queues["callbacks-sagemaker"]
    step.fates = {0: [FAILS, Plan()], 1: [LONG, Plan()]}
    step.submit(2)
    step.wait()
    assert step.run()[0] == "Failure"
    step.wait()
    message = queue.pop()
    fake.clock.now += 10
    stop_execution(fake)
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 600):
        pass
    queue.append(message)
    kind, reason = step.run()
    assert kind == "Failure" and "stopped" in reason
    assert step.names() == ["Copies-01", "Copies-02"]


@pytest.mark.parametrize("array", [False, True])
def test_a_late_event_of_a_stop_does_not_stop_the_retry_whose_jobs_it_ends(step, fake, array, monkeypatch):
    """The retry has begun to wait when the jobs end, and after the stop. So they run again."""
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    queue = fake.sqs.queues["callbacks-sagemaker"]
    step.fates = {n: [LONG, Plan()] for n in range(2)}
    step.submit(2, array)
    fake.clock.now += 10
    stop_execution(fake)
    event = queue.pop()
    fake.clock.now += 10
    step.wait()
    fake.clock.now += 100
    queue.append(event)
    kind, outputs = step.run()
    assert kind == "Success" and outputs["jobs_succeeded"] == "2"
    assert step.names()[-1] == ("Copies-01-try1" if array else "Copies-02-try1")


def test_a_copy_of_an_earlier_message_submits_nothing(step, fake):
    step.fates = {0: [FAILS, FAILS, Plan()], 1: [FAILS, Plan(end=2000, exit_code=1), Plan()]}
    step.submit(2)
    bodies = []
    for expected in ("Failure", "Failure", "Success"):
        step.wait()
        message = fake.sqs.queues["callbacks-sagemaker"][-1]
        bodies.append((message.body, message.sent))
        for body, sent in bodies:  # SQS delivers at least once
            fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), body)
            fake.sqs.queues["callbacks-sagemaker"][-1].sent = sent
        assert step.run()[0] == expected
    names = step.names()
    assert sorted(names) == sorted(set(names))
    assert not [name for name in names if name.endswith("-try4")]


@pytest.mark.parametrize("retried", [False, True], ids=["before the retry", "after the retry"])
def test_a_copy_of_a_message_submits_nothing_when_its_failed_array_was_stopped(step, fake, monkeypatch, retried):
    """A failed item has failed the step, and a stop has terminated the rest of the array, when the copy comes."""
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")
    step.fates = {0: [FAILS, Plan()], 1: [LONG, Plan()]}
    step.submit(2, array=True)
    step.wait()
    first = fake.sqs.queues["callbacks-sagemaker"][-1]
    assert step.run()[0] == "Failure"
    fake.clock.now += 10
    stop_execution(fake)
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 600):
        pass
    assert not fake.batch.unfinished()
    if retried:
        step.wait()
        assert step.run()[0] == "Success"
    fake.sqs.queues["callbacks-sagemaker"].append(first)
    step.run()
    if not retried:
        step.wait()
        assert step.run()[0] == "Success"
    assert step.names() == ["Copies-01", "Copies-01-try2"]


def test_a_message_that_was_to_submit_finds_the_step_stopped(step, fake):
    """SQS delivers the stop first, or the other message once more."""
    step.fates = {0: [FAILS, Plan()]}
    step.submit(1)
    step.wait()
    step.run()
    token = step.wait()
    first = fake.sqs.queues["callbacks-sagemaker"].pop()
    step.stop(token)
    assert step.run()[0] == "Failure"
    fake.sqs.queues["callbacks-sagemaker"].append(first)
    step.run()
    assert step.names() == ["Copies-01"]
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names() == ["Copies-01", "Copies-01-try3"]


@pytest.mark.parametrize("array", [False, True])
def test_a_stop_whose_message_is_held_up_ends_what_was_submitted_in_vain(step, fake, array):
    """The retry's first poll can't know of the stop, so it submits again. The message comes at last."""
    queue = fake.sqs.queues["callbacks-sagemaker"]
    step.fates = {n: [FAILS, LONG] for n in range(2)}
    step.submit(2, array)
    step.wait(tolerated_failure_percentage="0")
    assert step.run()[0] == "Failure"
    before, token = step.names(), step.wait(tolerated_failure_percentage="0")
    step.stop(token)
    stopping = queue.pop()
    for _ in fake.sqs.run(step.check.lambda_handler, until=fake.clock.now + 60):
        pass
    in_vain = [job for name, job in zip(step.names(), fake.batch.jobs.values(), strict=True) if name not in before]
    assert in_vain and all(job.terminated is None for job in in_vain)
    queue.append(stopping)
    kind, reason = step.run()
    assert kind == "Failure" and "stopped" in reason
    assert all(job.terminated is not None for job in in_vain) and not fake.batch.unfinished()


@pytest.mark.parametrize("trouble", [THROTTLED, UNAVAILABLE], ids=["throttled", "failing"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_trouble_with_submitting_submits_nothing_twice(step, fake, trouble, after):
    fake.batch.seconds_until_visible = 4
    step.fates = {n: [FAILS, Plan()] for n in range(4)}
    step.submit(4)
    step.wait()
    step.run()
    step.wait()
    fake.fail_next("SubmitJob", *[trouble] * 3, after=after and trouble is UNAVAILABLE)
    assert step.run()[0] == "Success"
    assert sorted(step.names()[4:]) == [f"Copies-0{n}-try2" for n in (1, 2, 3, 4)]


def test_a_job_whose_submission_had_no_answer_is_known_before_the_step_fails(step, fake):
    """Batch has the job. Another one fails the step, and the next retry waits for it."""
    at_once = Plan(end=5, exit_code=1)
    step.fates = {0: [FAILS, at_once, Plan()], 1: [FAILS, LONG]}
    step.submit(2)
    step.wait()
    step.run()
    step.wait()
    countdown = itertools.count()
    fake.fault_rule = lambda name, _: (
        Fault(UNAVAILABLE, after=True) if name == "SubmitJob" and next(countdown) == 1 else None
    )
    kind, reason = step.run()
    assert kind == "Failure" and "Copies-01-try2 failed" in reason
    step.wait()
    assert step.run()[0] == "Success"
    assert step.names()[2:] == ["Copies-01-try2", "Copies-02-try2", "Copies-01-try3"]


class Killed(BaseException):
    """The function's sandbox ends in the middle of a call."""


@pytest.mark.parametrize("operation", ["SubmitJob", "PutObject", "ListJobs"])
@pytest.mark.parametrize(("number", "after"), list(itertools.product(range(5), [False, True])))
def test_a_call_that_is_killed_anywhere_submits_nothing_twice(step, fake, operation, number, after):
    step.fates = {n: [FAILS, Plan()] for n in range(3)}
    step.submit(3)
    step.wait()
    step.run()
    step.wait()
    countdown = itertools.count()
    fake.fault_rule = lambda name, _: (
        Fault(Killed(), after) if name == operation and next(countdown) == number else None
    )

    def handler(event, context):
        try:
            return step.check.lambda_handler(event, context)
        except Killed as killed:
            raise RuntimeError("killed") from killed

    for _ in fake.sqs.run(handler, until=fake.clock.now + 86_400):
        pass
    assert fake.sagemaker.answers[-1][2] == "Success"
    assert sorted(step.names()[3:]) == [f"Copies-0{n}-try2" for n in (1, 2, 3)]


def test_two_calls_at_once_submit_each_job_once(step, fake):
    """A second copy of the message is handled while the first one's call is submitting."""
    step.fates = {n: [FAILS, Plan()] for n in range(3)}
    step.submit(3)
    step.wait()
    step.run()
    step.wait()
    original = fake.sqs.queues["callbacks-sagemaker"][-1]
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), original.body)
    copy = fake.sqs.queues["callbacks-sagemaker"][-1]
    second = connect(load("check_jobs"), fake)
    between = {"SubmitJob", "PutObject"}

    def meanwhile(name, _):
        if name in between:
            fake.fault_rule = None
            copy.receipt = "copy"
            fake.sqs.invoke(second.lambda_handler, [copy])
            fake.fault_rule = meanwhile
        return

    fake.fault_rule = meanwhile
    fake.sqs.invoke(step.check.lambda_handler, [original])
    fake.fault_rule = None
    assert step.run()[0] == "Success"
    assert sorted(step.names()[3:]) == [f"Copies-0{n}-try2" for n in (1, 2, 3)]


def test_jobs_of_another_execution_are_a_mistake_that_names_both_steps(step):
    """A selective execution took the waiting step alone: it has the job ids of the execution it starts from."""
    step.submit(2)
    step.wait()
    assert step.run()[0] == "Success"
    other = EXECUTION.replace("a1b2c3d4e5f6", "ffffffffffff")
    step.wait(execution=other)
    kind, reason = step.run()
    assert kind == "Failure" and '"Copies-Submit" and "Copies"' in reason and "a1b2c3d4e5f6" in reason
    assert step.names() == ["Copies-01", "Copies-02"]


def test_a_selective_execution_ends_no_job_of_the_other(step, fake):
    step.fates = {0: [LONG]}
    step.submit(1)
    step.wait()
    token = step.wait(execution=EXECUTION.replace("a1b2c3d4e5f6", "ffffffffffff"))
    step.stop(token)
    body = json.loads(fake.sqs.queues["callbacks-sagemaker"][-1].body)
    body["pipelineExecutionArn"] = EXECUTION.replace("a1b2c3d4e5f6", "ffffffffffff")
    fake.sqs.queues["callbacks-sagemaker"][-1].body = json.dumps(body)
    step.run()
    assert [job.terminated for job in fake.batch.jobs.values()] == [None]
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Failure", "Success"]


def test_a_retry_of_jobs_that_batch_has_forgotten_says_to_start_anew(step, fake):
    step.fates = {0: [FAILS]}
    step.submit(2)
    step.wait()
    step.run()
    fake.batch.jobs.clear()
    step.wait()
    kind, reason = step.run()
    assert kind == "Failure" and "over 7 days ago" in reason and "Start a new execution" in reason


def test_a_refused_submission_fails_the_step_in_its_own_words(step, fake):
    step.fates = {0: [FAILS]}
    step.submit(1)
    step.wait()
    step.run()
    step.wait()
    fake.fail_next("SubmitJob", *[AwsError("ClientException", "JobDefinition is INACTIVE", 400)] * 50)
    kind, reason = step.run()
    assert kind == "Failure" and "Copies-01-try2 can't be submitted" in reason and "INACTIVE" in reason


def test_jobs_that_submit_jobs_did_not_submit_fail_a_retry_with_what_to_do(step, fake):
    step.fates = {0: [FAILS]}
    step.submit(1)
    for uri in [uri for uri in fake.s3.objects if uri.endswith("requests.json")]:
        del fake.s3.objects[uri]
    step.wait()
    step.run()
    step.wait()
    kind, reason = step.run()
    assert kind == "Failure" and "requests.json" in reason and "new execution" in reason


def test_without_a_report_uri_a_retry_fails_as_the_first_try_did(step):
    step.fates = {0: [FAILS, Plan()]}
    step.submit(1)
    for _ in range(2):
        step.wait(report_uri="")
        kind, reason = step.run()
        assert kind == "Failure" and "bad input" in reason
    assert step.names() == ["Copies-01"]


def test_the_event_of_a_try_that_is_over_submits_nothing(step, fake, monkeypatch):
    """The tags of the first job still name the token of the try that has ended."""
    monkeypatch.setenv("PUSH_EVENTS", "true")
    step.fates = {0: [FAILS, NEVER_STARTS], 1: [NEVER_STARTS]}
    step.submit(2)
    for _ in range(2):
        step.wait(deadline_seconds="600")
        assert step.run()[0] == "Failure"
    names = step.names()
    for job in list(fake.batch.jobs.values()):
        step.check.lambda_handler(fake.batch.event(job), Context())
    assert step.names() == names


def test_push_answers_a_retry(step, fake, monkeypatch):
    monkeypatch.setenv("PUSH_EVENTS", "true")
    step.fates = {0: [FAILS, Plan(end=600)], 1: [LONG]}
    step.submit(2)
    step.wait()
    step.run()
    step.wait()
    end = fake.clock.now + 5000
    while fake.clock.now < end and fake.batch.unfinished():
        visible = min(message.visible_at for message in fake.sqs.queues["callbacks-sagemaker"])
        ends = [fake.batch.end_of(job) for job in fake.batch.jobs.values() if fake.batch.end_of(job) > fake.clock.now]
        fake.clock.now = max(fake.clock.now, min([visible, *ends]))
        if visible <= fake.clock.now:
            fake.sqs.invoke(step.check.lambda_handler)
    [last] = [job for job in fake.batch.jobs.values() if job.name.endswith("-02")]
    step.check.lambda_handler(fake.batch.event(last), Context())
    assert fake.sagemaker.answers[-1][2] == "Success"
