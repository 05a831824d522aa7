import itertools
import json

import pytest

from utils import iam, lambdas, queues


@pytest.fixture
def queue(session, config):
    """The callback queue with its dead-letter queue, as notebook 04 makes it; returns its URL."""

    def ensure(visibility: int = 900) -> str:
        dead = queues.ensure_queue(session, config.dead_letter_queue, tags=config.tags)
        return queues.ensure_queue(
            session,
            config.callback_queue,
            visibility_timeout_seconds=visibility,
            dead_letter_queue=queues.queue_arn(session, dead),
            tags=config.tags,
        )

    return ensure


@pytest.fixture
def mapping(session, config, queue):
    role = iam.ensure_roles(session, config)["monitor_lambda"]
    lambdas.ensure_function(
        session,
        config.check_jobs_function,
        code=lambdas.package("check_jobs"),
        role=role,
        timeout_seconds=60,
        tags=config.tags,
    )
    source = queues.queue_arn(session, queue())

    def ensure(**changes):
        return queues.ensure_mapping(
            session, queue=source, function=config.check_jobs_function, tags=config.tags, **changes
        )

    return ensure


def test_a_queue_has_the_articles_visibility_and_a_dead_letter_queue_that_polling_does_not_reach(
    session, config, queue
):
    answer = session.client("sqs").get_queue_attributes(QueueUrl=queue(), AttributeNames=["All"])["Attributes"]
    assert answer["VisibilityTimeout"] == "900"
    redrive = json.loads(answer["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == config.arn("sqs", config.dead_letter_queue)
    # check_jobs fails a step after 900 polls by itself; each is a delivery.
    assert int(redrive["maxReceiveCount"]) >= 1000
    assert session.client("sqs").list_queue_tags(QueueUrl=queue())["Tags"] == config.tags


def test_a_queue_is_made_once_and_brought_up_to_date(session, queue, calls):
    url = queue()
    calls.made.clear()
    assert queue() == url
    assert calls.writes == []
    assert queue(visibility=600) == url
    assert calls.writes == ["SetQueueAttributes"]
    answer = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert answer["Attributes"] == {"VisibilityTimeout": "600"}


def test_somebody_elses_queue_is_refused_untouched(session, config, queue, calls):
    url, name = queue(), config.callback_queue
    session.client("sqs").untag_queue(QueueUrl=url, TagKeys=list(config.tags))
    calls.made.clear()
    with pytest.raises(
        iam.NameConflict, match=f'The queue "{name}" exists and is not this kit\'s, since it lacks our tag'
    ):
        queue(visibility=600)
    assert calls.writes == []


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"])
def test_a_name_that_was_deleted_just_now_is_waited_for(session, config, calls, no_waiting, code):
    calls.refuse("CreateQueue", code, "You must wait 60 seconds after deleting a queue", times=3)
    url = queues.ensure_queue(session, config.callback_queue, tags=config.tags)
    assert url == queues.queue_url(session, config.callback_queue)
    assert len(no_waiting) == 3


def test_a_missing_queue_says_which_notebook_makes_it(session, config):
    with pytest.raises(LookupError, match="Run notebook 04_sqs_and_mapping"):
        queues.queue_url(session, config.callback_queue)


def test_messages_are_counted_by_whether_they_are_hidden(session, queue):
    url, sqs = queue(), session.client("sqs")
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    assert queues.message_counts(session, url) == {"waiting": 2, "hidden": 1}


def test_a_message_is_taken_out_of_the_queue(session, queue):
    url = queue()
    session.client("sqs").send_message(QueueUrl=url, MessageBody="hello")
    assert queues.receive_one(session, url, seconds=5) == "hello"
    assert queues.message_counts(session, url) == {"waiting": 0, "hidden": 0}
    with pytest.raises(TimeoutError, match=r'came to the queue "sagemaker-unit.*-callbacks" within 0 seconds'):
        queues.receive_one(session, url, seconds=0)


def test_a_mapping_reports_items_and_is_made_once(mapping, calls):
    made = mapping()
    assert (made["State"], made["BatchSize"]) == ("Enabled", 10)
    assert made["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    calls.made.clear()
    assert mapping()["UUID"] == made["UUID"]
    assert calls.writes == []


def test_a_mapping_is_brought_up_to_date(session, mapping):
    made = mapping()
    session.client("lambda").update_event_source_mapping(UUID=made["UUID"], Enabled=False)
    changed = mapping(batch_size=5)
    assert (changed["UUID"], changed["State"], changed["BatchSize"]) == (made["UUID"], "Enabled", 5)


def test_a_mapping_can_be_made_to_ignore_what_is_reported_and_back(mapping):
    made = mapping()
    changed = mapping(response_types=[])
    assert (changed["UUID"], changed["FunctionResponseTypes"]) == (made["UUID"], [])
    assert mapping()["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_one_that_is_still_being_deleted_is_waited_for(mapping, calls, no_waiting):
    made = mapping()
    deleting = {"EventSourceMappings": [made | {"State": "Deleting"}]}
    calls.answer("ListEventSourceMappings", deleting, deleting, {"EventSourceMappings": []})
    calls.answer("CreateEventSourceMapping", made)
    calls.made.clear()
    mapping()
    assert calls.made.index("CreateEventSourceMapping") > 2
    assert len(no_waiting) >= 2


def test_one_that_is_never_ready_is_told(mapping, calls, monkeypatch, no_waiting):
    made = mapping()
    clock = itertools.count(0, 100)  # each time it is read, 100 seconds later
    monkeypatch.setattr("tenacity.time.monotonic", lambda: next(clock))
    deleting = {"EventSourceMappings": [made | {"State": "Deleting"}]}
    calls.answer("ListEventSourceMappings", deleting, deleting, deleting)
    with pytest.raises(
        TimeoutError, match=r"The mapping of arn:\S+ to arn:\S+ is still Deleting after three minutes. Run"
    ):
        mapping()


def test_a_policy_that_lambda_does_not_know_yet_is_waited_for(mapping, calls, no_waiting):
    young = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    calls.refuse("CreateEventSourceMapping", "InvalidParameterValueException", young, times=2)
    assert mapping()["State"] == "Enabled"
    assert calls.made.count("CreateEventSourceMapping") == 3


def test_a_paused_mapping_is_enabled_again_by_ensure_and_no_mapping_is_no_error(session, config, queue, mapping):
    source = queues.queue_arn(session, queue())
    queues.pause_mapping(session, queue=source, function=config.check_jobs_function)
    made = mapping()
    for _ in range(2):
        queues.pause_mapping(session, queue=source, function=config.check_jobs_function)
        paused = queues.find_mapping(session, queue=source, function=config.check_jobs_function)
        assert (paused["UUID"], paused["State"]) == (made["UUID"], "Disabled")
    assert mapping()["State"] == "Enabled"


def test_taking_a_certain_message_leaves_the_others(session, queue):
    url, sqs = queue(visibility=0), session.client("sqs")
    for body in ("of another", "of mine"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    assert queues.receive_one(session, url, containing="mine", seconds=30) == "of mine"
    assert queues.receive_one(session, url, seconds=30) == "of another"
