"""BatchStep: the step for AWS Batch that SageMaker Pipelines does not have. To take home with `lambda_code/`.

It imports the SageMaker SDK (v3), which takes some seconds, so no other module of utils imports this one.
"""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.workflow import is_pipeline_variable
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.properties import Properties
from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, LambdaOutput, LambdaStep, Pipeline
from sagemaker.mlops.workflow.lambda_step import LambdaOutputTypeEnum

SUBMIT_OUTPUTS = ("jobIds", "jobCount", "submittedCount", "reportUri")
# As in check_jobs and submit_jobs. SQS forgets a message after 14 days at most, hence 13 for a deadline.
LIMITS = {"deadline": (1, 13 * 86_400), "tolerated_failure_percentage": (0, 100), "max_jobs": (1, 1_000)}
S3_URI = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?"
WAIT_OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")


class BatchStep(CallbackStep):
    """Runs jobs on AWS Batch and waits for them: a LambdaStep that submits and this CallbackStep that waits.

    Put it alone into the pipeline's `steps`: its LambdaStep comes with it. In the branch of a ConditionStep and in the
    body of a ForEachStep put both: `if_steps=[*step.steps]`. The SDK adds what comes along at the pipeline's top only,
    out of reach of the condition, so there a BatchStep alone is refused when the pipeline is compiled.

    Other steps depend on it, and it on others, through `depends_on` or through properties, as with any step; several,
    also in parallel, share the two functions (`lambda_code/submit_jobs`, `lambda_code/check_jobs`) and the queue.

    Of a pipeline or a job queue that is not the kit's own, three places must know: the policy of check_jobs' role names
    the pipelines it may answer, that of submit_jobs' role the queues and definitions, and the setting JOB_QUEUES of
    check_jobs the queues that are cleared of a stopped execution's jobs.

    It is a step that brings another rather than a `StepCollection`, because the SDK's v3 no longer compiles those
    ("Invalid input step type", seen with sagemaker-mlops 1.27.0).

    Its outputs, all strings, as in `step.properties.Outputs["jobs_failed"]`:
        job_status: "Completed".
        jobs_total, jobs_succeeded, jobs_failed: how many jobs, an array's children counted singly.
        failed_items_uri: s3:// URI of the list of failed items; empty if there is none.

    Args:
        name: the step's name, 1 to 57 letters, digits, "-" and "_". Its LambdaStep is called `{name}-Submit`.
        job_definition: name, name:revision or ARN of the Batch job definition.
        job_queue: name or ARN of the Batch job queue.
        output_uri: s3:// prefix the jobs write to; `_jobs/` below it gets the lists the functions keep.
        submit_function_arn: ARN of the function submit_jobs.
        callback_queue_url: URL of the queue whose messages check_jobs gets.
        items: s3:// URI of a manifest, one JSON object a line, one for each job.
        input_uri: instead of `items`, a prefix whose objects are the items; with `max_jobs`, of numbered files.
        may_be_empty: with no items the step succeeds at once instead of failing. For a step whose items are what failed
            in another: `items=first.properties.Outputs["failed_items_uri"], may_be_empty=True`.
        max_jobs: with `input_uri`, submit this many plain jobs for file_01.json, file_02.json, ... instead of an array;
            1,000 at most.
        input_name, output_name: with `max_jobs`, other names, such as "output_{i:02d}.json".
        tolerated_failure_percentage: 0 to 100. With it the step waits for every job, lists those that failed, and
            succeeds if they are no more than this share. Without it, the first failed job fails the step.
        deadline: seconds, or a timedelta, after which unfinished jobs are terminated and the step fails; 13 days at
            most, and by default what check_jobs' DEADLINE_SECONDS says, a day.
        iteration: in the body of a ForEachStep, and needed there, what distinguishes its iterations:
            `CurrentItem()` or a member of it. The jobs are named after it too, so it may hold letters, digits, "-" and
            "_", with `name` no more than 63 characters.
        depends_on: steps or their names that must succeed before the jobs are submitted.
        sagemaker_session: the SDK's session. The SDK would make one from the environment if it had none.

    Any of the values but `name` may be a pipeline variable.

    Raises:
        ValueError: the inputs don't go together, or are none that the functions would accept. When the pipeline is
            compiled: the step does not stand beside its LambdaStep, or its iterations' jobs would share their names.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
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
        tolerated_failure_percentage: Any = None,
        deadline: Any = None,
        iteration: Any = None,
        depends_on: list | None = None,
        display_name: str | None = None,
        description: str | None = None,
        sagemaker_session: Any = None,
    ) -> None:
        if not is_pipeline_variable(may_be_empty):
            may_be_empty = _truth(name, "may_be_empty", may_be_empty)
        deadline = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
        _refuse_what_goes_together_badly(name, items, input_uri, max_jobs, may_be_empty, input_name or output_name)
        _refuse_what_the_functions_would(
            name,
            uris={"items": items, "input_uri": input_uri, "output_uri": output_uri},
            numbers={
                "deadline": deadline,
                "tolerated_failure_percentage": tolerated_failure_percentage,
                "max_jobs": max_jobs,
            },
        )
        if max_jobs is None:
            _refuse_outputs_among_inputs(name, input_uri, output_uri)
        if iteration is not None and not is_pipeline_variable(iteration):
            raise ValueError(f'BatchStep "{name}": iteration is a variable such as CurrentItem(), not {iteration!r}.')
        inputs = {
            "mode": "array" if max_jobs is None else "per_file",
            "manifest_uri": items,
            "input_uri": input_uri,
            "output_uri": output_uri,
            "may_be_empty": may_be_empty if is_pipeline_variable(may_be_empty) else "true" if may_be_empty else None,
            "max_jobs": max_jobs,
            "input_name": input_name,
            "output_name": output_name,
            "job_queue": job_queue,
            "job_definition": job_definition,
            "execution_id": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            "step_name": name if iteration is None else Join(on="-", values=[name, iteration]),
        }
        self.submit_step = _DeployedLambdaStep(
            name=f"{name}-Submit",
            lambda_func=Lambda(function_arn=submit_function_arn, session=sagemaker_session),
            inputs=_given(inputs),
            outputs=[LambdaOutput(output, LambdaOutputTypeEnum.String) for output in SUBMIT_OUTPUTS],
            depends_on=depends_on,
        )
        super().__init__(
            name=name,
            sqs_queue_url=callback_queue_url,
            inputs=_given(
                {
                    **self._submitted(),
                    "tolerated_failure_percentage": tolerated_failure_percentage,
                    "deadline_seconds": deadline,
                }
            ),
            outputs=[CallbackOutput(output) for output in WAIT_OUTPUTS],
            display_name=display_name,
            description=description,
        )

    @property
    def steps(self) -> list:
        """Both steps, in their order."""
        return [self.submit_step, self]

    @property
    def arguments(self) -> dict[str, Any]:
        """The inputs. The SDK asks for them when it compiles a pipeline: the moment to see where the two steps stand.

        A LambdaStep that the inputs refer to by its name must be among the pipeline's steps, or the SDK refuses. One
        that they hold as an object it adds, at the top wherever this step stands: so they hold it only at the top.
        """
        pipeline = _pipeline_being_compiled()
        if pipeline is not None and _brings_its_lambda_step(self, pipeline):
            return {**self.inputs, **self._submitted(self.submit_step)}
        return self.inputs

    def _submitted(self, step: LambdaStep | None = None) -> dict[str, Properties]:
        """What the submitting step hands over, which this step waits for; with that step itself or by its name."""
        return {
            key: Properties(step_name=self.submit_step.name, path=f"OutputParameters['{output}']", step=step)
            for key, output in (("job_ids", "jobIds"), ("report_uri", "reportUri"))
        }

    @property
    def depends_on(self) -> None:
        """Nothing: what comes before is before `submit_step`, and this step refers to that one's output."""
        return

    @depends_on.setter
    def depends_on(self, depends_on: list | None) -> None:
        self.submit_step.depends_on = depends_on

    def add_depends_on(self, step_names: list) -> None:
        """Add steps that must succeed before the jobs are submitted."""
        self.submit_step.add_depends_on(step_names)


class _DeployedLambdaStep(LambdaStep):
    """A LambdaStep of a function that is deployed already, without the SDK's warning that it won't be updated."""

    def _get_function_arn(self) -> str:
        return self.lambda_func.function_arn


def _pipeline_being_compiled() -> Pipeline | None:
    """The pipeline, from the SDK's calls that led here, because the SDK does not give a step its pipeline.

    Should a later SDK hide it, BatchStep still compiles right where both its steps are listed, and else not at all.
    """
    frame = inspect.currentframe()
    while frame:
        if frame.f_globals.get("__name__", "").startswith("sagemaker."):
            for value in frame.f_locals.values():
                if isinstance(value, Pipeline):
                    return value
        frame = frame.f_back
    return None


def _brings_its_lambda_step(step: BatchStep, pipeline: Pipeline) -> bool:
    """Whether it stands alone at the top, where the SDK adds its LambdaStep. What would be torn apart is refused."""
    place, other_place = _place(step, pipeline), _place(step.submit_step, pipeline)
    if place is None:
        raise ValueError(
            f'BatchStep "{step.name}" is only referred to in "{pipeline.name}": put it among the steps there too.'
        )
    holder, branch = place
    alone = other_place is None and holder is pipeline
    if not alone and other_place != place:
        raise ValueError(
            f'BatchStep "{step.name}" stands apart from its LambdaStep, in {branch} of "{holder.name}": '
            f"put both there, as in {branch}=[*step.steps]."
        )
    if branch == "for_each_body" and not is_pipeline_variable(step.submit_step.inputs["step_name"]):
        raise ValueError(
            f'BatchStep "{step.name}" would name its jobs alike in each iteration of "{holder.name}", so that all but '
            "the first find theirs submitted: give it iteration=CurrentItem() or a member of it."
        )
    return alone


def _place(step: Any, holder: Any) -> tuple[Any, str] | None:
    """What directly holds a step (the pipeline, a ConditionStep, a ForEachStep), and in which of its lists."""
    branches = ("steps",) if isinstance(holder, Pipeline) else ("if_steps", "else_steps", "for_each_body")
    for branch in branches:
        for held in getattr(holder, branch, ()):
            place = (holder, branch) if held is step else _place(step, held)
            if place:
                return place
    return None


def _given(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if value is not None}


def _refuse_what_goes_together_badly(
    name: str, items: Any, input_uri: Any, max_jobs: Any, may_be_empty: bool, file_names: Any
) -> None:
    if (items is None) == (input_uri is None):
        raise ValueError(f'BatchStep "{name}" needs either items (a manifest) or input_uri (a prefix).')
    if items is not None and max_jobs is not None:
        raise ValueError(f'BatchStep "{name}": max_jobs goes with input_uri; items already says how many.')
    if max_jobs is not None and may_be_empty:
        raise ValueError(f'BatchStep "{name}": may_be_empty does not go with max_jobs, which is 1 or more.')
    if max_jobs is None and file_names:
        raise ValueError(f'BatchStep "{name}": input_name and output_name go with max_jobs, the numbered files.')


def _refuse_what_the_functions_would(name: str, uris: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Say now, where it is written, what would fail the step when the pipeline runs. Pipeline variables are trusted."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,57}", name):
        raise ValueError(
            f'BatchStep "{name}": a name has 1 to 57 letters, digits, "-" and "_", which leaves room for "-Submit".'
        )
    for key, uri in _given(uris).items():
        if not is_pipeline_variable(uri) and not (isinstance(uri, str) and re.fullmatch(S3_URI, uri.rstrip("/"))):
            raise ValueError(f'BatchStep "{name}": {key} must look like s3://bucket/prefix, not {uri!r}.')
    for key, number in _given(numbers).items():
        low, high = LIMITS[key]
        whole = key == "max_jobs"
        if not is_pipeline_variable(number) and not _is_number(number, low, high, whole):
            kind = "whole number" if whole else "number"
            raise ValueError(f'BatchStep "{name}": {key} is {number!r}; it must be a {kind} from {low} to {high:,}.')


def _is_number(value: Any, low: float, high: float, whole: bool) -> bool:
    """As the functions see it: a string may be one too."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, bool) and low <= number <= high and (not whole or number.is_integer())


def _truth(step: str, key: str, value: Any) -> bool:
    """As submit_jobs reads it: "true" and "false" count too, and None means not given."""
    if value is None:
        return False
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f'BatchStep "{step}": {key} must be True or False, not {value!r}.')
    return str(value).lower() == "true"


def _refuse_outputs_among_inputs(name: str, input_uri: Any, output_uri: Any) -> None:
    if is_pipeline_variable(input_uri) or is_pipeline_variable(output_uri) or input_uri is None:
        return
    if f"{output_uri.rstrip('/')}/".startswith(f"{input_uri.rstrip('/')}/"):
        raise ValueError(
            f'BatchStep "{name}": output_uri must not lie within input_uri, or the next run takes outputs for inputs.'
        )
