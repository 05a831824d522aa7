"""BatchStep, the step for AWS Batch that SageMaker Pipelines does not have. Take it home with `lambda_code/`.

It imports the SageMaker SDK (v3), which takes some seconds, so no other module of utils imports this one. Without the
SDK, `batch_step_json` makes the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.workflow.properties import Properties
from sagemaker.core.workflow.utilities import load_step_compilation_context
from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, LambdaOutput, LambdaStep
from sagemaker.mlops.workflow.callback_step import CallbackOutputTypeEnum
from sagemaker.mlops.workflow.lambda_step import LambdaOutputTypeEnum

from .batch_step_json import StepOutput, step_definitions
from .batch_step_options import BatchStepOptions


class BatchStep(CallbackStep):
    """Runs jobs on AWS Batch and waits for them. A LambdaStep submits them, and this CallbackStep waits.

        days = BatchStep("Days", job_queue="my-queue", job_definition="my-definition",
                         input_uri="s3://my-bucket/days", output_uri="s3://my-bucket/results",
                         depends_on=[prepare], **backend)
        train = make_training_step(days.properties.Outputs["output_uri"])
        pipeline = Pipeline("my-pipeline", steps=[prepare, *days.steps, train])

    Put `*days.steps` wherever steps are listed: in a pipeline, in a branch of a ConditionStep, in the body of a
    ForEachStep. Other steps depend on it, and it on others, through `depends_on` or through properties, as with any
    step. Several BatchSteps, also in parallel, share the two functions (`lambda_code/submit_jobs`,
    `lambda_code/check_jobs`) and the queue.

    Its outputs, as in `days.properties.Outputs["jobs_failed"]`:
        job_status: "Completed".
        jobs_total, jobs_succeeded, jobs_failed: how many jobs, an array's children counted singly, as integers.
        failed_items_uri: s3:// URI of the list of failed items, empty if there is none.
        output_uri: where the jobs have written.

    Args:
        name: the step's name, 1 to 57 letters, digits, "-" and "_" (51 with `trial`). Its LambdaStep is called
            `{name}-Submit`.
        job_definition: name, name:revision or ARN of the Batch job definition.
        job_queue: name or ARN of the Batch job queue.
        output_uri: s3:// prefix the jobs write to. The functions keep their lists in `_jobs/` below it.
        submit_function_arn: ARN of the function submit_jobs.
        callback_queue_url: URL of the queue whose messages check_jobs gets.
        items: s3:// URI of a manifest, one JSON object a line, one for each job.
        input_uri: instead of `items`, a prefix whose objects are the items. With `max_jobs`, its files are numbered.
        may_be_empty: with no items the step succeeds at once instead of failing. For a step whose items are what failed
            in another: `items=first.properties.Outputs["failed_items_uri"], may_be_empty=True`.
        max_jobs: with `input_uri`, submit this many plain jobs for file_01.json, file_02.json, ... instead of an array.
            1,000 at most.
        input_name, output_name: with `max_jobs`, other names, such as "output_{i:02d}.json".
        trial: run this many items first, 1 to 1,000. If one fails, the step `{name}-Trial` fails and the rest is not
            submitted. Default: none.
        tolerated_failure_percentage: 0 to 100. With it the step waits for every job, lists those that failed, and
            succeeds if they are no more than this share. Without it, the first failed job fails the step.
        deadline: seconds, or a timedelta, after which unfinished jobs are terminated and the step fails, 13 days at
            most. Default: what check_jobs' DEADLINE_SECONDS says, a day.
        parameters: what the job definition's command has for `Ref::name`, by name.
        environment: environment variables of the jobs, by name.
        vcpus: vCPUs of a job, such as 0.25. Default: what the job definition says, here and below.
        memory_mib: memory of a job, in MiB.
        attempts: how often a job is tried, 1 to 10. It replaces the job definition's whole retry strategy.
        timeout: seconds, or a timedelta, after which Batch ends an attempt of a job, at least 60 seconds.
        share_identifier: the share of a job queue with a fair-share policy. Such a queue refuses jobs without.
        scheduling_priority: 0 to 9,999, which of the share's jobs goes first. For a fair-share queue only.
        iteration: in the body of a ForEachStep, the value that differs per iteration: `CurrentItem()` or its member.
            The jobs are named after it too, so it may hold letters, digits, "-" and "_", with `name` no more than 63
            characters.
        depends_on: steps or their names that must succeed before the jobs are submitted.
        cache_config: refused. A cached step would wait for the jobs of an earlier execution.
        sagemaker_session: the SDK's session. The SDK would make one from the environment if it had none.

    Any of the values but `name` may be a pipeline variable.

    Raises:
        ValueError: the arguments don't go together, or the functions would not accept one. When the pipeline is
            compiled: the step is there without the one that submits its jobs.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
    https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
    """

    def __init__(
        self,
        name: str,
        *,
        job_definition: Any,
        job_queue: Any,
        output_uri: Any,
        submit_function_arn: str,
        callback_queue_url: str,
        items: Any = None,
        input_uri: Any = None,
        may_be_empty: Any = False,
        max_jobs: Any = None,
        input_name: str | None = None,
        output_name: str | None = None,
        trial: Any = None,
        tolerated_failure_percentage: Any = None,
        deadline: Any = None,
        parameters: dict[str, Any] | None = None,
        environment: dict[str, Any] | None = None,
        vcpus: Any = None,
        memory_mib: Any = None,
        attempts: Any = None,
        timeout: Any = None,
        share_identifier: Any = None,
        scheduling_priority: Any = None,
        iteration: Any = None,
        depends_on: list | None = None,
        cache_config: Any = None,
        display_name: str | None = None,
        description: str | None = None,
        sagemaker_session: Any = None,
    ) -> None:
        options = BatchStepOptions(
            name=name,
            job_definition=job_definition,
            job_queue=job_queue,
            output_uri=output_uri,
            submit_function_arn=submit_function_arn,
            callback_queue_url=callback_queue_url,
            items=items,
            input_uri=input_uri,
            may_be_empty=may_be_empty,
            max_jobs=max_jobs,
            input_name=input_name,
            output_name=output_name,
            trial=trial,
            tolerated_failure_percentage=tolerated_failure_percentage,
            deadline=deadline,
            parameters=parameters,
            environment=environment,
            vcpus=vcpus,
            memory_mib=memory_mib,
            attempts=attempts,
            timeout=timeout,
            share_identifier=share_identifier,
            scheduling_priority=scheduling_priority,
            iteration=iteration,
        )
        *before, own = step_definitions(options)
        super().__init__(
            **_callback_arguments(own), display_name=display_name, description=description, cache_config=cache_config
        )
        self._before = [_step_before(definition, sagemaker_session) for definition in before]
        self._before[0].depends_on = depends_on
        for number, step in enumerate(self._before):
            step.batch_step, step.needed = name, self._before[:number]
        _refuse_cache(self, self)

    @property
    def submit_step(self) -> LambdaStep:
        """The LambdaStep that submits the jobs."""
        return self._before[-1]

    @property
    def steps(self) -> list:
        """All its steps, in order. List them with a star, as in `steps=[prepare, *days.steps, train]`."""
        return _Steps(self, [*self._before, self])

    def to_request(self) -> Any:
        """This step for the definition. The SDK asks for it when it compiles a pipeline, after the steps before it."""
        for step in (*self._before, self):
            _refuse_cache(self, step)
        _require_compiled(self.name, self._before)
        return super().to_request()

    @property
    def depends_on(self) -> None:
        """Nothing. Earlier steps come before the submitting step, and this step refers to that step's output."""
        return

    @depends_on.setter
    def depends_on(self, depends_on: list | None) -> None:
        if hasattr(self, "_before"):  # the SDK's constructors set it as well
            self._before[0].depends_on = depends_on

    def add_depends_on(self, step_names: list) -> None:
        """Add steps that must succeed before the jobs are submitted."""
        self._before[0].add_depends_on(step_names)


class _Steps(list):
    """Steps to list. The SDK asks each entry of a list for its name, also this list, where the star is forgotten."""

    def __init__(self, step: BatchStep, steps: list) -> None:
        super().__init__(steps)
        self._step = step

    @property
    def name(self) -> str:
        raise ValueError(
            f'BatchStep "{self._step.name}" stands among the steps as a list. '
            "Put a star before it: steps=[..., *step.steps, ...]."
        )


class _StepBefore:
    """A step that a BatchStep needs before it. It remembers the compilation that it was part of."""

    batch_step = ""
    needed: Sequence[_StepBefore] = ()
    compiled_in: Any = None

    def to_request(self) -> Any:
        _require_compiled(self.batch_step, self.needed)
        self.compiled_in = _compilation()
        return super().to_request()  # type: ignore[misc]


class _SubmitStep(_StepBefore, LambdaStep):
    """A LambdaStep of a function that is deployed already, without the SDK's warning that it won't be updated."""

    def _get_function_arn(self) -> str:
        return self.lambda_func.function_arn


class _TrialStep(_StepBefore, CallbackStep):
    """The CallbackStep that waits for a trial's jobs."""


def _compilation() -> Any:
    """The identity of the compilation under way, or None if there is none."""
    return getattr(load_step_compilation_context(), "function_step_secret_token", None)


def _require_compiled(name: str, steps: Sequence[_StepBefore]) -> None:
    """Refuse a BatchStep of which a part is not in the pipeline. The SDK compiles steps in the order of their lists."""
    now = _compilation()
    missing = [step.name for step in steps if now is not None and step.compiled_in is not now]  # type: ignore[attr-defined]
    if missing:
        raise ValueError(
            f'BatchStep "{name}" is in the pipeline without {", ".join(missing)}. List all its steps, wherever it '
            "stands: steps=[..., *step.steps, ...], or if_steps=[*step.steps] in a condition."
        )


def _step_before(definition: dict[str, Any], session: Any) -> Any:
    if definition["Type"] == "Callback":
        return _TrialStep(**_callback_arguments(definition))
    return _SubmitStep(
        name=definition["Name"],
        lambda_func=Lambda(function_arn=definition["FunctionArn"], session=session),
        inputs=_inputs(definition),
        outputs=[
            LambdaOutput(output["OutputName"], LambdaOutputTypeEnum[output["OutputType"]])
            for output in definition["OutputParameters"]
        ],
        depends_on=definition.get("DependsOn"),
    )


def _callback_arguments(definition: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": definition["Name"],
        "sqs_queue_url": definition["SqsQueueUrl"],
        "inputs": _inputs(definition),
        "outputs": [
            CallbackOutput(output["OutputName"], CallbackOutputTypeEnum[output["OutputType"]])
            for output in definition["OutputParameters"]
        ],
    }


def _inputs(definition: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with other steps' outputs as the SDK's objects, because it searches for those steps."""
    return {
        key: Properties(step_name=value.step, path=f"OutputParameters['{value.output}']")
        if isinstance(value, StepOutput)
        else value
        for key, value in definition["Arguments"].items()
    }


def _refuse_cache(batch_step: BatchStep, step: Any) -> None:
    if step.cache_config is not None:
        raise ValueError(
            f'BatchStep "{batch_step.name}" takes no cache_config. With a cached step it would wait for the jobs of an '
            "earlier execution, which Batch forgets after seven days."
        )
