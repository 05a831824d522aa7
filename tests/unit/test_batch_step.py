"""BatchStep builds, without any AWS call, the definition that two steps built by hand would."""

import json
import warnings
from datetime import timedelta
from types import SimpleNamespace

import boto3
import pytest

pytestmark = pytest.mark.slow  # importing the SDK takes seconds

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sagemaker-batch-submit"
QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-batch-callback"


@pytest.fixture(scope="module")
def sdk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the SDK makes clients at import
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.workflow.conditions import ConditionEquals
        from sagemaker.core.workflow.functions import Join
        from sagemaker.core.workflow.parameters import ParameterString
        from sagemaker.mlops import workflow
        from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, ConditionStep, Pipeline, PipelineGraph

        from utils.batch_step import BatchStep

        session = Session(boto3.Session("test", "test", region_name="us-east-1"), default_bucket="unused")

        def make(name="Copies", **options):
            common = {
                "job_definition": "copy",
                "job_queue": "jobs",
                "output_uri": "s3://bucket/out",
                "submit_function_arn": FUNCTION,
                "callback_queue_url": QUEUE,
                "sagemaker_session": session,
            }
            return BatchStep(name, **{**common, **options})

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
            Join=Join,
            ParameterString=ParameterString,
        )


def inside(step, branch="IfSteps"):
    """The steps in a branch or body of a compiled step, by their names."""
    return {each["Name"]: each for each in step["Arguments"][branch]}


def test_one_step_in_the_list_is_a_pair_in_the_definition(sdk):
    steps = sdk.compile(
        sdk.make(input_uri="s3://bucket/in", tolerated_failure_percentage=5, deadline=timedelta(hours=2))
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
    }
    assert (wait["Type"], wait["SqsQueueUrl"]) == ("Callback", QUEUE)
    assert wait["Arguments"] == {
        "job_ids": {"Get": "Steps.Copies-Submit.OutputParameters['jobIds']"},
        "report_uri": {"Get": "Steps.Copies-Submit.OutputParameters['reportUri']"},
        "tolerated_failure_percentage": 5,
        "deadline_seconds": 7200.0,
    }
    assert {output["OutputName"] for output in wait["OutputParameters"]} >= {"job_status", "failed_items_uri"}


def test_later_steps_use_its_properties_and_earlier_ones_its_depends_on(sdk):
    before = sdk.plain("Before")
    batch = sdk.make(items="s3://bucket/items.jsonl", depends_on=[before])
    after = sdk.plain("After", depends_on=[batch])
    user = sdk.plain("User", inputs={"failed": batch.properties.Outputs["jobs_failed"]})
    steps = sdk.compile(before, batch, after, user)
    assert steps["Copies-Submit"]["DependsOn"] == ["Before"]
    assert "DependsOn" not in steps["Copies"]
    assert steps["After"]["DependsOn"] == ["Copies"]
    assert steps["User"]["Arguments"] == {"failed": {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}}


def test_what_comes_before_can_be_said_later(sdk):
    before, other = sdk.plain("Before"), sdk.plain("Other")
    batch = sdk.make(items="s3://bucket/items.jsonl")
    batch.depends_on = [before]
    batch.add_depends_on(["Other"])
    assert sorted(sdk.compile(before, other, batch)["Copies-Submit"]["DependsOn"]) == ["Before", "Other"]


def test_several_in_parallel_and_in_a_chain_share_function_and_queue(sdk):
    first, second = sdk.make("First", input_uri="s3://bucket/a"), sdk.make("Second", input_uri="s3://bucket/b")
    failed = first.properties.Outputs["failed_items_uri"]
    third = sdk.make("Third", items=failed, may_be_empty=True, depends_on=[second])
    steps = sdk.compile(first, second, third)
    assert len(steps) == 6
    assert {step["FunctionArn"] for step in steps.values() if step["Type"] == "Lambda"} == {FUNCTION}
    assert steps["Third-Submit"]["DependsOn"] == ["Second"]
    assert steps["Third-Submit"]["Arguments"]["may_be_empty"] == "true"
    assert steps["Third-Submit"]["Arguments"]["manifest_uri"] == {
        "Get": "Steps.First.OutputParameters['failed_items_uri']"
    }


def test_both_steps_may_be_listed_too(sdk):
    batch = sdk.make(input_uri="s3://bucket/a", max_jobs=12, input_name="output_{i:02d}.json")
    steps = sdk.compile(*batch.steps)
    assert set(steps) == {"Copies-Submit", "Copies"}
    assert steps["Copies-Submit"]["Arguments"]["mode"] == "per_file"


def test_values_may_be_pipeline_variables(sdk):
    uri, share = sdk.ParameterString("InputUri"), sdk.ParameterString("Share")
    step = sdk.make(input_uri=uri, output_uri=uri, tolerated_failure_percentage=share, deadline=share)
    steps = sdk.compile(step, parameters=[uri, share])
    assert steps["Copies-Submit"]["Arguments"]["input_uri"] == {"Get": "Parameters.InputUri"}
    assert steps["Copies"]["Arguments"]["tolerated_failure_percentage"] == {"Get": "Parameters.Share"}
    assert steps["Copies"]["Arguments"]["deadline_seconds"] == {"Get": "Parameters.Share"}


def test_a_step_that_only_another_names_is_refused(sdk):
    """The SDK adds such steps; but it may stand in a condition that only another step names."""
    batch = sdk.make(input_uri="s3://bucket/in")
    for named in (batch, sdk.when(if_steps=[batch])):
        with pytest.raises(ValueError, match='BatchStep "Copies" is only referred to in "p": put it among'):
            sdk.compile(sdk.plain("After", depends_on=[named]))


def test_an_sdk_that_hides_its_pipeline_compiles_both_or_nothing(sdk, monkeypatch):
    monkeypatch.setattr("utils.batch_step._pipeline_being_compiled", lambda: None)
    batch = sdk.make(input_uri="s3://bucket/in")
    assert set(sdk.compile(*batch.steps)) == {"Copies-Submit", "Copies"}
    assert list(inside(sdk.compile(sdk.when(if_steps=batch.steps))["When"])) == ["Copies-Submit", "Copies"]
    for steps in ([batch], [sdk.when(if_steps=[batch])]):
        with pytest.raises(ValueError, match="do not contain the step of name: Copies-Submit"):
            sdk.compile(*steps)


def test_the_graph_of_the_pipeline_has_both(sdk):
    graph = sdk.graph(sdk.pipeline(sdk.make(input_uri="s3://bucket/in")))
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
    }
    assert compiled["Within"]["DependsOn"] == steps["Outside"]["DependsOn"] == ["Copies"]
    uses = {"failed": {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}}
    assert compiled["User"]["Arguments"] == steps["Outside"]["Arguments"] == uses


def test_both_in_a_nested_branch_stay_in_it(sdk):
    outer, deep = sdk.make("Outer", input_uri="s3://bucket/a"), sdk.make("Deep", input_uri="s3://bucket/b")
    deep.depends_on = [outer]
    nested = sdk.when("Nested", else_steps=deep.steps)
    steps = sdk.compile(sdk.when(if_steps=[*outer.steps, nested]), sdk.make(input_uri="s3://bucket/c"))
    assert set(steps) == {"When", "Copies-Submit", "Copies"}
    first = inside(steps["When"])
    assert list(first) == ["Outer-Submit", "Outer", "Nested"]
    second = inside(first["Nested"], "ElseSteps")
    assert list(second) == ["Deep-Submit", "Deep"]
    assert second["Deep-Submit"]["DependsOn"] == ["Outer"]


def test_alone_in_a_branch_it_is_refused_rather_than_torn_apart(sdk):
    """The SDK would put the submitting step at the top, where it runs whatever the condition says."""
    batch = sdk.make(input_uri="s3://bucket/in")
    added_later = sdk.when("Nested")
    added_later.if_steps.append(batch)
    for lonely in (
        sdk.when(if_steps=[batch]),
        sdk.when(else_steps=[sdk.plain("Other"), batch]),
        sdk.when(if_steps=[sdk.when("Nested", else_steps=[batch])]),
        sdk.when(if_steps=[added_later]),
    ):
        with pytest.raises(ValueError, match=r'BatchStep "Copies" .* "(When|Nested)".*\[\*step.steps\]'):
            sdk.compile(lonely)


def test_one_here_and_one_there_is_refused(sdk):
    batch = sdk.make(input_uri="s3://bucket/in")
    for steps in (
        [batch.submit_step, sdk.when(if_steps=[batch])],
        [batch, sdk.when(if_steps=[batch.submit_step])],
        [sdk.when(if_steps=[batch.submit_step], else_steps=[batch])],
    ):
        with pytest.raises(ValueError, match="stands apart from its LambdaStep"):
            sdk.compile(*steps)


def test_in_a_condition_of_one_pipeline_and_at_the_top_of_another(sdk):
    batch = sdk.make(input_uri="s3://bucket/in")
    assert set(sdk.compile(sdk.when(if_steps=batch.steps))) == {"When"}
    assert set(sdk.compile(batch)) == {"Copies-Submit", "Copies"}
    with pytest.raises(ValueError, match="stands apart"):
        sdk.compile(sdk.when(if_steps=[batch]))


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


def test_a_for_each_body_whose_jobs_would_share_their_names_is_refused(sdk):
    """The second iteration's jobs would be taken for the first's, which are there already."""
    batch = sdk.make(items=sdk.CurrentItem())
    for loop in (sdk.for_each(*batch.steps), sdk.when(if_steps=[sdk.for_each(*batch.steps)])):
        with pytest.raises(ValueError, match=r'BatchStep "Copies" .* "Each".*iteration=CurrentItem'):
            sdk.compile(loop)


def test_alone_in_a_for_each_body_it_is_refused(sdk):
    batch = sdk.make(items=sdk.CurrentItem(), iteration=sdk.CurrentItem())
    with pytest.raises(ValueError, match=r'BatchStep "Copies" stands apart .* "Each".*\[\*step.steps\]'):
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
        ({}, "needs either items"),
        ({"items": "s3://bucket/i", "input_uri": "s3://bucket/in"}, "needs either items"),
        ({"items": "s3://bucket/i", "max_jobs": 3}, "max_jobs goes with input_uri"),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 3, "may_be_empty": True},
            "may_be_empty does not go with max_jobs",
        ),
        ({"items": "s3://bucket/i", "may_be_empty": "yes"}, "may_be_empty must be True or False, not 'yes'"),
        ({"items": "s3://bucket/i", "may_be_empty": 1}, "may_be_empty must be True or False, not 1"),
        ({"input_uri": "s3://bucket/in", "input_name": "x{i}"}, "input_name and output_name go with max_jobs"),
        ({"input_uri": "s3://bucket/in", "name": "N" * 58}, "1 to 57 letters"),
        ({"input_uri": "s3://bucket/in", "name": "Copy files"}, "1 to 57 letters"),
        ({"items": [{"n": 1}]}, r"items must look like s3://bucket/prefix, not \[{'n': 1}\]"),
        ({"input_uri": "b/in"}, "input_uri must look like s3://bucket/prefix, not 'b/in'"),
        ({"items": "s3://bucket/i", "output_uri": "out"}, "output_uri must look like s3://bucket/prefix, not 'out'"),
        (
            {"items": "s3://bucket/i", "output_uri": "s3://"},
            "output_uri must look like s3://bucket/prefix, not 's3://'",
        ),
        ({"items": "s3://bucket/i", "output_uri": "s3:///out"}, "output_uri must look like"),
        ({"input_uri": "s3://bucket/in", "output_uri": "s3://bucket/in"}, "output_uri must not lie within input_uri"),
        ({"input_uri": "s3://bucket/in/", "output_uri": "s3://bucket/in/out"}, "output_uri must not lie within"),
        ({"input_uri": "s3://bucket"}, "output_uri must not lie within input_uri"),
        ({"items": "s3://bucket/i", "iteration": "day"}, "iteration is a variable such as CurrentItem"),
        ({"items": "s3://bucket/i", "deadline": 0}, "deadline is 0; it must be a number from 1 to 1,123,200"),
        (
            {"items": "s3://bucket/i", "deadline": timedelta(days=14)},
            "deadline is 1209600.0; it must be a number from 1 to",
        ),
        ({"items": "s3://bucket/i", "deadline": "abc"}, "deadline is 'abc'; it must be a number from 1 to 1,123,200"),
        ({"items": "s3://bucket/i", "deadline": "0"}, "deadline is '0'; it must be a number"),
        ({"items": "s3://bucket/i", "deadline": float("nan")}, "deadline is nan; it must be a number"),
        ({"items": "s3://bucket/i", "deadline": True}, "deadline is True; it must be a number"),
        (
            {"items": "s3://bucket/i", "tolerated_failure_percentage": 101},
            "percentage is 101; it must be a number from 0",
        ),
        ({"items": "s3://bucket/i", "tolerated_failure_percentage": "5 %"}, "percentage is '5 %'; it must be a number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": 0}, "max_jobs is 0; it must be a whole number from 1 to 1,000"),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 1001},
            "max_jobs is 1001; it must be a whole number from 1 to 1,000",
        ),
        (
            {"input_uri": "s3://bucket/in", "max_jobs": 2.5},
            "max_jobs is 2.5; it must be a whole number from 1 to 1,000",
        ),
        ({"input_uri": "s3://bucket/in", "max_jobs": "2.5"}, "max_jobs is '2.5'; it must be a whole number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": "many"}, "max_jobs is 'many'; it must be a whole number"),
        ({"input_uri": "s3://bucket/in", "max_jobs": True}, "max_jobs is True; it must be a whole number"),
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
    arguments = sdk.compile(sdk.make("Items", items="s3://bucket/items.jsonl", may_be_empty=given))["Items-Submit"]
    assert arguments["Arguments"].get("may_be_empty") == passed


def test_whether_there_may_be_nothing_to_do_can_be_a_parameter(sdk):
    empty = sdk.ParameterString("Empty", default_value="false")
    step = sdk.make("Items", items="s3://bucket/items.jsonl", may_be_empty=empty)
    arguments = sdk.compile(step, parameters=[empty])["Items-Submit"]["Arguments"]
    assert arguments["may_be_empty"] == {"Get": "Parameters.Empty"}
