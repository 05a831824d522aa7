"""Any notebook can be run again, and two people with two prefixes share an account without meeting."""

from __future__ import annotations

import collections
import importlib.util
import threading
from pathlib import Path

import pytest
import run_inline
from deployment import Deployment
from fault_proxy import FaultInjectionProxy

from utils import cleanup, pipeline
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

# What a notebook does again when it is run again, and why that is no change of what is set up.
AGAIN = {
    # Two are refused, and the policy is put again.
    "01_iam": {"sts:AssumeRole": 1, "iam:CreateRole": 1, "iam:PutRolePolicy": 1},
    # The creating calls are refused, and the job by hand is the lesson.
    "02_batch_setup": {"batch:CreateComputeEnvironment": 1, "batch:CreateJobQueue": 1, "batch:SubmitJob": 1},
    # The function by hand, then the kit's in its place, and calls of both.
    "03_lambdas": {"lambda:CreateFunction": 1, "lambda:UpdateFunctionCode": 2, "lambda:Invoke": 6},
    # The same with the monitor, which waiting steps are given to. Until the end, the queue comes back in five seconds,
    # and the mapping is paused where the messages are taken by hand.
    "04_sqs_and_mapping": {
        "sqs:CreateQueue": 1,  # refused, as the next two
        "sagemaker:CreatePipeline": 1,
        "lambda:CreateEventSourceMapping": 1,
        "sqs:SetQueueAttributes": 2,
        "lambda:UpdateEventSourceMapping": 6,  # paused, told to ignore the list, mended
        "lambda:UpdateFunctionCode": 2,
        "lambda:UpdateFunctionConfiguration": 2,
        "lambda:Invoke": 12,
        "batch:SubmitJob": 6,
        "batch:TerminateJob": 2,  # those that were too large
        "events:PutRule": 2,  # paused, enabled
        "sagemaker:UpdatePipeline": 2,  # with one output, then with all
        "sagemaker:StartPipelineExecution": 9,
        "sagemaker:StopPipelineExecution": 2,
        "sqs:SendMessage": 1,  # the message that makes no sense
        "sqs:DeleteMessage": 9,
    },
    "05_pipeline_build": {
        "sagemaker:UpdatePipeline": 1,  # the SDK's upsert updates without comparing
        "sagemaker:CreatePipeline": 1,  # ... after it tried to create
        "sagemaker:AddTags": 1,
        "sagemaker:StartPipelineExecution": 1,  # running it is the lesson
    },
    "06_monitoring": {
        "s3:CopyObject": 11,  # a month is missing, and its run
        "sagemaker:StartPipelineExecution": 1,
        "sqs:SendMessage": 1,  # the drill that sets off an alarm
        "sqs:DeleteMessage": 1,
    },
    "07_cleanup": {},
}

# What the scope of a signature calls a service, and what permissions call it.
PERMISSIONS_OF = {"monitoring": "cloudwatch", "tagging": "tag"}


def documented() -> set[str]:
    """The calls of docs/aws_calls.md."""
    path = Path(__file__).parents[2] / "docs" / "aws_calls.py"
    spec = importlib.util.spec_from_file_location("aws_calls", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.CALLS)


@pytest.mark.thorough
def test_a_second_run_of_any_notebook_changes_nothing_and_each_call_is_documented(endpoint: str) -> None:
    surplus, called = {}, set()
    # One proxy for all: an address that changes would be a change of settings.
    with FaultInjectionProxy(endpoint) as proxy, run_inline.local(proxy.endpoint_url):
        for notebook in run_inline.NOTEBOOKS:
            for run in (1, 2):
                proxy.calls.clear()
                run_inline.run(notebook, prefix="sagemaker-twice")
                called |= {f"{PERMISSIONS_OF.get(c.service, c.service)}:{c.operation}" for c in proxy.calls}
                if run == 1 and not proxy.writes:
                    surplus[notebook.stem] = {"its first run": "made nothing, so the test would prove nothing"}
            more = collections.Counter(proxy.writes) - collections.Counter(AGAIN[notebook.stem])
            if more:
                surplus[notebook.stem] = dict(more)
    assert surplus == {}
    assert called == documented(), "bring docs/aws_calls.py up to date, and run it"


def test_every_helper_twice_writes_nothing(endpoint: str) -> None:
    with FaultInjectionProxy(endpoint) as proxy:
        kit = Deployment(
            embedded_session(proxy.endpoint_url), Config("local", "sagemaker-again", "us-east-1", "0" * 12)
        )
        kit.deploy()
        first = len(proxy.writes)
        kit.deploy()
    assert first > 20
    assert proxy.writes[first:] == []


@pytest.mark.thorough
def test_two_learners_at_once_do_not_meet(endpoint: str) -> None:
    """One's prefix begins like the other's; both set up, run twice and clean up, at the same time."""
    kits = [
        Deployment(embedded_session(endpoint), Config("local", prefix, "us-east-1", "0" * 12))
        for prefix in ("sagemaker-class", "sagemaker-class-b")
    ]
    problems: list[str] = []
    together = threading.Barrier(2, timeout=300)

    def learn(kit: Deployment) -> None:
        try:
            kit.deploy()
            for _ in range(2):
                together.wait()
                ended = kit.run()
                if ended["PipelineExecutionStatus"] != "Succeeded":
                    problems.append(f"{kit.config.prefix}: {ended.get('FailureReason')}")
        except Exception as error:  # noqa: BLE001, reported below
            problems.append(f"{kit.config.prefix}: {error!r}")
            together.abort()

    threads = [threading.Thread(target=learn, args=(kit,)) for kit in kits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    batch = kits[0].client("batch")
    for kit in kits:
        summaries = batch.list_jobs(jobQueue=kit.config.job_queue, jobStatus="SUCCEEDED")["jobSummaryList"]
        assert len(summaries) == 2 * 2 * kit.files
        mine = {arn.rsplit("/", 1)[1] for arn in _executions(kit)}
        assert {summary["jobName"].split("-")[0] for summary in summaries} == mine
    # One cleans up while the other runs.
    execution = kits[1].start()
    cleanup.delete_all(kits[0].session, kits[0].config)
    assert cleanup.leftovers(kits[0].session, kits[0].config) == []

    assert (
        pipeline.wait_for_execution(kits[1].session, execution, seconds=120)["PipelineExecutionStatus"] == "Succeeded"
    )


def _executions(kit: Deployment) -> list[str]:
    listed = kit.client("sagemaker").list_pipeline_executions(PipelineName=kit.config.pipeline)
    return [summary["PipelineExecutionArn"] for summary in listed["PipelineExecutionSummaries"]]
