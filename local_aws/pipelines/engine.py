"""Runs executions: starts the steps that may start, does what each asks as the pipeline's role, records how it ended.

Everything here happens on the event loop; only the calls to other services are made in threads. An execution that
waits (for a callback, for a job) costs nothing: no thread, no task, no timer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import functools
import json
import logging
import secrets
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions

from local_aws.pipelines import conditions, events, expressions, processing, values
from local_aws.pipelines.definition import MAX_ITEM_CHARACTERS, MAX_ITERATIONS, Definition, Step
from local_aws.pipelines.execution import (
    ENDED_EXECUTION,
    STEPS_FAILED,
    Execution,
    Start,
    StepRun,
    final_status,
    finished_loops,
    loop_properties,
    now,
    ready,
    reset_for_retry,
)
from local_aws.pipelines.expressions import ExpressionError, Path
from local_aws.pipelines.jobs import HOST_GONE, JobFailed, JobStopped, ProcessingJobs
from local_aws.pipelines.values import StepFailed
from local_aws.protocol import ApiError

log = logging.getLogger("local_aws.pipelines")

SERVICE = "sagemaker.amazonaws.com"
# "The maximum is 10 minutes": https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
LAMBDA_STEP_SECONDS = 600
# A function of 420 seconds was seen to succeed while its step went on to the limit and failed, as happens where a
# connection that was idle for 350 seconds is dropped: https://github.com/aws/sagemaker-python-sdk/issues/3236. Whether
# AWS has mended it is not known. A step that is quicker is right either way, so a slower one fails here.
LAMBDA_ANSWER_SECONDS = 350
MAX_REASON = 1024
TOKEN_LENGTH = 10
THREADS = 512
# "Pipelines automatically retries such errors" (throttling, service faults): pipelines-retry-policy.html. How often
# AWS does is not documented.
SERVICE_RETRIES = 5
SERVICE_RETRY_SECONDS = 0.5
STOPPED = "stopped"  # the record that a clean stop leaves
INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"  # of a retry policy: pipelines-retry-policy.html

# The token's alphabet is the API's: [a-zA-Z0-9]+.
_TOKEN_ALPHABET = string.ascii_letters + string.digits


class StepStopped(Exception):
    """A step was asked to stop before it did anything."""


class Engine:
    """All executions of all pipelines of this server.

    Args:
        context: the server's Context.
        definition_of: the checked definition an execution runs.
    """

    def __init__(self, context: Any, definition_of: Callable[[Execution], Definition]) -> None:
        self.context, self.ministack, self.store = context, context.ministack, context.store
        self.definition_of = definition_of
        self.executions: dict[str, Execution] = {}
        self.tokens: dict[str, tuple[str, str]] = {}  # callback token -> execution ARN, step
        self.jobs = ProcessingJobs(context)
        self._tasks: set[asyncio.Task] = set()
        self._threads = ThreadPoolExecutor(THREADS, "pipelines")
        self._closing = False

    # --- life ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop working. Waiting executions go on after a restart with the same store."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.jobs.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.store:
            self.store.put("pipeline-engine", STOPPED, {})

    def load(self) -> None:
        """Bring executions back from the store, and go on with those that had not ended."""
        if not self.store:
            return
        for arn, record in self.store.all("pipeline-execution").items():
            self.executions[arn] = Execution(**record)
        for key, record in self.store.all("pipeline-step").items():
            arn, _, name = key.partition("\n")
            if arn in self.executions:
                run = StepRun(**record)
                self.executions[arn].runs[name] = run
                if run.token:
                    self.tokens[run.token] = (arn, name)
        for execution in self.executions.values():
            execution.runs = dict(sorted(execution.runs.items(), key=lambda item: item[1].started))
        for token, record in self.store.all("pipeline-token").items():
            self.tokens[token] = (record["arn"], record["step"])
        self.jobs.load()
        killed = STOPPED not in self.store.all("pipeline-engine")
        self.store.delete("pipeline-engine", STOPPED)
        for execution in [e for e in self.executions.values() if e.status not in ENDED_EXECUTION]:
            self._resume(execution, killed)

    def _resume(self, execution: Execution, killed: bool) -> None:
        """Go on after a restart: what waits for others still waits, what was under way is done again.

        How far a function, a job or a deletion had come is not known. So each is done at least once, and perhaps twice,
        as SQS delivers and as Lambda invokes asynchronously.
        """
        # A Fail step comes last: what it would stop has then been told.
        for run in sorted(execution.runs.values(), key=lambda run: run.type == "Fail"):
            if not run.running:
                continue
            if execution.ending and run.status != "Stopping" and run.type != "Fail":
                self._set(execution, run, "Stopping")  # the server ended before the step was told
            step = self._step(execution, run)
            if run.type == "Callback" and run.metadata:
                # MiniStack saves its queues every two seconds and at a clean stop: a killed server may have lost the
                # message. SQS may deliver any message twice: a second one is nothing new to who reads the queue.
                if killed or run.sent != run.status:
                    self._work(execution, run, self._send_again(execution, run))
            elif run.status == "Stopping":
                if run.type != "ForEach" or "Items" not in run.properties:
                    self._end(execution, run, "Stopped")
            elif run.type == "Processing":
                self._take_up_job(execution, run, step)
            elif run.type != "ForEach" or run.status == "Starting":
                self._run(execution, run, step)
        self.advance(execution)

    def _take_up_job(self, execution: Execution, run: StepRun, step: Step) -> None:
        """Go on with a Processing step after a restart: its job may have ended without the step's knowing."""
        job = self.jobs.records.get(run.metadata.get("ProcessingJob", {}).get("Arn"))
        if job is None:
            self._run(execution, run, step)
        elif job["ProcessingJobStatus"] == "Completed":
            run.properties = self.jobs.shown(job)
            self._end(execution, run, "Succeeded")
        elif job.get("FailureReason") != HOST_GONE:
            self._end(execution, run, job["ProcessingJobStatus"], job.get("FailureReason"))
        elif policy := self._retry_policy(step, run, INTERNAL_ERROR):
            self._work(execution, run, self._again(execution, run, step, policy))
        elif any(INTERNAL_ERROR in processing.retried(policy) for policy in step.spec.get("RetryPolicies") or []):
            self._end(execution, run, "Failed", HOST_GONE)  # it has been tried as often as it may
        else:
            # On AWS a job does not run on the host that runs the pipeline, and would not have been lost.
            self._work(execution, run, self._again(execution, run, step, {"IntervalSeconds": 0}))

    # --- state -----------------------------------------------------------------------------------------------------

    def begin(self, execution: Execution) -> None:
        """Start a new execution."""
        self.executions[execution.arn] = execution
        for run in execution.runs.values():  # what a selective execution takes over
            self._save_run(execution, run)
        self._execution_changed(execution, None)
        self.advance(execution)

    def advance(self, execution: Execution) -> None:
        """Start whatever may start now, and end the execution when nothing can."""
        if self._closing:
            return
        definition = self.definition_of(execution)
        while execution.status not in ENDED_EXECUTION:
            loops = finished_loops(definition, execution)
            for loop in loops:
                self._end_loop(execution, loop)
            starts = ready(definition, execution)
            for start in starts:
                if not execution.ending:  # a Fail step among them ends it
                    self._start(execution, start)
            if loops or starts:
                continue  # a step may have ended at once, and let others start
            status = final_status(definition, execution)
            if status is None:
                return
            previous, execution.status, execution.ended = execution.status, status, now()
            if status in ("Failed", "CompletedWithFailures"):
                execution.reason = STEPS_FAILED
            self._execution_changed(execution, previous)

    def _execution_changed(self, execution: Execution, previous: str | None) -> None:
        self.save(execution)
        self.ministack.publish_event(**events.execution_event(execution, previous))

    def save(self, execution: Execution) -> None:
        """Record an execution (not its steps) as changed now."""
        execution.modified = now()
        if self.store:
            self.store.put("pipeline-execution", execution.arn, execution.record())

    def _save_run(self, execution: Execution, run: StepRun) -> None:
        if self.store:
            self.store.put("pipeline-step", f"{execution.arn}\n{run.name}", dataclasses.asdict(run))

    def _executing(self, execution: Execution, run: StepRun) -> None:
        """The step begins its work, unless it was asked to stop meanwhile.

        Raises:
            StepStopped: it was.
        """
        if run.status == "Stopping":
            raise StepStopped
        if run.status == "Starting":
            self._set(execution, run, "Executing")

    def _set(self, execution: Execution, run: StepRun, status: str) -> None:
        previous, run.status = run.status, status
        self._save_run(execution, run)
        self.ministack.publish_event(**events.step_event(execution, run, previous))

    def _end(
        self, execution: Execution, run: StepRun, status: str, reason: str | None = None, *, timed_out: bool = False
    ) -> None:
        """A step has ended; the first verdict counts."""
        if not run.running:
            return
        run.ended = now()
        if run.status == "Stopping" and run.type != "ForEach":
            # What API_StopPipelineExecution says of the execution is said of no step. Here: a step that was asked to
            # stop and ended is Stopped, however it ended, and runs again when the execution is retried.
            run.unstoppable = timed_out
            status = "Failed" if timed_out else "Stopped"
        run.reason = reason[:MAX_REASON] if reason and status == "Failed" else None
        self._set(execution, run, status)
        if run.type == "Fail":
            # "FailStep is a terminal step": what still runs is stopped as StopPipelineExecution stops it.
            self._stop_steps(execution)

    def _end_loop(self, execution: Execution, step: Step) -> None:
        run = execution.runs[step.name]
        properties = loop_properties(execution, step)
        reason = None
        if properties["Status"] == "Succeeded" and "Selector" in step.arguments:
            try:
                properties["Selected"] = self._select(step, properties["IterationOutputs"])
            except ExpressionError as error:
                properties["Status"], reason = "Failed", f"ClientError: {error}."
        if properties["Status"] == "Failed" and not reason:
            reason = (
                f"ClientError: {properties['FailedStepCount']} of {properties['TotalStepCount']} child steps failed."
            )
        run.properties |= properties
        self._end(execution, run, properties["Status"], reason)

    def _select(self, step: Step, outputs: list[dict[str, Any]]) -> dict[str, Any]:
        selector = step.arguments["Selector"]
        path = next(expressions.paths(selector["Field"]))
        values = [expressions.drill(output.get(path.name), path.keys, path.text) for output in outputs]
        if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            raise ExpressionError(f"the Selector compares {path.text}, which is not a number in every iteration")
        best = (max if selector["Pick"] == "MaxBy" else min)(range(len(values)), key=values.__getitem__)
        return outputs[best][path.name]

    # --- starting a step -------------------------------------------------------------------------------------------

    def _start(self, execution: Execution, start: Start) -> None:
        step = start.step
        run = StepRun(start.name, step.type, parent=start.parent, index=start.index)
        if start.parent:
            run.item = execution.runs[start.parent].properties["Items"][start.index]
        execution.runs[run.name] = run
        self._save_run(execution, run)
        self.ministack.publish_event(**events.step_event(execution, run, None))
        self._run(execution, run, step)

    def _run(self, execution: Execution, run: StepRun, step: Step) -> None:
        if any(expressions.json_gets(step.inputs)):
            # Its documents are on S3 and must be fetched first.
            self._work(execution, run, self._after_reading(execution, run, step))
        else:
            self._dispatch(execution, run, step, {})

    async def _after_reading(self, execution: Execution, run: StepRun, step: Step) -> None:
        documents = {}
        for argument in expressions.json_gets(step.inputs):
            uri = self._document_uri(execution, run, argument)
            documents[uri] = await self._read_json(execution, uri)
        self._dispatch(execution, run, step, documents)

    def _dispatch(self, execution: Execution, run: StepRun, step: Step, documents: dict[str, Any]) -> None:
        resolve = functools.partial(self._resolve, execution, run, documents=documents)
        try:
            if step.type == "Condition":
                self._condition(execution, run, resolve(step.arguments["Conditions"]))
            elif step.type == "Fail":
                self._fail(execution, run, resolve(step.arguments.get("ErrorMessage", "")))
            elif step.type == "ForEach":
                self._for_each(execution, run, resolve(step.arguments["IterableItems"]))
            elif step.type == "Lambda":
                event, arn = resolve(step.arguments), resolve(step.spec["FunctionArn"])
                values.refuse_nested(event)
                self._work(execution, run, self._lambda(execution, run, step, event, arn))
            elif step.type == "Callback":
                run.properties["Arguments"] = resolve(step.arguments)
                values.refuse_nested(run.properties["Arguments"])
                url = expressions.to_text(resolve(step.spec["SqsQueueUrl"]))
                token = self._new_token(execution, run)
                run.metadata["Callback"] = {"CallbackToken": token, "SqsQueueUrl": url[:256]}
                self._work(execution, run, self._callback(execution, run))
            elif step.type == "Processing":
                self._work(execution, run, self._processing(execution, run, step, resolve(step.arguments)))
            else:
                self._work(execution, run, self._cleanup(execution, run, resolve(step.arguments["Resources"]["S3"])))
        except Exception as error:  # noqa: BLE001 - told, or logged, by _end_by; it must not reach the caller
            self._end_by(execution, run, error)

    def _end_by(self, execution: Execution, run: StepRun, error: Exception) -> None:
        """End a step by what its work raised."""
        if isinstance(error, StepStopped | JobStopped):
            self._end(execution, run, "Stopped")
        elif isinstance(error, StepFailed):
            self._end(execution, run, "Failed", str(error), timed_out=error.timed_out)
        elif isinstance(error, ExpressionError):
            self._end(execution, run, "Failed", f"ClientError: {error}.")
        elif isinstance(error, ApiError):
            self._end(execution, run, "Failed", f"ClientError: {error.message}")
        elif isinstance(error, JobFailed):
            self._end(execution, run, "Failed", str(error))
        else:
            log.error("step %s of %s", run.name, execution.arn, exc_info=error)
            self._end(execution, run, "Failed", "InternalServerError: The embedded AWS failed; see its log.")

    def _work(self, execution: Execution, run: StepRun, work: Any) -> None:
        """Do a step's work in a task; how it ends decides how the step ends, unless it left the step waiting."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - told, or logged, by _end_by
                self._end_by(execution, run, error)
            self.advance(execution)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began

    # --- values ----------------------------------------------------------------------------------------------------

    def _resolve(self, execution: Execution, run: StepRun, value: Any, *, documents: dict[str, Any]) -> Any:
        lookup = functools.partial(self._lookup, execution, run)
        return expressions.resolve(
            value, lookup, lambda argument: documents[self._document_uri(execution, run, argument)]
        )

    def _lookup(self, execution: Execution, run: StepRun, path: Path) -> Any:
        if path.root == "Parameters":
            return execution.parameters[path.name]
        if path.root == "Execution":
            return self._variable(execution, run, path)
        if path.root == "ForEach":
            item = run.item
            if path.keys and isinstance(item, str):
                try:
                    item = expressions.load_json(item)
                except ValueError:
                    raise ExpressionError(
                        f"{path.text!r} has no value: the current item is not a JSON object"
                    ) from None
            return expressions.drill(item, path.keys, path.text)
        name = path.name
        parent = execution.runs.get(run.parent) if run.parent else None
        if parent and f"{name}-{run.index}" in execution.runs:
            name = f"{name}-{run.index}"  # a step of the same iteration
        upstream = execution.runs.get(name)
        if upstream is None or upstream.status != "Succeeded":
            raise ExpressionError(f"{path.text!r} has no value in this execution: step {path.name} did not succeed")
        return expressions.drill(upstream.properties, path.keys, path.text)

    def _variable(self, execution: Execution, run: StepRun, path: Path) -> str:
        return {
            "StartDateTime": lambda: _iso(execution.created),
            "CurrentDateTime": lambda: _iso(run.started),  # the same when the step is taken up again
            "PipelineName": lambda: execution.pipeline_name,
            "PipelineArn": lambda: execution.pipeline_arn,
            "PipelineExecutionId": lambda: execution.id,
            "PipelineExecutionArn": lambda: execution.arn,
            "ProcessingJobName": lambda: self.jobs.name_for(execution, run),
        }[path.name]()

    def _document_uri(self, execution: Execution, run: StepRun, argument: dict[str, Any]) -> str:
        """The s3:// URI of the document that a Std:JsonGet reads."""
        if "S3Uri" in argument:
            return expressions.to_text(self._resolve(execution, run, argument["S3Uri"], documents={}))
        path = expressions.parse_path(argument["PropertyFile"]["Get"])
        step = self.definition_of(execution).steps[path.name]
        file = next(item for item in step.spec["PropertyFiles"] if item["PropertyFileName"] == path.keys[1])
        keys = ("ProcessingOutputConfig", "Outputs", file["OutputName"], "S3Output", "S3Uri")
        uri = self._lookup(execution, run, Path(path.text, "Steps", path.name, keys))
        return f"{uri.rstrip('/')}/{file['FilePath']}"

    async def _read_json(self, execution: Execution, uri: str) -> Any:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = await self._call(execution, "s3", "get_object", Bucket=bucket, Key=key)
        try:
            return expressions.load_json(await self.in_thread(body["Body"].read))
        except ValueError:
            raise StepFailed(f"ClientError: {uri} is not JSON.") from None

    # --- steps that end at once ------------------------------------------------------------------------------------

    def _condition(self, execution: Execution, run: StepRun, found: list[dict[str, Any]]) -> None:
        outcome = all(conditions.evaluate(condition) for condition in found)
        run.properties["Outcome"] = outcome
        run.metadata["Condition"] = {"Outcome": str(outcome)}
        self._executing(execution, run)
        self._end(execution, run, "Succeeded")

    def _fail(self, execution: Execution, run: StepRun, message: Any) -> None:
        text = expressions.to_text(message)[:3072]
        run.metadata["Fail"] = {"ErrorMessage": text}
        self._executing(execution, run)
        self._end(execution, run, "Failed", text)

    def _for_each(self, execution: Execution, run: StepRun, items: Any) -> None:
        if isinstance(items, str):
            try:
                items = expressions.load_json(items)
            except ValueError:
                items = None
        if not isinstance(items, list):
            raise ExpressionError("IterableItems is not a JSON list in this execution")
        if len(items) > MAX_ITERATIONS:
            raise ExpressionError(f"IterableItems has {len(items)} items; the limit is {MAX_ITERATIONS}")
        if any(len(expressions.to_text(item)) > MAX_ITEM_CHARACTERS for item in items):
            raise ExpressionError(f"an item of IterableItems is over {MAX_ITEM_CHARACTERS:,} characters")
        run.properties["Items"] = items
        self._executing(execution, run)

    # --- calls as the pipeline's role ------------------------------------------------------------------------------

    def credentials(self, execution: Execution) -> Any:
        """Credentials of the pipeline's role, which must trust SageMaker now."""
        return self.ministack.assume_role(
            execution.role_arn, SERVICE, session_name="SageMaker", source_arn=execution.arn
        )

    async def in_thread(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Do blocking work off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(work, *args, **kwargs))

    async def _call(self, execution: Execution, service: str, method: str, **arguments: Any) -> Any:
        """One API call as the pipeline's role; throttling and service faults are retried, as AWS does.

        Raises:
            StepFailed: the service refused, in its own words.
        """
        credentials = self.credentials(execution)
        settings = {"retries": {"total_max_attempts": 1}, "max_pool_connections": THREADS}
        if service == "lambda":
            settings |= {"read_timeout": LAMBDA_ANSWER_SECONDS}

        def call() -> Any:
            client = self.ministack.client(service, credentials, execution.region, **settings)
            return getattr(client, method)(**arguments)

        action = "".join(part.capitalize() for part in method.split("_"))
        action = f"{service}:{'InvokeFunction' if action == 'Invoke' else action}"
        for attempt in range(SERVICE_RETRIES + 1):
            try:
                return await self.in_thread(call)
            except botocore.exceptions.ClientError as error:
                if attempt == SERVICE_RETRIES or not _is_passing(error):
                    details = error.response.get("Error", {}).get("Message") or str(error)
                    raise StepFailed(f"ClientError: Failed to invoke {action}. Error Details: {details}") from None
            except botocore.exceptions.ReadTimeoutError:
                # Not retried: the call may have been carried out.
                raise StepFailed(
                    f"ClientError: Failed to invoke {action}. Error Details: it did not answer in time",
                    timed_out=True,
                ) from None
            except (botocore.exceptions.BotoCoreError, ValueError) as error:
                raise StepFailed(f"ClientError: Failed to invoke {action}. Error Details: {error}") from None
            await asyncio.sleep(SERVICE_RETRY_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    # --- Lambda ----------------------------------------------------------------------------------------------------

    async def _lambda(self, execution: Execution, run: StepRun, step: Step, event: dict[str, Any], arn: Any) -> None:
        arn = expressions.to_text(arn)
        run.metadata["Lambda"] = {"Arn": arn[:256]}
        self._executing(execution, run)
        try:
            answer = await self._call(execution, "lambda", "invoke", FunctionName=arn, Payload=json.dumps(event))
        except StepFailed as failure:
            if not failure.timed_out:
                raise
            raise StepFailed(
                f"ClientError: The Lambda function {arn} did not answer within {LAMBDA_ANSWER_SECONDS} seconds. A "
                f"Lambda step may take {LAMBDA_STEP_SECONDS}, but on AWS such a late answer was seen to get lost. The "
                "function continues to run. Return sooner, and wait in a Callback step.",
                timed_out=True,
            ) from None
        payload = await self.in_thread(answer["Payload"].read)
        if answer.get("FunctionError"):
            raise values.function_error(arn, payload)
        outputs = values.lambda_outputs(step, arn, payload)
        run.properties["OutputParameters"] = outputs
        run.metadata["Lambda"]["OutputParameters"] = values.as_parameters(outputs)
        self._end(execution, run, "Succeeded")

    # --- Callback --------------------------------------------------------------------------------------------------

    def _new_token(self, execution: Execution, run: StepRun) -> str:
        while True:
            token = "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(TOKEN_LENGTH))
            if token not in self.tokens:
                self.tokens[token] = (execution.arn, run.name)
                return token

    async def _callback(self, execution: Execution, run: StepRun) -> None:
        """Send the step's message and leave the step waiting. The token is recorded first: an answer may be quicker."""
        self._executing(execution, run)
        await self._send(execution, run, run.properties["Arguments"], "Executing")
        self._sent(execution, run, "Executing")
        if run.status == "Stopping":
            await self._send_stopping(execution, run)

    async def _send_again(self, execution: Execution, run: StepRun) -> None:
        """Send a waiting step's message after a restart. If it had left before, who has it can answer all the same."""
        had_left = run.sent == run.status
        try:
            await (self._send_stopping if run.status == "Stopping" else self._callback)(execution, run)
        except (StepFailed, ApiError) as error:
            if not had_left:
                raise
            log.warning("the message of step %s of %s can't be sent again: %s", run.name, execution.arn, error)

    async def _send_stopping(self, execution: Execution, run: StepRun) -> None:
        try:
            await self._send(execution, run, run.properties["Arguments"], "Stopping")
        except StepFailed as failure:
            # Nobody hears of the stop, so nobody will answer: the step can't be stopped.
            raise StepFailed(str(failure), timed_out=True) from None
        self._sent(execution, run, "Stopping")

    def _sent(self, execution: Execution, run: StepRun, status: str) -> None:
        run.sent = status
        if run.running:
            self._save_run(execution, run)

    async def _send(self, execution: Execution, run: StepRun, arguments: dict[str, Any], status: str) -> None:
        """Send the step's message, with the status that AWS's has: Executing in the first, Stopping in a second."""
        callback = run.metadata["Callback"]
        body = {
            "token": callback["CallbackToken"],
            "pipelineExecutionArn": execution.arn,
            "arguments": arguments,
            "status": status,
        }
        url = callback["SqsQueueUrl"]
        values.check_queue_url(url, execution.region, self.context.endpoint_url)
        await self._call(execution, "sqs", "send_message", QueueUrl=url, MessageBody=json.dumps(body))

    def answer(
        self, token: str, client_token: str | None, verdict: str, outputs: list[dict[str, str]], reason: str | None
    ) -> Execution:
        """A Callback step is told how it ended.

        AWS does not say what a second answer gets. Here: the same one again (same ClientRequestToken, same verdict)
        is answered as the first was; any other is a conflict.

        Raises:
            ApiError: ResourceNotFound, ConflictException, or ValidationException for outputs that were not declared.
        """
        execution, run = self.waiting(token)
        if run.answer and run.answer == [verdict, client_token] and client_token:
            return execution
        if not run.running:
            # The first words as a public function quotes them; AWS models ConflictException for this operation.
            raise ApiError(
                "ConflictException",
                f"Step {run.name} is already in a terminal status, but only a step that waits can be answered.",
            )
        if verdict == "Succeeded":
            found = values.callback_outputs(self._step(execution, run), outputs)
            run.properties["OutputParameters"] = found
            run.metadata["Callback"]["OutputParameters"] = values.as_parameters(found)
        run.answer = [verdict, client_token]
        self._end(execution, run, verdict, reason or "The callback step was answered with a failure, without a reason.")
        self.advance(execution)
        return execution

    def waiting(self, token: str) -> tuple[Execution, StepRun]:
        """The execution and the step of a callback token.

        Raises:
            ApiError: ResourceNotFound.
        """
        arn, name = self.tokens.get(token, ("", ""))
        execution = self.executions.get(arn)
        run = execution.runs.get(name) if execution else None
        if execution is None or run is None or run.token != token:
            raise ApiError("ResourceNotFound", f"No step of a pipeline execution waits for the callback token {token}.")
        return execution, run

    # --- Processing and Cleanup ------------------------------------------------------------------------------------

    async def _processing(self, execution: Execution, run: StepRun, step: Step, arguments: dict[str, Any]) -> None:
        self.jobs.name_for(execution, run)  # recorded with the start: the step, taken up again, makes the same job
        run.cache_key = processing.cache_key(arguments)
        cache = step.spec.get("CacheConfig") or {}
        earlier = self._cached(execution, run, cache) if cache.get("Enabled") else None
        if earlier:
            source, done = earlier
            run.cache_source = done.cache_source or source.arn
            run.properties, run.metadata = done.properties, done.metadata
            self._executing(execution, run)
            self._end(execution, run, "Succeeded")
            return
        self._executing(execution, run)
        job = self.jobs.create(execution, run, arguments, self.credentials(execution))
        run.metadata["ProcessingJob"] = {"Arn": job["ProcessingJobArn"]}
        self._save_run(execution, run)
        run.properties = await self.jobs.run(job, self.in_thread)
        self._end(execution, run, "Succeeded")

    def _cached(self, execution: Execution, run: StepRun, cache: dict[str, Any]) -> tuple[Execution, StepRun] | None:
        """The latest successful run of the same step of the same pipeline with the same attributes, if fresh."""
        found = [
            (other, other.runs[run.name])
            for other in self.executions.values()
            if other is not execution and other.pipeline_arn == execution.pipeline_arn and run.name in other.runs
        ]
        found = [
            (other, done)
            for other, done in found
            if done.status == "Succeeded"
            and done.ended
            and done.cache_key == run.cache_key
            and processing.is_fresh(done.ended, cache, now())
        ]
        return max(found, key=lambda each: each[1].ended or each[0].created, default=None)

    def _retry_policy(self, step: Step, run: StepRun, exception: str) -> dict[str, Any] | None:
        """The step's retry policy for an exception, while it allows another attempt."""
        for policy in step.spec.get("RetryPolicies") or []:
            if exception in processing.retried(policy):
                if run.attempts < policy.get("MaxAttempts", run.attempts + 1) + 1:
                    expires = policy.get("ExpireAfterMin")
                    if expires is None or now() - run.started < dt.timedelta(minutes=expires):
                        return policy
                return None
        return None

    async def _again(self, execution: Execution, run: StepRun, step: Step, policy: dict[str, Any]) -> None:
        """Another attempt of a Processing step, a job of its own, after the pause its policy asks for."""
        await asyncio.sleep(policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** (run.attempts - 1))
        run.attempts += 1
        run.metadata, run.properties = {}, {}
        self._save_run(execution, run)
        self._run(execution, run, step)

    async def _cleanup(self, execution: Execution, run: StepRun, sources: list[dict[str, Any]]) -> None:
        self._executing(execution, run)
        for source in sources:
            upstream = execution.runs[source["StepName"]]
            places = self.jobs.output_places(upstream.metadata.get("ProcessingJob", {}).get("Arn"))
            for uri in source["S3Uris"]:
                if not isinstance(uri, str) or not any(uri.startswith(place) for place in places):
                    raise StepFailed(
                        f"ClientError: {uri} is not under an output location of step {source['StepName']}."
                    )
                bucket, _, key = uri.removeprefix("s3://").partition("/")
                await self._call(execution, "s3", "delete_object", Bucket=bucket, Key=key)
        self._end(execution, run, "Succeeded")

    # --- stop, retry, forget ---------------------------------------------------------------------------------------

    def request_stop(self, execution: Execution) -> None:
        """Stop an execution: nothing starts any more, and what runs is asked to end."""
        execution.stop_requested = True
        previous, execution.status = execution.status, "Stopping"
        self._execution_changed(execution, previous)
        self._stop_steps(execution)
        self.advance(execution)

    def _stop_steps(self, execution: Execution) -> None:
        for run in [run for run in execution.runs.values() if run.running and run.status != "Stopping"]:
            self._set(execution, run, "Stopping")
            if run.type == "Callback" and run.sent:
                self._work(execution, run, self._send_stopping(execution, run))
            elif run.type == "Processing":
                self.jobs.terminate(run.metadata.get("ProcessingJob", {}).get("Arn"))

    def retry(self, execution: Execution) -> None:
        """Run again what did not succeed, then what could not run; what succeeded is kept."""
        runs = dict(execution.runs)
        for name in reset_for_retry(execution):
            self._forget_run(execution, runs[name])
        previous, execution.status = execution.status, "Executing"
        execution.stop_requested, execution.reason, execution.ended = False, None, None
        self._execution_changed(execution, previous)
        self.advance(execution)

    def forget(self, execution: Execution) -> None:
        """Delete an execution that has ended."""
        for run in execution.runs.values():
            self._forget_run(execution, run)
        if self.store:
            self.store.delete("pipeline-execution", execution.arn)
        del self.executions[execution.arn]

    def _forget_run(self, execution: Execution, run: StepRun) -> None:
        """Delete a step's record. Its token stays known, so that a late answer is told ResourceNotFound by its ARN."""
        if self.store:
            self.store.delete("pipeline-step", f"{execution.arn}\n{run.name}")
            if run.token:
                self.store.put("pipeline-token", run.token, {"arn": execution.arn, "step": run.name})

    def _step(self, execution: Execution, run: StepRun) -> Step:
        steps = self.definition_of(execution).steps
        if run.parent is None:
            return steps[run.name]
        name = run.name.rpartition("-")[0]
        return next(child for child in steps[run.parent].body if child.name == name)


def _is_passing(error: botocore.exceptions.ClientError) -> bool:
    """Whether a service may answer otherwise in a moment: throttling, or a fault of its own."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status == 429 or status >= 500 or "Throttling" in error.response.get("Error", {}).get("Code", "")


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
