"""A pipeline definition: parsed and checked when the pipeline is created, so that what is wrong is said then.

The form is the published schema's, version 2020-12-01, with what SDK v3 adds to it (PipelineExperimentConfig,
MlflowConfig, {"Step", "Trigger"} in DependsOn, ForEach, Cleanup, nested branches):
https://github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema. The step types:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

from __future__ import annotations

import graphlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from local_aws.pipelines import conditions, processing
from local_aws.pipelines.expressions import (
    EXECUTION_VARIABLES,
    ExpressionError,
    Path,
    is_expression,
    load_json,
    paths,
    to_text,
)
from local_aws.pipelines.refusals import NOT_AN_ARRAY, NOT_AN_OBJECT, DefinitionError

VERSION = "2020-12-01"
MAX_CHARACTERS = 1024 * 1024
MAX_PARAMETERS = 200
MAX_OUTPUTS = 50
MAX_OUTPUT_CHARACTERS = 1024
# A String parameter's default and a parameter's description, by the schema; StartPipelineExecution takes 1,024.
MAX_DEFAULT_CHARACTERS = 4096
MAX_METADATA_CHARACTERS = 1024
MAX_ITERATIONS = 100  # ForEachStep's limit for a list in the definition; the strictest reading for one at run time too
MAX_ITEM_CHARACTERS = 12_800

TRIGGERS = ("Completed", "Failed", "Stopped", "Any")
FOR_EACH_COUNTS = ("InputItemCount", "TotalStepCount", "SucceededStepCount", "FailedStepCount", "StoppedStepCount")

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_METADATA_KEY = re.compile(r"[A-Za-z0-9\-_]{1,128}")
_INTEGER = re.compile(r"-?[0-9]+")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_FUNCTION_ARN = re.compile(r"arn:aws[a-z\-]*:lambda:([a-z0-9\-]+):\d{12}:function:[A-Za-z0-9\-_]+(:[A-Za-z0-9\-_$]+)?")
_COMMON = {"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"}
# The members each type may have besides _COMMON. RetryPolicies are Processing's alone:
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
_MEMBERS: dict[str, set[str]] = {
    "Callback": {"SqsQueueUrl", "OutputParameters", "CacheConfig"},
    "Cleanup": set(),
    "Condition": set(),
    "Fail": set(),
    "ForEach": set(),
    "Lambda": {"FunctionArn", "OutputParameters", "CacheConfig"},
    "Processing": {"CacheConfig", "PropertyFiles", "RetryPolicies"},
}
STEP_TYPES = tuple(_MEMBERS)


@dataclass(frozen=True)
class Parameter:
    """A pipeline parameter; `default` is None when a value must be given at the start."""

    name: str
    type: str
    default: Any = None
    enum: tuple[str, ...] = ()

    def value(self, text: str) -> Any:
        """The typed value of what StartPipelineExecution was given.

        Raises:
            DefinitionError: the text is no value of the parameter's type, or not one of its enumeration.
        """
        value = typed(text, self.type)
        if value is None:
            raise DefinitionError(f"Parameter {self.name} must be of type {self.type}, not {text!r}.")
        if self.enum and value not in self.enum:
            raise DefinitionError(f"Parameter {self.name} must be one of {', '.join(self.enum)}, not {text!r}.")
        return value


@dataclass(frozen=True)
class Step:
    """One step that can run.

    Attributes:
        needs: the steps it waits for, each with the outcome that lets it run (one of TRIGGERS).
        branch: the Condition step whose branch it stands in, and the outcome that takes that branch.
        body: the steps a ForEach step runs for each item.
    """

    name: str
    type: str
    spec: dict[str, Any]
    needs: dict[str, str]
    branch: tuple[str, bool] | None = None
    body: tuple[Step, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        return self.spec.get("Arguments") or {}

    @property
    def outputs(self) -> dict[str, str]:
        """The declared output parameters of a Lambda or Callback step, each with its type."""
        return {
            item["OutputName"]: item.get("OutputType", "String") for item in self.spec.get("OutputParameters") or []
        }

    @property
    def inputs(self) -> Any:
        """Everything in the step that may hold an expression of the step itself (not of its branches or body)."""
        spec = {key: value for key, value in self.spec.items() if key not in ("DependsOn", "OutputParameters")}
        if self.type in ("Condition", "ForEach"):
            keep = ("Conditions", "IterableItems", "MaxConcurrency", "Selector")
            spec["Arguments"] = {key: value for key, value in self.arguments.items() if key in keep}
        return spec


@dataclass(frozen=True)
class Definition:
    """A checked definition.

    Attributes:
        steps: every step that can run, those of branches included, in the order they are written.
        order: their names, each after the steps it needs.
    """

    text: str
    parameters: dict[str, Parameter]
    steps: dict[str, Step]
    order: tuple[str, ...]
    experiment: dict[str, Any] | None = None


def typed(value: Any, kind: str) -> Any:
    """`value`, or the text of one, as a value of an output's or parameter's type; None when it is no such value.

    A String takes anything: nested values become one JSON string, as AWS documents for step outputs.
    """
    if kind == "String":
        return to_text(value)
    if isinstance(value, str):
        if kind == "Boolean":
            return {"true": True, "false": False}.get(value.lower())
        if kind == "Integer" and not _INTEGER.fullmatch(value):
            return (
                None  # AWS does not say whether "1.0", "1e0" or " 1" is an integer; who sends "1" is right either way
            )
        if value != value.strip():
            return None
        try:
            value = load_json(value)
        except ValueError:
            return None
    if isinstance(value, bool):
        return value if kind == "Boolean" else None
    if kind == "Boolean" or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None  # an integer beyond any float
    if not math.isfinite(number):
        return None
    if kind == "Float":
        return number
    return int(value) if value == int(value) else None


def parse(text: str, region: str) -> Definition:
    """Read and check a definition.

    Args:
        text: its JSON.
        region: the pipeline's Region, in which its functions and queues must be.

    Raises:
        DefinitionError: the definition is wrong, or needs what the embedded AWS does not run.
    """
    if len(text) > MAX_CHARACTERS:
        raise DefinitionError(f"The definition has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}.")
    try:
        return _parse(load_json(text), text, region)
    except ValueError as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError(f"It is not JSON: {error}.") from None
    except RecursionError:
        raise DefinitionError("It is nested too deeply.") from None


def _parse(document: Any, text: str, region: str) -> Definition:
    if not isinstance(document, dict):
        raise DefinitionError("A definition is an object with Steps.", NOT_AN_OBJECT)
    known = {"Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps"}
    if unknown := sorted(set(document) - known):
        raise DefinitionError(f"The definition has no property {', '.join(unknown)}.")
    if document.get("Version", VERSION) != VERSION:
        raise DefinitionError(f"Version must be {VERSION!r}, not {document['Version']!r}.")
    _check_metadata(document.get("Metadata"))
    if document.get("MlflowConfig") is not None:
        raise DefinitionError(
            "MlflowConfig needs an MLflow server, which the embedded AWS does not have; leave it out."
        )
    parameters = _parameters(document.get("Parameters") or [])
    found = document.get("Steps")
    if not isinstance(found, list):
        raise DefinitionError("Steps must be a list of at least one step.", NOT_AN_ARRAY)
    if not found:
        raise DefinitionError("Steps must be a list of at least one step.")
    steps = {step.name: step for step in _steps(found, None)}
    check = _Checker(parameters, steps, region)
    experiment = document.get("PipelineExperimentConfig")
    check.experiment(experiment)
    steps = check.steps()
    return Definition(text, parameters, steps, _ordered(steps), experiment)


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise DefinitionError("Metadata must be an object of strings.", NOT_AN_OBJECT)
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key) or not isinstance(value, str) or len(value) > MAX_METADATA_CHARACTERS:
            raise DefinitionError(
                f"Metadata: {key!r} must be 1 to 128 letters, digits, hyphens and underscores, and its value a string "
                f"of at most {MAX_METADATA_CHARACTERS:,} characters."
            )


def _parameters(found: Any) -> dict[str, Parameter]:
    if not isinstance(found, list):
        raise DefinitionError(f"Parameters must be a list of at most {MAX_PARAMETERS} parameters.", NOT_AN_ARRAY)
    if len(found) > MAX_PARAMETERS:
        raise DefinitionError(f"Parameters must be a list of at most {MAX_PARAMETERS} parameters.")
    parameters: dict[str, Parameter] = {}
    for item in found:
        name = item.get("Name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not _PARAMETER_NAME.fullmatch(name):
            raise DefinitionError(f"Parameter name {name!r} must be 1 to 256 letters, digits, hyphens and underscores.")
        if name in parameters:
            raise DefinitionError(f"Parameter {name} is defined twice.")
        if unknown := sorted(set(item) - {"Name", "Type", "DefaultValue", "Description", "EnumValues"}):
            raise DefinitionError(f"Parameter {name} has no property {', '.join(unknown)}.")
        if not isinstance(description := item.get("Description", ""), str) or len(description) > MAX_DEFAULT_CHARACTERS:
            limit = f"{MAX_DEFAULT_CHARACTERS:,} characters"
            raise DefinitionError(f"The Description of parameter {name} must be a string of at most {limit}.")
        kind, default, enum = item.get("Type", "String"), item.get("DefaultValue"), item.get("EnumValues") or []
        if kind not in ("String", "Integer", "Boolean", "Float"):
            raise DefinitionError(f"Parameter {name} has type {kind!r}; it must be String, Integer, Boolean or Float.")
        if (
            not isinstance(enum, list)
            or not all(isinstance(value, str) for value in enum)
            or (enum and kind != "String")
        ):
            raise DefinitionError(f"EnumValues of parameter {name} must be a list of strings, for a String parameter.")
        python = {"String": str, "Integer": int, "Boolean": bool, "Float": (int, float)}[kind]
        if default is not None and (
            not isinstance(default, python) or (isinstance(default, bool) and kind != "Boolean")
        ):
            raise DefinitionError(f"The default of parameter {name} must be of type {kind}, not {default!r}.")
        if isinstance(default, str) and len(default) > MAX_DEFAULT_CHARACTERS:
            raise DefinitionError(f"The default of parameter {name} is over {MAX_DEFAULT_CHARACTERS:,} characters.")
        if enum and default is not None and default not in enum:
            raise DefinitionError(f"The default of parameter {name} must be one of {', '.join(enum)}, not {default!r}.")
        parameters[name] = Parameter(name, kind, default, tuple(enum))
    return parameters


def _steps(found: Any, branch: tuple[str, bool] | None, seen: set[str] | None = None) -> Iterator[Step]:
    """Every step of a list and of the branches in it. `seen` holds the names so far, bodies included."""
    seen = set() if seen is None else seen
    for spec in found:
        name, kind = _name_and_type(spec)
        if name in seen:
            raise DefinitionError(f"Step name {name} is used twice; step names must be unique in a pipeline.")
        seen.add(name)
        arguments = spec.get("Arguments")
        if arguments is not None and not isinstance(arguments, dict):
            raise DefinitionError(f"Step {name}: Arguments must be an object.", NOT_AN_OBJECT)
        body: tuple[Step, ...] = ()
        if kind == "ForEach":
            body = tuple(_steps(_list_of(name, arguments, "ForEachBody"), None, seen))
        yield Step(name, kind, spec, {}, branch, body)
        if kind == "Condition":
            for outcome, member in ((True, "IfSteps"), (False, "ElseSteps")):
                yield from _steps(_list_of(name, arguments, member), (name, outcome), seen)


def _list_of(name: str, arguments: dict[str, Any] | None, member: str) -> list[Any]:
    found = (arguments or {}).get(member) or []
    if not isinstance(found, list):
        raise DefinitionError(f"Step {name}: Arguments.{member} must be a list of steps.", NOT_AN_ARRAY)
    return found


def _name_and_type(spec: Any) -> tuple[str, str]:
    name = spec.get("Name") if isinstance(spec, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(f"Step name {name!r} must be 1 to 64 letters, digits, hyphens and underscores.")
    kind = spec.get("Type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise DefinitionError(
            f"Step {name} has type {kind!r}, which the embedded AWS does not run; it runs {', '.join(STEP_TYPES)}."
        )
    if unknown := sorted(set(spec) - _COMMON - _MEMBERS[kind]):
        raise DefinitionError(f"Step {name}: a {kind} step has no property {', '.join(unknown)}.")
    return name, kind


def _ordered(steps: dict[str, Step]) -> tuple[str, ...]:
    try:
        return tuple(graphlib.TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order())
    except graphlib.CycleError as error:
        raise DefinitionError(f"The steps depend on each other in a circle: {' -> '.join(error.args[1])}.") from None


class _Checker:
    """Checks steps that refer to each other, and finds what each must wait for."""

    def __init__(self, parameters: dict[str, Parameter], steps: dict[str, Step], region: str) -> None:
        self.parameters, self.known, self.region = parameters, steps, region

    def experiment(self, config: Any) -> None:
        # The SDK writes it by default; DescribePipelineExecution shows it, and there are no experiments here.
        if config is not None and not isinstance(config, dict):
            raise DefinitionError("PipelineExperimentConfig must be an object.", NOT_AN_OBJECT)
        for name, value in (config or {}).items():
            if name not in ("ExperimentName", "TrialName") or not (isinstance(value, str) or is_expression(value)):
                raise DefinitionError(
                    "PipelineExperimentConfig has ExperimentName and TrialName, each a string or an expression."
                )
        for where, path in self._paths("PipelineExperimentConfig", config):
            if path.root == "Steps":
                raise DefinitionError(f"{where} can't refer to {path.text}.")
            self._reference(where, path, {}, None)

    def steps(self) -> dict[str, Step]:
        """Every step with its `needs` filled in."""
        self._refuse_child_names()
        for step in self.known.values():
            for each in (*step.body, step):
                self._common(each)
                getattr(self, f"_{each.type.lower()}")(each)
        return {name: self._step(step, {}) for name, step in self.known.items()}

    def _refuse_child_names(self) -> None:
        bodies = [re.escape(child.name) for step in self.known.values() for child in step.body]
        child = re.compile(rf"(?:{'|'.join(bodies)})-\d+") if bodies else None
        for name in self.known:
            if child and child.fullmatch(name):
                raise DefinitionError(f"Step name {name} is what a child step of a ForEach step would be called.")

    def _step(self, step: Step, siblings: dict[str, Step], loop: Step | None = None) -> Step:
        """One step; for a step of a ForEach body, `siblings` are the steps of that body and `loop` the ForEach step."""
        needs = {}
        for member, value in step.inputs.items():
            for where, path in self._paths(f"Step {step.name}: {member}", value):
                upstream = self._reference(where, path, siblings, loop if loop else step)
                if upstream:
                    needs[upstream] = "Completed"
        needs |= self._depends_on(step, siblings)
        if step.branch:
            needs.setdefault(step.branch[0], "Completed")
        if step.type == "Cleanup":
            for source in step.arguments["Resources"]["S3"]:
                needs.setdefault(source["StepName"], "Completed")
        body = ()
        if step.type == "ForEach":
            inner = {child.name: child for child in step.body}
            body = tuple(self._step(child, inner, step) for child in step.body)
            # What a child needs from outside the body, the ForEach step waits for.
            for child in body:
                needs |= {name: trigger for name, trigger in child.needs.items() if name not in inner}
            body = tuple(replace(child, needs=_only(child.needs, inner)) for child in body)
            _ordered({child.name: child for child in body})
        if step.name in needs:
            raise DefinitionError(f"Step {step.name} depends on itself.")
        return replace(step, needs=needs, body=body)

    def _common(self, step: Step) -> None:
        spec = step.spec
        for member, limit in (("DisplayName", 256), ("Description", 3072)):
            value = spec.get(member)
            if value is not None and (not isinstance(value, str) or len(value) > limit):
                raise DefinitionError(f"Step {step.name}: {member} must be a string of at most {limit:,} characters.")
        cache = spec.get("CacheConfig")
        if cache is not None and (problem := processing.check_cache(cache)):
            raise DefinitionError(f"Step {step.name}: CacheConfig {problem}.")

    def _depends_on(self, step: Step, siblings: dict[str, Step]) -> dict[str, str]:
        entries = step.spec.get("DependsOn") or []
        if not isinstance(entries, list):
            raise DefinitionError(f"Step {step.name}: DependsOn must be a list.", NOT_AN_ARRAY)
        needs = {}
        for entry in entries:
            trigger = "Completed"
            if isinstance(entry, dict) and set(entry) == {"Step", "Trigger"}:
                entry, trigger = entry["Step"], entry["Trigger"]
                if trigger not in TRIGGERS:
                    raise DefinitionError(f"Step {step.name}: trigger {trigger!r} is not one of {', '.join(TRIGGERS)}.")
            upstream = siblings.get(entry) or self.known.get(entry) if isinstance(entry, str) else None
            if upstream is None:
                raise DefinitionError(f"Step {step.name}: DependsOn names {entry!r}, which is not a step.")
            if upstream.type == "Fail":
                raise DefinitionError(f"Step {step.name}: can not depend on the Fail step {entry}.")
            needs[upstream.name] = trigger
        return needs

    def _paths(self, where: str, value: Any) -> Iterator[tuple[str, Path]]:
        """Every path a value refers to, each with the place of its expression: `Step A: Arguments.x`."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._paths(f"{where}[{index}]", item)
        elif isinstance(value, dict) and not is_expression(value):
            for name, item in value.items():
                yield from self._paths(f"{where}.{name}", item)
        else:
            try:
                yield from ((where, path) for path in paths(value))
            except ExpressionError as error:
                raise DefinitionError(f"{where}: {error}.") from None

    def _reference(self, where: str, path: Path, siblings: dict[str, Step], step: Step | None) -> str | None:
        """Check one reference; the name of the step it needs, if any."""
        if path.root == "Parameters":
            if path.name not in self.parameters or path.keys:
                raise DefinitionError(f"{where}: {path.text} is not a parameter of the pipeline.")
            return None
        if path.root == "Execution":
            if path.name not in EXECUTION_VARIABLES or path.keys:
                raise DefinitionError(f"{where}: {path.text} is not one of Execution.{', '.join(EXECUTION_VARIABLES)}.")
            if path.name == "TrainingJobName" or (path.name == "ProcessingJobName" and not _runs_jobs(step)):
                raise DefinitionError(f"{where}: {path.text} has a value only in a step that runs such a job.")
            return None
        if path.root == "ForEach":
            if path.name != "CurrentItem" or not siblings:
                raise DefinitionError(f"{where}: {path.text} has a value only in the body of a ForEach step.")
            return None
        if path.root == "IterationOutput":
            if step is None or step.type != "ForEach" or siblings:
                raise DefinitionError(f"{where}: {path.text} has a value only in the Selector of a ForEach step.")
            return None
        if path.root != "Steps":
            raise DefinitionError(f"{where}: {path.text} must begin with Parameters, Execution or Steps.")
        upstream = siblings.get(path.name) or self.known.get(path.name)
        if upstream is None:
            raise DefinitionError(f"{where}: {path.text} refers to {path.name}, which is not a step it can refer to.")
        self._property(where, path, upstream, path.keys)
        return upstream.name

    def _property(self, where: str, path: Path, upstream: Step, keys: tuple[str | int, ...]) -> None:
        """Check that a step of this type has the property."""
        if upstream.type in ("Lambda", "Callback"):
            if keys[:1] != ("OutputParameters",) or len(keys) < 2 or keys[1] not in upstream.outputs:
                declared = ", ".join(upstream.outputs) or "none"
                raise DefinitionError(
                    f"{where}: {path.text} is not an output of step {upstream.name} (it has: {declared})."
                )
            if len(keys) > 2:
                raise DefinitionError(
                    f"{where}: {path.text} reaches into an output, which is one string and has no members."
                )
        elif upstream.type == "Condition":
            if keys != ("Outcome",):
                raise DefinitionError(f"{where}: a Condition step has the property Outcome only, not {path.text}.")
        elif upstream.type == "Processing":
            if problem := processing.check_property(upstream.spec, keys):
                raise DefinitionError(f"{where}: {path.text} {problem}.")
        elif upstream.type == "ForEach":
            self._for_each_property(where, path, upstream, keys)
        else:
            raise DefinitionError(f"{where}: {path.text} refers to a {upstream.type} step, which has no properties.")

    def _for_each_property(self, where: str, path: Path, upstream: Step, keys: tuple[str | int, ...]) -> None:
        body = {child.name: child for child in upstream.body}
        if keys in (("Status",), *((count,) for count in FOR_EACH_COUNTS)):
            return
        if keys[:1] == ("IterationOutputs",) and len(keys) > 3 and isinstance(keys[1], int) and keys[2] in body:
            self._property(where, path, body[str(keys[2])], keys[3:])
        elif keys[:1] == ("Selected",) and len(keys) > 1 and "Selector" in upstream.arguments:
            self._property(where, path, body[_selected_child(upstream)], keys[1:])
        else:
            raise DefinitionError(
                f"{where}: {path.text} is not a property of the ForEach step {upstream.name} "
                "(Status, its counts, IterationOutputs[index].Step.Property, or Selected.Property with a Selector)."
            )

    # --- one method a step type ------------------------------------------------------------------------------------

    def _lambda(self, step: Step) -> None:
        arn = step.spec.get("FunctionArn")
        if not is_expression(arn):
            found = _FUNCTION_ARN.fullmatch(arn) if isinstance(arn, str) else None
            if not found:
                raise DefinitionError(f"Step {step.name}: FunctionArn {arn!r} is not the ARN of a Lambda function.")
            if found.group(1) != self.region:
                raise DefinitionError(
                    f"Step {step.name}: the function {arn} must be in the pipeline's Region {self.region}."
                )
        self._flat(step, "Arguments")
        self._outputs(step)

    def _callback(self, step: Step) -> None:
        url = step.spec.get("SqsQueueUrl")
        if not is_expression(url) and not (isinstance(url, str) and 0 < len(url) <= 256):
            raise DefinitionError(f"Step {step.name}: SqsQueueUrl must be a queue's URL of at most 256 characters.")
        self._flat(step, "Arguments")
        self._outputs(step)

    def _flat(self, step: Step, member: str) -> None:
        for name, value in step.arguments.items():
            if not is_expression(value) and not isinstance(value, str | int | float | bool):
                raise DefinitionError(
                    f"Step {step.name}: {member}.{name} is nested or null; a {step.type} step's inputs must be "
                    "strings, numbers, booleans or expressions."
                )

    def _outputs(self, step: Step) -> None:
        outputs = step.spec.get("OutputParameters") or []
        if not isinstance(outputs, list) or len(outputs) > MAX_OUTPUTS:
            raise DefinitionError(f"Step {step.name}: OutputParameters must be a list of at most {MAX_OUTPUTS}.")
        seen = set()
        for item in outputs:
            name = item.get("OutputName") if isinstance(item, dict) else None
            if not isinstance(name, str) or not 0 < len(name) <= 256 or set(item) - {"OutputName", "OutputType"}:
                raise DefinitionError(
                    f"Step {step.name}: each of OutputParameters needs an OutputName and an OutputType."
                )
            if item.get("OutputType", "String") not in ("String", "Integer", "Boolean", "Float"):
                raise DefinitionError(
                    f"Step {step.name}: output {name} has type {item['OutputType']!r}; "
                    "it must be String, Integer, Boolean or Float."
                )
            if name in seen:
                raise DefinitionError(f"Step {step.name}: output {name} is declared twice.")
            seen.add(name)

    def _condition(self, step: Step) -> None:
        self._members(step, required={"Conditions"}, allowed={"Conditions", "IfSteps", "ElseSteps"})
        found = step.arguments["Conditions"]
        if not isinstance(found, list):
            raise DefinitionError(f"Step {step.name}: Arguments.Conditions must be a list.", NOT_AN_ARRAY)
        for index, condition in enumerate(found):
            if problem := conditions.check(condition):
                raise DefinitionError(f"Step {step.name}: Arguments.Conditions[{index}]: {problem}.")

    def _fail(self, step: Step) -> None:
        self._members(step, required=set(), allowed={"ErrorMessage"})
        message = step.arguments.get("ErrorMessage", "")
        if not is_expression(message) and not (isinstance(message, str) and len(message) <= 3072):
            raise DefinitionError(
                f"Step {step.name}: Arguments.ErrorMessage must be a string of at most 3,072 characters."
            )

    def _processing(self, step: Step) -> None:
        try:
            processing.check(step.spec)
        except DefinitionError as error:
            raise error.at(f"Step {step.name}") from None

    def _cleanup(self, step: Step) -> None:
        self._members(step, required={"Resources"}, allowed={"Resources"})
        resources = step.arguments["Resources"]
        sources = resources.get("S3") if isinstance(resources, dict) and set(resources) == {"S3"} else None
        if not isinstance(sources, list) or not sources:
            raise DefinitionError(f"Step {step.name}: Arguments.Resources needs a list S3 of at least one source.")
        for source in sources:
            name = source.get("StepName") if isinstance(source, dict) else None
            upstream = self.known.get(name) if isinstance(name, str) else None
            if upstream is None or set(source) - {"StepName", "S3Uris"}:
                raise DefinitionError(
                    f"Step {step.name}: {name!r} in Arguments.Resources.S3 is not a step of the pipeline."
                )
            if upstream.type != "Processing" or not isinstance(source.get("S3Uris"), list) or not source["S3Uris"]:
                # Without S3Uris AWS finds the outputs of Training and Athena steps, neither of which runs here.
                raise DefinitionError(
                    f"Step {step.name}: the source {name} must be a Processing step, with the S3Uris to delete."
                )

    def _foreach(self, step: Step) -> None:
        allowed = {"IterableItems", "MaxConcurrency", "Selector", "ForEachBody"}
        self._members(step, required={"IterableItems", "MaxConcurrency", "ForEachBody"}, allowed=allowed)
        items, width = step.arguments["IterableItems"], step.arguments["MaxConcurrency"]
        if isinstance(items, list):
            if not 1 <= len(items) <= MAX_ITERATIONS:
                raise DefinitionError(f"Step {step.name}: IterableItems must have 1 to {MAX_ITERATIONS} items.")
            if not all(is_expression(item) or isinstance(item, str | int | float | bool) for item in items):
                raise DefinitionError(
                    f"Step {step.name}: IterableItems must be expressions, strings, numbers or booleans."
                )
        elif not is_expression(items):
            raise DefinitionError(f"Step {step.name}: IterableItems must be a list, or an expression that gives one.")
        if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 50:
            raise DefinitionError(f"Step {step.name}: MaxConcurrency must be a number from 1 to 50.")
        if not step.body:
            raise DefinitionError(f"Step {step.name}: ForEachBody must be a list of at least one step.")
        for child in step.body:
            if child.type in ("Condition", "Fail", "ForEach"):
                raise DefinitionError(
                    f"Step {step.name}: a {child.type} step ({child.name}) can't be in a ForEachBody."
                )
            needs = child.spec.get("DependsOn")
            if isinstance(needs, list) and any(isinstance(entry, dict) for entry in needs):
                raise DefinitionError(
                    f"Step {child.name}: a step of a ForEachBody can't depend on a failed or stopped step."
                )
        if "Selector" in step.arguments:
            self._selector(step)

    def _selector(self, step: Step) -> None:
        selector = step.arguments["Selector"]
        if not isinstance(selector, dict) or set(selector) != {"Pick", "Field"}:
            raise DefinitionError(f"Step {step.name}: Selector needs Pick and Field.")
        if selector["Pick"] not in ("MaxBy", "MinBy"):
            raise DefinitionError(f"Step {step.name}: Selector.Pick must be MaxBy or MinBy, not {selector['Pick']!r}.")
        where = f"Step {step.name}: Arguments.Selector.Field"
        found = [path for _, path in self._paths(where, selector["Field"])]
        body = {child.name: child for child in step.body}
        if len(found) != 1 or found[0].root != "IterationOutput" or found[0].name not in body or not found[0].keys:
            raise DefinitionError(f"{where} must be IterationOutput.<step of the body>.<property>.")
        self._property(where, found[0], body[found[0].name], found[0].keys)

    def _members(self, step: Step, required: set[str], allowed: set[str]) -> None:
        if missing := sorted(required - set(step.arguments)):
            raise DefinitionError(f"Step {step.name}: Arguments needs {', '.join(missing)}.")
        if unknown := sorted(set(step.arguments) - allowed):
            raise DefinitionError(f"Step {step.name}: Arguments of a {step.type} step has no {', '.join(unknown)}.")


def _selected_child(step: Step) -> str:
    return next(paths(step.arguments["Selector"]["Field"])).name


def _runs_jobs(step: Step | None) -> bool:
    return step is not None and (step.type == "Processing" or any(child.type == "Processing" for child in step.body))


def _only(needs: dict[str, str], names: Any) -> dict[str, str]:
    return {name: trigger for name, trigger in needs.items() if name in names}
