"""Processing jobs as local processes of this Python: inputs from S3, the script, outputs to S3, as the job's role.

A container has its files in /opt/ml; here every job has a directory of its own that stands for it. So that scripts find
their files, that path is replaced in the command, in the environment and in the scripts the job downloads, those in a
packed source directory too.
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import json
import os
import re
import secrets
import shutil
import signal
import string
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from local_aws.pipelines import processing
from local_aws.pipelines.execution import Execution, StepRun, now
from local_aws.pipelines.refusals import DefinitionError
from local_aws.protocol import ApiError

SERVICE = "sagemaker.amazonaws.com"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
ROOT = "/opt/ml"
SCRIPTS = (".py", ".sh")
SOURCE_ARCHIVE = "sourcedir.tar.gz"  # what the SDK's FrameworkProcessor makes of a source_dir
HOST_GONE = "InternalServerError: The host on which the job was running was terminated."
DEFAULT_SECONDS = 86_400  # StoppingCondition's default: one day, API_ProcessingStoppingCondition
KILL_AFTER_SECONDS = 30
GUARD = Path(__file__).with_name("guard.py")
MAX_FAILURE = 1024
_ROOT_IN_TEXT = re.compile(r"/opt/ml(?![\w.\-])")
_ROOT_IN_BYTES = re.compile(_ROOT_IN_TEXT.pattern.encode())
# The variables a script may see of this machine's; everything else is the job's own.
_INHERITED = ("LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")


class JobFailed(Exception):
    """A job that could not be created or that failed; the message is the step's failure reason."""


class JobStopped(Exception):
    """A job that was stopped."""


class ProcessingJobs:
    """The processing jobs of this server, running and past."""

    def __init__(self, context: Any) -> None:
        self.context, self.ministack, self.store = context, context.ministack, context.store
        self.records: dict[str, dict[str, Any]] = {}  # by ARN, as DescribeProcessingJob shows them
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping: set[str] = set()

    def load(self) -> None:
        """Bring jobs back from the store; those that ran are gone with their host."""
        for arn, record in self.store.all("processing-job").items():
            self.records[arn] = record
            if record["ProcessingJobStatus"] == "Stopping":
                self._end(record, "Stopped")
            elif record["ProcessingJobStatus"] == "InProgress":
                self._end(record, "Failed", HOST_GONE)

    async def stop(self) -> None:
        """End every process: nothing outlives the server."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in self._processes.values()))

    def name_for(self, execution: Execution, run: StepRun) -> str:
        """The name of a step's job, made once: pipelines-<execution>-<step>-<random>, as AWS names them."""
        if "ProcessingJobName" not in run.properties:
            suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(10))
            step = re.sub(r"[^A-Za-z0-9-]+", "-", run.name)[:29].strip("-")
            run.properties["ProcessingJobName"] = f"pipelines-{execution.id}-{step}-{suffix}"
        return run.properties["ProcessingJobName"]

    def create(
        self, execution: Execution, run: StepRun, arguments: dict[str, Any], pipeline_role: Any
    ) -> dict[str, Any]:
        """Create the job, as the pipeline's role.

        Raises:
            JobFailed: the pipeline's role may not create it or pass the job's role, or the job can't run here.
        """
        try:
            processing.check({"Arguments": arguments})
        except DefinitionError as error:
            message = f"ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: {error}"
            raise JobFailed(message) from None
        name = self.name_for(execution, run)
        arn = f"arn:{execution.partition}:sagemaker:{execution.region}:{execution.account}:processing-job/{name}"
        needed = [("sagemaker:CreateProcessingJob", arn), ("iam:PassRole", arguments["RoleArn"])]
        if arguments.get("Tags"):
            needed.append(("sagemaker:AddTags", arn))
        for action, resource in needed:
            if refused := self.ministack.is_allowed(pipeline_role, action, resource, execution.region):
                message = f"ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: {refused}"
                raise JobFailed(message)
        record = {
            **{key: value for key, value in arguments.items() if key not in ("Tags", "ProcessingJobName")},
            "ProcessingJobName": name,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "CreationTime": now(),
            "LastModifiedTime": now(),
        }
        record.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_SECONDS})
        self.records[arn] = record
        self._save(record)
        return record

    async def run(self, record: dict[str, Any], in_thread: Callable) -> dict[str, Any]:
        """Run a job to its end; returns what DescribeProcessingJob shows of it.

        Raises:
            JobFailed, JobStopped: it did not complete.
        """
        arn = record["ProcessingJobArn"]
        place = self.context.work_dir / "processing" / record["ProcessingJobName"]
        try:
            credentials = self.ministack.assume_role(
                record["RoleArn"], SERVICE, session_name="SageMaker", source_arn=arn
            )
            place.mkdir(parents=True, mode=0o700)
            await in_thread(self._download, record, credentials, place)
            self._check_stop(arn)
            await self._execute(record, credentials, place)
            self._check_stop(arn)
            await in_thread(self._upload, record, credentials, place)
        except JobStopped:
            self._end(record, "Stopped")
            raise
        except ApiError as error:
            self._end(record, "Failed", f"ClientError: {error.message}")
        except JobFailed as error:
            self._end(record, "Failed", str(error))
        except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
            self._end(record, "Failed", f"ClientError: {error}")
        except Exception:
            self._end(record, "Failed", "InternalServerError: The embedded AWS failed; see its log.")
            raise
        else:
            self._end(record, "Completed")
            return self.shown(record)
        finally:
            self._stopping.discard(arn)
            shutil.rmtree(place, ignore_errors=True)
        raise JobFailed(record["FailureReason"])

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """What other steps see of a job: its description, with times as text."""
        return json.loads(json.dumps(record, default=lambda moment: moment.isoformat()))

    def terminate(self, arn: str | None) -> None:
        """Stop a job: SIGTERM now, SIGKILL when it has not ended after 30 seconds (AWS waits 120)."""
        record = self.records.get(arn or "")
        if not record or record["ProcessingJobStatus"] != "InProgress":
            return
        record["ProcessingJobStatus"] = "Stopping"
        self._stopping.add(record["ProcessingJobArn"])
        self._save(record)
        process = self._processes.get(record["ProcessingJobArn"])
        if process:
            self._stop_process(process)

    def _stop_process(self, process: asyncio.subprocess.Process) -> None:
        _signal(process, signal.SIGTERM)
        asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, _signal, process, signal.SIGKILL)

    def _check_stop(self, arn: str) -> None:
        if arn in self._stopping:
            raise JobStopped

    def _end(self, record: dict[str, Any], status: str, reason: str | None = None) -> None:
        record["ProcessingJobStatus"] = status
        record["LastModifiedTime"] = now()
        if "ProcessingStartTime" in record:
            record["ProcessingEndTime"] = now()
        if reason:
            record["FailureReason"] = reason[:MAX_FAILURE]
        self._save(record)

    def _save(self, record: dict[str, Any]) -> None:
        if self.store:
            self.store.put("processing-job", record["ProcessingJobArn"], record)

    def output_places(self, arn: str | None) -> list[str]:
        """The S3 locations a job writes to, however it ended."""
        outputs = self.records.get(arn or "", {}).get("ProcessingOutputConfig", {}).get("Outputs") or []
        return [output["S3Output"]["S3Uri"].rstrip("/") + "/" for output in outputs]

    # --- files -----------------------------------------------------------------------------------------------------

    def _client(self, record: dict[str, Any], credentials: Any) -> Any:
        return self.ministack.client("s3", credentials, record["ProcessingJobArn"].split(":")[3])

    def _download(self, record: dict[str, Any], credentials: Any, place: Path) -> None:
        client = self._client(record, credentials)
        config = place / "config"
        config.mkdir()
        shown = json.dumps(record, default=lambda moment: moment.isoformat())
        (config / "processingjobconfig.json").write_text(shown)
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
        for item in record.get("ProcessingInputs") or []:
            source = item["S3Input"]
            bucket, _, prefix = source["S3Uri"].removeprefix("s3://").partition("/")
            target = _inside(place, source["LocalPath"])
            target.mkdir(parents=True, exist_ok=True)
            found = False
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    found = True
                    self._fetch(client, bucket, entry["Key"], prefix, target, place)
            if not found:
                raise JobFailed(f"ClientError: No S3 objects found under S3 URL {source['S3Uri']!r}.")
        for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
            _inside(place, item["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def _fetch(self, client: Any, bucket: str, key: str, prefix: str, target: Path, place: Path) -> None:
        # A prefix that is one object's key gives that object's file; one that is a folder gives what is in it.
        relative = key.rsplit("/", 1)[-1] if key == prefix else key[prefix.rfind("/") + 1 :]
        if key != prefix and key.startswith(prefix.rstrip("/") + "/"):
            relative = key[len(prefix.rstrip("/")) + 1 :]
        if not relative or relative.endswith("/"):
            return
        path = (target / relative).resolve()
        if not path.is_relative_to(target.resolve()):
            raise JobFailed(f"ClientError: The key {key!r} leads out of the job's directory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(path))
        if path.name.endswith(SCRIPTS):
            path.write_bytes(_relocate_script(path.read_bytes(), place))
        elif path.name == SOURCE_ARCHIVE:
            _relocate_archive(path, place)

    def _upload(self, record: dict[str, Any], credentials: Any, place: Path) -> None:
        client = self._client(record, credentials)
        for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
            output = item["S3Output"]
            bucket, _, prefix = output["S3Uri"].removeprefix("s3://").partition("/")
            source = _inside(place, output["LocalPath"])
            for path in sorted(source.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    key = "/".join(filter(None, [prefix.rstrip("/"), path.relative_to(source).as_posix()]))
                    client.upload_file(str(path), bucket, key)

    # --- the process -----------------------------------------------------------------------------------------------

    async def _execute(self, record: dict[str, Any], credentials: Any, place: Path) -> None:
        application = record["AppSpecification"]
        command = [*application.get("ContainerEntrypoint", []), *application.get("ContainerArguments", [])]
        if not command:
            raise JobFailed("ClientError: The image has no entrypoint of its own here; give a ContainerEntrypoint.")
        command = [_relocate(str(part), place) for part in command]
        if Path(command[0]).name in ("python", "python3"):
            command[0] = sys.executable
        environment = self._environment(record, credentials, place)
        watched, ours = os.pipe()
        log = place / ".log"
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", str(GUARD), str(watched), *command, cwd=place, env=environment,
                    stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True, pass_fds=(watched,),
                )  # fmt: skip
            finally:
                os.close(watched)
        record["ProcessingStartTime"] = now()
        self._processes[record["ProcessingJobArn"]] = process
        if record["ProcessingJobArn"] in self._stopping:  # it was stopped while the process was being made
            self._stop_process(process)
        limit = record["StoppingCondition"]["MaxRuntimeInSeconds"]
        timed_out = False
        try:
            async with asyncio.timeout(float(limit)):
                await process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            _signal(process, signal.SIGKILL)  # a container ends with its first process
            del self._processes[record["ProcessingJobArn"]]
            os.close(ours)
        await process.wait()
        stream = self._log(record, credentials, log.read_bytes())
        self._check_stop(record["ProcessingJobArn"])
        if timed_out:
            raise JobFailed(f"ClientError: The job exceeded its MaxRuntimeInSeconds of {limit}.")
        message = place / "output" / "message"
        if message.is_file():
            record["ExitMessage"] = message.read_text(errors="replace")[:MAX_FAILURE]
        if process.returncode:
            words = record.get("ExitMessage") or f"See the log stream {stream} in {LOG_GROUP}."
            raise JobFailed(f"AlgorithmError: {words} exit code: {process.returncode}")

    def _environment(self, record: dict[str, Any], credentials: Any, place: Path) -> dict[str, str]:
        region = record["ProcessingJobArn"].split(":")[3]
        given = {key: _relocate(str(value), place) for key, value in (record.get("Environment") or {}).items()}
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            # This environment's python3 first: an entrypoint may be a shell script that calls it.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            # What a job installs is its own, and gone with it.
            "PIP_TARGET": str(place / ".packages"),
            "PYTHONPATH": str(place / ".packages"),
            **given,
            "HOME": str(place),
            "PYTHONUNBUFFERED": "1",
            "PROCESSING_JOB_ARN": record["ProcessingJobArn"],
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_SESSION_TOKEN": credentials.session_token,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": self.context.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _log(self, record: dict[str, Any], credentials: Any, output: bytes) -> str:
        """Send the job's output to CloudWatch Logs as its role; without the permission there is no log, as on AWS."""
        account, region = record["ProcessingJobArn"].split(":")[4], record["ProcessingJobArn"].split(":")[3]
        stream = f"{record['ProcessingJobName']}/algo-1-{int(time.time())}"
        moment = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        lines = [(moment, line) for line in output.decode("utf-8", "replace").splitlines() if line]
        self.ministack.create_log_group(LOG_GROUP, account, region)
        with contextlib.suppress(ApiError):
            self.ministack.put_log_events(credentials, LOG_GROUP, stream, lines, account, region)
        return stream


def _inside(place: Path, local_path: str) -> Path:
    """Where a path of the container is on this machine.

    Raises:
        JobFailed: it leads out of /opt/ml.
    """
    path = (place / local_path.removeprefix(ROOT).lstrip("/")).resolve()
    if not local_path.startswith(ROOT) or not path.is_relative_to(place.resolve()):
        raise JobFailed(f"ClientError: The LocalPath {local_path!r} is not in {ROOT}.")
    return path


def _relocate(text: str, place: Path) -> str:
    return _ROOT_IN_TEXT.sub(lambda _: str(place), text)


def _relocate_script(script: bytes, place: Path) -> bytes:
    """As `_relocate`; a script need not be UTF-8."""
    return _ROOT_IN_BYTES.sub(lambda _: os.fsencode(place), script)


def _relocate_archive(path: Path, place: Path) -> None:
    """Relocate the scripts in an archive, which the job's own entrypoint unpacks."""
    renewed = path.with_name(".renewed")
    try:
        with tarfile.open(path) as old, tarfile.open(renewed, "w:gz") as new:
            for member in old:
                body = old.extractfile(member) if member.isfile() else None
                if body and member.name.endswith(SCRIPTS):
                    script = _relocate_script(body.read(), place)
                    member.size, body = len(script), io.BytesIO(script)
                new.addfile(member, body)
        renewed.replace(path)
    except (tarfile.TarError, EOFError, zlib.error):
        renewed.unlink()  # no archive: whoever unpacks it will say so


def _signal(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)
