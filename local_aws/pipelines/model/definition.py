"""Parse and check a definition when the pipeline is created, so that its errors appear then.

The form is the published schema's, version 2020-12-01, with what SDK v3 adds to it (PipelineExperimentConfig,
MlflowConfig, {"Step", "Trigger"} in DependsOn, ForEach, Cleanup, nested branches):
https://github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema. The step types:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

from __future__ import annotations

import functools
import graphlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local_aws.pipelines.model import parameters
from local_aws.pipelines.model.expressions import is_expression, load_json
from local_aws.pipelines.model.parameters import Parameter
from local_aws.pipelines.model.references import References
from local_aws.pipelines.model.refusals import NOT_AN_ARRAY, NOT_AN_OBJECT, DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.processing.arguments import runs_here
from local_aws.pipelines.steps import TYPES

VERSION = "2020-12-01"
MAX_CHARACTERS = 1024 * 1024
MAX_METADATA_CHARACTERS = 1024

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_METADATA_KEY = re.compile(r"[A-Za-z0-9\-_]{1,128}")
_MEMBERS = {"Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps"}


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


def parse(text: str, region: str, runs_image: Callable[[str], bool] | None = None) -> Definition:
    """Read and check a definition.

    Args:
        text: its JSON.
        region: the pipeline's Region, in which its functions and queues must be.
        runs_image: whether an image of a Processing step runs here. Default: the Python images do.

    Raises:
        DefinitionError: the definition is wrong, or needs what the embedded AWS does not run.
    """
    if len(text) > MAX_CHARACTERS:
        raise DefinitionError(f"The definition has {len(text):,} characters. The limit is {MAX_CHARACTERS:,}.")
    try:
        return _parse(load_json(text), text, region, runs_image or functools.partial(runs_here, images={}))
    except ValueError as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError(f"It is not JSON: {error}.") from None
    except RecursionError:
        raise DefinitionError("It is nested too deeply.") from None


def _parse(document: Any, text: str, region: str, runs_image: Callable[[str], bool]) -> Definition:
    if not isinstance(document, dict):
        raise DefinitionError("A definition is an object with Steps.", NOT_AN_OBJECT)
    if unknown := sorted(set(document) - _MEMBERS):
        raise DefinitionError(f"The definition has no property {', '.join(unknown)}.")
    if document.get("Version", VERSION) != VERSION:
        raise DefinitionError(f"Version must be {VERSION!r}, not {document['Version']!r}.")
    _check_metadata(document.get("Metadata"))
    if document.get("MlflowConfig") is not None:
        raise DefinitionError(
            "MlflowConfig needs an MLflow server, which the embedded AWS does not have. Leave it out."
        )
    declared = parameters.parse(document.get("Parameters") or [])
    written = document.get("Steps")
    if not isinstance(written, list):
        raise DefinitionError("Steps must be a list of at least one step.", NOT_AN_ARRAY)
    if not written:
        raise DefinitionError("Steps must be a list of at least one step.")
    known = {step.name: step for step in _steps(written, None, set())}
    references = References(declared, known, region, runs_image)
    experiment = document.get("PipelineExperimentConfig")
    _check_experiment(experiment, references)
    _refuse_names_of_children(known)
    for step in known.values():
        for each in (*step.body, step):
            each.kind.check_common(each)
            each.kind.check(each, references)
    steps = {name: references.link(step) for name, step in known.items()}
    for step in steps.values():
        _ordered({child.name: child for child in step.body})
    return Definition(text, declared, steps, _ordered(steps), experiment)


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


def _check_experiment(config: Any, references: References) -> None:
    # The SDK writes it by default. DescribePipelineExecution shows it, and there are no experiments here.
    if config is not None and not isinstance(config, dict):
        raise DefinitionError("PipelineExperimentConfig must be an object.", NOT_AN_OBJECT)
    for name, value in (config or {}).items():
        if name not in ("ExperimentName", "TrialName") or not (isinstance(value, str) or is_expression(value)):
            raise DefinitionError(
                "PipelineExperimentConfig has ExperimentName and TrialName, each a string or an expression."
            )
    for where, path in references.paths("PipelineExperimentConfig", config):
        if path.root == "Steps":
            raise DefinitionError(f"{where} can't refer to {path.text}.")
        references.check(where, path, {}, None)


def _steps(written: list[Any], branch: tuple[str, bool] | None, names: set[str]) -> Iterator[Step]:
    """Every step of a list and of the branches in it. `names` holds those so far, of bodies too."""
    for spec in written:
        name, kind = _name_and_type(spec)
        if name in names:
            raise DefinitionError(f"Step name {name} is used twice. Step names must be unique in a pipeline.")
        names.add(name)
        step_type = TYPES[kind]
        arguments = spec.get("Arguments")
        if arguments is not None and not isinstance(arguments, dict):
            raise DefinitionError(f"Step {name}: Arguments must be an object.", NOT_AN_OBJECT)
        body: tuple[Step, ...] = ()
        if step_type.body:
            body = tuple(_steps(_list_of(name, arguments, step_type.body), None, names))
        yield Step(name, step_type, spec, {}, branch, body)
        for outcome, member in step_type.branches.items():
            yield from _steps(_list_of(name, arguments, member), (name, outcome), names)


def _list_of(name: str, arguments: dict[str, Any] | None, member: str) -> list[Any]:
    written = (arguments or {}).get(member) or []
    if not isinstance(written, list):
        raise DefinitionError(f"Step {name}: Arguments.{member} must be a list of steps.", NOT_AN_ARRAY)
    return written


def _name_and_type(spec: Any) -> tuple[str, str]:
    name = spec.get("Name") if isinstance(spec, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(f"Step name {name!r} must be 1 to 64 letters, digits, hyphens and underscores.")
    kind = spec.get("Type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise DefinitionError(
            f"Step {name} has type {kind!r}, which the embedded AWS does not run. It runs {', '.join(TYPES)}."
        )
    if unknown := sorted(set(spec) - TYPES[kind].members):
        raise DefinitionError(f"Step {name}: a {kind} step has no property {', '.join(unknown)}.")
    return name, kind


def _refuse_names_of_children(steps: dict[str, Step]) -> None:
    bodies = [re.escape(child.name) for step in steps.values() for child in step.body]
    child = re.compile(rf"(?:{'|'.join(bodies)})-\d+") if bodies else None
    for name in steps:
        if child and child.fullmatch(name):
            raise DefinitionError(f"Step name {name} is what a child step of a ForEach step would be called.")


def _ordered(steps: dict[str, Step]) -> tuple[str, ...]:
    try:
        return tuple(graphlib.TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order())
    except graphlib.CycleError as error:
        raise DefinitionError(f"The steps depend on each other in a circle: {' -> '.join(error.args[1])}.") from None
