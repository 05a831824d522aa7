"""Cleanup deletes what is ours, all of it and nothing else, whenever it is interrupted."""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from deployment import Deployment
from fault_proxy import FaultInjectionProxy
from faults import Denied, InterruptedAt, OneItemAPage, SlowStates, Throttled, named
from servers import until

from utils import cleanup, events, iam, monitoring
from utils.cleanup import executions
from utils.cleanup.functions import function_names
from utils.config import TAG_KEY, Config
from utils.kit import deploy as deploy_kit
from utils.session import embedded_session

pytestmark = pytest.mark.slow
_numbers = itertools.count(1)


def deployment(endpoint: str, prefix: str = "") -> Deployment:
    prefix = prefix or f"sagemaker-tidy{next(_numbers):03d}"  # none begins another
    config = Config("local", prefix, "us-east-1", "000000000000")
    return Deployment(embedded_session(endpoint), config)


def everything(session: boto3.Session, text: str) -> dict[str, list[str]]:
    """Whatever has `text` in its name, by asking each service for all it has: cleanup's own finders aren't believed."""

    def names(service: str, operation: str, key: str, name: str, **arguments: Any) -> list[str]:
        pages = session.client(service).get_paginator(operation).paginate(**arguments)
        return [item if not name else item[name] for page in pages for item in page.get(key, [])]

    batch = session.client("batch")
    resources = {
        "role": names("iam", "list_roles", "Roles", "RoleName"),
        "bucket": [bucket["Name"] for bucket in session.client("s3").list_buckets()["Buckets"]],
        "queue": names("sqs", "list_queues", "QueueUrls", ""),
        "function": names("lambda", "list_functions", "Functions", "FunctionName"),
        "mapping": names("lambda", "list_event_source_mappings", "EventSourceMappings", "EventSourceArn"),
        "rule": names("events", "list_rules", "Rules", "Name"),
        "alarm": names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboard": names("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "log group": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "job queue": [q["jobQueueName"] for q in batch.describe_job_queues()["jobQueues"] if q["status"] != "DELETED"],
        "compute environment": [
            e["computeEnvironmentName"]
            for e in batch.describe_compute_environments()["computeEnvironments"]
            if e["status"] != "DELETED"
        ],
        "job definition": names(
            "batch", "describe_job_definitions", "jobDefinitions", "jobDefinitionName", status="ACTIVE"
        ),
        "pipeline": names("sagemaker", "list_pipelines", "PipelineSummaries", "PipelineName"),
    }
    return {
        kind: sorted(n for n in listed if text in n)
        for kind, listed in resources.items()
        if any(text in n for n in listed)
    }


def untag(session: boto3.Session, config: Config) -> None:
    """Take the kit's tag from all that has it, so that it only looks as if it were the kit's."""
    account, key = config.account, [TAG_KEY]
    session.client("s3").put_bucket_tagging(
        Bucket=config.bucket, Tagging={"TagSet": [{"Key": "owner", "Value": "else"}]}
    )
    for name in set(iam.role_names(config).values()):
        session.client("iam").untag_role(RoleName=name, TagKeys=key)
    for name in (config.callback_queue, config.dead_letter_queue):
        url = session.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        session.client("sqs").untag_queue(QueueUrl=url, TagKeys=key)
    functions = session.client("lambda")
    for name in function_names(config):
        functions.untag_resource(Resource=config.arn("lambda", f"function:{name}"), TagKeys=key)
        group = f"arn:aws:logs:us-east-1:{account}:log-group:{config.lambda_log_group(name)}"
        session.client("logs").untag_resource(resourceArn=group, tagKeys=key)
    group = f"arn:aws:logs:us-east-1:{account}:log-group:{config.job_log_group}"
    session.client("logs").untag_resource(resourceArn=group, tagKeys=key)
    batch = session.client("batch")
    revisions = [
        revision["jobDefinitionArn"]
        for name in (config.copy_job_definition, config.aggregate_job_definition)
        for revision in batch.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"]
    ]
    queue, environment = f"job-queue/{config.job_queue}", f"compute-environment/{config.compute_environment}"
    for arn in [*revisions, config.arn("batch", queue), config.arn("batch", environment)]:
        batch.untag_resource(resourceArn=arn, tagKeys=key)
    pipeline = config.arn("sagemaker", f"pipeline/{config.pipeline}")
    session.client("sagemaker").delete_tags(ResourceArn=pipeline, TagKeys=key)
    for name in events.rule_names(config):
        session.client("events").untag_resource(ResourceARN=config.arn("events", f"rule/{name}"), TagKeys=key)
    alarms = session.client("cloudwatch")
    for alarm in alarms.describe_alarms(AlarmNamePrefix=config.prefix)["MetricAlarms"]:
        alarms.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=key)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if config.prefix in mapping["FunctionArn"]:
            functions.untag_resource(Resource=mapping["EventSourceMappingArn"], TagKeys=key)


def push(kit: Deployment) -> None:
    """The second rule, as utils/kit.py makes it."""
    function = kit.config.arn("lambda", f"function:{kit.config.check_jobs_function}")
    events.ensure_push_rule(kit.session, kit.config, function=function)


def test_nothing_is_left_anywhere(endpoint: str) -> None:
    kit = deployment(endpoint).deploy()
    assert kit.run()["PipelineExecutionStatus"] == "Succeeded"
    before = everything(kit.session, kit.config.prefix)
    assert len(before) >= 10, before
    planned = [str(resource) for resource in cleanup.find_all(kit.session, kit.config)]
    assert everything(kit.session, kit.config.prefix) == before, "looking changes nothing"
    assert cleanup.delete_all(kit.session, kit.config) == planned
    assert everything(kit.session, kit.config.prefix) == {}
    assert cleanup.leftovers(kit.session, kit.config) == []
    assert cleanup.delete_all(kit.session, kit.config) == []


def test_what_only_looks_like_ours_survives(endpoint: str) -> None:
    kit = deployment(endpoint).deploy()
    push(kit)
    monitoring.ensure_alarms(kit.session, kit.config)
    ours = [str(resource) for resource in cleanup.find_all(kit.session, kit.config)]
    untag(kit.session, kit.config)
    before = everything(kit.session, kit.config.prefix)
    with FaultInjectionProxy(endpoint) as proxy:
        assert cleanup.delete_all(embedded_session(proxy.endpoint_url), kit.config) == []
    assert proxy.writes == []
    assert everything(kit.session, kit.config.prefix) == before
    assert cleanup.leftovers(kit.session, kit.config) == [f"not tagged, left alone: {each}" for each in ours]


@pytest.mark.thorough
def test_another_prefix_that_begins_alike_survives(endpoint: str) -> None:
    mine = deployment(endpoint, "sagemaker-alike").deploy()
    other = deployment(endpoint, "sagemaker-alike-two").deploy()
    kept = everything(other.session, "sagemaker-alike-two")
    cleanup.delete_all(mine.session, mine.config)
    assert everything(other.session, "sagemaker-alike") == kept
    assert other.run()["PipelineExecutionStatus"] == "Succeeded"


def endless(kit: Deployment, marker: str) -> None:
    """Let the aggregating jobs run until somebody ends them."""
    batch = kit.client("batch")
    (revision,) = batch.describe_job_definitions(jobDefinitionName=kit.config.aggregate_job_definition)[
        "jobDefinitions"
    ]
    kept = ("jobDefinitionName", "type", "platformCapabilities", "containerProperties", "tags")
    changed = {key: revision[key] for key in kept}
    changed["containerProperties"]["command"] = ["python", "-c", f"import time; time.sleep(600)  # {marker}"]
    batch.register_job_definition(**changed)


def test_what_runs_is_stopped_before_anything_is_deleted(endpoint: str) -> None:
    kit = deployment(endpoint).deploy()
    marker = f"marker-{kit.config.prefix}"
    endless(kit, marker)
    kit.start()
    until(lambda: len(processes(marker)) >= kit.files)
    with FaultInjectionProxy(endpoint) as proxy:
        cleanup.delete_all(embedded_session(proxy.endpoint_url), kit.config)
    assert proxy.writes.index("sagemaker:StopPipelineExecution") < proxy.writes.index("sagemaker:DeletePipeline")
    assert proxy.writes.index("sagemaker:DeletePipeline") < proxy.writes.index("lambda:DeleteFunction")
    until(lambda: not processes(marker))
    assert everything(kit.session, kit.config.prefix) == {}


def function_is_broken(kit: Deployment) -> None:
    never = 'return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in event["Records"]]}'
    replace_code(kit, kit.config.check_jobs_function, f"def lambda_handler(event, context): {never}")


def function_is_gone(kit: Deployment) -> None:
    kit.client("lambda").delete_function(FunctionName=kit.config.check_jobs_function)


def mapping_is_off(kit: Deployment) -> None:
    kit.client("lambda").update_event_source_mapping(UUID=mapping_id(kit), Enabled=False)


def mapping_is_gone(kit: Deployment) -> None:
    kit.client("lambda").delete_event_source_mapping(UUID=mapping_id(kit))


def replace_code(kit: Deployment, function: str, text: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("lambda_function.py", text)
    kit.client("lambda").update_function_code(FunctionName=function, ZipFile=archive.getvalue())


def waiting_for_nobody(kit: Deployment, broken: Callable[[Deployment], None]) -> tuple[str, str]:
    """An execution whose step waits for jobs that run on, and nobody to answer it; with what marks its processes."""
    marker = f"endless-{kit.config.prefix}"
    kit.deploy()
    endless(kit, marker)
    execution = kit.start()
    until(lambda: kit.steps(execution).get("WaitForAggregates", ("",))[0] == "Executing" and processes(marker))
    broken(kit)
    return execution, marker


@pytest.mark.sampled(1)
@pytest.mark.parametrize("broken", [function_is_broken, function_is_gone, mapping_is_off, mapping_is_gone])
def test_it_finishes_when_nobody_answers_the_steps(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Deployment], None]
) -> None:
    monkeypatch.setattr(executions, "GRACE_SECONDS", 3)
    kit = deployment(endpoint)
    _, marker = waiting_for_nobody(kit, broken)
    with FaultInjectionProxy(endpoint) as proxy:
        cleanup.delete_all(embedded_session(proxy.endpoint_url), kit.config)
    writes = proxy.writes
    assert writes.index("batch:TerminateJob") < writes.index("sagemaker:SendPipelineExecutionStepFailure")
    assert writes.index("sagemaker:SendPipelineExecutionStepFailure") < writes.index("sagemaker:DeletePipeline")
    until(lambda: not processes(marker))
    assert everything(kit.session, kit.config.prefix) == {}


@pytest.mark.thorough
def test_what_cant_be_stopped_is_named_and_all_else_is_deleted(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executions, "GRACE_SECONDS", 3)
    kit = deployment(endpoint)
    execution, marker = waiting_for_nobody(kit, mapping_is_gone)
    told: list[str] = []
    with FaultInjectionProxy(endpoint, [Denied(("sagemaker:SendPipelineExecutionStepFailure",))]) as proxy:
        for _ in range(2):
            with pytest.raises(cleanup.NotDeleted) as error:
                cleanup.delete_all(embedded_session(proxy.endpoint_url), kit.config, report=told.append)
    assert str(error.value) == (
        f"All but the pipeline {kit.config.pipeline} is deleted. Its execution {execution} can't be stopped, because "
        "its step WaitForAggregates waits for an answer that you may not give. Get the permission "
        "sagemaker:SendPipelineExecutionStepFailure, then run the cleanup again."
    )
    assert len(told) > 20
    until(lambda: not processes(marker))
    assert everything(kit.session, kit.config.prefix) == {"pipeline": [kit.config.pipeline]}
    assert cleanup.delete_all(kit.session, kit.config) == [f"pipeline {kit.config.pipeline}"]
    assert everything(kit.session, kit.config.prefix) == {}


def test_a_lambda_step_that_goes_on_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can end it: it runs for up to ten minutes."""
    monkeypatch.setattr(executions, "GRACE_SECONDS", 1)
    monkeypatch.setattr(executions, "LAST_SECONDS", 1)
    kit = deployment(endpoint).deploy()
    slow = "import time\ndef lambda_handler(event, context): time.sleep(20)"
    replace_code(kit, kit.config.count_inputs_function, slow)
    execution = kit.start()
    until(lambda: kit.steps(execution).get("CountInputs", ("",))[0] == "Executing")
    with pytest.raises(cleanup.NotDeleted) as error:
        cleanup.delete_all(kit.session, kit.config)
    assert str(error.value) == (
        f"All but the pipeline {kit.config.pipeline} is deleted. Its execution {execution} has not stopped, because "
        "its step CountInputs still runs. When it has ended, run the cleanup again."
    )
    monkeypatch.undo()
    assert cleanup.delete_all(kit.session, kit.config) == [f"pipeline {kit.config.pipeline}"]
    assert everything(kit.session, kit.config.prefix) == {}


def processes(marker: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if any(marker in word for word in p.info["cmdline"] or [])]


def test_jobs_of_nobodys_pipeline_are_terminated_first(endpoint: str) -> None:
    kit = deployment(endpoint).deploy()
    marker = f"alone-{kit.config.prefix}"
    overrides = {"command": ["python", "-c", f"import time; time.sleep(600)  # {marker}"]}
    submit = {"jobQueue": kit.config.job_queue, "jobDefinition": kit.config.aggregate_job_definition}
    for number in range(8):  # more than run at once: some wait
        kit.client("batch").submit_job(jobName=f"{marker}-{number}", containerOverrides=overrides, **submit)
    until(lambda: processes(marker))
    cleanup.delete_all(kit.session, kit.config)
    until(lambda: not processes(marker))
    assert everything(kit.session, kit.config.prefix) == {}


@pytest.mark.thorough
def test_it_works_throttled_page_by_page_and_slowly(endpoint: str, quick_retries: None) -> None:
    kit = deployment(endpoint).deploy()
    kit.run()
    faults = [Throttled(7), OneItemAPage(), SlowStates(2)]
    with FaultInjectionProxy(endpoint, faults) as proxy:
        session = embedded_session(proxy.endpoint_url)
        deleted = cleanup.delete_all(session, kit.config)
        assert cleanup.leftovers(session, kit.config) == []
    assert len(deleted) > 20
    assert [call for call in proxy.calls if call.error], "nothing was throttled"
    assert everything(kit.session, kit.config.prefix) == {}


@pytest.mark.thorough
def test_interrupted_at_any_write_it_finishes_when_run_again(endpoint: str) -> None:
    """Each writing call of a cleanup is once the one it dies at; the next cleanup goes on from there, and may die, too.

    A first deployment's cleanup tells the calls. Four more share them, so each of these is interrupted again and again.
    """
    first, *others = kits = [deployment(endpoint) for _ in range(5)]
    with ThreadPoolExecutor(4) as pool:  # most of the time each waits for the server
        list(pool.map(Deployment.deploy, kits))
        with FaultInjectionProxy(endpoint) as proxy:
            own = {kit.config.prefix: [kit.config.prefix, mapping_id(kit)] for kit in kits}  # all that differs
            cleanup.delete_all(embedded_session(proxy.endpoint_url), first.config)
        calls = list(dict.fromkeys(named(call) for call in proxy.calls if call.writes))
        assert len(calls) > 30

        def interrupt(kit: Deployment, fatal_calls: list[str]) -> None:
            names = dict(zip(own[first.config.prefix], own[kit.config.prefix], strict=True))
            with FaultInjectionProxy(endpoint) as proxy:
                session = embedded_session(proxy.endpoint_url)
                for fatal in fatal_calls:
                    proxy.faults = [InterruptedAt(re.sub("|".join(names), lambda match: names[match.group()], fatal))]
                    with pytest.raises(ClientError, match="The run ends here"):
                        cleanup.delete_all(session, kit.config)
            cleanup.delete_all(kit.session, kit.config)
            assert cleanup.leftovers(kit.session, kit.config) == [], fatal_calls
            assert everything(kit.session, kit.config.prefix) == {}, fatal_calls

        list(pool.map(interrupt, others, [calls[share::4] for share in range(4)]))


@pytest.mark.thorough
def test_a_build_interrupted_at_any_write_leaves_nothing_that_cleanup_does_not_find(endpoint: str) -> None:
    """Each writing call of a build is once the one it dies at, so also one between a thing's creation and its tags."""
    first, kit = deployment(endpoint), deployment(endpoint)

    def build(config: Config) -> list[str]:
        deploy_kit(session, config, program="print(1)", push=True)
        Deployment(session, config).notebook_05()
        monitoring.ensure_alarms(session, config)
        monitoring.ensure_dashboard(session, config)
        return [str(resource) for resource in cleanup.find_all(session, config)]

    with FaultInjectionProxy(endpoint) as proxy:
        session = embedded_session(proxy.endpoint_url)
        made = build(first.config)
        calls = list(dict.fromkeys(named(call) for call in proxy.calls if call.writes))
        assert len(calls) > 35
        for fatal in calls:
            proxy.faults = [InterruptedAt(fatal.replace(first.config.prefix, kit.config.prefix))]
            with pytest.raises(ClientError, match="The run ends here"):
                build(kit.config)
            assert [str(each) for each in cleanup.find_named(kit.session, kit.config) if not each.ours] == [], fatal
        proxy.faults = []
        assert build(kit.config) == [each.replace(first.config.prefix, kit.config.prefix) for each in made]
    assert set(everything(kit.session, kit.config.prefix)) == set(everything(first.session, first.config.prefix))
    for built in (first, kit):
        cleanup.delete_all(built.session, built.config)
        assert cleanup.leftovers(built.session, built.config) == []
        assert everything(built.session, built.config.prefix) == {}


def mapping_id(kit: Deployment) -> str:
    queue = kit.config.arn("sqs", kit.config.callback_queue)
    (mapping,) = kit.client("lambda").list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]
    return mapping["UUID"]


def test_the_servers_files_show_no_traceback(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    logs = [path for path in tmp_path_factory.getbasetemp().glob(f"{__name__}*/server.log") if path.exists()]
    assert logs
    for log in logs:
        assert "Traceback" not in Path(log).read_text()
