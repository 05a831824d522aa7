"""The person at the notebooks needs what policies/operator.json allows, and nothing of it is too much.

An IAM user begins with nothing and works through the tutorial. At every refusal of an action, the user is given all of
operator.json but this one action, and the cell that failed is run again: it must be refused the same. So of each action
of each statement it was seen that without it a named cell fails. Then the action is granted, and the work goes on. What
is left over at the end is too much, unless NOT_SEEN_HERE says why AWS asks for it.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import run_inline
from deployment import Deployment
from fault_proxy import FaultInjectionProxy
from servers import allow, package, until

import local_aws
from utils import data, events, iam, monitoring, preflight
from utils.cleanup import executions
from utils.config import Config
from utils.session import embedded_session

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

PREFIX, REGION = "sagemaker-operator", "eu-central-1"
# Action: why AWS needs it although nothing here asks for it, and where AWS says so.
LAMBDA = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html"
NOT_SEEN_HERE = {
    "iam:CreateServiceLinkedRole": (
        "Batch's own role is made with an account's first compute environment; MiniStack has no such roles",
        "https://docs.aws.amazon.com/batch/latest/userguide/using-service-linked-roles.html",
    ),
    "logs:TagResource": (
        "a log group that is created with tags",
        "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html",
    ),
    "sqs:TagQueue": (
        "a queue that is created with tags",
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html",
    ),
    "s3:TagResource": (
        "a bucket that is created with tags",
        "https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html",
    ),
    "events:TagResource": (
        "an event rule that is created with tags",
        "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html",
    ),
    "lambda:TagResource": (
        "a function or a mapping that is created with tags",
        "https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html",
    ),
    # MiniStack lets whoever has a key do these.
    "lambda:DeleteEventSourceMapping": ("notebook 07", LAMBDA),
    "lambda:GetEventSourceMapping": ("notebook 04, until the mapping is enabled", LAMBDA),
    "lambda:UpdateEventSourceMapping": ("notebook 04, after a change", LAMBDA),
}
# These clean up after themselves. your_own_pipeline is for someone who may also make what stands for a team's.
FURTHER = [path.stem for path in run_inline.FURTHER if path.stem != "your_own_pipeline"]


@dataclass
class Operator:
    """An IAM user whose policy grows, by what was seen to be needed."""

    root: boto3.Session
    config: Config
    granted: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.statements = iam.render("operator.json", self.config)["Statement"]
        self.users = self.root.client("iam")
        self.users.create_user(UserName="operator")
        made = self.users.create_access_key(UserName="operator")["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]

    @property
    def entries(self) -> list[tuple[int, str]]:
        """(number of the statement, action) of the whole policy."""
        return [
            (number, action)
            for number, statement in enumerate(self.statements)
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        ]

    def next_with(self, action: str, piece: str) -> tuple[int, str]:
        """The next statement that allows an action the user has been refused."""
        entry = next((e for e in self.entries if e[1] == action and e not in self.granted), None)
        assert entry, f"{piece} needs {action}, which operator.json does not allow there"
        return entry

    def grant(self, entry: tuple[int, str]) -> None:
        self.granted.append(entry)
        self.allow(self.granted)

    def allow_all_but(self, entry: tuple[int, str]) -> None:
        self.allow([other for other in self.entries if other != entry])

    def allow(self, entries: list[tuple[int, str]]) -> None:
        """Give the user these actions of these statements, and no others."""
        statements = [
            {**statement, "Action": actions}
            for number, statement in enumerate(self.statements)
            if (actions := [action for n, action in entries if n == number])
        ]
        allow(self.users, "operator", statements)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    home = tmp_path_factory.mktemp("operator")
    server = local_aws.start(port=0, home=home)
    root = embedded_session(server.endpoint_url, REGION)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    yield Operator(root, Config("aws", PREFIX, REGION, run_inline.ACCOUNT))
    local_aws.stop(home)


@contextmanager
def learning(
    operator: Operator, restore: Callable[[], None] = lambda: None, first: bool = False
) -> Iterator[Callable[[str, Callable[[], Any]], None]]:
    """As the operator: `learn(name, work)` works, granting what it can't do without, until it succeeds.

    Args:
        restore: is called after work that lacked one permission has got further than with those granted so far. What
            it changed there must be as before for the next refusal to be seen.
        first: of several refusals of one try, the first is learned from, not the last. For work that goes on after a
            refusal and fails in the end.
    """
    endpoint = operator.users.meta.endpoint_url
    with (
        FaultInjectionProxy(endpoint) as proxy,
        run_inline.aws(proxy.endpoint_url, operator.key, operator.secret, REGION),
    ):

        def refused(name: str, work: Callable[[], Any]) -> str:
            """The action that this work is refused; "" when it succeeds."""
            proxy.calls.clear()
            try:
                work()
            except Exception as error:
                messages = [call.message for call in proxy.calls if "is not authorized to perform" in call.message]
                if not messages:
                    raise AssertionError(f"{name} fails, but not for a permission") from error
                return re.search(r"is not authorized to perform: ([\w:]+)", messages[0 if first else -1]).group(1)
            return ""

        def changed() -> set[str]:
            """What the work that was last tried has changed something with."""
            return {call.action for call in proxy.calls if call.writes and call.status < 400}

        def learn(name: str, work: Callable[[], Any]) -> None:
            for _ in range(60):
                action, before = refused(name, work), changed()
                if not action:
                    return
                entry = operator.next_with(action, name)
                operator.allow_all_but(entry)
                again = refused(name, work)
                assert again == action, f"{name} is refused {again or 'nothing'} without {entry}: it can be removed"
                if changed() - before:
                    restore()
                operator.grant(entry)
            raise AssertionError(f"{name} is refused again and again")

        yield learn


def notebook(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    when: str = "",
    restore: Callable[[], None] = lambda: None,
    first: bool = False,
) -> None:
    """Work through a notebook, cell by cell."""
    (path,) = (path for path in [*run_inline.NOTEBOOKS, *run_inline.FURTHER] if path.name.startswith(name))
    number = itertools.count(1)
    with learning(operator, restore, first) as learn:

        def cell(run: Callable[[], None]) -> None:
            if sdk := sys.modules.get("sagemaker.core.common_utils"):
                # The SDK's start() tries two minutes long, whatever the error is.
                monkeypatch.setattr(sdk, "time", SimpleNamespace(**vars(time) | {"sleep": lambda _: None}))
            learn(f"notebook {name}{when}, code cell {next(number)}", run)

        run_inline.run(path, cell, target="aws", prefix=PREFIX)


def deployed() -> Deployment:
    return Deployment(boto3.Session(), Config("aws", PREFIX, REGION, run_inline.ACCOUNT))


def alarms() -> None:
    monitoring.ensure_alarms(deployed().session, deployed().config)


def look() -> None:
    """The preflight tells what it may not look at, rather than fail."""
    checks = preflight.check(deployed().session, deployed().config)
    blind = checks[checks["remedy"].str.startswith("not checked")]
    assert blind.empty, blind


def drifted(operator: Operator) -> None:
    """Somebody has changed everything by hand; the notebooks must put it right."""
    config, root = operator.config, operator.root
    roles, functions, sqs = root.client("iam"), root.client("lambda"), root.client("sqs")
    name = config.pipeline_role
    trust = json.dumps(iam.render("trust.json", config, service="sagemaker.amazonaws.com"))
    roles.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    roles.untag_role(RoleName=name, TagKeys=list(config.tags))
    for function in (config.submit_jobs_function, config.check_jobs_function):
        functions.update_function_configuration(FunctionName=function, Description="changed", Timeout=33)
        functions.update_function_code(FunctionName=function, ZipFile=package()["ZipFile"])
    url = sqs.get_queue_url(QueueName=config.callback_queue)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77", "MessageRetentionPeriod": "999"})
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=3)
    jobs = root.client("batch")
    jobs.update_job_queue(jobQueue=config.job_queue, priority=9)
    jobs.update_compute_environment(computeEnvironment=config.compute_environment, computeResources={"maxvCpus": 2})
    alarms = root.client("cloudwatch")
    for alarm in alarms.describe_alarms(AlarmNamePrefix=config.prefix)["MetricAlarms"]:
        alarms.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=list(config.tags))


def bucket_without_tags(operator: Operator) -> None:
    """As an older boto3 leaves it, interrupted between creating and tagging it."""
    where = {"LocationConstraint": REGION}
    operator.root.client("s3").create_bucket(Bucket=operator.config.bucket, CreateBucketConfiguration=where)


def bucket() -> None:
    data.ensure_bucket(deployed().session, deployed().config.bucket, tags=deployed().config.tags)


def running(operator: Operator) -> None:
    """When the cleanup begins, a job of nobody's is under way, and an execution that waits for an answer in vain."""
    client, name = operator.root.client("batch"), operator.config.aggregate_job_definition
    newest = max(client.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"], key=lambda r: r["revision"])
    kept = ("jobDefinitionName", "type", "platformCapabilities", "containerProperties", "tags")
    endless = {key: newest[key] for key in kept}
    endless["containerProperties"]["command"] = ["python", "-c", "import time; time.sleep(3000)"]
    client.register_job_definition(**endless)
    client.submit_job(jobName="left", jobQueue=operator.config.job_queue, jobDefinition=name)
    functions, sagemaker = operator.root.client("lambda"), operator.root.client("sagemaker")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    execution = sagemaker.start_pipeline_execution(PipelineName=operator.config.pipeline)["PipelineExecutionArn"]

    def waits() -> bool:
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        return any("Callback" in step.get("Metadata", {}) and step["StepStatus"] == "Executing" for step in steps)

    until(waits)


def all_of_it(operator: Operator) -> None:
    """Whatever a cleanup that lacked one permission has deleted is there again, and at work."""
    made = Deployment(operator.root, operator.config).deploy()
    monitoring.ensure_alarms(operator.root, operator.config)
    monitoring.ensure_dashboard(operator.root, operator.config)
    events.ensure_push_rule(
        made.session, made.config, function=made.config.arn("lambda", f"function:{made.config.check_jobs_function}")
    )
    running(operator)


def test_the_operators_policy_is_enough_and_not_too_much(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    # Notebook 01 and deploy() would refuse to begin while something is missing, or unseen; here it is to find out what.
    monkeypatch.setattr(preflight, "require", lambda *_, **__: None)
    for name in ("01", "02", "03", "04", "05", "06"):
        notebook(operator, monkeypatch, name)
    drifted(operator)
    for name in ("01", "02", "03", "04", "05"):
        notebook(operator, monkeypatch, name, " after changes by hand")
    with learning(operator) as learn:
        learn("notebook 06's alarms after changes by hand", alarms)
        learn("the preflight", look)
    running(operator)
    monkeypatch.setattr(executions, "GRACE_SECONDS", 2)
    # A step that may not be answered holds the pipeline only, and the cleanup goes on.
    notebook(operator, monkeypatch, "07", restore=lambda: all_of_it(operator), first=True)
    all_of_it(operator)
    notebook(operator, monkeypatch, "07", " with all that it needs")
    for name in FURTHER:
        notebook(operator, monkeypatch, name)
    bucket_without_tags(operator)
    with learning(operator) as learn:
        learn("notebook 02's bucket after an interruption", bucket)
    needless = [entry for entry in operator.entries if entry not in operator.granted]
    too_much = [action for _, action in needless if action not in NOT_SEEN_HERE]
    assert not too_much, f"never asked for: {', '.join(too_much)}"
    assert {action for _, action in needless} == set(NOT_SEEN_HERE), "an action that is seen must not be listed"
