"""A stand-in for the rest of AWS, for tests of the orchestrator alone: functions and queues are Python."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions

from local_aws.pipelines.execution.orchestrator import Orchestrator
from local_aws.pipelines.model.definition import parse
from local_aws.pipelines.state import ENDED_EXECUTION, Execution


class FakeAws:
    """What `local_aws.ministack` gives the orchestrator. `functions` maps an ARN to a Python function of the event."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[[dict], Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.sending: Callable[[dict], None] = lambda _: None
        self.settings: dict[str, dict[str, Any]] = {}  # of the last client of a service

    def assume_role(self, role_arn: str, service: str, **_: Any) -> Any:
        return SimpleNamespace(role_arn=role_arn)

    def client(self, service: str, credentials: Any, region: str, **settings: Any) -> Any:
        self.settings[service] = settings
        return SimpleNamespace(invoke=self._invoke, send_message=self._send, get_object=self._get)

    def publish_event(self, **event: Any) -> None:
        self.events.append(event)

    def _invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        try:
            answer, error = self.functions[FunctionName](json.loads(Payload)), {}
        except ZeroDivisionError as failure:
            answer = {"errorMessage": str(failure), "errorType": "ZeroDivisionError"}
            error = {"FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}

    def _get(self, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:
        return {"Body": io.BytesIO(b"{}")}

    def _send(self, QueueUrl: str, MessageBody: str) -> None:
        message = json.loads(MessageBody)
        self.messages.append(message)
        self.sending(message)


def refused(code: str, message: str, status: int = 400) -> botocore.exceptions.ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "Call")


class Bench:
    """An orchestrator on a fake AWS, with one definition."""

    def __init__(self, document: dict[str, Any], store: Any = None, aws: FakeAws | None = None) -> None:
        self.aws = aws or FakeAws()
        self.definition = parse(json.dumps(document), "us-east-1")
        context = SimpleNamespace(
            images={}, ministack=self.aws, store=store, work_dir=Path("unused"), endpoint_url="http://127.0.0.1:4599"
        )
        self.orchestrator = Orchestrator(context, lambda _: self.definition)

    def execution(self, **more: Any) -> Execution:
        arn = f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/p/execution/{len(self.orchestrator.executions):012}"
        parameters = {name: parameter.default for name, parameter in self.definition.parameters.items()}
        return Execution(
            arn, arn.partition("/execution")[0], "p", 1, "000000000000", "us-east-1", "aws",
            "arn:aws:iam::000000000000:role/r", parameters=parameters, **more,
        )  # fmt: skip

    async def settled(self) -> None:
        """Until nothing is being done: every execution has ended or waits for others."""
        await self.orchestrator.settle()

    async def run(self, *, stopping: bool = False, **more: Any) -> Execution:
        """An execution that has settled; `stopping`, once more after it was asked to stop."""
        execution = self.execution(**more)
        self.orchestrator.begin(execution)
        await self.settled()
        if stopping:
            self.orchestrator.request_stop(execution)
            await self.settled()
        return execution

    def close(self) -> None:
        self.orchestrator.calls.close(wait=True)


def ended(execution: Execution) -> bool:
    return execution.status in ENDED_EXECUTION
