"""The values of a step's expressions while its execution runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.execution.role_calls import RoleCalls
from local_aws.pipelines.model.definition import Definition
from local_aws.pipelines.model.expressions import (
    ExpressionError,
    Path,
    drill,
    json_gets,
    load_json,
    parse_path,
    resolve,
    to_text,
)
from local_aws.pipelines.processing.processing_jobs import ProcessingJobs
from local_aws.pipelines.state import Execution, StepRun


class StepValues:
    """What the expressions of one step of one execution stand for.

    Args:
        jobs: for the name of the job that the step will run.
    """

    def __init__(self, definition: Definition, execution: Execution, run: StepRun, jobs: ProcessingJobs) -> None:
        self.definition, self.execution, self.run, self.jobs = definition, execution, run, jobs
        self._documents: dict[str, Any] = {}  # those that Std:JsonGet reads, by URI

    def resolve(self, value: Any) -> Any:
        """The value with every expression replaced.

        Raises:
            ExpressionError: an expression has no value in this execution.
        """
        return resolve(value, self.lookup, lambda argument: self._documents[self._document_uri(argument)])

    async def read_documents(self, value: Any, calls: RoleCalls) -> None:
        """Fetch the documents on S3 that a value needs.

        Raises:
            ExpressionError: where one is has no value in this execution.
            StepFailed: one can't be read, or is not JSON.
        """
        for argument in json_gets(value):
            uri = self._document_uri(argument)
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            body = await calls.call(self.execution, "s3", "get_object", Bucket=bucket, Key=key)
            try:
                self._documents[uri] = load_json(await calls.in_thread(body["Body"].read))
            except ValueError:
                raise StepFailed(f"ClientError: {uri} is not JSON.") from None

    def lookup(self, path: Path) -> Any:
        """The value of one path.

        Raises:
            ExpressionError: it has none in this execution.
        """
        if path.root == "Parameters":
            return self.execution.parameters[path.name]
        if path.root == "Execution":
            return self._variable(path.name)
        if path.root == "ForEach":
            return self._of_item(path)
        name = path.name
        if self.run.parent and f"{name}-{self.run.index}" in self.execution.runs:
            name = f"{name}-{self.run.index}"  # a step of the same iteration
        upstream = self.execution.runs.get(name)
        if upstream is None or upstream.status != "Succeeded":
            raise ExpressionError(f"{path.text!r} has no value in this execution: step {path.name} did not succeed")
        return drill(upstream.properties, path.keys, path.text)

    def _of_item(self, path: Path) -> Any:
        item = self.run.item
        if path.keys and isinstance(item, str):
            try:
                item = load_json(item)
            except ValueError:
                raise ExpressionError(f"{path.text!r} has no value: the current item is not a JSON object") from None
        return drill(item, path.keys, path.text)

    def _variable(self, name: str) -> str:
        execution = self.execution
        return {
            "StartDateTime": lambda: _iso(execution.created),
            "CurrentDateTime": lambda: _iso(self.run.started),  # the same when the step is taken up again
            "PipelineName": lambda: execution.pipeline_name,
            "PipelineArn": lambda: execution.pipeline_arn,
            "PipelineExecutionId": lambda: execution.id,
            "PipelineExecutionArn": lambda: execution.arn,
            "ProcessingJobName": lambda: self.jobs.name_for(execution, self.run),
        }[name]()

    def _document_uri(self, argument: dict[str, Any]) -> str:
        """The s3:// URI of the document that a Std:JsonGet reads."""
        if "S3Uri" in argument:
            return to_text(resolve(argument["S3Uri"], self.lookup, _no_document))
        path = parse_path(argument["PropertyFile"]["Get"])
        step = self.definition.steps[path.name]
        file = next(item for item in step.spec["PropertyFiles"] if item["PropertyFileName"] == path.keys[1])
        keys = ("ProcessingOutputConfig", "Outputs", file["OutputName"], "S3Output", "S3Uri")
        uri = self.lookup(Path(path.text, "Steps", path.name, keys))
        return f"{uri.rstrip('/')}/{file['FilePath']}"


def _no_document(argument: dict[str, Any]) -> Any:
    raise AssertionError(f"a definition can't read the place of a document from a document: {argument}")


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
