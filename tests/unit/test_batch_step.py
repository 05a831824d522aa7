"""BatchStep builds, without any AWS call, the definition that two steps built by hand would."""

import json
import subprocess
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from utils.batch_step_json import batch_step_json

pytestmark = pytest.mark.slow  # importing the SDK takes seconds

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sagemaker-batch-submit"
QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-batch-callback"
REQUIRED = {
    "job_definition": "copy",
    "job_queue": "jobs",
    "output_uri": "s3://bucket/out",
    "submit_function_arn": FUNCTION,
    "callback_queue_url": QUEUE,
}


@pytest.fixture(scope="module")
def sdk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the SDK makes clients at import
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.workflow.conditions import ConditionEquals, ConditionLessThanOrEqualTo
        from sagemaker.core.workflow.functions import Join
        from sagemaker.core.workflow.parameters import ParameterString
        from sagemaker.mlops import workflow
        from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, ConditionStep, Pipeline, PipelineGraph
        from sagemaker.mlops.workflow.steps import CacheConfig

        from utils.batch_step import BatchStep

        session = Session(boto3.Session("test", "test", region_name="us-east-1"), default_bucket="unused")

        def make(name="Copies", **options):
            return BatchStep(name, **{**REQUIRED, "sagemaker_session": session, **options})

        def plain(name, **options):
            return CallbackStep(name, QUEUE, options.pop("inputs", {"x": "y"}), [CallbackOutput("z")], **options)

        def when(name="When", **options):
            return ConditionStep(name, conditions=[ConditionEquals("a", "a")], **options)

        def for_each(*body, name="Each", **options):
            return loops("ForEachStep")(
                name, iterable_items=["a", "b"], max_concurrency=2, for_each_body=[*body], **options
            )

        def loops(name):
            """What the SDK has for loops; that of Studio's image has none yet."""
            return getattr(workflow, name, None) or pytest.skip(f"this SDK has no {name}")

        def pipeline(*steps, parameters=()):
            return Pipeline("p", steps=list(steps), parameters=list(parameters), sagemaker_session=session)

        def compile(*steps, parameters=()):
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                definition = json.loads(pipeline(*steps, parameters=parameters).definition())
            return {step["Name"]: step for step in definition["Steps"]}

        yield SimpleNamespace(
            make=make,
            plain=plain,
            when=when,
            for_each=for_each,
            pipeline=pipeline,
            compile=compile,
            graph=PipelineGraph.from_pipeline,
            CurrentItem=lambda: loops("CurrentItem")(),
            AtMost=ConditionLessThanOrEqualTo,
            CacheConfig=CacheConfig,
            ConditionStep=ConditionStep,
            Join=Join,
            ParameterString=ParameterString,
        )


def inside(step, branch="IfSteps"):
    """The steps in a branch or body of a compiled step, by their names."""
    return {each["Name"]: each for each in step["Arguments"][branch]}


def test_its_steps_are_a_pair_in_the_definition(sdk):
    steps = sdk.compile(
        *sdk.make(input_uri="s3://bucket/in", tolerated_failure_percentage=5, deadline=timedelta(hours=2)).steps
    )
    assert set(steps) == {"Copies-Submit", "Copies"}
    submit, wait = steps["Copies-Submit"], steps["Copies"]
    assert (submit["Type"], submit["FunctionArn"]) == ("Lambda", FUNCTION)
    assert submit["Arguments"] == {
        "mode": "array",
        "input_uri": "s3://bucket/in",
        "output_uri": "s3://bucket/out",
        "job_queue": "jobs",
        "job_definition": "copy",
        "execution_id": {"Get": "Execution.PipelineExecutionArn"},
        "step_name": "Copies",
        "pipeline_steps": "Copies-Submit Copies",
    }
    assert (wait["Type"], wait["SqsQueueUrl"]) == ("Callback", QUEUE)
    assert wait["Arguments"] == {
        "job_ids": {"Get": "Steps.Copies-Submit.OutputParameters['jobIds']"},
        "report_uri": {"Get": "Steps.Copies-Submit.OutputParameters['reportUri']"},
        "output_uri": "s3://bucket/out",
        "tolerated_failure_percentage": 5,
        "deadline_seconds": 7200.0,
    }
    types = {output["OutputName"]: output["OutputType"] for output in wait["OutputParameters"]}
    assert types == {
        "job_status": "String",
        "jobs_total": "Integer",
        "jobs_succeeded": "Integer",
        "jobs_failed": "Integer",
        "failed_items_uri": "String",
        "output_uri": "String",
    }


def test_later_steps_use_its_properties_and_earlier_ones_its_depends_on(sdk):
    before = sdk.plain("Before")
    batch = sdk.make(items="s3://bucket/items.jsonl", depends_on=[before])
    after = sdk.plain("After", depends_on=[batch])
    user = sdk.plain("User", inputs={"failed": batch.properties.Outputs["jobs_failed"]})
    steps = sdk.compile(before, *batch.steps, after, user)
    assert steps["Copies-Submit"]["DependsOn"] == ["Before"]
    assert "DependsOn" not in steps["Copies"]
    assert steps["After"]["DependsOn"] == ["Copies"]
    assert steps["User"]["Arguments"] == {"failed": {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}}


def test_what_comes_before_can_be_said_later(sdk):
    before, other = sdk.plain("Before"), sdk.plain("Other")
    batch = sdk.make(items="s3://bucket/items.jsonl")
    batch.depends_on = [before]
    batch.add_depends_on(["Other"])
    assert sorted(sdk.compile(before, other, *batch.steps)["Copies-Submit"]["DependsOn"]) == ["Before", "Other"]


def test_several_in_parallel_and_in_a_chain_share_function_and_queue(sdk):
    first, second = sdk.make("First", input_uri="s3://bucket/a"), sdk.make("Second", input_uri="s3://bucket/b")
    failed = first.properties.Outputs["failed_items_uri"]
    third = sdk.make("Third", items=failed, may_be_empty=True, depends_on=[second])
    steps = sdk.compile(*first.steps, *second.steps, *third.steps)
    assert len(steps) == 6
    assert {step["FunctionArn"] for step in steps.values() if step["Type"] == "Lambda"} == {FUNCTION}
    assert steps["Third-Submit"]["DependsOn"] == ["Second"]
    assert steps["Third-Submit"]["Arguments"]["may_be_empty"] == "true"
    assert steps["Third-Submit"]["Arguments"]["manifest_uri"] == {
        "Get": "Steps.First.OutputParameters['failed_items_uri']"
    }


def test_numbered_files_are_submitted_one_by_one(sdk):
    batch = sdk.make(input_uri="s3://bucket/a", max_jobs=12, input_name="output_{i:02d}.json")
    assert sdk.compile(*batch.steps)["Copies-Submit"]["Arguments"]["mode"] == "per_file"


def test_values_may_be_pipeline_variables(sdk):
    uri, share = sdk.ParameterString("InputUri"), sdk.ParameterString("Share")
    step = sdk.make(input_uri=uri, output_uri=uri, tolerated_failure_percentage=share, deadline=share)
    steps = sdk.compile(*step.steps, parameters=[uri, share])
    assert steps["Copies-Submit"]["Arguments"]["input_uri"] == {"Get": "Parameters.InputUri"}
    assert steps["Copies"]["Arguments"]["tolerated_failure_percentage"] == {"Get": "Parameters.Share"}
    assert steps["Copies"]["Arguments"]["deadline_seconds"] == {"Get": "Parameters.Share"}


def test_without_the_step_that_submits_it_is_refused_in_one_sentence(sdk):
    """Wherever it stands, and also where only another step names it, or it was compiled whole before."""
    batch = sdk.make(input_uri="s3://bucket/in")
    sdk.compile(*batch.steps)
    for steps in (
        [batch],
        [sdk.when(if_steps=[batch])],
        [sdk.when(if_steps=[sdk.when("Nested", else_steps=[sdk.plain("Other"), batch])])],
        [sdk.plain("After", depends_on=[batch])],
    ):
        with pytest.raises(
            ValueError, match=r'BatchStep "Copies" is in the pipeline without Copies-Submit.*\*step.steps'
        ):
            sdk.compile(*steps)
    assert set(sdk.compile(*batch.steps)) == {"Copies-Submit", "Copies"}


def test_a_forgotten_star_is_named(sdk):
    batch = sdk.make(input_uri="s3://bucket/in")
    for steps in ([sdk.plain("Before"), batch.steps], [sdk.when(if_steps=[batch.steps])]):
        with pytest.raises(ValueError, match=r'BatchStep "Copies" stands among the steps as a list.*\*step.steps'):
            sdk.compile(*steps)


def test_a_cache_is_refused(sdk):
    cache = sdk.CacheConfig(enable_caching=True, expire_after="P1D")
    sentence = 'BatchStep "Copies" takes no cache_config'
    with pytest.raises(ValueError, match=sentence):
        sdk.make(input_uri="s3://bucket/in", cache_config=cache)
    for step in (lambda batch: batch, lambda batch: batch.submit_step):
        batch = sdk.make(input_uri="s3://bucket/in")
        step(batch).cache_config = cache
        with pytest.raises(ValueError, match=sentence):
            sdk.compile(*batch.steps)


def test_a_condition_compares_its_counts(sdk):
    batch = sdk.make(input_uri="s3://bucket/in")
    few = sdk.AtMost(batch.properties.Outputs["jobs_failed"], 3)
    condition = sdk.ConditionStep("Few", conditions=[few], if_steps=[sdk.plain("Go")])
    [compiled] = sdk.compile(*batch.steps, condition)["Few"]["Arguments"]["Conditions"]
    assert compiled["LeftValue"] == {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}


def test_a_trial_runs_before_the_rest_is_submitted(sdk):
    batch = sdk.make(
        input_uri="s3://bucket/in", trial=3, tolerated_failure_percentage=5, depends_on=[sdk.plain("Before")]
    )
    batch.add_depends_on(["Other"])
    steps = sdk.compile(sdk.plain("Before"), sdk.plain("Other"), *batch.steps)
    names = ["Copies-Trial-Submit", "Copies-Trial", "Copies-Submit", "Copies"]
    assert [name for name in steps if name.startswith("Copies")] == names
    trial_submit, trial, submit, wait = (steps[name] for name in names)
    assert sorted(trial_submit["DependsOn"]) == ["Before", "Other"]
    assert submit["DependsOn"] == ["Copies-Trial"]
    together = {"pipeline_steps": " ".join(names), "step_name": "Copies", "trial": 3}
    assert together.items() <= submit["Arguments"].items()
    assert trial_submit["Arguments"] == {**submit["Arguments"], "only_trial": "true"}
    assert "tolerated_failure_percentage" not in trial["Arguments"]
    assert wait["Arguments"]["tolerated_failure_percentage"] == 5
    assert wait["Arguments"]["succeeded_before"] == {"Get": "Steps.Copies-Submit.OutputParameters['trialCount']"}
    with pytest.raises(
        ValueError, match='BatchStep "Copies" is in the pipeline without Copies-Trial-Submit, Copies-Trial'
    ):
        sdk.compile(*batch.steps[2:])


def test_what_every_job_is_told(sdk):
    threshold = sdk.ParameterString("Threshold")
    batch = sdk.make(
        input_uri="s3://bucket/in",
        parameters={"threshold": threshold, "rounds": 3},
        environment={"LOG_LEVEL": "DEBUG"},
        vcpus=0.5,
        memory_mib=2048,
        attempts=2,
        timeout=timedelta(hours=1),
        share_identifier="churn",
        scheduling_priority=7,
    )
    arguments = sdk.compile(*batch.steps, parameters=[threshold])["Copies-Submit"]["Arguments"]
    assert {
        "parameters.threshold": {"Get": "Parameters.Threshold"},
        "parameters.rounds": 3,
        "environment.LOG_LEVEL": "DEBUG",
        "vcpus": 0.5,
        "memory_mib": 2048,
        "attempts": 2,
        "timeout_seconds": 3600.0,
        "share_identifier": "churn",
        "scheduling_priority": 7,
    }.items() <= arguments.items()


@pytest.mark.parametrize(
    "options",
    [
        {"input_uri": "s3://bucket/in", "deadline": timedelta(hours=1), "timeout": timedelta(minutes=5)},
        {"items": {"Get": "Parameters.Items"}, "may_be_empty": True, "environment": {"A": {"Get": "Parameters.A"}}},
        {"input_uri": "s3://bucket/in", "max_jobs": 12, "trial": 2, "parameters": {"x": "y"}, "vcpus": 1},
    ],
)
def test_without_the_sdk_the_steps_are_the_same(sdk, options):
    compiled = sdk.compile(sdk.plain("Before"), *sdk.make(depends_on=["Before"], **options).steps)
    steps = batch_step_json("Copies", depends_on=["Before"], **{**REQUIRED, **options})
    assert {step["Name"]: step for step in steps} == {name: compiled[name] for name in compiled if name != "Before"}
    assert json.loads(json.dumps(steps)) == steps


def test_the_steps_as_json_need_no_sdk():
    code = (
        "import sys; from utils.batch_step_json import batch_step_json;"
        "assert not [name for name in sys.modules if name.partition('.')[0] in ('sagemaker', 'boto3')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_the_graph_of_the_pipeline_has_both(sdk):
    graph = sdk.graph(sdk.pipeline(*sdk.make(input_uri="s3://bucket/in").steps))
    assert graph.adjacency_list == {"Copies-Submit": ["Copies"], "Copies": []}


@pytest.mark.parametrize("branch", ["if_steps", "else_steps"])
def test_both_in_a_branch_stay_in_it_and_others_wait_for_them(sdk, branch):
    before = sdk.plain("Before")
    batch = sdk.make(input_uri="s3://bucket/in", depends_on=[before])
    failed = {"failed": batch.properties.Outputs["jobs_failed"]}
    within = sdk.plain("Within", depends_on=[batch])
    user = sdk.plain("User", inputs=failed)
    outside = sdk.plain("Outside", inputs=failed, depends_on=[batch])
    steps = sdk.compile(before, sdk.when(**{branch: [*batch.steps, within, user]}), outside)
    assert set(steps) == {"Before", "When", "Outside"}
    taken, other = ("IfSteps", "ElseSteps") if branch == "if_steps" else ("ElseSteps", "IfSteps")
    compiled = inside(steps["When"], taken)
    assert list(compiled) == ["Copies-Submit", "Copies", "Within", "User"]
    assert inside(steps["When"], other) == {}
    assert compiled["Copies-Submit"]["DependsOn"] == ["Before"]
    assert compiled["Copies"]["Arguments"] == {
        "job_ids": {"Get": "Steps.Copies-Submit.OutputParameters['jobIds']"},
        "report_uri": {"Get": "Steps.Copies-Submit.OutputParameters['reportUri']"},
        "output_uri": "s3://bucket/out",
    }
    assert compiled["Within"]["DependsOn"] == steps["Outside"]["DependsOn"] == ["Copies"]
    uses = {"failed": {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}}
    assert compiled["User"]["Arguments"] == steps["Outside"]["Arguments"] == uses


def test_both_in_a_nested_branch_stay_in_it(sdk):
    outer, deep = sdk.make("Outer", input_uri="s3://bucket/a"), sdk.make("Deep", input_uri="s3://bucket/b")
    deep.depends_on = [outer]
    nested = sdk.when("Nested", else_steps=deep.steps)
    steps = sdk.compile(sdk.when(if_steps=[*outer.steps, nested]), *sdk.make(input_uri="s3://bucket/c").steps)
    assert set(steps) == {"When", "Copies-Submit", "Copies"}
    first = inside(steps["When"])
    assert list(first) == ["Outer-Submit", "Outer", "Nested"]
    second = inside(first["Nested"], "ElseSteps")
    assert list(second) == ["Deep-Submit", "Deep"]
    assert second["Deep-Submit"]["DependsOn"] == ["Outer"]


def test_in_a_condition_of_one_pipeline_and_at_the_top_of_another(sdk):
    batch = sdk.make(input_uri="s3://bucket/in")
    assert set(sdk.compile(sdk.when(if_steps=batch.steps))) == {"When"}
    assert set(sdk.compile(*batch.steps)) == {"Copies-Submit", "Copies"}


def test_what_is_asked_outside_of_a_compilation_names_the_submitting_step(sdk):
    request = sdk.make(input_uri="s3://bucket/in").to_request()
    assert request["Arguments"]["job_ids"].expr == {"Get": "Steps.Copies-Submit.OutputParameters['jobIds']"}


def test_a_for_each_body_names_the_jobs_of_each_iteration(sdk):
    item = sdk.CurrentItem()
    batch = sdk.make(
        items=item.uri, output_uri=sdk.Join(on="/", values=["s3://bucket/out", item.name]), iteration=item.name
    )
    steps = sdk.compile(sdk.for_each(*batch.steps))
    assert set(steps) == {"Each"}
    body = inside(steps["Each"], "ForEachBody")
    assert list(body) == ["Copies-Submit", "Copies"]
    arguments = body["Copies-Submit"]["Arguments"]
    assert arguments["manifest_uri"] == {"Get": "ForEach.CurrentItem.uri"}
    assert arguments["step_name"] == {
        "Std:Join": {"On": "-", "Values": ["Copies", {"Get": "ForEach.CurrentItem.name"}]}
    }


def test_jobs_that_would_share_their_names_in_a_loop_are_refused(sdk):
    """The second iteration's jobs would be taken for the first's, which are there already."""
    item = sdk.CurrentItem()
    uri = sdk.Join(on="/", values=["s3://bucket", item.name])
    for options in (
        {"items": item},
        {"input_uri": "s3://bucket/in", "output_uri": uri},
        {"items": "s3://bucket/i", "environment": {"DAY": item.day}},
    ):
        with pytest.raises(ValueError, match=r'BatchStep "Copies": .*same names in each iteration.*iteration=Current'):
            sdk.make(**options)


def test_alone_in_a_for_each_body_it_is_refused(sdk):
    batch = sdk.make(items=sdk.CurrentItem(), iteration=sdk.CurrentItem())
    with pytest.raises(ValueError, match='BatchStep "Copies" is in the pipeline without Copies-Submit'):
        sdk.compile(sdk.for_each(batch))


def test_numbers_and_uris_that_the_functions_take_are_taken(sdk):
    for options in (
        {"input_uri": "s3://bucket/in/", "max_jobs": "12.0", "output_uri": "s3://bucket/in/out"},
        {"input_uri": "s3://bucket", "max_jobs": 3.0, "tolerated_failure_percentage": "2.5", "deadline": "1e3"},
        {"input_uri": "s3://bucket/in", "output_uri": "s3://bucket/input", "max_jobs": None},
        {"input_uri": "s3://bucket/in", "max_jobs": sdk.ParameterString("Jobs")},
        {"input_uri": sdk.ParameterString("In"), "output_uri": "s3://bucket/in"},
        {"input_uri": "s3://bucket/in", "output_uri": sdk.ParameterString("Out")},
        {"items": "s3://bucket/in/items.jsonl", "output_uri": "s3://bucket/in"},
    ):
        sdk.make(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "it needs either items"),
        ({"items": "s3://bucket/i", "input_uri": "s3://bucket/in"}, "needs either items"),
        ({"items": "s3://bucket/i", "max_jobs": 3}, "max_jobs goes with input_uri"),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 3, "may_be_empty": True},
            "may_be_empty does not go with max_jobs",
        ),
        ({"items": "s3://bucket/i", "may_be_empty": "yes"}, "may_be_empty must be True or False, not 'yes'"),
        ({"items": "s3://bucket/i", "may_be_empty": 1}, "may_be_empty must be True or False, not 1"),
        ({"input_uri": "s3://bucket/in", "input_name": "x{i}"}, "are for numbered files. Pass max_jobs too"),
        ({"input_uri": "s3://bucket/in", "name": "N" * 58}, "1 to 57 letters"),
        ({"input_uri": "s3://bucket/in", "name": "Copy files"}, "1 to 57 letters"),
        ({"items": [{"n": 1}]}, r"items must have the form s3://bucket/prefix, not \[{'n': 1}\]"),
        ({"input_uri": "b/in"}, "input_uri must have the form s3://bucket/prefix, not 'b/in'"),
        (
            {"items": "s3://bucket/i", "output_uri": "out"},
            "output_uri must have the form s3://bucket/prefix, not 'out'",
        ),
        (
            {"items": "s3://bucket/i", "output_uri": "s3://"},
            "output_uri must have the form s3://bucket/prefix, not 's3://'",
        ),
        ({"items": "s3://bucket/i", "output_uri": "s3:///out"}, "output_uri must have the form"),
        ({"input_uri": "s3://bucket/in", "output_uri": "s3://bucket/in"}, "output_uri must not lie within input_uri"),
        ({"input_uri": "s3://bucket/in/", "output_uri": "s3://bucket/in/out"}, "output_uri must not lie within"),
        ({"input_uri": "s3://bucket"}, "output_uri must not lie within input_uri"),
        (
            {"items": "s3://bucket/i", "submit_function_arn": "submit"},
            "submit_function_arn must be a Lambda function's",
        ),
        ({"items": "s3://bucket/i", "callback_queue_url": "callback"}, "callback_queue_url must be an SQS queue's URL"),
        ({"items": "s3://bucket/i", "trial": 0}, "trial is 0. It must be a whole number from 1 to 1,000"),
        ({"items": "s3://bucket/i", "trial": 1, "name": "N" * 52}, "1 to 51 letters"),
        ({"items": "s3://bucket/i", "vcpus": 0}, "vcpus is 0. It must be a number from 0.25 to"),
        ({"items": "s3://bucket/i", "memory_mib": 0.5}, "memory_mib is 0.5. It must be a whole number from 4 to"),
        ({"items": "s3://bucket/i", "attempts": 11}, "attempts is 11. It must be a whole number from 1 to 10"),
        (
            {"items": "s3://bucket/i", "timeout": timedelta(seconds=59)},
            "timeout is 59.0. It must be a whole number from 60",
        ),
        ({"items": "s3://bucket/i", "scheduling_priority": -1}, "scheduling_priority is -1. It must be a whole number"),
        (
            {"items": "s3://bucket/i", "share_identifier": "my-team"},
            "1 to 255 letters and digits, so it can't be 'my-team'",
        ),
        (
            {"items": "s3://bucket/i", "environment": {"AWS_BATCH_X": "1"}},
            "environment has AWS_BATCH_X, which the kit sets",
        ),
        (
            {"items": "s3://bucket/i", "environment": {"MANIFEST_URI": "1"}},
            "environment has MANIFEST_URI, which the kit sets",
        ),
        ({"items": "s3://bucket/i", "environment": {"A B": "1"}}, "environment has the name 'A B'"),
        ({"items": "s3://bucket/i", "environment": {"A": ["1"]}}, r"environment has A=\['1'\]\. A value is a string"),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 3, "parameters": {"s3Input": "x"}},
            "parameters has s3Input, which the kit sets",
        ),
        ({"items": "s3://bucket/i", "iteration": "day"}, "iteration is a variable such as CurrentItem"),
        ({"items": "s3://bucket/i", "deadline": 0}, "deadline is 0. It must be a number from 1 to 1,123,200"),
        (
            {"items": "s3://bucket/i", "deadline": timedelta(days=14)},
            "deadline is 1209600.0. It must be a number from 1 to",
        ),
        ({"items": "s3://bucket/i", "deadline": "abc"}, "deadline is 'abc'. It must be a number from 1 to 1,123,200"),
        ({"items": "s3://bucket/i", "deadline": "0"}, "deadline is '0'. It must be a number"),
        ({"items": "s3://bucket/i", "deadline": float("nan")}, "deadline is nan. It must be a number"),
        ({"items": "s3://bucket/i", "deadline": True}, "deadline is True. It must be a number"),
        (
            {"items": "s3://bucket/i", "tolerated_failure_percentage": 101},
            "percentage is 101. It must be a number from 0",
        ),
        ({"items": "s3://bucket/i", "tolerated_failure_percentage": "5 %"}, "percentage is '5 %'. It must be a number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": 0}, "max_jobs is 0. It must be a whole number from 1 to 1,000"),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 1001},
            "max_jobs is 1001. It must be a whole number from 1 to 1,000",
        ),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 2.5},
            "max_jobs is 2.5. It must be a whole number from 1 to 1,000",
        ),
        ({"input_uri": "s3://bucket/in", "max_jobs": "2.5"}, "max_jobs is '2.5'. It must be a whole number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": "many"}, "max_jobs is 'many'. It must be a whole number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": True}, "max_jobs is True. It must be a whole number"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(sdk, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sdk.make(**options)


@pytest.mark.parametrize(
    ("given", "passed"),
    [(True, "true"), ("true", "true"), ("True", "true"), (False, None), ("false", None), (None, None)],
)
def test_whether_there_may_be_nothing_to_do_may_be_a_string(sdk, given, passed):
    arguments = sdk.compile(*sdk.make("Items", items="s3://bucket/items.jsonl", may_be_empty=given).steps)[
        "Items-Submit"
    ]
    assert arguments["Arguments"].get("may_be_empty") == passed


def test_whether_there_may_be_nothing_to_do_can_be_a_parameter(sdk):
    empty = sdk.ParameterString("Empty", default_value="false")
    step = sdk.make("Items", items="s3://bucket/items.jsonl", may_be_empty=empty)
    arguments = sdk.compile(*step.steps, parameters=[empty])["Items-Submit"]["Arguments"]
    assert arguments["may_be_empty"] == {"Get": "Parameters.Empty"}
