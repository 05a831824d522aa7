"""What the notebooks set up and run, by the same helpers and in the same order, small enough to be done often.

The pipeline is the tutorial's: count, copy, aggregate, merge. Its definition is written out here: the SageMaker SDK
takes seconds to import and adds nothing that matters to permissions, names or cleanup.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import boto3
import pandas as pd

from utils import batch, data, iam, kit, pipeline
from utils.config import Config

OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")
QUICK = {"POLL_MIN_SECONDS": "1", "POLL_MAX_SECONDS": "1", "POLLS_TO_CONFIRM_ERROR": "2", "DEADLINE_SECONDS": "120"}


def flights(month: int) -> bytes:
    """A month of three flights."""
    rows = [
        {"year": 2013, "month": month, "day": day, "hour": 5, "carrier": carrier, "flight": day, "tailnum": "N1",
         "origin": "JFK", "dest": "MIA", "dep_delay": 2.0, "arr_delay": delay, "distance": 1089}
        for day, carrier, delay in ((1, "AA", 10.0), (2, "AA", -3.0), (3, "UA", None))
    ]  # fmt: skip
    return pd.DataFrame(rows).to_json(orient="records", lines=True).encode()


@dataclass
class Deployment:
    session: boto3.Session
    config: Config
    files: int = 2
    check_settings: dict[str, str] = field(default_factory=lambda: dict(QUICK))

    def client(self, service: str) -> Any:
        return self.session.client(service)

    # What each notebook does

    def notebook_01(self) -> dict[str, str]:
        """Roles."""
        return iam.ensure_roles(self.session, self.config)

    def notebook_02(self) -> None:
        """Bucket, input, log group, compute environment, queue, job definitions."""
        config, tags = self.config, self.config.tags
        data.ensure_bucket(self.session, config.bucket, tags=tags)
        inputs = {f"file_{month:02d}.json": flights(month) for month in range(1, self.files + 1)}
        data.upload(self.session, config.bucket, data.INPUT, inputs)
        kit.ensure_job_queue(self.session, config, max_vcpus=4)
        job, execution = (
            iam.role_arn(self.session, name) for name in (config.batch_job_role, config.batch_execution_role)
        )
        for definition in (batch.copy_job(config, job, execution), batch.aggregate_job(config, job, execution)):
            batch.ensure_job_definition(self.session, definition)

    def notebook_03(self) -> None:
        """Functions and their log groups."""
        roles = {
            task: iam.role_arn(self.session, getattr(self.config, f"{task}_role"))
            for task in kit.FUNCTION_ROLES.values()
        }
        kit.ensure_functions(
            self.session, self.config, roles, kit.FUNCTION_ROLES,
            job_queues=[self.config.job_queue], check_settings=self.check_settings, timeout_seconds=60,
        )  # fmt: skip

    def notebook_04(self) -> None:
        """Callback queue, dead-letter queue, mapping, the rule for stopped executions."""
        kit.ensure_callbacks(self.session, self.config, visibility_timeout_seconds=60)

    def notebook_05(self) -> None:
        """Pipeline."""
        sagemaker, role = self.client("sagemaker"), iam.role_arn(self.session, self.config.pipeline_role)
        definition = json.dumps(self.definition())
        try:
            current = sagemaker.describe_pipeline(PipelineName=self.config.pipeline)
        except sagemaker.exceptions.ResourceNotFound:
            tags = [{"Key": key, "Value": value} for key, value in self.config.tags.items()]
            iam.retry_iam_propagation()(sagemaker.create_pipeline)(
                PipelineName=self.config.pipeline, PipelineDefinition=definition, RoleArn=role, Tags=tags
            )
        else:
            if current["PipelineDefinition"] != definition:
                sagemaker.update_pipeline(
                    PipelineName=self.config.pipeline, PipelineDefinition=definition, RoleArn=role
                )

    def deploy(self) -> Deployment:
        for notebook in ("notebook_01", "notebook_02", "notebook_03", "notebook_04", "notebook_05"):
            getattr(self, notebook)()
        return self

    # The pipeline

    def definition(self) -> dict[str, Any]:
        uri = self.config.s3_uri
        steps = [
            self._lambda("CountInputs", "count_inputs", {"input_uri": uri(data.INPUT)}, ["inputCount"]),
            *self._pair("Copies", "copy", uri(data.INPUT), uri(data.COPIES), after="CountInputs"),
            *self._pair("Aggregates", "aggregate", uri(data.COPIES), uri(data.AGGREGATES), after="WaitForCopies",
                        input_name="output_{i:02d}.json"),
            self._lambda("MergeResults", "merge_results",
                         {"input_uri": uri(data.AGGREGATES), "output_uri": uri(data.SUMMARY)}, ["summaryUri"],
                         after="WaitForAggregates"),
        ]  # fmt: skip
        return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": steps}

    def _lambda(self, name: str, function: str, arguments: dict, outputs: list[str], after: str = "") -> dict[str, Any]:
        arn = self.config.arn("lambda", f"function:{getattr(self.config, f'{function}_function')}")
        named = [{"OutputName": output, "OutputType": "String"} for output in outputs]
        step = {"Name": name, "Type": "Lambda", "FunctionArn": arn, "Arguments": arguments, "OutputParameters": named}
        return step | ({"DependsOn": [after]} if after else {})

    def _pair(self, what: str, job: str, source: str, target: str, after: str, **more: str) -> list[dict[str, Any]]:
        account, config = self.config.account, self.config
        submit = {
            "input_uri": source, "output_uri": target, "max_jobs": self.files, "job_queue": config.job_queue,
            "job_definition": getattr(config, f"{job}_job_definition"), "step_name": f"Submit{what}",
            "execution_id": {"Get": "Execution.PipelineExecutionArn"}, **more,
        }  # fmt: skip
        # The address by which AWS knows the queue; the embedded AWS takes its own.
        queue = self.client("sqs").get_queue_url(QueueName=config.callback_queue, QueueOwnerAWSAccountId=account)
        wait = {
            "Name": f"WaitFor{what}", "Type": "Callback", "SqsQueueUrl": queue["QueueUrl"],
            "Arguments": {"job_ids": {"Get": f"Steps.Submit{what}.OutputParameters['jobIds']"}},
            "OutputParameters": [{"OutputName": name, "OutputType": "String"} for name in OUTPUTS],
        }  # fmt: skip
        return [self._lambda(f"Submit{what}", "submit_jobs", submit, ["jobIds"], after), wait]

    def start(self) -> str:
        return self.client("sagemaker").start_pipeline_execution(PipelineName=self.config.pipeline)[
            "PipelineExecutionArn"
        ]

    def run(self, seconds: float = 120) -> dict[str, Any]:
        """Start the pipeline and wait for its end: DescribePipelineExecution's answer."""
        return pipeline.wait_for_execution(self.session, self.start(), seconds=seconds)

    def steps(self, execution: str) -> dict[str, tuple[str, str]]:
        """Each step's status and the reason of its failure."""
        answer = self.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return {
            step["StepName"]: (step["StepStatus"], step.get("FailureReason", ""))
            for step in answer["PipelineExecutionSteps"]
        }
