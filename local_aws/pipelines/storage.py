"""Keep what outlives the server, which is pipelines, executions, their steps and their callback tokens."""

from __future__ import annotations

import dataclasses
from typing import Any

from local_aws.pipelines.state import Execution, Pipeline, StepRun, Version
from local_aws.store import Store

STOPPED = "stopped"  # the record that a clean stop leaves


class Storage:
    """The records of a store. Without one nothing is kept.

    Args:
        store: the server's, or None.
    """

    def __init__(self, store: Store | None) -> None:
        self.store = store

    # --- pipelines -------------------------------------------------------------------------------------------------

    def pipelines(self) -> dict[str, Pipeline]:
        """Every pipeline with its versions, by ARN."""
        pipelines = {}
        for arn, record in (self.store.all("pipeline") if self.store else {}).items():
            versions = {int(key): Version(**value) for key, value in record.pop("versions").items()}
            pipelines[arn] = Pipeline(**record, versions=versions)
        return pipelines

    def save_pipeline(self, pipeline: Pipeline) -> None:
        if self.store:
            self.store.put("pipeline", pipeline.arn, dataclasses.asdict(pipeline))

    def delete_pipeline(self, arn: str) -> None:
        if self.store:
            self.store.delete("pipeline", arn)

    # --- executions ------------------------------------------------------------------------------------------------

    def executions(self) -> dict[str, Execution]:
        """Every execution with its steps in the order they were started, by ARN."""
        if not self.store:
            return {}
        executions = {arn: Execution(**record) for arn, record in self.store.all("pipeline-execution").items()}
        for key, record in self.store.all("pipeline-step").items():
            arn, _, name = key.partition("\n")
            if arn in executions:
                executions[arn].runs[name] = StepRun(**record)
        for execution in executions.values():
            execution.runs = dict(sorted(execution.runs.items(), key=lambda item: item[1].started))
        return executions

    def save_execution(self, execution: Execution) -> None:
        """Record an execution without its steps."""
        if self.store:
            self.store.put("pipeline-execution", execution.arn, execution.record())

    def delete_execution(self, execution: Execution) -> None:
        """Forget an execution that has ended, and its steps."""
        for run in execution.runs.values():
            self.delete_run(execution, run)
        if self.store:
            self.store.delete("pipeline-execution", execution.arn)

    def save_run(self, execution: Execution, run: StepRun) -> None:
        if self.store:
            self.store.put("pipeline-step", f"{execution.arn}\n{run.name}", dataclasses.asdict(run))

    def delete_run(self, execution: Execution, run: StepRun) -> None:
        """Forget a step. Its token stays known, so that a late answer gets ResourceNotFound with its ARN."""
        if self.store:
            self.store.delete("pipeline-step", f"{execution.arn}\n{run.name}")
            if run.token:
                self.store.put("pipeline-token", run.token, {"arn": execution.arn, "step": run.name})

    def forgotten_tokens(self) -> dict[str, tuple[str, str]]:
        """The tokens of steps that were forgotten, each with its execution's ARN and its step's name."""
        records = self.store.all("pipeline-token") if self.store else {}
        return {token: (record["arn"], record["step"]) for token, record in records.items()}

    # --- how the last server ended -------------------------------------------------------------------------------

    def take_killed(self) -> bool:
        """Whether the last server was killed. Ask once, because a server that is killed leaves no record."""
        if not self.store:
            return False
        killed = STOPPED not in self.store.all("pipeline-engine")
        self.store.delete("pipeline-engine", STOPPED)
        return killed

    def note_stop(self) -> None:
        """Record that this server stopped cleanly."""
        if self.store:
            self.store.put("pipeline-engine", STOPPED, {})

    # --- processing jobs -------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every processing job, by ARN."""
        return self.store.all("processing-job") if self.store else {}

    def save_job(self, record: dict[str, Any]) -> None:
        if self.store:
            self.store.put("processing-job", record["ProcessingJobArn"], record)
