"""Cleanup steps, which delete the named objects that Processing steps wrote."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps.step_type import StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References


class CleanupStep(StepType):
    name = "Cleanup"

    def check(self, step: Step, references: References) -> None:
        self.check_arguments(step, required={"Resources"}, allowed={"Resources"})
        resources = step.arguments["Resources"]
        sources = resources.get("S3") if isinstance(resources, dict) and set(resources) == {"S3"} else None
        if not isinstance(sources, list) or not sources:
            raise DefinitionError(f"Step {step.name}: Arguments.Resources needs a list S3 of at least one source.")
        for source in sources:
            name = source.get("StepName") if isinstance(source, dict) else None
            upstream = references.steps.get(name) if isinstance(name, str) else None
            if upstream is None or set(source) - {"StepName", "S3Uris"}:
                raise DefinitionError(
                    f"Step {step.name}: {name!r} in Arguments.Resources.S3 is not a step of the pipeline."
                )
            if not upstream.kind.runs_job or not isinstance(source.get("S3Uris"), list) or not source["S3Uris"]:
                # Without S3Uris AWS deletes the outputs of Training and Athena steps, neither of which runs here.
                raise DefinitionError(
                    f"Step {step.name}: the source {name} must be a Processing step, with the S3Uris to delete."
                )

    def needs(self, step: Step) -> Iterable[str]:
        return [source["StepName"] for source in step.arguments["Resources"]["S3"]]

    def start(self, work: StepWork) -> Coroutine[Any, Any, None]:
        return self._delete(work, work.resolve(work.step.arguments["Resources"]["S3"]))

    async def _delete(self, work: StepWork, sources: list[dict[str, Any]]) -> None:
        work.executing()
        for source in sources:
            upstream = work.execution.runs[source["StepName"]]
            places = work.jobs.output_places(upstream.metadata.get("ProcessingJob", {}).get("Arn"))
            for uri in source["S3Uris"]:
                if not isinstance(uri, str) or not any(uri.startswith(place) for place in places):
                    raise StepFailed(
                        f"ClientError: {uri} is not under an output location of step {source['StepName']}."
                    )
                bucket, _, key = uri.removeprefix("s3://").partition("/")
                await work.call("s3", "delete_object", Bucket=bucket, Key=key)
        work.end("Succeeded")
