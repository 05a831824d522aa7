"""The graph, the queue over time and the live view, on answers as AWS gives them."""

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.text import Annotation

from utils import monitoring
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.monitoring import live_view
from utils.monitoring.live_view import jobs_now, steps_done
from utils.monitoring.step_graph import dependencies, draw_graph, with_branches
from utils.queues import ensure_queue

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = {
    "Steps": [
        {"Name": "Count", "Type": "Lambda", "Arguments": {}},
        {"Name": "Submit", "Type": "Lambda", "Arguments": {"step_name": "Wait"}, "DependsOn": ["Count"]},
        {
            "Name": "Wait",
            "Type": "Callback",
            "Arguments": {"job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"}},
        },
        {"Name": "Beside", "Type": "Lambda", "Arguments": {}},
    ]
}
STEPS = [
    {"StepName": "Count", "StepStatus": "Succeeded", "StartTime": BEGIN, "EndTime": BEGIN + timedelta(seconds=2)},
    {"StepName": "Submit", "StepStatus": "Executing", "StartTime": BEGIN},
]


@pytest.fixture
def config():
    return Config("local", "sagemaker-pictures", "us-east-1", "000000000000")


def answer_a_look(calls, status, *, definition=DEFINITION, steps=STEPS, jobs=()):
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": status})
    calls.answer("DescribePipelineDefinitionForExecution", {"PipelineDefinition": json.dumps(definition)})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": steps})
    calls.answer("ListJobs", {"jobSummaryList": list(jobs)})


def job(number, status, *, step="Wait", **fields):
    return {"jobId": f"{step}{number}", "jobName": f"abcdefghijkl-{step}-{number:02d}", "status": status, **fields}


@pytest.fixture
def seen(monkeypatch):
    """What is shown: `live` are the updates of the one picture, `displayed` what each display begins with."""
    live, displayed = [], []

    def display(shown, **_):
        displayed.append(shown)
        return SimpleNamespace(update=lambda shown, **_: live.append(shown))

    monkeypatch.setattr("IPython.display.display", display)
    return SimpleNamespace(live=live, displayed=displayed)


def test_a_step_follows_those_it_names_and_those_whose_outputs_it_uses():
    assert dependencies(DEFINITION["Steps"]) == {
        "Count": set(),
        "Submit": {"Count"},
        "Wait": {"Submit"},
        "Beside": set(),
    }


def test_the_graph_says_each_steps_status_in_words_and_boxes(session, calls):
    answer_a_look(calls, "Executing")
    figure = monitoring.graph(session, ARN)
    assert figure.alt.endswith("Count Succeeded, Beside Not started, Submit Executing, Wait Not started.")
    boxes = {text.get_text(): text for text in figure.axes[0].texts if text.get_text()}
    assert set(boxes) == {"Count\nSucceeded\n2.0 s", "Submit\nExecuting", "Wait\nNot started", "Beside\nNot started"}
    places = {text.split("\n")[0]: box.get_position() for text, box in boxes.items()}
    assert places["Count"][0] < places["Submit"][0] < places["Wait"][0]
    assert places["Beside"][0] == places["Count"][0] and places["Beside"][1] != places["Count"][1]


def test_no_arrow_crosses_the_box_of_another_step():
    """The last step uses what the first returns, and waits for the step between them."""
    waits_for = {"Days": set(), "Enough": {"Days"}, "Rank": {"Days", "Enough"}, "TooFew": {"Enough"}}
    figure = draw_graph(waits_for, pd.DataFrame(columns=["step", "status", "seconds"]))
    arrows = [(text.xyann, text.xy) for text in figure.axes[0].texts if isinstance(text, Annotation)]
    assert len(arrows) == 3
    assert max(end[0] - begin[0] for begin, end in arrows) < 1  # from a column to the next
    assert figure.alt.endswith("Days Not started, Enough Not started, Rank Not started, TooFew Not started.")


def test_a_picture_is_shown_as_html_and_as_png_with_its_text(session, calls):
    answer_a_look(calls, "Executing")
    data, metadata = InteractiveShell.instance().display_formatter.format(monitoring.graph(session, ARN))
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"].startswith("The pipeline as a graph")
    assert f'src="data:image/png;base64,{data["image/png"]}"' in data["text/html"]
    assert f'alt="{metadata["image/png"]["alt"]}"' in data["text/html"]


def test_a_pictures_text_may_hold_any_sign():
    import matplotlib.pyplot as plt

    data, _ = monitoring.picture(plt.subplots()[0], '5 < 6 & "so on"')._repr_mimebundle_()
    assert 'alt="5 &lt; 6 &amp; &quot;so on&quot;"' in data["text/html"]


def test_the_queue_over_time_says_how_many_there_were():
    samples = pd.DataFrame({"seconds": [0, 1, 2], "waiting": [0, 1, 0], "hidden": [1, 1, 0]})
    assert "2 messages at most" in monitoring.queue_over_time(samples).alt


def test_watching_shows_the_jobs_and_a_log_and_ends_with_the_graph(session, calls, config, seen):
    ensure_queue(session, config.callback_queue, tags=config.tags)
    answer_a_look(calls, "Executing", jobs=[job(1, "RUNNING", startedAt=5), job(2, "RUNNABLE")])
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "Wait1", "container": {"logStreamName": "s"}}]})
    calls.answer("GetLogEvents", {"events": [{"message": "copy <this>"}], "nextForwardToken": "f"})
    answer_a_look(calls, "Succeeded")
    watched = monitoring.watch(session, config, ARN, every=0)
    assert watched.status == "Succeeded"
    assert watched.samples[["waiting", "hidden"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    live, last = seen.live
    for part in (
        '<progress value="0.25" aria-label="1 of 4 steps"></progress> 1 of 4 steps',
        "1 RUNNABLE, 1 RUNNING",
        "copy &lt;this&gt;",
        'alt="The pipeline as a graph',
        "Executing",
    ):
        assert part in live["text/html"]
    assert live["text/plain"].endswith(" s: 1 RUNNABLE, 1 RUNNING")
    assert last.alt.startswith("The pipeline as a graph")


def test_the_graph_is_drawn_again_only_when_it_says_something_else(session, calls, config, seen, monkeypatch):
    drawn = []
    draw = live_view.draw_graph
    monkeypatch.setattr(live_view, "draw_graph", lambda *said: drawn.append(said) or draw(*said))
    ensure_queue(session, config.callback_queue, tags=config.tags)
    for states in (["RUNNABLE"], ["RUNNING"], ["SUCCEEDED"]):  # the second changes no number of ended jobs
        answer_a_look(calls, "Executing", jobs=[job(1, state) for state in states])
        calls.answer("DescribeJobs", {"jobs": [{"jobId": "Wait1"}]})
    answer_a_look(calls, "Succeeded")
    monitoring.watch(session, config, ARN, every=0)
    assert [ended for _, _, *ended in drawn] == [[{"Wait": "0 of 1 jobs"}], [{"Wait": "1 of 1 jobs"}], []]
    assert ["RUNNING" in live["text/html"] for live in seen.live[:3]] == [False, True, False]
    assert all('alt="The pipeline as a graph' in live["text/html"] for live in seen.live[:3])


ENDED = [
    {**step, "StepStatus": status, "EndTime": BEGIN + timedelta(seconds=4)}
    for step, status in zip(
        [*STEPS, STEPS[1] | {"StepName": "Wait"}], ("Succeeded", "Succeeded", "Failed"), strict=True
    )
]


def test_watching_leaves_one_table_of_the_steps(session, calls, config, seen):
    """As a display of its own: a log of papermill's, which tells of no updates, has it, and so has a terminal."""
    ensure_queue(session, config.callback_queue, tags=config.tags)
    others = [job(1, "SUCCEEDED", step="Other"), job(2, "FAILED", step="Wait-Submit")]
    ran = [job(1, "SUCCEEDED"), job(2, "FAILED"), job(10, "SUCCEEDED")]
    answer_a_look(calls, "Failed", steps=ENDED, jobs=[*others, *ran])
    monitoring.watch(session, config, ARN)
    assert calls.made.count("ListJobs") == 1
    assert "DescribeJobs" not in calls.made
    _, last = seen.displayed
    assert set(last) == {"text/html", "text/plain"}
    lines = [re.split(r"\s{2,}", line.strip()) for line in last["text/plain"].splitlines()]
    assert lines == [
        ["step", "type", "status seconds", "jobs"],
        ["0", "Count", "Lambda", "Succeeded", "4.0"],
        ["1", "Beside", "Lambda", "Not started"],
        ["2", "Submit", "Lambda", "Succeeded", "4.0"],
        ["3", "Wait", "Callback", "Failed", "4.0", "2 of 3 succeeded"],
    ]
    assert re.findall("<td[^>]*>(.*?)</td>", last["text/html"])[-5:] == [
        "Wait",
        "Callback",
        "Failed",
        "4.0",
        "2 of 3 succeeded",
    ]


def test_a_step_may_follow_the_failure_of_another():
    """As the SDK writes its StepDependency."""
    after = {"Name": "After", "Type": "Lambda", "Arguments": {}, "DependsOn": [{"Step": "Wait", "Trigger": "Failed"}]}
    assert dependencies([*DEFINITION["Steps"], after])["After"] == {"Wait"}


def condition(name, if_steps, else_steps=()):
    counted = {"Type": "Equals", "LeftValue": {"Get": "Steps.Count.OutputParameters['n']"}, "RightValue": 1}
    arguments = {"Conditions": [counted], "IfSteps": list(if_steps), "ElseSteps": list(else_steps)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


COUNT, SUBMIT, WAIT, BESIDE = DEFINITION["Steps"]
NESTED = [condition("Check", [condition("Again", [SUBMIT | {"DependsOn": []}, WAIT])], [BESIDE]), COUNT]


def test_the_first_steps_of_a_branch_follow_the_condition():
    assert dependencies(list(with_branches(NESTED))) == {
        "Count": set(),
        "Check": {"Count"},
        "Again": {"Count", "Check"},
        "Submit": {"Again"},
        "Wait": {"Submit"},
        "Beside": {"Check"},
    }


def test_the_steps_in_a_conditions_branches_are_in_the_table_and_in_the_graph(session, calls, config, seen):
    """As a BatchStep's two are: put into a branch, they are in the condition's arguments and nowhere else."""
    ensure_queue(session, config.callback_queue, tags=config.tags)
    ran = [{**ENDED[0], "StepName": name} for name in ("Count", "Check", "Again", "Submit", "Wait")]
    answer_a_look(calls, "Succeeded", definition={"Steps": NESTED}, steps=ran, jobs=[job(1, "SUCCEEDED")])
    monitoring.watch(session, config, ARN)
    lines = [re.split(r"\s{2,}", line.strip()) for line in seen.displayed[1]["text/plain"].splitlines()]
    assert lines[1:] == [
        ["0", "Count", "Lambda", "Succeeded", "4.0"],
        ["1", "Check", "Condition", "Succeeded", "4.0"],
        ["2", "Again", "Condition", "Succeeded", "4.0"],
        ["3", "Beside", "Lambda", "Not started"],
        ["4", "Submit", "Lambda", "Succeeded", "4.0"],
        ["5", "Wait", "Callback", "Succeeded", "4.0", "1 of 1 succeeded"],
    ]
    assert "Check Succeeded, Again Succeeded, Beside Not started, Submit Succeeded" in seen.live[-1].alt


def test_the_table_is_the_same_whichever_of_two_steps_began_first(session, calls, config, seen):
    ensure_queue(session, config.callback_queue, tags=config.tags)
    for steps in (ENDED, ENDED[::-1]):
        answer_a_look(calls, "Failed", steps=steps, jobs=[job(1, "FAILED")])
        monitoring.watch(session, config, ARN)
    assert seen.displayed[1] == seen.displayed[3]


def test_an_arrays_children_are_counted_singly(session, calls, config, seen):
    ensure_queue(session, config.callback_queue, tags=config.tags)
    array = {"size": 31, "statusSummary": {"FAILED": 1, "RUNNING": 0, "SUCCEEDED": 30}}
    begun = {"size": 5}  # Batch has not counted them yet
    ran = [job(1, "FAILED", arrayProperties=array), job(2, "SUCCEEDED"), job(3, "PENDING", arrayProperties=begun)]
    answer_a_look(calls, "Failed", steps=ENDED, jobs=ran)
    monitoring.watch(session, config, ARN)
    assert "31 of 37 succeeded" in seen.displayed[1]["text/plain"]


def retried(number, status, ending="", **fields):
    return {**job(number, status, **fields), "jobName": f"abcdefghijkl-Wait-{number:02d}{ending}"}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([retried(1, "RUNNING")], {"RUNNING": 1}),
        ([retried(1, "FAILED"), retried(1, "SUCCEEDED", "-try2"), retried(2, "SUCCEEDED")], {"SUCCEEDED": 2}),
        ([retried(1, "FAILED", "-try2"), retried(1, "RUNNING", "-try3"), retried(1, "FAILED")], {"RUNNING": 1}),
        ([retried(1, "FAILED"), retried(2, "FAILED"), retried(2, "RUNNING", "-try2")], {"FAILED": 1, "RUNNING": 1}),
        (
            [
                retried(1, "FAILED", arrayProperties={"size": 12, "statusSummary": {"SUCCEEDED": 9, "FAILED": 3}}),
                retried(
                    1, "FAILED", "-try2", arrayProperties={"size": 3, "statusSummary": {"FAILED": 2, "SUCCEEDED": 1}}
                ),
                retried(1, "PENDING", "-try3", arrayProperties={"size": 2, "statusSummary": {"RUNNING": 2}}),
            ],
            {"SUCCEEDED": 10, "RUNNING": 2},
        ),
        ([retried(1, "FAILED", createdAt=2), retried(1, "RUNNING", createdAt=1)], {"RUNNING": 1}),  # a duplicate
    ],
)
def test_an_item_that_a_retry_submitted_again_counts_once(session, calls, config, jobs, expected):
    calls.answer("ListJobs", {"jobSummaryList": jobs})
    calls.answer("DescribeJobs", {"jobs": []})
    by_step, _ = jobs_now(session, config.job_queue, ARN)
    assert by_step == {"Wait": expected}


def test_a_step_may_be_called_a_try(session, calls, config):
    named = [
        {**job(n, "RUNNING"), "jobName": f"abcdefghijkl-my-tryout-{n:02d}{end}"} for n, end in ((1, ""), (1, "-try2"))
    ]
    calls.answer("ListJobs", {"jobSummaryList": named})
    calls.answer("DescribeJobs", {"jobs": []})
    by_step, _ = jobs_now(session, config.job_queue, ARN)
    assert by_step == {"my-tryout": {"RUNNING": 1}}


def test_a_job_that_has_not_printed_yet_has_no_lines(session, calls, config):
    calls.answer("ListJobs", {"jobSummaryList": [job(1, "RUNNING", startedAt=5)]})
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "Wait1", "container": {"logStreamName": "s"}}]})
    calls.refuse("GetLogEvents", "ResourceNotFoundException")
    by_step, lines = jobs_now(session, config.job_queue, ARN)
    assert (by_step, lines) == ({"Wait": {"RUNNING": 1}}, [])


def test_the_lines_are_the_newest_jobs_that_has_any(session, calls, config):
    begun = [job(n, "RUNNING", startedAt=n) for n in (1, 2, 3)]
    calls.answer("ListJobs", {"jobSummaryList": [*begun, job(4, "RUNNABLE")]})
    streams = [{"jobId": f"Wait{n}", "startedAt": n, "container": {"logStreamName": f"s{n}"}} for n in (1, 2, 3)]
    calls.answer("DescribeJobs", {"jobs": streams})
    calls.refuse("GetLogEvents", "ResourceNotFoundException")  # the newest has not printed yet
    calls.answer("GetLogEvents", {"events": [{"message": "the second's"}], "nextForwardToken": "f"})
    assert jobs_now(session, config.job_queue, ARN)[1] == ["the second's"]


def test_the_lines_need_no_time_of_start_in_the_listing(session, calls, config):
    """ListJobs leaves `startedAt` out when it is asked for jobs by name: https://github.com/boto/boto3/issues/3315"""
    states = {1: "RUNNING", 2: "SUCCEEDED", 3: "RUNNING", 4: "RUNNABLE", 5: "STARTING"}
    calls.answer("ListJobs", {"jobSummaryList": [job(n, state, createdAt=n) for n, state in states.items()]})
    described = [(1, 300), (2, 100), (3, 200)]
    streams = [{"jobId": f"Wait{n}", "startedAt": at, "container": {"logStreamName": f"s{n}"}} for n, at in described]
    calls.answer("DescribeJobs", {"jobs": streams})
    calls.refuse("GetLogEvents", "ResourceNotFoundException")  # job 1, which started last, has not printed yet
    calls.answer("GetLogEvents", {"events": [{"message": "working"}], "nextForwardToken": "f"})
    by_step, lines = jobs_now(session, config.job_queue, ARN)
    assert lines == ["working"]
    assert by_step == {"Wait": {"RUNNING": 2, "SUCCEEDED": 1, "RUNNABLE": 1, "STARTING": 1}}


def test_of_many_jobs_those_that_run_are_described(session, calls, config):
    ended = [job(n, "SUCCEEDED", createdAt=n) for n in range(2, 202)]
    calls.answer("ListJobs", {"jobSummaryList": [job(1, "RUNNING", createdAt=1), *ended]})
    asked = []
    session.events.register(
        "provide-client-params.batch.DescribeJobs", lambda params, **_: asked.append(params["jobs"])
    )
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "Wait1", "startedAt": 500}]})
    jobs_now(session, config.job_queue, ARN)
    assert [len(ids) for ids in asked] == [100]
    assert asked[0][:2] == ["Wait1", "Wait201"]


def test_a_trials_jobs_and_the_rest_are_counted_apart(session, calls, config, seen):
    """Both are submitted with the step_name of the BatchStep."""
    ensure_queue(session, config.callback_queue, tags=config.tags)
    required = {"job_queue": "q", "job_definition": "d", "output_uri": "s3://bucket/out", "items": "s3://bucket/items"}
    required["submit_function_arn"] = "arn:aws:lambda:us-east-1:000000000000:function:submit"
    required["callback_queue_url"] = "https://sqs.us-east-1.amazonaws.com/000000000000/callbacks"
    steps = batch_step_json("Days", trial=2, **required)
    rest = {"arrayProperties": {"size": 10, "statusSummary": {"SUCCEEDED": 9, "FAILED": 1}}}
    ran = [
        job(1, "SUCCEEDED", step="Days", **rest),
        job(1, "SUCCEEDED", step="Days-Trial", arrayProperties={"size": 2}),
    ]
    answer_a_look(calls, "Succeeded", definition={"Steps": steps}, steps=[], jobs=ran)
    monitoring.watch(session, config, ARN)
    rows = seen.displayed[1]["text/plain"].splitlines()[1:]
    assert [re.search(r"(\S+) +(Lambda|Callback)", row)[1] for row in rows] == [step["Name"] for step in steps]
    counted = [re.findall(r"\d+ of \d+ succeeded", row) for row in rows]
    assert counted == [[], ["2 of 2 succeeded"], [], ["9 of 10 succeeded"]]


def asked(session, operation):
    """The parameters of each later call of this operation."""
    seen = []
    session.events.register(f"provide-client-params.*.{operation}", lambda params, **_: seen.append(dict(params)))
    return seen


def test_watching_another_queue_shows_its_jobs_and_the_log_of_their_definition(session, calls, config, seen):
    ensure_queue(session, config.callback_queue, tags=config.tags)
    queue = "arn:aws:batch:us-east-1:000000000000:job-queue/theirs"
    listed, read = asked(session, "ListJobs"), asked(session, "GetLogEvents")
    answer_a_look(calls, "Executing", jobs=[job(1, "RUNNING", startedAt=5), job(2, "RUNNING", startedAt=4)])
    log = {"logDriver": "awslogs", "options": {"awslogs-group": "/theirs"}}
    containers = [{"logStreamName": "s1", "logConfiguration": log}, {"logStreamName": "s2"}]
    described = [{"jobId": f"Wait{n}", "startedAt": 5 - n, "container": each} for n, each in enumerate(containers)]
    calls.answer("DescribeJobs", {"jobs": described})
    calls.answer("GetLogEvents", {"events": [], "nextForwardToken": "f"})  # so the other job's log is read too
    calls.answer("GetLogEvents", {"events": [{"message": "working"}], "nextForwardToken": "f"})
    answer_a_look(calls, "Succeeded", steps=ENDED, jobs=[job(1, "SUCCEEDED"), job(2, "SUCCEEDED")])
    monitoring.watch(session, config, ARN, job_queue=queue, every=0)
    assert [each["jobQueue"] for each in listed] == [queue, queue]
    assert [each["logGroupName"] for each in read] == ["/theirs", "/aws/batch/job"]
    assert "2 RUNNING" in seen.live[0]["text/html"] and "working" in seen.live[0]["text/html"]
    assert "2 of 2 succeeded" in seen.displayed[1]["text/plain"]


def test_a_log_that_may_not_be_read_ends_no_view(session, calls, config):
    calls.answer("ListJobs", {"jobSummaryList": [job(1, "RUNNING", startedAt=5)]})
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "Wait1", "container": {"logStreamName": "s"}}]})
    calls.refuse("GetLogEvents", "AccessDeniedException")
    by_step, (line,) = jobs_now(session, config.job_queue, ARN)
    assert by_step == {"Wait": {"RUNNING": 1}}
    assert "logs:GetLogEvents" in line and "/aws/batch/job" in line


@pytest.mark.parametrize(
    ("statuses", "jobs", "done"),
    [
        ([], {}, 0),
        (["Succeeded", "Succeeded", "Executing"], {"RUNNING": 2, "SUCCEEDED": 1, "FAILED": 1}, 2.5),
        (["Succeeded", "Succeeded", "Succeeded", "Executing"], {"SUCCEEDED": 4}, 3),
        (["Succeeded", "Failed"], {}, 2),
    ],
)
def test_the_bar_counts_steps_and_the_share_of_the_jobs_of_a_waiting_one(statuses, jobs, done):
    assert steps_done(pd.DataFrame({"status": statuses}), Counter(jobs)) == done


def test_watching_ends_with_its_time_and_the_execution_goes_on(session, calls, config, seen):
    ensure_queue(session, config.callback_queue, tags=config.tags)
    answer_a_look(calls, "Executing")
    assert monitoring.watch(session, config, ARN, seconds=-1).status == "Executing"
