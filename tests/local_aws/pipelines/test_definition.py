"""What a definition may say, and what is said about one that is wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from local_aws.pipelines.model.definition import parse
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.processing.retries import exceptions

from .definitions import (
    EQUALS,
    FUNCTION,
    QUEUE,
    callback_step,
    condition_step,
    for_each_step,
    get,
    lambda_step,
    pipeline,
    processing_step,
    sdk_v2_document,
)

REGION = "us-east-1"
SOURCE = {"S3Uri": "s3://b", "S3DataType": "S3Prefix", "S3InputMode": "FastFile", "LocalPath": "/opt/ml/processing/i"}


def parsed(document: dict[str, Any]):
    return parse(json.dumps(document), REGION)


def problem(document: dict[str, Any]) -> str:
    with pytest.raises(DefinitionError) as caught:
        parsed(document)
    return str(caught.value)


def test_a_step_waits_for_what_it_refers_to_and_what_it_depends_on() -> None:
    definition = parsed(
        pipeline(
            lambda_step("C", "B", x=get("Steps.A.OutputParameters['out']")),
            lambda_step("A", outputs=("out",)),
            lambda_step("B"),
        )
    )
    assert definition.steps["C"].needs == {"A": "Completed", "B": "Completed"}
    assert definition.order.index("C") == 2


def test_a_step_of_a_branch_waits_for_its_condition() -> None:
    inner = condition_step("Inner", [EQUALS], [lambda_step("Yes")], [lambda_step("No")])
    definition = parsed(pipeline(condition_step("Outer", [EQUALS], [inner])))
    assert definition.steps["No"].branch == ("Inner", False)
    assert definition.steps["No"].needs == {"Inner": "Completed"}
    assert definition.steps["Inner"].branch == ("Outer", True)


def test_references_anywhere_in_an_expression_count() -> None:
    join = {"Std:Join": {"On": "/", "Values": ["s3:/", get("Steps.A.OutputParameters['o']")]}}
    read = {"Std:JsonGet": {"PropertyFile": get("Steps.P.PropertyFiles.Report"), "Path": "a.b"}}
    definition = parsed(
        pipeline(lambda_step("A", outputs=("o",)), processing_step("P"), lambda_step("Z", x=join, y=read))
    )
    assert set(definition.steps["Z"].needs) == {"A", "P"}


def test_triggers_are_kept() -> None:
    definition = parsed(pipeline(lambda_step("A"), lambda_step("B", {"Step": "A", "Trigger": "Failed"})))
    assert definition.steps["B"].needs == {"A": "Failed"}


def test_a_for_each_step_waits_for_what_its_body_needs_from_outside() -> None:
    body = [
        lambda_step("Do", outputs=("o",), x=get("Steps.A.OutputParameters['o']"), item=get("ForEach.CurrentItem.n")),
        lambda_step("Then", y=get("Steps.Do.OutputParameters['o']")),
    ]
    definition = parsed(pipeline(lambda_step("A", outputs=("o",)), for_each_step("Loop", body)))
    assert definition.steps["Loop"].needs == {"A": "Completed"}
    assert [child.needs for child in definition.steps["Loop"].body] == [{}, {"Do": "Completed"}]


# Each: what is wrong, and the words that must name the step and the field.
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("no steps", pipeline(), "at least one step"),
    ("version", pipeline(lambda_step("A")) | {"Version": "2019"}, "Version must be"),
    ("root key", pipeline(lambda_step("A"), Extra=1), "no property Extra"),
    ("mlflow", pipeline(lambda_step("A"), MlflowConfig={"MlflowResourceArn": "x"}), "MLflow server"),
    ("twice", pipeline(lambda_step("A"), callback_step("A")), "Step name A is used twice"),
    ("twice in a branch", pipeline(lambda_step("A"), condition_step("C", [EQUALS], [lambda_step("A")])), "A is used"),
    ("name", pipeline(lambda_step("A" * 65)), "must be 1 to 64"),
    ("name's letters", pipeline(lambda_step("a b")), "'a b'"),
    ("type", pipeline({"Name": "T", "Type": "Training", "Arguments": {}}), "Step T has type 'Training', which the"),
    (
        "types that run",
        pipeline({"Name": "T", "Type": "Tuning"}),
        "Callback, Cleanup, Condition, Fail, ForEach, Lambda",
    ),
    ("member", pipeline(lambda_step("A") | {"RetryPolicies": []}), "a Lambda step has no property RetryPolicies"),
    ("depends on nobody", pipeline(lambda_step("A", "B")), "Step A: DependsOn names 'B'"),
    (
        "depends on a Fail step",
        pipeline(lambda_step("A", "F"), {"Name": "F", "Type": "Fail"}),
        "Step A: can not depend",
    ),
    ("trigger", pipeline(lambda_step("A"), lambda_step("B", {"Step": "A", "Trigger": "Never"})), "trigger 'Never'"),
    ("cycle", pipeline(lambda_step("A", "B"), lambda_step("B", "A")), "in a circle"),
    ("itself", pipeline(lambda_step("A", "A")), "Step A depends on itself"),
    ("parameter", pipeline(lambda_step("A", x=get("Parameters.P"))), "Step A: Arguments.x: Parameters.P is not"),
    ("variable", pipeline(lambda_step("A", x=get("Execution.Nope"))), "Step A: Arguments.x: Execution.Nope"),
    ("root", pipeline(lambda_step("A", x=get("Stars.A.x"))), "must begin with Parameters"),
    ("path", pipeline(lambda_step("A", x=get("Steps..x"))), "'Steps..x' is not a path"),
    ("no step", pipeline(lambda_step("A", x=get("Steps.B.OutputParameters['o']"))), "refers to B"),
    (
        "no output",
        pipeline(lambda_step("B", outputs=("q",)), lambda_step("A", x=get("Steps.B.OutputParameters['o']"))),
        "Step A: Arguments.x: Steps.B.OutputParameters['o'] is not an output of step B (it has: q)",
    ),
    (
        "into an output",
        pipeline(lambda_step("B", outputs=("o",)), lambda_step("A", x=get("Steps.B.OutputParameters['o'].x"))),
        "has no members",
    ),
    ("nested input", pipeline(lambda_step("A", x={"a": 1})), "Step A: Arguments.x is nested"),
    ("list input", pipeline(callback_step("A", x=[1])), "Step A: Arguments.x is nested"),
    ("null input", pipeline(lambda_step("A", x=None)), "Step A: Arguments.x is nested or null"),
    ("function", pipeline(lambda_step("A") | {"FunctionArn": "f"}), "Step A: FunctionArn 'f'"),
    (
        "region",
        pipeline(lambda_step("A") | {"FunctionArn": FUNCTION.replace("us-east-1", "eu-west-1")}),
        "must be in the pipeline's Region us-east-1",
    ),
    ("queue", pipeline(callback_step("A") | {"SqsQueueUrl": "x" * 257}), "Step A: SqsQueueUrl"),
    ("output twice", pipeline(lambda_step("A", outputs=("o", "o"))), "output o is declared twice"),
    ("outputs", pipeline(lambda_step("A", outputs=tuple(f"o{i}" for i in range(51)))), "at most 50"),
    (
        "output type",
        pipeline(lambda_step("A") | {"OutputParameters": [{"OutputName": "o", "OutputType": "Map"}]}),
        "output o has type 'Map'",
    ),
    ("condition", pipeline(condition_step("C", [{"Type": "Like"}])), "Step C: Arguments.Conditions[0]"),
    ("comparison", pipeline(condition_step("C", [{"Type": "Equals", "LeftValue": 1}])), "LeftValue and RightValue"),
    ("in", pipeline(condition_step("C", [{"Type": "In", "QueryValue": 1, "Values": 2}])), "a list Values"),
    ("not", pipeline(condition_step("C", [{"Type": "Not", "Conditions": []}])), "needs one Condition"),
    ("or", pipeline(condition_step("C", [{"Type": "Or", "Conditions": []}])), "a list Conditions"),
    (
        "condition's property",
        pipeline(condition_step("C", [EQUALS]), lambda_step("A", x=get("Steps.C.Result"))),
        "has the property Outcome only",
    ),
    (
        "condition's reference",
        pipeline(condition_step("C", [EQUALS, EQUALS | {"LeftValue": get("Parameters.P")}])),
        "Step C: Arguments.Conditions[1].LeftValue: Parameters.P is not a parameter",
    ),
    ("join", pipeline(lambda_step("A", x={"Std:Join": {"On": 1, "Values": []}})), "Arguments.x: Std:Join needs"),
    ("join of null", pipeline(lambda_step("A", x={"Std:Join": {"Values": [None]}})), "can join strings, numbers,"),
    ("json get", pipeline(lambda_step("A", x={"Std:JsonGet": {"Path": "x"}})), "Std:JsonGet needs"),
    (
        "json get in a json get",
        pipeline(
            lambda_step(
                "A",
                x={"Std:JsonGet": {"Path": "x", "S3Uri": {"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "y"}}}},
            )
        ),
        "Step A: Arguments.x: the S3Uri of Std:JsonGet can't hold another",
    ),
    (
        "property file",
        pipeline(
            processing_step("P"),
            lambda_step("A", x={"Std:JsonGet": {"PropertyFile": get("Steps.P.PropertyFiles.No"), "Path": "x"}}),
        ),
        "is not a property file of the step",
    ),
    ("cache", pipeline(lambda_step("A") | {"CacheConfig": {"Enabled": True, "ExpireAfter": "soon"}}), "'soon'"),
    (
        "loop in loop",
        pipeline(for_each_step("L", [for_each_step("M", [lambda_step("A")])])),
        "can't be in a ForEachBody",
    ),
    ("fail in loop", pipeline(for_each_step("L", [{"Name": "F", "Type": "Fail"}])), "a Fail step (F) can't be"),
    ("no items", pipeline(for_each_step("L", [lambda_step("A")], items=())), "1 to 100 items"),
    ("items", pipeline(for_each_step("L", [lambda_step("A")], items="abc")), "an expression that gives one"),
    ("width", pipeline(for_each_step("L", [lambda_step("A")], MaxConcurrency=51)), "from 1 to 50"),
    ("no body", pipeline(for_each_step("L", [])), "at least one step"),
    ("child's name", pipeline(for_each_step("L", [lambda_step("A")]), lambda_step("A-3")), "child step of a ForEach"),
    ("item outside", pipeline(lambda_step("A", x=get("ForEach.CurrentItem"))), "only in the body"),
    (
        "body from outside",
        pipeline(
            for_each_step("L", [lambda_step("A", outputs=("o",))]),
            lambda_step("B", x=get("Steps.A.OutputParameters['o']")),
        ),
        "refers to A",
    ),
    (
        "selected without selector",
        pipeline(
            for_each_step("L", [lambda_step("A", outputs=("o",))]),
            lambda_step("B", x=get("Steps.L.Selected.OutputParameters['o']")),
        ),
        "is not a property of the ForEach step L",
    ),
    (
        "cleanup of a Lambda step",
        pipeline(
            lambda_step("A"),
            {"Name": "C", "Type": "Cleanup", "Arguments": {"Resources": {"S3": [{"StepName": "A"}]}}},
        ),
        "must be a Processing step",
    ),
]


@pytest.mark.parametrize(("document", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_said_with_the_step_and_the_field(document: dict[str, Any], words: str) -> None:
    said = problem(document)
    assert words in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"AppSpecification": {"ImageUri": "123.dkr.ecr.us-east-1.amazonaws.com/mine:1"}}, "is not an image"),
        (
            {"ProcessingResources": {"ClusterConfig": {"InstanceCount": 2, "VolumeSizeInGB": 1}}},
            "InstanceCount must be 1",
        ),
        ({"NetworkConfig": {"EnableNetworkIsolation": True}}, "NetworkConfig"),
        ({"ExperimentConfig": {}}, "ExperimentConfig"),
        (
            {"ProcessingInputs": [{"InputName": "i", "AppManaged": True, "S3Input": SOURCE | {"S3InputMode": "File"}}]},
            "input 'i' has AppManaged",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds must be at least 1."),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "MaxRuntimeInSeconds must be of type integer"),
        ({"RoleArn": "x"}, "RoleArn must have at least 20 characters."),
        ({"ProcessingInputs": [{"InputName": "i", "DatasetDefinition": {}}]}, "must be an S3Input"),
        (
            {"ProcessingInputs": [{"InputName": "i", "S3Input": {"S3Uri": "s3://b", "S3DataType": "ManifestFile"}}]},
            "S3DataType 'ManifestFile'",
        ),
    ],
)
def test_a_processing_job_that_can_not_run_here_is_refused(change: dict[str, Any], words: str) -> None:
    step = processing_step("P")
    step["Arguments"] |= change
    said = problem(pipeline(step))
    assert said.startswith("Step P: ")
    assert words in said


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"Name": "P", "Type": "Integer", "DefaultValue": "1"}, "default of parameter P must be of type Integer"),
        ({"Name": "P", "Type": "Integer", "DefaultValue": True}, "must be of type Integer"),
        ({"Name": "P", "Type": "Map"}, "type 'Map'"),
        ({"Name": "P", "Type": "String", "EnumValues": ["a"], "DefaultValue": "b"}, "must be one of a"),
        ({"Name": "P", "Type": "Integer", "EnumValues": ["1"]}, "for a String parameter"),
        ({"Name": "a b", "Type": "String"}, "Parameter name 'a b'"),
        ({"Name": "P", "Type": "String", "DefaultValue": "x" * 4097}, "over 4,096 characters"),
    ],
)
def test_parameters_are_checked(parameter: dict[str, Any], words: str) -> None:
    assert words in problem(pipeline(lambda_step("A"), parameters=[parameter]))


def test_what_the_published_schema_allows_is_accepted() -> None:
    """https://github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema"""
    long = {"Name": "P", "Type": "String", "DefaultValue": "x" * 4096}
    assert parsed(pipeline(lambda_step("A"), parameters=[long])).parameters["P"].default == "x" * 4096
    assert parsed({"Steps": [lambda_step("A")]}).order == ("A",)
    parsed(pipeline(lambda_step("A", x=1) | {"CacheConfig": {}}, Metadata={"Team-1": "", "x": "y" * 1024}))
    policy = {"ExceptionType": "SageMaker.JOB_INTERNAL_ERROR", "MaxAttempts": 2}
    assert exceptions(
        parsed(pipeline(processing_step("P", RetryPolicies=[policy]))).steps["P"].spec["RetryPolicies"][0]
    ) == ["SageMaker.JOB_INTERNAL_ERROR"]


@pytest.mark.parametrize("metadata", [{"a b": "x"}, {"x" * 129: "x"}, {"a": 1}, {"a": "x" * 1025}, {"a": None}])
def test_metadata_is_text_by_name(metadata: dict[str, Any]) -> None:
    assert problem(pipeline(lambda_step("A")) | {"Metadata": metadata}).startswith("Metadata: ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"MaxAttempts": 21}, {"MaxAttempts": True}, {"MaxAttempts": 0}, {"ExpireAfterMin": 14_401},
        {"MaxAttempts": 1, "IntervalSeconds": -1}, {"MaxAttempts": 1, "IntervalSeconds": 1.5},
        {"MaxAttempts": 1, "BackoffRate": False}, {"MaxAttempts": 1, "BackoffRate": 10**400},
        {"MaxAttempts": 1, "Jitter": 1}, {}, {"MaxAttempts": 1, "ExpireAfterMin": 1},
    ],
)  # fmt: skip
def test_the_numbers_of_a_retry_policy_are_checked(wrong: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html"""
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], **wrong}
    assert problem(pipeline(processing_step("P", RetryPolicies=[policy]))).startswith("Step P: RetryPolicies: ")


def arguments(**more: Any) -> dict[str, Any]:
    step = processing_step("P")
    return pipeline({**step, "Arguments": step["Arguments"] | more})


@pytest.mark.parametrize(
    ("document", "recorded"),
    [
        ([], "Expecting start of Json Object."),
        (pipeline(lambda_step("A")) | {"Steps": {}}, "Expecting start of Json Array."),
        (pipeline(lambda_step("A")) | {"Parameters": {"a": 1}}, "Expecting start of Json Array."),
        (arguments(ProcessingInputs={}), "Expecting start of Json Array."),
        (arguments(ModelPackageName="m"), "Unknown Argument member 'ModelPackageName'."),
        (
            arguments(ProcessingInputs=[{"InputName": "i", "S3Input": SOURCE}]),
            "Model Validation failed: Value 'FastFile' for 'ProcessingS3InputMode' failed to satisfy enum value set: "
            "[Pipe, File].",
        ),
    ],
)
def test_recorded_words_come_first(document: Any, recorded: str) -> None:
    assert problem(document).startswith(f"{recorded} ")


def test_limits_of_a_definition() -> None:
    too_many = [{"Name": f"p{i}", "Type": "String"} for i in range(201)]
    assert "at most 200" in problem(pipeline(lambda_step("A"), parameters=too_many))
    assert "Parameter p is defined twice" in problem(
        pipeline(lambda_step("A"), parameters=[{"Name": "p"}, {"Name": "p"}])
    )
    with pytest.raises(DefinitionError, match="limit is 1,048,576"):
        parse(" " * (1024 * 1024 + 1), REGION)
    with pytest.raises(DefinitionError, match="not JSON"):
        parse("{", REGION)
    with pytest.raises(DefinitionError, match="NaN is not JSON"):
        parsed(pipeline(lambda_step("A", x=float("nan"))))


def test_parameter_values_are_typed() -> None:
    names = [{"Name": kind, "Type": kind} for kind in ("String", "Integer", "Boolean", "Float")]
    parameters = parsed(pipeline(lambda_step("A"), parameters=names)).parameters
    values = {"String": "7", "Integer": "7", "Boolean": "True", "Float": "7"}
    assert {name: parameters[name].value(text) for name, text in values.items()} == {
        "String": "7",
        "Integer": 7,
        "Boolean": True,
        "Float": 7.0,
    }
    for text in ("1.0", "1e0", " 1", "1 ", "+1", "", "１", "1_0", "0x1"):
        with pytest.raises(DefinitionError, match="must be of type Integer"):
            parameters["Integer"].value(text)
    for text in (" 1.5", "1.5\n", "", "1_0.0", "١.٥"):
        with pytest.raises(DefinitionError, match="must be of type Float"):
            parameters["Float"].value(text)
    wrong = ("Integer", "7.5"), ("Integer", "x"), ("Integer", "1e999"), ("Boolean", "1"), ("Float", "true")
    for name, text in (*wrong, ("Float", "NaN"), ("Integer", "NaN"), ("Float", "-Infinity"), ("Float", "9" * 999)):
        with pytest.raises(DefinitionError, match=f"must be of type {name}"):
            parameters[name].value(text)


def test_a_definition_as_sdk_v2_writes_it() -> None:
    definition = parsed(sdk_v2_document(FUNCTION, QUEUE))
    assert definition.order == ("Submit", "Wait", "Check", "Good", "Bad")


# --- anything else ---------------------------------------------------------------------------------------------------

EVERYTHING = pipeline(
    lambda_step("A", outputs=("o",), x=get("Parameters.P"), y={"Std:Join": {"On": "-", "Values": ["a", 1]}}),
    callback_step("B", ("o",), x=get("Steps.A.OutputParameters['o']")),
    processing_step("P", CacheConfig={"Enabled": True, "ExpireAfter": "P1D"}, RetryPolicies=[
        {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2, "IntervalSeconds": 1, "BackoffRate": 2.0}
    ]),
    condition_step(
        "C",
        [{"Type": "Or", "Conditions": [EQUALS, {"Type": "Not", "Condition": EQUALS}]},
         {"Type": "In", "QueryValue": get("Steps.B.OutputParameters['o']"), "Values": ["a"]}],
        [lambda_step("D", {"Step": "P", "Trigger": "Any"})],
        [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    ),
    for_each_step(
        "L", [lambda_step("E", outputs=("o",), x=get("ForEach.CurrentItem"))],
        Selector={"Pick": "MaxBy", "Field": get("IterationOutput.E.OutputParameters['o']")},
    ),
    {"Name": "T", "Type": "Cleanup",
     "Arguments": {"Resources": {"S3": [{"StepName": "P", "S3Uris": [{"Std:Join": {"Values": ["s3://b/o/x"]}}]}]}}},
    parameters=[{"Name": "P", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]}],
    PipelineExperimentConfig={"ExperimentName": get("Execution.PipelineName")},
)  # fmt: skip
JUNK = [None, 5, -1.5, True, "", "x", [], {}, [[]], [None], {"Get": 1}, {"Get": "Steps.A"}, {"Std:Join": []}, {"a": {}}]


def places(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def test_everything_is_accepted_as_it_is() -> None:
    assert len(parsed(EVERYTHING).steps) == 8


@settings(max_examples=examples(500, 3_000))
@given(st.sampled_from(places(EVERYTHING)[1:]), st.sampled_from([*JUNK, "delete"]))
def test_whatever_is_broken_is_said_in_a_sentence(path: tuple, junk: Any) -> None:
    document = copy.deepcopy(EVERYTHING)
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    if junk == "delete":
        del target[path[-1]]
    else:
        target[path[-1]] = junk
    try:
        parsed(document)
    except DefinitionError as error:
        assert str(error).endswith(".")


def test_a_definition_nested_too_deeply() -> None:
    with pytest.raises(DefinitionError, match="nested too deeply"):
        parse("[" * 100_000 + "]" * 100_000, REGION)
    text = '{"Version": "2020-12-01", "Steps": [{"Name": "A", "Type": "Fail", "Arguments": {"ErrorMessage": %s}}]}'
    with pytest.raises(DefinitionError):
        parse(text % ("[" * 5000 + "]" * 5000), REGION)
