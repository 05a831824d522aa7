"""Roles and their policies (notebook 01). Each task has a role with the permissions that it needs.

The policies are JSON templates in `utils/policies/`. The configuration fills in each `${name}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from .config import Config
from .support.waiting import retry_on

POLICIES = Path(__file__).parent / "policies"
INLINE_POLICY = "permissions"

# The inline policy's name in roles of earlier versions. Left beside the new one, it would keep what the new one drops.
FORMER_INLINE_POLICY = "what-its-task-needs"

# Task of a role: the service that assumes it, its permissions and its trust policy. SageMaker and ECS say on whose
# behalf they assume a role (aws:SourceAccount, aws:SourceArn), so a trust policy can shut the confused deputy out:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
# Lambda's guide has no example of it: see docs/security.md.
TASKS = {
    "pipeline": ("sagemaker.amazonaws.com", "pipeline.json", "trust_pipeline.json"),
    "submit_lambda": ("lambda.amazonaws.com", "submit_lambda.json", "trust.json"),
    "monitor_lambda": ("lambda.amazonaws.com", "monitor_lambda.json", "trust.json"),
    "data_lambda": ("lambda.amazonaws.com", "data_lambda.json", "trust.json"),
    "batch_job": ("ecs-tasks.amazonaws.com", "batch_job.json", "trust_tasks.json"),
    "batch_execution": ("ecs-tasks.amazonaws.com", "batch_execution.json", "trust_tasks.json"),
}

# The article's way: one role, trusted by all three services, with AWS's broad managed policies.
SHARED_MANAGED_POLICIES = (
    "AWSBatchFullAccess",
    "AmazonS3FullAccess",
    "AmazonSQSFullAccess",
    "AmazonSageMakerFullAccess",
    "AWSLambda_FullAccess",
    "CloudWatchLogsFullAccess",
)


class NameConflict(RuntimeError):
    """A resource has one of the kit's names, but not the kit's tag. The message says which, why, and what to do."""

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        super().__init__(f"The {what} exists and is not this kit's, since {why}. Choose another prefix, or delete it.")


def render(template: str, config: Config, **extra: str) -> dict[str, Any]:
    """A policy template of `utils/policies/`, with each placeholder filled in from the `Config` attribute of its name.

    A statement is left out when its resources are a list of placeholders and none of them has a value.

    Args:
        template: the file's name, such as "submit_lambda.json".
        extra: placeholders that are not part of the configuration, such as `service`.

    Raises:
        KeyError: the template has a placeholder that nothing fills.
    """

    def value(name: str) -> Any:
        filled = extra.get(name) or getattr(config, name, None)
        if not isinstance(filled, str | tuple):
            raise KeyError(f"{template} has ${{{name}}}, which nothing fills. Pass {name}=... to render.")
        return filled

    document = _filled(json.loads((POLICIES / template).read_text()), value)
    if "Statement" in document:
        document["Statement"] = [each for each in document["Statement"] if each.get("Resource") != []]
    return document


# Only bare names: "${aws:username}" is a variable of IAM's own and stays.
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def _filled(node: Any, value: Callable[[str], Any]) -> Any:
    """A part of a template with its placeholders filled in.

    In a list, a text with the placeholder of several values stands for a text with each. A list that such placeholders
    leave with one text becomes that text.
    """
    if isinstance(node, dict):
        return {key: _filled(item, value) for key, item in node.items()}
    if isinstance(node, str):
        return _PLACEHOLDER.sub(lambda match: value(match.group(1)), node)
    if not isinstance(node, list):
        return node
    filled, several = [], False
    for item in node:
        names = _PLACEHOLDER.findall(item) if isinstance(item, str) else []
        of_several = next((name for name in names if isinstance(value(name), tuple)), None)
        if of_several is None:
            filled.append(_filled(item, value))
            continue
        several = True
        for one in value(of_several):
            filled.append(_filled(item.replace(f"${{{of_several}}}", one), value))
    return filled[0] if several and len(filled) == 1 else filled


def role_names(config: Config) -> dict[str, str]:
    """Each task's role name. In the "shared" layout all tasks have the same."""
    return {task: getattr(config, f"{task}_role") for task in TASKS}


def ensure_roles(session: boto3.Session, config: Config) -> dict[str, str]:
    """Create the roles, or bring existing ones up to date.

    Returns:
        Each task's role ARN.

    Raises:
        ClientError: AccessDenied without the iam actions of `policies/operator.json`.
        NameConflict: a role of that name is not the kit's. Then no role was created or changed.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-service.html
    """
    check_roles(session, config)
    if config.role_layout == "shared":
        arn = ensure_role(
            session,
            config.pipeline_role,
            trust=_trust(config, "pipeline"),
            managed_policy_arns=_managed_policies(config),
            tags=config.tags,
        )
        return dict.fromkeys(TASKS, arn)
    arns = {}
    for task, (_, permissions, _) in TASKS.items():
        arns[task] = ensure_role(
            session,
            getattr(config, f"{task}_role"),
            trust=_trust(config, task),
            policy=render(permissions, config),
            tags=config.tags,
        )
    return arns


def check_roles(session: boto3.Session, config: Config) -> None:
    """Check that the existing roles are the kit's. Changes nothing.

    Raises:
        NameConflict: a role lacks our tag, and trusts another service or has policies that the kit gives no role.
    """
    for refusal in foreign_roles(session, config):
        raise refusal


def foreign_roles(session: boto3.Session, config: Config) -> Iterator[NameConflict]:
    """A `NameConflict` for each role that has one of the kit's names and is not the kit's."""
    iam = session.client("iam")
    for name, task in {name: task for task, name in role_names(config).items()}.items():
        try:
            role = iam.get_role(RoleName=name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            continue
        if config.tags.items() <= {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}.items():
            continue
        what = f'role "{name}"'
        if _trusted(role["AssumeRolePolicyDocument"]) != _trusted(_trust(config, task)):
            yield NameConflict(what, "it lacks our tag and is trusted to somebody else")
            continue
        inline = set(iam.list_role_policies(RoleName=name)["PolicyNames"])
        attached = {each["PolicyArn"] for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]}
        if inline - {INLINE_POLICY, FORMER_INLINE_POLICY} or attached - set(_managed_policies(config)):
            yield NameConflict(what, "it lacks our tag and has other policies")


def _trusted(policy: dict[str, Any]) -> list[Any]:
    return [statement.get("Principal") for statement in policy["Statement"]]


def _trust(config: Config, task: str) -> dict[str, Any]:
    if config.role_layout == "shared":
        services = sorted({service for service, _, _ in TASKS.values()})
        trust = render("trust.json", config, service=services[0])
        trust["Statement"][0]["Principal"]["Service"] = services
        return trust
    service, _, template = TASKS[task]
    return render(template, config, service=service)


def _managed_policies(config: Config) -> list[str]:
    """The managed policies that the kit attaches, which is only in the "shared" layout."""
    names = SHARED_MANAGED_POLICIES if config.role_layout == "shared" else ()
    return [f"arn:{config.partition}:iam::aws:policy/{name}" for name in names]


def ensure_role(
    session: boto3.Session,
    name: str,
    *,
    trust: dict[str, Any],
    policy: dict[str, Any] | None = None,
    managed_policy_arns: Sequence[str] = (),
    tags: dict[str, str],
) -> str:
    """Create a role or update its trust policy, inline policy and attached policies. Write only what differs.

    Returns:
        The role's ARN.
    """
    iam = session.client("iam")
    existed = True
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        existed = False
        role = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=_tag_list(tags), MaxSessionDuration=3600
        )["Role"]
    else:
        if role["AssumeRolePolicyDocument"] != trust:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        if not tags.items() <= {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}.items():
            iam.tag_role(RoleName=name, Tags=_tag_list(tags))
    if policy is not None and (current := inline_policy(session, name)) != policy:
        if existed and current is None:
            _delete_former_policy(session, name)
        iam.put_role_policy(RoleName=name, PolicyName=INLINE_POLICY, PolicyDocument=json.dumps(policy))
    attached = {each["PolicyArn"] for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]}
    for arn in managed_policy_arns:
        if arn not in attached:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return role["Arn"]


def _delete_former_policy(session: boto3.Session, role: str) -> None:
    iam = session.client("iam")
    with suppress(iam.exceptions.NoSuchEntityException):  # no earlier version made this role
        iam.delete_role_policy(RoleName=role, PolicyName=FORMER_INLINE_POLICY)


def inline_policy(session: boto3.Session, role: str) -> dict[str, Any] | None:
    """The permissions `ensure_role` gave a role, or None."""
    iam = session.client("iam")
    try:
        return iam.get_role_policy(RoleName=role, PolicyName=INLINE_POLICY)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None


def role_arn(session: boto3.Session, name: str) -> str:
    """The ARN of a role that notebook 01 made.

    Raises:
        LookupError: there is no such role. Run notebook 01 first.
    """
    iam = session.client("iam")
    try:
        return iam.get_role(RoleName=name)["Role"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        raise LookupError(f'There is no role "{name}". Run notebook 01_iam with the same prefix first.') from None


def permissions(policy: dict[str, Any]) -> list[tuple[str, str]]:
    """(action, resource) pairs of a policy, for showing it as a table."""
    pairs = []
    for statement in policy["Statement"]:
        actions, resources = statement["Action"], statement["Resource"]
        for action in [actions] if isinstance(actions, str) else actions:
            pairs += [(action, resource) for resource in ([resources] if isinstance(resources, str) else resources)]
    return pairs


def is_allowed(session: boto3.Session, role_arn: str, action: str, resource: str) -> bool:
    """Whether a role's policies allow an action on a resource, by IAM's own simulator.

    Args:
        action: such as "batch:SubmitJob".
        resource: an ARN of a type that the action applies to. For any other type the simulator answers no.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
    """
    answer = session.client("iam").simulate_principal_policy(
        PolicySourceArn=role_arn, ActionNames=[action], ResourceArns=[resource]
    )
    return answer["EvaluationResults"][0]["EvalDecision"] == "allowed"


def retry_iam_propagation(seconds: float = 60):
    """A decorator that calls again while a service can't assume a role yet, or misses its permissions.

    IAM is eventually consistent: a new role or policy may be unknown elsewhere for some seconds.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
    """
    return retry_on(is_not_assumable_yet, seconds=seconds, first_pause=0.5)


def is_not_assumable_yet(error: ClientError) -> bool:
    """Whether a call failed only because another service does not know a new role or policy yet."""
    # A refusal is no matter of time; it names the caller, often an "assumed-role", so its words would look alike.
    if "AccessDenied" in error.response["Error"]["Code"]:
        return False
    message = error.response["Error"]["Message"].lower()
    words = ("assume", "does not exist", "not valid", "does not have permissions")
    return "role" in message and any(word in message for word in words)


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
