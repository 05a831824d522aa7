"""Lambda steps, which invoke a function and wait for its answer.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-lambda
"""

from __future__ import annotations

import json
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.model.expressions import is_expression, to_text
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.steps import outputs
from local_aws.pipelines.steps.step_type import COMMON_MEMBERS, StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References

# "The maximum is 10 minutes": https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
STEP_SECONDS = 600
# A function of 420 seconds was seen to succeed while its step went on to the limit and failed, as happens where a
# connection that was idle for 350 seconds is dropped: https://github.com/aws/sagemaker-python-sdk/issues/3236. Whether
# AWS has mended it is not known. A step that is quicker is right either way, so a slower one fails here.
ANSWER_SECONDS = 350

_FUNCTION_ARN = re.compile(r"arn:aws[a-z\-]*:lambda:([a-z0-9\-]+):\d{12}:function:[A-Za-z0-9\-_]+(:[A-Za-z0-9\-_$]+)?")


class LambdaStep(StepType):
    name = "Lambda"
    members = COMMON_MEMBERS | {"FunctionArn", "OutputParameters", "CacheConfig"}

    def check(self, step: Step, references: References) -> None:
        arn = step.spec.get("FunctionArn")
        if not is_expression(arn):
            match = _FUNCTION_ARN.fullmatch(arn) if isinstance(arn, str) else None
            if not match:
                raise DefinitionError(f"Step {step.name}: FunctionArn {arn!r} is not the ARN of a Lambda function.")
            if match.group(1) != references.region:
                raise DefinitionError(
                    f"Step {step.name}: the function {arn} must be in the pipeline's Region {references.region}."
                )
        outputs.check_inputs(step)
        outputs.check_declared(step)

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        outputs.check_property(where, text, step, keys)

    def start(self, work: StepWork) -> Coroutine[Any, Any, None]:
        event, arn = work.resolve(work.step.arguments), work.resolve(work.step.spec["FunctionArn"])
        outputs.refuse_nested(event)
        return self._invoke(work, event, to_text(arn))

    async def _invoke(self, work: StepWork, event: dict[str, Any], arn: str) -> None:
        work.run.metadata["Lambda"] = {"Arn": arn[:256]}
        work.executing()
        try:
            answer = await work.call(
                "lambda", "invoke", seconds=ANSWER_SECONDS, FunctionName=arn, Payload=json.dumps(event)
            )
        except StepFailed as failure:
            if not failure.timed_out:
                raise
            raise StepFailed(
                f"ClientError: The Lambda function {arn} did not answer within {ANSWER_SECONDS} seconds. A Lambda step "
                f"may take {STEP_SECONDS}, but on AWS such a late answer was seen to get lost. The function continues "
                "to run. Return sooner, and wait in a Callback step.",
                timed_out=True,
            ) from None
        payload = await work.in_thread(answer["Payload"].read)
        if answer.get("FunctionError"):
            raise _function_error(arn, payload)
        returned = outputs.of_function(work.step, arn, payload)
        work.run.properties["OutputParameters"] = returned
        work.run.metadata["Lambda"]["OutputParameters"] = outputs.as_parameters(returned)
        work.end("Succeeded")


def _function_error(arn: str, payload: bytes) -> StepFailed:
    """The reason of a function that raised or ran out of time, in its own words."""
    try:
        error = json.loads(payload)
    except ValueError:
        error = {}
    message = error.get("errorMessage") if isinstance(error, dict) else None
    kind = error.get("errorType", "") if isinstance(error, dict) else ""
    words = f"{kind}: {message}" if kind and message else message or payload.decode("utf-8", "replace")
    timed_out = "Task timed out" in str(message)
    return StepFailed(f"ClientError: The Lambda function {arn} failed: {words}", timed_out=timed_out)
