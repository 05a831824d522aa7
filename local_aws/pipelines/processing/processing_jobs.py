"""Create processing jobs as the pipeline's role, run them as local processes with the job's role, and stop them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import secrets
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from local_aws import clock, images
from local_aws.containers.container import Container, Containers
from local_aws.pipelines.execution.failures import StepFailed, StepStopped
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.processing import arguments, job_files
from local_aws.pipelines.processing.commands import command_of, environment_of
from local_aws.pipelines.state import Execution, StepRun, now
from local_aws.pipelines.storage import Storage
from local_aws.protocol import ApiError

SERVICE = "sagemaker.amazonaws.com"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
HOST_GONE = "InternalServerError: The host on which the job was running was terminated."
DEFAULT_SECONDS = 86_400  # StoppingCondition's default: one day, API_ProcessingStoppingCondition
MAX_FAILURE = 1024
LINES_AT_ONCE = 1000  # sent to CloudWatch Logs


class ProcessingJobs:
    """The processing jobs of this server, running and past."""

    def __init__(self, context: Any, storage: Storage) -> None:
        self.context, self.ministack, self.storage = context, context.ministack, storage
        self.records: dict[str, dict[str, Any]] = {}  # by ARN, as DescribeProcessingJob shows them
        self._containers = Containers(context.work_dir / "processing-containers")
        self._processes: dict[str, Container] = {}
        self._stopping: set[str] = set()

    def load(self) -> None:
        """Bring jobs back from the store. Those that ran are gone with their host."""
        for arn, record in self.storage.jobs().items():
            self.records[arn] = record
            if record["ProcessingJobStatus"] == "Stopping":
                self.end(record, "Stopped")
            elif record["ProcessingJobStatus"] == "InProgress":
                self.end(record, "Failed", HOST_GONE)

    async def stop(self) -> None:
        """End every process, since nothing outlives the server."""
        await self._containers.close()

    def name_for(self, execution: Execution, run: StepRun) -> str:
        """The name of a step's job, made once as AWS names them, pipelines-<execution>-<step>-<random>."""
        if "ProcessingJobName" not in run.properties:
            suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(10))
            step = re.sub(r"[^A-Za-z0-9-]+", "-", run.name)[:29].strip("-")
            run.properties["ProcessingJobName"] = f"pipelines-{execution.id}-{step}-{suffix}"
        return run.properties["ProcessingJobName"]

    def create(self, execution: Execution, run: StepRun, given: dict[str, Any], pipeline_role: Any) -> dict[str, Any]:
        """Create the job, as the pipeline's role.

        Args:
            given: the step's Arguments, as CreateProcessingJob takes them.
            pipeline_role: the credentials of the pipeline's role.

        Raises:
            StepFailed: the pipeline's role may not create it or pass the job's role, or the job can't run here.
        """
        failed = "ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details:"
        try:
            arguments.check(given, functools.partial(arguments.runs_here, images=self.context.images))
        except DefinitionError as error:
            raise StepFailed(f"{failed} {error}") from None
        name = self.name_for(execution, run)
        arn = f"arn:{execution.partition}:sagemaker:{execution.region}:{execution.account}:processing-job/{name}"
        passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        needed = [("sagemaker:CreateProcessingJob", arn, {}), ("iam:PassRole", given["RoleArn"], passed)]
        if given.get("Tags"):
            needed.append(("sagemaker:AddTags", arn, {}))
        for action, resource, keys in needed:
            if refused := self.ministack.is_allowed(pipeline_role, action, resource, execution.region, keys):
                raise StepFailed(f"{failed} {refused}")
        record = {
            **{key: value for key, value in given.items() if key not in ("Tags", "ProcessingJobName")},
            "ProcessingJobName": name,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "CreationTime": now(),
            "LastModifiedTime": now(),
        }
        record.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_SECONDS})
        self.records[arn] = record
        self.storage.save_job(record)
        return record

    async def run(self, record: dict[str, Any], in_thread: Callable) -> dict[str, Any]:
        """Run a job to its end. Returns what DescribeProcessingJob shows of it.

        Raises:
            StepFailed, StepStopped: it did not complete.
        """
        arn = record["ProcessingJobArn"]
        place = self.context.work_dir / "processing" / record["ProcessingJobName"]
        try:
            credentials = self.ministack.assume_role(
                record["RoleArn"], SERVICE, session_name="SageMaker", source_arn=arn
            )
            place.mkdir(parents=True, mode=0o700)
            client = await in_thread(self.ministack.client, "s3", credentials, arn.split(":")[3])
            await in_thread(job_files.download, client, record, place)
            self._check_stop(arn)
            await self._execute(record, credentials, place)
            self._check_stop(arn)
            await in_thread(job_files.upload, client, record, place)
        except StepStopped:
            self.end(record, "Stopped")
            raise
        except ApiError as error:
            self.end(record, "Failed", f"ClientError: {error.message}")
        except StepFailed as error:
            self.end(record, "Failed", str(error))
        except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
            self.end(record, "Failed", f"ClientError: {error}")
        except Exception:
            self.end(record, "Failed", "InternalServerError: The embedded AWS failed. See its log.")
            raise
        else:
            self.end(record, "Completed")
            return self.shown(record)
        finally:
            self._stopping.discard(arn)
            shutil.rmtree(place, ignore_errors=True)
        raise StepFailed(record["FailureReason"])

    async def _execute(self, record: dict[str, Any], credentials: Any, place: Path) -> None:
        arn = record["ProcessingJobArn"]
        mapped = images.environment_of(self.context.images, record["AppSpecification"]["ImageUri"])
        environment = environment_of(record, credentials, place, self.context.endpoint_url, mapped)
        command = command_of(record, place, mapped)
        process = await self._containers.start(record["ProcessingJobName"], command, environment)
        record["ProcessingStartTime"] = now()
        self._processes[arn] = process
        if arn in self._stopping:  # it was stopped while the process was being made
            process.terminate()
        limit = record["StoppingCondition"]["MaxRuntimeInSeconds"]
        try:
            code = await process.wait(float(limit))
        finally:
            del self._processes[arn]
        stream = await self._log(record, credentials, process.lines)
        self._check_stop(arn)
        if code is None:
            raise StepFailed(f"ClientError: The job exceeded its MaxRuntimeInSeconds of {limit}.")
        message = place / "output" / "message"
        if message.is_file():
            record["ExitMessage"] = message.read_text(errors="replace")[:MAX_FAILURE]
        if code:
            words = record.get("ExitMessage") or f"See the log stream {stream} in {LOG_GROUP}."
            raise StepFailed(f"AlgorithmError: {words} exit code: {code}")

    async def _log(self, record: dict[str, Any], credentials: Any, lines: list[tuple[int, str]]) -> str:
        """Send the job's output to CloudWatch Logs as its role. Without the permission there is no log, as on AWS."""
        region, account = record["ProcessingJobArn"].split(":")[3:5]
        stream = f"{record['ProcessingJobName']}/algo-1-{int(clock.now())}"
        self.ministack.create_log_group(LOG_GROUP, account, region)
        with contextlib.suppress(ApiError):
            for start in range(0, max(1, len(lines)), LINES_AT_ONCE):
                portion = lines[start : start + LINES_AT_ONCE]
                self.ministack.put_log_events(credentials, LOG_GROUP, stream, portion, account, region)
                await asyncio.sleep(0)  # other callers have their turn
        return stream

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """What other steps see of a job: its description, with times as text."""
        return json.loads(json.dumps(record, default=lambda moment: moment.isoformat()))

    def terminate(self, arn: str | None) -> None:
        """Stop a job. One that has ended stays as it is."""
        record = self.records.get(arn or "")
        if not record or record["ProcessingJobStatus"] != "InProgress":
            return
        record["ProcessingJobStatus"] = "Stopping"
        self._stopping.add(record["ProcessingJobArn"])
        self.storage.save_job(record)
        if process := self._processes.get(record["ProcessingJobArn"]):
            process.terminate()

    def _check_stop(self, arn: str) -> None:
        if arn in self._stopping:
            raise StepStopped

    def end(self, record: dict[str, Any], status: str, reason: str | None = None) -> None:
        """Record how a job ended."""
        record["ProcessingJobStatus"] = status
        record["LastModifiedTime"] = now()
        if "ProcessingStartTime" in record:
            record["ProcessingEndTime"] = now()
        if reason:
            record["FailureReason"] = reason[:MAX_FAILURE]
        self.storage.save_job(record)

    def output_places(self, arn: str | None) -> list[str]:
        """The S3 locations a job writes to, however it ended."""
        outputs = self.records.get(arn or "", {}).get("ProcessingOutputConfig", {}).get("Outputs") or []
        return [output["S3Output"]["S3Uri"].rstrip("/") + "/" for output in outputs]
