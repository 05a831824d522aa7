"""Callback steps, which send a message to a queue and wait until the token in it is answered.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-callback
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.model.expressions import is_expression, to_text
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps import outputs
from local_aws.pipelines.steps.step_type import COMMON_MEMBERS, StepType
from local_aws.protocol import ApiError

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References

log = logging.getLogger("local_aws.pipelines")

_QUEUE_PATH = re.compile(r"/\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?")
_LOOPBACK = re.compile(r"(.+\.)?(localhost|127\.0\.0\.1)")


class CallbackStep(StepType):
    name = "Callback"
    members = COMMON_MEMBERS | {"SqsQueueUrl", "OutputParameters", "CacheConfig"}

    def check(self, step: Step, references: References) -> None:
        url = step.spec.get("SqsQueueUrl")
        if not is_expression(url) and not (isinstance(url, str) and 0 < len(url) <= 256):
            raise DefinitionError(f"Step {step.name}: SqsQueueUrl must be a queue's URL of at most 256 characters.")
        outputs.check_inputs(step)
        outputs.check_declared(step)

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        outputs.check_property(where, text, step, keys)

    def start(self, work: StepWork) -> Coroutine[Any, Any, None]:
        run = work.run
        run.properties["Arguments"] = work.resolve(work.step.arguments)
        outputs.refuse_nested(run.properties["Arguments"])
        url = to_text(work.resolve(work.step.spec["SqsQueueUrl"]))
        token = work.orchestrator.callbacks.new_token(work.execution, run)
        run.metadata["Callback"] = {"CallbackToken": token, "SqsQueueUrl": url[:256]}
        return self._ask(work)

    async def _ask(self, work: StepWork) -> None:
        """Send the step's message and leave the step waiting. Record the token first, since answers may be quick."""
        work.executing()
        await self._send(work, "Executing")
        if work.run.status == "Stopping":
            await self._ask_to_stop(work)

    async def _ask_to_stop(self, work: StepWork) -> None:
        try:
            await self._send(work, "Stopping")
        except StepFailed as failure:
            # Nobody hears of the stop, so nobody will answer: the step can't be stopped.
            raise StepFailed(str(failure), timed_out=True) from None

    async def _send(self, work: StepWork, status: str) -> None:
        """Send the step's message, with the status that AWS's has: Executing in the first, Stopping in a second."""
        callback = work.run.metadata["Callback"]
        url = callback["SqsQueueUrl"]
        _check_queue_url(url, work.execution.region, work.orchestrator.endpoint_url)
        body = {
            "token": callback["CallbackToken"],
            "pipelineExecutionArn": work.execution.arn,
            "arguments": work.run.properties["Arguments"],
            "status": status,
        }
        await work.call("sqs", "send_message", QueueUrl=url, MessageBody=json.dumps(body))
        work.run.sent = status
        if work.run.running:
            work.save()

    def stop(self, work: StepWork) -> None:
        if work.run.sent:
            work.spawn(self._ask_to_stop(work))

    def resume(self, work: StepWork, killed: bool) -> None:
        """What waits still waits.

        MiniStack saves its queues every two seconds and at a clean stop: a killed server may have lost the message.
        SQS may deliver any message twice, so a second one is nothing new to who reads the queue.
        """
        if not work.run.metadata:
            super().resume(work, killed)
        elif killed or work.run.sent != work.run.status:
            work.spawn(self._send_again(work))

    async def _send_again(self, work: StepWork) -> None:
        """Send a waiting step's message after a restart. If it had left before, who has it can answer all the same."""
        had_left = work.run.sent == work.run.status
        try:
            await (self._ask_to_stop if work.run.status == "Stopping" else self._ask)(work)
        except (StepFailed, ApiError) as error:
            if not had_left:
                raise
            log.warning("%s: the message of step %s can't be sent again: %s", work.execution.arn, work.run.name, error)


def _check_queue_url(url: str, region: str, endpoint_url: str) -> None:
    """Refuse a URL that is of no queue in this Region: AWS sends to the host it names, not to the queue of that name.

    Args:
        url: a Callback step's SqsQueueUrl.
        region: of the pipeline.
        endpoint_url: of the embedded AWS, whose queues' URLs have its port and a name of this machine.

    Raises:
        StepFailed: in SQS's words.
    """
    try:
        parts, here = urlsplit(url), urlsplit(endpoint_url)
        local = _LOOPBACK.fullmatch(parts.hostname or "") and parts.port == here.port
    except ValueError:
        parts, local = urlsplit(""), None  # a port that is no number, a bracket too many
    hosts = (f"sqs.{region}.amazonaws.com", f"sqs.{region}.amazonaws.com.cn", f"{region}.queue.amazonaws.com")
    if not (_QUEUE_PATH.fullmatch(parts.path) and (local or (parts.scheme == "https" and parts.netloc in hosts))):
        raise StepFailed(
            f"ClientError: Failed to invoke sqs:SendMessage. Error Details: The address {url} is not valid for this "
            f"endpoint. Give the step the URL of a queue in {region}, as GetQueueUrl answers it."
        )
