"""Answer a CallbackStep."""

import hashlib
import time

from aws import call_aws, client, error_code
from errors import AnswerDenied, PollLater, UnconfirmedError
from log import log
from wording import FAILURE_REASON_CHARACTERS

ANSWER_STATEMENT = "AnswerCallbackSteps"  # its Sid in utils/policies/monitor_lambda.json


def answer(step, result, path="poll"):
    """Send SageMaker the result. It is no error if the step has an answer already, or no longer waits.

    Args:
        step: the PendingStep.
        result: its StepResult.
        path: "poll" or "push", for the log.

    Raises:
        AnswerDenied: this function's role may not answer.
        PollLater: SageMaker can't be reached now.
        UnconfirmedError: SageMaker refuses the answer.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SendPipelineExecutionStepSuccess.html
    """
    kind = "Failure" if result.failure else "Success"
    try:
        send(step, result, kind)
    except (PollLater, UnconfirmedError) as refusal:
        if not is_already_answered(refusal):
            raise_if_denied(step, refusal)
            raise
        log("step already answered", answer=kind, path=path, refusal=str(refusal))
        return
    now = time.time()
    lag = {} if result.jobs_ended is None else {"AnswerLag": round(max(0.0, now - result.jobs_ended), 3)}
    log(
        "step answered",
        metrics={f"Steps{'Failed' if result.failure else 'Succeeded'}": 1, **lag},
        answer=kind,
        path=path,
        reason=result.failure,
        outputs=result.outputs,
        polls=step.polls,
        age_seconds=round(step.age(now), 1),
    )


def send(step, result, kind):
    sagemaker = client("sagemaker")
    # The same answer sent again carries the same token, by which SageMaker can distinguish it from a second one.
    request = hashlib.sha256(f"{step.execution_arn} {step.token} {kind}".encode()).hexdigest()
    common = {"CallbackToken": step.token, "ClientRequestToken": request}
    if result.failure:
        reason = result.failure[:FAILURE_REASON_CHARACTERS]
        call_aws(sagemaker.send_pipeline_execution_step_failure, **common, FailureReason=reason)
    else:
        outputs = [{"Name": name, "Value": value} for name, value in result.outputs.items()]
        call_aws(sagemaker.send_pipeline_execution_step_success, **common, OutputParameters=outputs)


def raise_if_denied(step, refusal):
    """Raise AnswerDenied if that is it, after a line in the log that says what to do."""
    if error_code(refusal) not in ("AccessDeniedException", "AccessDenied"):
        return
    executions = f"{step.execution_arn.rpartition('/')[0]}/*"
    remedy = (
        f"The role of this function may not answer this pipeline. In its policy, monitor_lambda.json, the statement "
        f"{ANSWER_STATEMENT} must allow sagemaker:SendPipelineExecutionStepSuccess and "
        f"sagemaker:SendPipelineExecutionStepFailure on {executions}: add it. The step is answered at the next poll."
    )
    log("answer denied", metrics={"DeniedAnswers": 1}, level="ERROR", error=str(refusal), remedy=remedy)
    raise AnswerDenied(refusal) from refusal.__cause__


def is_already_answered(refusal):
    """Whether SageMaker no longer waits for this token, because it was answered or the execution is over or deleted."""
    # AWS does not document what a second answer gets: one of the two modelled errors, or an error of any code with the
    # text that people report, "Step ... is already in a terminal status".
    known = error_code(refusal) in ("ConflictException", "ResourceNotFound")
    return known or "already in a terminal status" in str(refusal).lower()
