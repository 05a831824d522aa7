"""Delete everything the notebooks made, and prove that nothing is left (notebook 07).

Only what carries both our name and our tag is deleted; what merely looks alike is left alone. Each deletion is safe to
repeat, so a cleanup that was interrupted is finished by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential_jitter

from utils import batch as batch_helpers
from utils import cost, monitoring
from utils import events as event_helpers
from utils import iam as iam_helpers
from utils import queues as queue_helpers
from utils.config import Config
from utils.pipeline import FINAL

# How long the functions have to end what a stopped execution does, and how long it may then take without them.
GRACE_SECONDS, LAST_SECONDS = 60, 300


class StillRunning(RuntimeError):
    """An execution that can't be stopped; the message names it and says what to do."""


@dataclass(frozen=True)
class Resource:
    """Something with one of our names: AWS's word for its kind, its name, and how to delete it."""

    kind: str
    name: str
    delete: Callable[[], None]
    ours: bool  # it has our tag, too, and not only one of our names

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def if_left(self) -> str:
        """What it costs to leave it where it is."""
        return _IF_LEFT.get(self.kind, "nothing")


# A mapping asks its queue five times every 20 seconds, as `cost.estimate` counts, whether there are messages or not.
_POLLS_A_MONTH = 5 * 3 * 60 * 24 * 30
_IF_LEFT = {
    "alarm": f"${cost.STANDING['alarm'].usd:.2f} a month",
    "dashboard": f"${cost.STANDING['dashboard'].usd:.2f} a month",
    "event source mapping": f"${cost.PRICES['SQS'].usd * _POLLS_A_MONTH:.2f} a month: it polls its queue",
    "bucket": "a little: S3's price for what is in it",
    "log group": "a little: CloudWatch's price for what is in it",
}


def find_all(session: boto3.Session, config: Config) -> list[Resource]:
    """What there is to delete, in the order in which it can be: what uses a thing before the thing itself."""
    return [resource for resource in _named(session, config) if resource.ours]


def table(found: list[Resource]) -> pd.DataFrame:
    """What `find_all` finds: columns kind, name and if left, which is what it costs to leave it where it is."""
    return pd.DataFrame([(each.kind, each.name, each.if_left) for each in found], columns=["kind", "name", "if left"])


def delete_all(session: boto3.Session, config: Config, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Delete all that `find_all` finds, and return what was deleted, as "kind name".

    Args:
        tell: called with each as soon as it is gone, such as `print`: on AWS the whole takes minutes.

    Raises:
        ClientError: AWS refuses a deletion; what was deleted stays deleted, and a second call goes on from there.
        RuntimeError: S3 refuses to delete an object.
        StillRunning: an execution of the pipeline can't be stopped; all but the pipeline is deleted.
        TimeoutError: something is still there some minutes after its deletion; a second call goes on from there.
    """
    deleted, held = [], None
    for resource in _named(session, config):
        if not resource.ours:
            continue
        try:
            resource.delete()
        except StillRunning as error:
            held = error
        else:
            deleted.append(str(resource))
            tell(deleted[-1])
    if held:
        raise held
    return deleted


def _named(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """All with one of our names, tagged or not, each kind looked for when those before it have been dealt with."""
    for find in _FINDERS:
        yield from find(session, config)


def of_others(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """What has one of our names and not our tag, of the kinds that the kit, being built, does not take over.

    Bucket and roles may be taken over: `data.check_bucket` and `iam.roles_of_others` tell of those that are not.
    """
    for find in _REFUSED:
        yield from (resource for resource in find(session, config) if not resource.ours)


def leftovers(session: boto3.Session, config: Config) -> list[str]:
    """What is still there, looked for by name and by tag; empty after a complete cleanup.

    What has one of our names and not our tag may be somebody else's. It is told apart, since it may cost.

    AWS's register of tags still tells of a resource for a while after its deletion, so it is given a minute to forget.
    """
    by_tag = Retrying(
        retry=retry_if_result(bool),
        wait=wait_exponential_jitter(multiplier=1, exp_base=1.5, max=10, jitter=0.1),
        stop=stop_after_delay(60),
        retry_error_callback=lambda state: state.outcome.result(),
    )(lambda: tagged(session, config))
    named = list(_named(session, config))
    untagged = [f"not tagged, left alone: {resource}" for resource in named if not resource.ours]
    return [*(str(resource) for resource in named if resource.ours), *by_tag, *untagged]


def tagged(session: boto3.Session, config: Config) -> list[str]:
    """ARNs of everything in the region that still carries the kit's tag, by AWS's own register of tags.

    It knows no roles; `find_all` looks for those by name. Finished jobs and executions and deregistered job definitions
    are records, not costs.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    """
    (key, value) = next(iter(config.tags.items()))
    pages = session.client("resourcegroupstaggingapi").get_paginator("get_resources")
    found = [
        mapping["ResourceARN"]
        for page in pages.paginate(TagFilters=[{"Key": key, "Values": [value]}])
        for mapping in page["ResourceTagMappingList"]
    ]
    definitions = [arn for arn in found if arn.split(":", 5)[5].startswith("job-definition/")]
    deregistered = set(definitions) - _active(session, definitions)
    return sorted(arn for arn in found if not _is_record(arn) and arn not in deregistered)


def _active(session: boto3.Session, definitions: list[str]) -> set[str]:
    """Those of these job definitions that can still be used; a deregistered one stays visible for half a year.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobDefinitions.html
    """
    describe = session.client("batch").describe_job_definitions
    return {
        revision["jobDefinitionArn"]
        for start in range(0, len(definitions), 100)
        for revision in describe(jobDefinitions=definitions[start : start + 100])["jobDefinitions"]
        if revision["status"] == "ACTIVE"
    }


def _is_record(arn: str) -> bool:
    """A finished job or execution: Batch and SageMaker forget them by themselves."""
    resource = arn.split(":", 5)[5]
    return resource.startswith("job/") or "/execution/" in resource


# --- what there is, and how each is deleted -------------------------------------------------------------------------


def _pipeline(session: boto3.Session, config: Config) -> Iterator[Resource]:
    sagemaker = session.client("sagemaker")
    try:
        arn = sagemaker.describe_pipeline(PipelineName=config.pipeline)["PipelineArn"]
    except sagemaker.exceptions.ResourceNotFound:
        return
    ours = _ours(config, sagemaker.list_tags(ResourceArn=arn)["Tags"])

    def delete() -> None:
        _stop_executions(session, config)
        sagemaker.delete_pipeline(PipelineName=config.pipeline)

    yield Resource("pipeline", config.pipeline, delete, ours)


def _stop_executions(session: boto3.Session, config: Config) -> None:
    """Stop what runs and wait: while the functions are still there, they terminate the jobs and answer the steps.

    Where they don't, being broken or cut off from their queue, this does: an execution does not stop while a callback
    step waits for its answer.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopPipelineExecution.html
    """
    sagemaker = session.client("sagemaker")
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=config.pipeline)
    running = {
        summary["PipelineExecutionArn"]: summary["PipelineExecutionStatus"]
        for page in pages
        for summary in page["PipelineExecutionSummaries"]
        if summary["PipelineExecutionStatus"] not in FINAL
    }
    for arn, status in running.items():
        if status != "Stopping":
            sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)

    def still_running() -> list[str]:
        return [
            arn
            for arn in running
            if sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] not in FINAL
        ]

    def still_running_when_answered() -> list[str]:
        for arn in still_running():
            _answer_steps(sagemaker, config, arn)
        return still_running()

    if not _left(still_running, GRACE_SECONDS):
        return
    queue = batch_helpers.describe(session, "job queue", config.job_queue)
    if queue and _ours(config, queue.get("tags", {})):
        _end_jobs(session.client("batch"), config.job_queue)
    for arn in _left(still_running_when_answered, LAST_SECONDS):
        steps = " and ".join(step["StepName"] for step in _unfinished_steps(sagemaker, arn))
        raise StillRunning(
            f"All is deleted but the pipeline {config.pipeline}: its execution {arn} has not stopped, since its step "
            f"{steps} goes on; when it has ended, run the cleanup again."
        )


def _answer_steps(sagemaker: Any, config: Config, execution: str) -> None:
    """Fail the steps that wait for an answer."""
    for step in _unfinished_steps(sagemaker, execution):
        token = step.get("Metadata", {}).get("Callback", {}).get("CallbackToken")
        if not token:
            continue
        try:
            sagemaker.send_pipeline_execution_step_failure(
                CallbackToken=token, FailureReason="The tutorial is cleaned up."
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if "AccessDenied" in code:
                raise StillRunning(
                    f"All is deleted but the pipeline {config.pipeline}: its execution {execution} can't be stopped, "
                    f"since its step {step['StepName']} waits for an answer that you may not give; get the permission "
                    "sagemaker:SendPipelineExecutionStepFailure, then run the cleanup again."
                ) from None
            if code not in ("ConflictException", "ResourceNotFound"):  # it has been answered meanwhile
                raise


def _unfinished_steps(sagemaker: Any, execution: str) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=execution)
    steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
    return [step for step in steps if step["StepStatus"] in ("Starting", "Executing", "Stopping")]


def _rules(session: boto3.Session, config: Config) -> Iterator[Resource]:
    events, usual = session.client("events"), event_helpers.rule_names(config)
    for page in events.get_paginator("list_rules").paginate(NamePrefix=config.prefix):
        for rule in page["Rules"]:
            ours = _ours(config, events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])
            if ours or rule["Name"] in usual:
                yield Resource("event rule", rule["Name"], _rule_deleter(events, rule["Name"]), ours)


def _rule_deleter(events: Any, name: str) -> Callable[[], None]:
    def delete() -> None:
        targets = [target["Id"] for target in events.list_targets_by_rule(Rule=name)["Targets"]]
        if targets:
            events.remove_targets(Rule=name, Ids=targets)
        events.delete_rule(Name=name)

    return delete


def _alarms(session: boto3.Session, config: Config) -> Iterator[Resource]:
    cloudwatch = session.client("cloudwatch")
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{config.prefix}-"):
        for alarm in page["MetricAlarms"]:
            ours = _ours(config, cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"])
            name = alarm["AlarmName"]
            if ours or name in monitoring.alarm_names(config):
                yield Resource("alarm", name, lambda name=name: cloudwatch.delete_alarms(AlarmNames=[name]), ours)


def _dashboard(session: boto3.Session, config: Config) -> Iterator[Resource]:
    cloudwatch, name = session.client("cloudwatch"), config.dashboard
    try:
        body = cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        return
    delete = cloudwatch.delete_dashboards
    yield Resource("dashboard", name, lambda: _gone_is_fine(delete, DashboardNames=[name]), config.mark in body)


def _mapping(session: boto3.Session, config: Config) -> Iterator[Resource]:
    client = session.client("lambda")
    queue = config.arn("sqs", config.callback_queue)
    found = queue_helpers.find_mapping(session, queue=queue, function=config.check_jobs_function)
    if found is None:
        return
    ours = _ours(config, client.list_tags(Resource=found["EventSourceMappingArn"])["Tags"])

    def delete() -> None:
        # While it is being created or updated it can't be deleted.
        _when_not("ResourceInUseException", client.delete_event_source_mapping, UUID=found["UUID"])
        _until_empty(
            lambda: queue_helpers.find_mapping(
                session, queue=queue, function=config.check_jobs_function, deleting=True
            ),
            "the event source mapping is still there",
        )

    name = f"{config.callback_queue} -> {config.check_jobs_function}"
    yield Resource("event source mapping", name, delete, ours)


def _queues(session: boto3.Session, config: Config) -> Iterator[Resource]:
    sqs = session.client("sqs")
    for name in (config.callback_queue, config.dead_letter_queue):
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        except sqs.exceptions.QueueDoesNotExist:
            continue
        delete = partial(_gone_is_fine, sqs.delete_queue, QueueUrl=url)
        yield Resource("queue", name, delete, _ours(config, tags))


def _functions(session: boto3.Session, config: Config) -> Iterator[Resource]:
    client = session.client("lambda")
    for name in _function_names(config):
        try:
            tags = client.get_function(FunctionName=name).get("Tags", {})
        except client.exceptions.ResourceNotFoundException:
            continue
        delete = partial(_gone_is_fine, client.delete_function, FunctionName=name)
        yield Resource("function", name, delete, _ours(config, tags))


def _function_names(config: Config) -> list[str]:
    return [
        config.submit_jobs_function,
        config.check_jobs_function,
        config.count_inputs_function,
        config.merge_results_function,
    ]


def _job_queue(session: boto3.Session, config: Config) -> Iterator[Resource]:
    found = batch_helpers.describe(session, "job queue", config.job_queue)
    if found is None:
        return

    def delete() -> None:
        client, name = session.client("batch"), config.job_queue
        if batch_helpers.settled(session, "job queue", name) is None:
            return  # an earlier cleanup's deletion has come to its end
        client.update_job_queue(jobQueue=name, state="DISABLED")
        _end_jobs(client, name)
        batch_helpers.settled(session, "job queue", name)
        client.delete_job_queue(jobQueue=name)
        _until_empty(lambda: batch_helpers.describe(session, "job queue", name), "the job queue is still there")

    yield Resource("job queue", config.job_queue, delete, _ours(config, found.get("tags", {})))


def _end_jobs(client: Any, queue: str) -> None:
    def unfinished() -> list[str]:
        return [
            job["jobId"]
            for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
            for page in client.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=status)
            for job in page["jobSummaryList"]
        ]

    for job in unfinished():
        client.terminate_job(jobId=job, reason="The tutorial is cleaned up.")
    _until_empty(unfinished, "jobs are still running")


def _compute_environment(session: boto3.Session, config: Config) -> Iterator[Resource]:
    found = batch_helpers.describe(session, "compute environment", config.compute_environment)
    if found is None:
        return

    def delete() -> None:
        client, name = session.client("batch"), config.compute_environment
        if batch_helpers.settled(session, "compute environment", name) is None:
            return
        client.update_compute_environment(computeEnvironment=name, state="DISABLED")
        batch_helpers.settled(session, "compute environment", name)
        # For some moments Batch still counts the deleted queue as using it.
        _when_not("ClientException", client.delete_compute_environment, computeEnvironment=name)
        _until_empty(
            lambda: batch_helpers.describe(session, "compute environment", name),
            "the compute environment is still there",
        )

    yield Resource("compute environment", config.compute_environment, delete, _ours(config, found.get("tags", {})))


def _job_definitions(session: boto3.Session, config: Config) -> Iterator[Resource]:
    client = session.client("batch")
    for name in (config.copy_job_definition, config.aggregate_job_definition):
        pages = client.get_paginator("describe_job_definitions").paginate(jobDefinitionName=name, status="ACTIVE")
        for revision in [revision for page in pages for revision in page["jobDefinitions"]]:
            delete = partial(client.deregister_job_definition, jobDefinition=revision["jobDefinitionArn"])
            ours = _ours(config, revision.get("tags", {}))
            yield Resource("job definition", f"{name}:{revision['revision']}", delete, ours)


def _bucket(session: boto3.Session, config: Config) -> Iterator[Resource]:
    s3 = session.client("s3")
    try:
        tags = s3.get_bucket_tagging(Bucket=config.bucket)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        tags = []

    def delete() -> None:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=config.bucket):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            if objects:
                answer = s3.delete_objects(Bucket=config.bucket, Delete={"Objects": objects, "Quiet": True})
                _raise_first(config.bucket, answer.get("Errors", []))
        s3.delete_bucket(Bucket=config.bucket)

    yield Resource("bucket", config.bucket, delete, _ours(config, tags))


def _raise_first(bucket: str, errors: list[dict[str, str]]) -> None:
    """DeleteObjects succeeds even if it could not delete some, or all, of the objects."""
    if errors:
        first = errors[0]
        raise RuntimeError(
            f'{len(errors)} object{"s" if len(errors) > 1 else ""} of the bucket "{bucket}" could not be deleted, the '
            f'first, "{first["Key"]}": {first["Message"]} ({first["Code"]}).'
        )


def _log_groups(session: boto3.Session, config: Config) -> Iterator[Resource]:
    logs = session.client("logs")
    for name in [config.job_log_group, *map(config.lambda_log_group, _function_names(config))]:
        found = batch_helpers.log_group(session, name)
        if found:
            tags = logs.list_tags_for_resource(resourceArn=found["arn"].removesuffix(":*"))["tags"]
            delete = partial(_gone_is_fine, logs.delete_log_group, logGroupName=name)
            yield Resource("log group", name, delete, _ours(config, tags))


def _roles(session: boto3.Session, config: Config) -> Iterator[Resource]:
    iam = session.client("iam")
    # Of both layouts: somebody may have tried the other one, too.
    layouts = [replace(config, role_layout=layout) for layout in ("separate", "shared")]
    for name in sorted({name for each in layouts for name in iam_helpers.role_names(each).values()}):
        try:
            tags = iam.list_role_tags(RoleName=name)["Tags"]
        except iam.exceptions.NoSuchEntityException:
            continue
        yield Resource("role", name, _role_deleter(iam, name), _ours(config, tags))


def _role_deleter(iam: Any, name: str) -> Callable[[], None]:
    def delete() -> None:
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        # For some moments IAM may still count what was just taken from the role.
        _when_not("DeleteConflict", iam.delete_role, RoleName=name)

    return delete


# Users before what they use. The functions go after the pipeline, since they answer its last callbacks; the log groups
# after the functions and the jobs, whose last lines would make them anew; the roles last: all the others use them.
_FINDERS: tuple[Callable[[boto3.Session, Config], Iterator[Resource]], ...] = (
    _pipeline,
    _rules,
    _alarms,
    _dashboard,
    _mapping,
    _queues,
    _functions,
    _job_queue,
    _compute_environment,
    _job_definitions,
    _bucket,
    _log_groups,
    _roles,
)
_REFUSED = (_rules, _queues, _functions, _job_queue, _compute_environment)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _ours(config: Config, tags: Any) -> bool:
    """Whether a resource's tags (a map, or a list of Key and Value) hold the kit's tag with this prefix."""
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    return config.tags.items() <= tags.items()


def _until_empty(look: Callable[[], Any], otherwise: str, seconds: float = 300) -> None:
    if _left(look, seconds):
        raise TimeoutError(f"After {seconds:.0f} seconds {otherwise}; run the cleanup again.")


def _left(look: Callable[[], Any], seconds: float) -> Any:
    """Look until there is nothing, at most this long; returns what is there in the end."""
    return Retrying(
        retry=retry_if_result(bool),
        wait=wait_exponential_jitter(multiplier=0.1, exp_base=1.5, max=5, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=lambda state: state.outcome.result(),
    )(look)


def _when_not(code: str, call: Callable[..., Any], seconds: float = 120, **arguments: Any) -> None:
    """Call again while AWS answers with this error code."""

    def attempt() -> ClientError | None:
        try:
            _gone_is_fine(call, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
            return error
        return None

    def give_up(state) -> None:
        raise state.outcome.result()

    Retrying(
        retry=retry_if_result(lambda error: error is not None),
        wait=wait_exponential_jitter(multiplier=0.2, exp_base=1.5, max=5, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=give_up,
    )(attempt)


def _gone_is_fine(call: Callable[..., Any], **arguments: Any) -> None:
    """Delete something that another run, or an interrupted one, may have deleted already."""
    try:
        call(**arguments)
    except ClientError as error:
        gone = ("NotFound", "NonExistent", "DoesNotExist", "NoSuch")
        if not any(word in error.response["Error"]["Code"] for word in gone):
            raise
