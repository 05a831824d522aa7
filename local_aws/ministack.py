"""MiniStack, embedded: the only file that touches its internals.

MiniStack (MIT) emulates IAM, STS, S3, SQS, Lambda, EventBridge, CloudWatch and the rest of what the kit calls. Our own
services borrow six things from it: its signature and policy checks, its role sessions, its event bus, its log groups,
its register of tags and its default VPC. The version is pinned; what we rely on, `tests/local_aws/test_core_server.py`
and `test_core_scopes.py` state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from local_aws.protocol import ApiError, Request

ACCOUNT = "000000000000"
# MiniStack's name for the services the kit calls; what is not named here is neither loaded nor served.
SERVICES = "iam,sts,s3,sqs,lambda,events,logs,ec2,tagging,monitoring"
SESSION_SECONDS = 3600
EVENTS = "events.amazonaws.com"

log = logging.getLogger("local_aws.ministack")
_endpoint_url = ""


def load(port: int, state_dir: Path | None) -> Callable:
    """Configure MiniStack for this process and return its ASGI application. Call once, before anything else here."""
    global _endpoint_url
    _endpoint_url = f"http://127.0.0.1:{port}"
    settings = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # else it listens on 0.0.0.0:8883
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SERVICES": SERVICES,
        "DOCKER_HOST": "unix:///nonexistent",  # Lambda handlers run as local processes; no containers are looked for
    }
    if state_dir:
        settings |= {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state_dir / "ministack"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state_dir / "s3"),
        }
    os.environ.update(settings)
    from ministack import app

    _shut_ministacks_own_doors()
    _authorize_on_awss_resources()
    _check_the_roles_of_functions()
    _let_rules_reach_what_lets_them()
    _tell_what_a_handler_raised()
    _wait_for_a_functions_last_lines()
    _end_functions_with_the_server()
    _add_managed_policies()
    _tell_which_policy_is_attached()
    _fill_in_the_callers_name()
    _simulate_with_the_calls_context()
    return app.app


def _shut_ministacks_own_doors() -> None:
    """Of what MiniStack answers beside AWS's services nothing is left, and so nothing that it does not authenticate.

    That is its health, its reset and its settings, sign-in pages, a registry of images, and more found by a path or a
    host. For S3, `/health` is a bucket like any other. A bucket that is named in the host stays.
    """
    from ministack import app
    from ministack.core import router

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    async def buckets_host(
        method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str, **_: Any
    ) -> tuple | None:
        if router.detect_service(method, path, headers, query) != "s3":
            return None
        answer = await app._handle_s3_vhost_request(headers.get("host", ""), path, method, headers, body, query)
        return app._with_data_plane_headers(answer, request_id, include_s3_id=True, wildcard_cors=False)

    app._handle_pre_body_request = app._handle_post_body_shortcuts = nothing
    app._handle_special_data_plane_request = buckets_host


def _authorize_on_awss_resources() -> None:
    """MiniStack asks for some calls whether they are allowed on "*", where AWS names what they are about.

    And a role's ARN has its path, if it has one; of GetAccountSettings of Lambda MiniStack asks nothing.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    """
    from ministack.core import iam_actions
    from ministack.services import iam

    known, known_action = iam_actions.extract_resource_arn, iam_actions._lambda_action

    @functools.wraps(known)
    def extract(
        service: str, method: str, path: str, headers: dict, body: bytes, query: dict, region: str, account: str
    ) -> str:
        arn = known(service, method, path, headers, body, query, region, account)
        if service == "lambda" and arn == "*" and method == "POST" and path.rstrip("/").endswith("/functions"):
            name = str(_body(body).get("FunctionName", ""))  # CreateFunction
            return name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{account}:function:{name}"
        if service == "iam" and arn == "*":  # SimulatePrincipalPolicy
            return str((query.get("PolicySourceArn") or ["*"])[0])
        if service == "iam" and ":role/" in arn:
            role = iam._roles.get_scoped(account, None, arn.rpartition("/")[2])
            return role["Arn"] if role else arn
        if service == "events":
            tagged = str(_body(body).get("ResourceARN") or _body(body).get("Rule") or "")
            if arn == "*" and tagged:  # tags of a rule; its targets
                return tagged if tagged.startswith("arn:") else f"arn:aws:events:{region}:{account}:rule/{tagged}"
            return arn.replace(":rule/default/", ":rule/")  # the default bus is not named
        if service == "monitoring":
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            return _cloudwatch_arn(operation, _body(body), region, account) or arn
        return arn

    @functools.wraps(known_action)
    def lambda_action(method: str, path: str) -> str | None:
        if method == "GET" and path.rstrip("/").endswith("/account-settings"):
            return "GetAccountSettings"
        return known_action(method, path)

    iam_actions.extract_resource_arn, iam_actions._lambda_action = extract, lambda_action


def _cloudwatch_arn(operation: str, params: dict[str, Any], region: str, account: str) -> str:
    """The alarm or the dashboard that a call to CloudWatch is about; "" where it is neither."""
    alarms, dashboards = f"arn:aws:cloudwatch:{region}:{account}:alarm:", f"arn:aws:cloudwatch::{account}:dashboard/"
    if operation == "DescribeAlarms":
        return f"{alarms}*"  # whichever are asked for
    for prefix, names in (
        ("", [params.get("ResourceARN")]),
        (alarms, params.get("AlarmNames")),
        (dashboards, [params.get("DashboardName")]),
        (dashboards, params.get("DashboardNames")),
    ):
        if names and names[0]:
            return f"{prefix}{names[0]}"
    return ""


def _check_the_roles_of_functions() -> None:
    """`guards.check` where a function is made or changed, by whatever spelling of the path the call got there."""
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc

    from local_aws import guards

    def checked(known: Callable[..., tuple]) -> Callable[..., tuple]:
        @functools.wraps(known)
        def call(*arguments: Any) -> tuple:
            params = arguments[-1]
            role = params.get("Role") if isinstance(params, dict) else None
            try:
                if isinstance(role, str):
                    guards.check(_caller("lambda", lambda_svc._request_access_key.get()), role)
            except ApiError as error:
                return error_response_json(error.code, error.message, error.status)
            return known(*arguments)

        return call

    lambda_svc._create_function = checked(lambda_svc._create_function)
    lambda_svc._update_config = checked(lambda_svc._update_config)


def _let_rules_reach_what_lets_them() -> None:
    """EventBridge reaches a function or a queue only if that one's own policy allows it; MiniStack does not ask.

    On AWS the event is lost then, as a failed invocation:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    from ministack.core import iam_evaluator as iam
    from ministack.services import eventbridge, lambda_svc, sqs

    known = eventbridge._invoke_target
    policies = {
        "lambda": ("lambda:InvokeFunction", lambda_svc.function_policy_for_arn),
        "sqs": ("sqs:SendMessage", sqs.queue_policy_for_arn),
    }

    @functools.wraps(known)
    def reach(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *rest: Any, **more: Any) -> None:
        arn = target.get("Arn", "")
        action, policy_of = policies.get(arn.split(":")[2] if arn.count(":") > 2 else "", ("", None))
        if policy_of:
            account = rule["Arn"].split(":")[4]
            context = iam.EvalContext(
                principal_arn=EVENTS, principal_type="Service", principal_account=account, action=action,
                resource_arn=arn, region=rule["Arn"].split(":")[3],
                service_context={"aws:sourcearn": rule["Arn"], "aws:sourceaccount": account},
            )  # fmt: skip
            policy, _ = policy_of(arn) or (None, None)
            if iam.evaluate_resource_policy(policy, context, service=EVENTS).decision != "Allow":
                log.warning("%s has no policy that lets the rule %s reach it: an event is lost.", arn, rule["Arn"])
                return
        known(target, event, rule, *rest, **more)

    eventbridge._invoke_target = reach


def _tell_what_a_handler_raised() -> None:
    """A function's error has its exception's name as its type; MiniStack says "Runtime.HandlerError" of all.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    from ministack.services import lambda_svc

    known = lambda_svc._execute_function_warm

    @functools.wraps(known)
    def execute(func: dict, event: Any, request_id: str) -> dict:
        answer = known(func, event, request_id)
        body = answer.get("body")
        if answer.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            begin = body["errorMessage"].partition("\n")[0]
            # The traceback's last line: "module.Exception: message", or the name alone.
            message = f": {re.escape(begin)}" if begin else "$"
            raised = re.findall(rf"^(?:\w+\.)*(\w+){message}", answer.get("log", "").rstrip(), re.MULTILINE)
            if raised:
                body["errorType"] = raised[-1]
        return answer

    lambda_svc._execute_function_warm = execute


def _wait_for_a_functions_last_lines() -> None:
    """A busy machine may take longer than MiniStack's 5 milliseconds to bring the next line a function has printed.

    What came later would be logged with the function's next invocation, if there is one.
    """
    from ministack.core.lambda_runtime import Worker

    Worker._drain_stderr_bounded.__defaults__ = (0.100, 0.030, 2.0)  # first_line_wait, idle_confirm, hard_cap


def _end_functions_with_the_server() -> None:
    """A function that runs when the server is killed would run on, beside its second invocation after a restart."""
    from ministack.core import lambda_runtime

    lambda_runtime._PYTHON_WORKER_SCRIPT = _END_WITH_THE_SERVER + lambda_runtime._PYTHON_WORKER_SCRIPT


# Standard input is a pipe of which the server alone has the other end. Only its end is waited for; nothing is read.
_END_WITH_THE_SERVER = """
def _end_with_the_server():
    import os, select, threading

    def watch():
        pipe = select.poll()
        pipe.register(0, 0)
        pipe.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

_end_with_the_server()
"""


def _add_managed_policies() -> None:
    """AWS's own policies that the article attaches to its one role and MiniStack does not have, in AWS's words.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
    """
    from ministack.services import iam

    for name, policy in json.loads((Path(__file__).parent / "managed_policies.json").read_text()).items():
        arn = f"arn:aws:iam::aws:policy/{name}"
        if arn not in iam._aws_managed_policies:
            document = json.dumps(policy["document"])
            iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, document, "")


def _tell_which_policy_is_attached() -> None:
    """A policy may say which managed policies one may attach and detach: iam:PolicyARN, which MiniStack leaves out.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """
    from ministack.core import iam_actions

    known = iam_actions.request_tag_context

    @functools.wraps(known)
    def context(service: str, action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        told = known(service, action, body, params)
        if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
            told["iam:PolicyARN"] = str((params.get("PolicyArn") or [""])[0])
        return told

    iam_actions.request_tag_context = context


def _fill_in_the_callers_name() -> None:
    """`${aws:username}` in a policy's resources is the name of the user who calls; MiniStack takes it as it stands.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    from ministack.core import iam_evaluator

    known, variable = iam_evaluator.evaluate, "${aws:username}"

    @functools.wraps(known)
    def evaluate(context: Any, *policies: list[list[Any]]) -> Any:
        name = context.principal_keys.get("aws:username")

        def filled_in(statement: Any) -> Any:
            resources = [each.replace(variable, name) for each in statement.resources]
            return dataclasses.replace(statement, resources=resources)

        if name:
            policies = tuple([[filled_in(one) for one in policy] for policy in limit] for limit in policies)
        return known(context, *policies)

    iam_evaluator.evaluate = evaluate


def _simulate_with_the_calls_context() -> None:
    """IAM's simulator is told of the call in ContextEntries, which MiniStack leaves out.

    And MiniStack takes a principal's path for a part of its name, of which there are no policies then.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, _gather_user_policies, evaluate
    from ministack.services import iam

    known = iam._extract_simulate_params
    decisions = {"Allow": "allowed", "Deny": "explicitDeny", "ImplicitDeny": "implicitDeny"}

    def members(params: dict, name: str) -> list[str]:
        return list(itertools.takewhile(bool, (iam._p(params, f"{name}.member.{n}") for n in itertools.count(1))))

    def extract(params: dict) -> tuple[list[str], tuple[str, dict[str, Any]]]:
        actions, resource = known(params)
        entries = range(1, 1 + len({name.split(".")[2] for name in params if name.startswith("ContextEntries.")}))
        context = {
            iam._p(params, f"ContextEntries.member.{n}.ContextKeyName").lower(): members(
                params, f"ContextEntries.member.{n}.ContextKeyValues"
            )
            for n in entries
        }
        return actions, (resource, {key: values[0] if len(values) == 1 else values for key, values in context.items()})

    def build(actions: list, about: tuple[str, dict], principal: str, account: str, policies: list) -> str:
        resource, context = about
        if principal.count("/") > 1:
            policies_of = _gather_role_policies if ":role/" in principal else _gather_user_policies
            policies = policies_of(principal.rpartition("/")[2], account)
        answer = ""
        for action in actions:
            asked = EvalContext(
                principal_arn=principal, principal_type="User", principal_account=account, action=action,
                resource_arn=resource, region=context.get("aws:requestedregion", ""), secure_transport=False,
                service_context=context,
            )  # fmt: skip
            decision = decisions[evaluate(asked, policies).decision if policies else "ImplicitDeny"]
            answer += (
                f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
                f"</EvalResourceName><EvalDecision>{decision}</EvalDecision></member>"
            )
        return answer

    iam._extract_simulate_params, iam._build_simulate_results_real = extract, build


def _body(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def snapshot() -> None:
    """Write MiniStack's state to its state directory, as it does itself at a clean shutdown."""
    from ministack import app
    from ministack.core import persistence

    persistence.save_all(app._build_persistence_save_dict())


def stop_functions() -> None:
    """End every Lambda function that runs: the server's end would wait for the threads that wait for them."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()


def check_scope(
    service: str, method: str, path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes
) -> None:
    """Refuse a request that MiniStack would have another service answer than the one it is signed for.

    Raises:
        ApiError: as AWS answers; 501 for a service that is not here. Also for a path that Lambda's API does not have.
    """
    from ministack import app
    from ministack.core import router

    if service not in SERVICES.split(","):
        message = f"The embedded AWS does not have the service {service!r}; local_aws/README.md lists what it has."
        raise ApiError("NotImplementedException", message, 501)
    found = router.detect_service(method, path, headers, app._routing_params(method, path, headers, body, query))
    if found != service:
        message = f"Credential should be scoped to correct service: '{found}'."
        raise ApiError("SignatureDoesNotMatch", message, 403)
    if service == "lambda" and not _LAMBDA_PATH.fullmatch(path):
        raise ApiError("UnknownOperationException", f"Lambda has no operation at {method} {path}.", 404)


# MiniStack reads other spellings too, and another action from them than the one it takes.
_LAMBDA_PATH = re.compile(r"/\d{4}-\d\d-\d\d/[a-z-]+(?:/[^/%]+)*/?")


# --- who calls, and may they ----------------------------------------------------------------------------------------


def identify(
    method: str, raw_path: str, query: dict[str, list[str]], raw_headers: list[tuple[bytes, bytes]], body: bytes,
    client: str,
) -> Request:  # fmt: skip
    """Check a request's signature and say who sent it.

    Raises:
        ApiError: what AWS answers for a missing, unknown, expired or wrong signature.
    """
    from ministack.core import iam_evaluator, responses, router
    from ministack.core.sigv4 import decode_header_value

    headers = {name.decode("latin-1").lower(): decode_header_value(value) for name, value in raw_headers}
    responses.set_request_client_ip(client)
    iam_evaluator.pin_request_origin(client, False)
    access_key = router.extract_access_key_id(headers, query)
    try:
        responses.set_request_account_id(iam_evaluator.find_iam_access_key_account(access_key) or access_key)
    except iam_evaluator.AmbiguousAccessKeyError:
        raise ApiError(
            "UnrecognizedClientException", "The security token included in the request is invalid.", 403
        ) from None
    responses.set_request_region(router.extract_region(headers, query))
    iam_evaluator.pin_signed_request(method, raw_path, query, raw_headers)
    iam_evaluator.pin_signed_body(body)
    if not access_key:
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    failure = iam_evaluator.check_credentials(access_key)
    if failure:
        raise ApiError(_AUTH_CODES.get(failure.code, failure.code), failure.message, 403)
    iam_evaluator.pin_request_caller(headers, query)
    return _caller("", access_key)


def _caller(service: str, access_key: str) -> Request:
    """The request under way as far as it says who calls; its signature has been checked."""
    from ministack.core import iam_evaluator, responses

    return Request(
        operation="",
        params={},
        account=responses.get_account_id(),
        region=responses.get_region(),
        partition=partition(responses.get_region()),
        caller_arn=iam_evaluator.caller_arn(),
        access_key_id=access_key,
        service=service,
        authorizer=authorize,
    )


# JSON services answer an authentication failure under these names.
_AUTH_CODES = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidToken": "UnrecognizedClientException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "IncompleteSignature": "IncompleteSignatureException",
    "ExpiredToken": "ExpiredTokenException",
}


def partition(region: str) -> str:
    """The partition of a Region, by its name's prefix."""
    for prefix, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if region.startswith(prefix):
            return name
    return "aws"


def authorize(request: Request, action: str, resource_arn: str, context: dict[str, Any]) -> None:
    """Evaluate the caller's policies for one action on one resource.

    Raises:
        ApiError: AccessDeniedException in AWS's words.
    """
    from ministack.core.iam_actions import identity_denial_message
    from ministack.core.iam_evaluator import AuthError, enforce

    denied = enforce(
        request.access_key_id,
        action,
        request.service,
        request.region,
        resource_arn=resource_arn,
        service_context=context,
    )
    if denied is None:
        return
    if isinstance(denied, AuthError):
        raise ApiError(_AUTH_CODES.get(denied.code, denied.code), denied.message, 403)
    message = identity_denial_message(action, denied.principal_arn, resource_arn, denied.decision == "Deny")
    raise ApiError("AccessDeniedException", message, 403)


# --- roles -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Temporary credentials of an assumed role. `expiration` is in seconds since the epoch."""

    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(repr=False)
    role_arn: str
    session_arn: str
    expiration: float


_sessions: dict[tuple[str, str, str], Credentials] = {}


def _role(role_arn: str) -> dict[str, Any] | None:
    from ministack.services import iam

    parts = role_arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("role/"):
        return None
    role = iam._roles.get_scoped(parts[4], None, parts[5].rsplit("/", 1)[-1])
    return role if role and role["Arn"] == role_arn else None


def role_exists(role_arn: str) -> bool:
    """Whether IAM has this role."""
    return _role(role_arn) is not None


def instance_profile_role(profile: str, account: str) -> str | None:
    """The role in an EC2 instance profile (name or ARN); None when there is no such profile or no role in it."""
    from ministack.services import iam

    found = iam._instance_profiles.get_scoped(account, None, profile.rsplit("/", 1)[-1])
    roles = found.get("Roles", []) if found else []
    if not roles:
        return None
    role = iam._roles.get_scoped(account, None, roles[0] if isinstance(roles[0], str) else roles[0]["RoleName"])
    return role["Arn"] if role else None


def trusts(role_arn: str, service: str, *, source_arn: str | None = None) -> bool:
    """Whether the role exists and its trust policy lets `service` (like "ecs-tasks.amazonaws.com") assume it.

    aws:SourceAccount is the role's account and aws:SourceArn is `source_arn`, as the services that guard against the
    confused deputy send them: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    from ministack.core import iam_evaluator as iam

    role = _role(role_arn)
    if role is None:
        return False
    document = role["AssumeRolePolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    account = role_arn.split(":")[4]
    keys = {"aws:sourceaccount": account, **({"aws:sourcearn": source_arn} if source_arn else {})}
    context = iam.EvalContext(
        principal_arn=service, principal_type="Service", principal_account=account, action="sts:AssumeRole",
        resource_arn=role_arn, region="", service_context=keys,
    )  # fmt: skip
    statements = document.get("Statement", [])
    allowed = False
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", [])
        if (
            iam._service_principal_matches(statement.get("Principal"), service)
            and iam._action_matches("sts:AssumeRole", [actions] if isinstance(actions, str) else actions, [])
            and iam._conditions_met(statement.get("Condition", {}), context)
        ):
            if statement.get("Effect") == "Deny":
                return False
            allowed = True
    return allowed


def assume_role(role_arn: str, service: str, *, session_name: str, source_arn: str | None = None) -> Credentials:
    """Credentials of `role_arn` for the service principal `service`, which the role's trust policy must name.

    The same role, service and session name get the same credentials until half their hour is over.

    Raises:
        ApiError: AccessDenied, naming the role and the principal it does not trust.
    """
    from ministack.services import sts

    if not trusts(role_arn, service, source_arn=source_arn):
        why = "does not trust it" if role_exists(role_arn) else "does not exist"
        raise ApiError("AccessDenied", f"{service} can't assume the role {role_arn}: the role {why}.", 403)
    key = (role_arn, service, session_name)
    known = _sessions.get(key)
    if known and known.expiration - time.time() > SESSION_SECONDS / 2 and known.access_key_id in sts._sessions:
        return known
    parts = role_arn.split(":")
    role_name = parts[5].rsplit("/", 1)[-1]
    session_name = session_name[:64]
    credentials = Credentials(
        access_key_id="ASIA" + secrets.token_hex(8).upper(),
        secret_access_key=secrets.token_hex(20),
        session_token=secrets.token_hex(32),
        role_arn=role_arn,
        session_arn=f"arn:{parts[1]}:sts::{parts[4]}:assumed-role/{role_name}/{session_name}",
        expiration=time.time() + SESSION_SECONDS,
    )
    role_id = (_role(role_arn) or {}).get("RoleId") or hashlib.sha256(role_arn.encode()).hexdigest()[:20].upper()
    sts.register_session(
        credentials.access_key_id,
        {
            "Arn": credentials.session_arn,
            "UserId": f"{role_id}:{session_name}",
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expiration,
            "AccountId": parts[4],
            "PrincipalType": "AssumedRole",
        },
    )
    for stale in [k for k, c in _sessions.items() if c.expiration < time.time()]:
        del _sessions[stale]
    _sessions[key] = credentials
    return credentials


def caller_credentials(request: Request) -> Credentials:
    """The credentials of a call's own caller, for what a service does "as the caller" (reading a definition from S3).

    Raises:
        ApiError: the credentials have gone since the call was signed.
    """
    from ministack.core import iam_evaluator

    found = iam_evaluator.resolve_credential(request.access_key_id, request.account)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        raise ApiError(_AUTH_CODES.get(found.code, found.code), found.message, 403)
    return Credentials(
        access_key_id=found.access_key_id,
        secret_access_key=found.secret_access_key,
        session_token=found.session_token or "",
        role_arn=found.principal_arn,
        session_arn=request.caller_arn,
        expiration=found.expiration or time.time() + SESSION_SECONDS,
    )


def is_allowed(credentials: Credentials, action: str, resource_arn: str, region: str) -> str | None:
    """None when the role session may do `action` on `resource_arn`, else AWS's sentence for the refusal."""
    from ministack.core import iam_evaluator as iam
    from ministack.core.iam_actions import identity_denial_message

    account = credentials.role_arn.split(":")[4]
    principal = iam.resolve_principal(credentials.access_key_id, account)
    if isinstance(principal, iam.AuthError):
        return principal.message
    context = iam.EvalContext(
        principal_arn=principal.arn, principal_type=principal.type, principal_account=account, action=action,
        resource_arn=resource_arn, region=region, principal_keys=principal.keys,
    )  # fmt: skip
    result = iam.evaluate(context, principal.policies or [], *principal.limits)
    if result.decision == "Allow":
        return None
    return identity_denial_message(action, principal.arn, resource_arn, result.decision == "Deny")


_clients: dict[tuple, Any] = {}
_clients_lock = threading.Lock()


def client(service: str, credentials: Credentials, region: str, **config: Any) -> Any:
    """A boto3 client at our own endpoint as a role, made once; call it from a thread, never on the loop.

    Args:
        config: settings of botocore's Config, such as read_timeout (seconds).
    """
    import boto3
    from botocore.config import Config

    key = (service, credentials.access_key_id, region, json.dumps(config, sort_keys=True))
    with _clients_lock:
        if key not in _clients:
            if len(_clients) >= 256:  # sessions are renewed twice an hour; forget the oldest
                _clients.pop(next(iter(_clients)))
            session = boto3.Session(
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token or None,
                region_name=region,
            )
            _clients[key] = session.client(service, endpoint_url=_endpoint_url, config=Config(**config))
        return _clients[key]


# --- events, logs, tags, the network ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _scope(account: str, region: str) -> Iterator[None]:
    """MiniStack's stores look up the account and the Region of the current request."""
    from ministack.core import responses

    account_token = responses._request_account_id.set(account)
    region_token = responses._request_region.set(region)
    try:
        yield
    finally:
        responses._request_account_id.reset(account_token)
        responses._request_region.reset(region_token)


def publish_event(
    *, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], account: str, region: str
) -> None:
    """Put one event of an AWS service (`source` like "aws.batch") on the default event bus, to its rules' targets.

    PutEvents rightly refuses an "aws." source, so this enters where MiniStack's own services do.
    """
    from ministack.services import eventbridge

    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
        "EventBusName": "default",
    }

    # Without a rule nobody can see the event, and MiniStack would keep it in memory for ever.
    if could_be_seen(source, detail_type, {}, account, region):
        with _scope(account, region):
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
            del eventbridge._events_log_list()[:-KEPT_EVENTS]


KEPT_EVENTS = 1000  # MiniStack's own list of what passed, which nothing of the kit reads


def could_be_seen(source: str, detail_type: str, detail: dict[str, str], account: str, region: str) -> bool:
    """Whether a rule's pattern may match an event of which so much is known; an event nobody sees need not be made.

    Args:
        detail: members of the event's detail with their values. Others may have any value.
    """
    from ministack.services import eventbridge

    known = {"source": source, "detail-type": detail_type}
    with _scope(account, region):
        if any(True for _ in eventbridge._archives.values()):
            return True
        for rule in eventbridge._rules.values():
            if rule.get("State") == "ENABLED" and rule.get("EventPattern"):
                pattern = json.loads(rule["EventPattern"])
                inside = pattern.get("detail")
                if _admits(pattern, known) and _admits(inside if isinstance(inside, dict) else {}, detail):
                    return True
    return False


def _admits(pattern: dict[str, Any], known: dict[str, str]) -> bool:
    """False when the pattern lists plain values for a known member, and its value is not among them."""
    return not any(
        isinstance(pattern.get(name), list)
        and all(isinstance(allowed, str) for allowed in pattern[name])
        and value not in pattern[name]
        for name, value in known.items()
    )


def create_log_group(group: str, account: str, region: str) -> None:
    """Create a log group as the service itself does (AWS Batch makes /aws/batch/job); an existing one is left alone."""
    from ministack.services import cloudwatch_logs

    with _scope(account, region):
        if group not in cloudwatch_logs._log_groups:
            cloudwatch_logs._create_log_group({"logGroupName": group})


def put_log_events(
    credentials: Credentials, group: str, stream: str, events: Iterable[tuple[int, str]], account: str, region: str
) -> None:
    """Append lines to a log stream as the role whose credentials are given, creating the stream when it is new.

    Args:
        events: (milliseconds since the epoch, line) in order.

    Raises:
        ApiError: AccessDeniedException without logs:CreateLogStream or logs:PutLogEvents on the stream;
            ResourceNotFoundException when the log group does not exist.
    """
    from ministack.services import cloudwatch_logs

    arn = f"arn:{partition(region)}:logs:{region}:{account}:log-group:{group}:log-stream:{stream}"
    with _scope(account, region):
        known = cloudwatch_logs._log_groups.get(group, {"streams": {}})["streams"]
    for action in ("logs:PutLogEvents",) if stream in known else ("logs:CreateLogStream", "logs:PutLogEvents"):
        if refused := is_allowed(credentials, action, arn, region):
            raise ApiError("AccessDeniedException", refused)
    append_log_events(group, stream, events, account, region)


def append_log_events(group: str, stream: str, events: Iterable[tuple[int, str]], account: str, region: str) -> None:
    """put_log_events for a caller that has asked is_allowed itself, and may remember the answer for many streams.

    Raises:
        ApiError: ResourceNotFoundException when the log group does not exist.
    """
    from ministack.services import cloudwatch_logs

    with _scope(account, region):
        if group not in cloudwatch_logs._log_groups:
            raise ApiError("ResourceNotFoundException", f"The specified log group does not exist: {group}")
        if stream not in cloudwatch_logs._log_groups[group]["streams"]:
            cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
        lines = [{"timestamp": timestamp, "message": message} for timestamp, message in events]
        if lines:
            cloudwatch_logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": lines})


def register_tags(service: str, tagged: Callable[[str, str], Iterable[tuple[str, dict[str, str]]]]) -> None:
    """Let GetResources and aws:ResourceTag conditions see the resources of one of our services.

    Args:
        service: the service's name in an ARN, "batch" or "sagemaker".
        tagged: given account and Region, yields (ARN, tags) of every resource.
    """
    from ministack.core import responses
    from ministack.services import tagging

    def collect() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for arn, tags in tagged(responses.get_account_id(), responses.get_region()):
            yield arn, [{"Key": key, "Value": value} for key, value in tags.items()]

    tagging._COLLECTORS[service] = collect
    tagging._RESOURCE_TAG_COLLECTORS[service] = collect


def subnet_exists(subnet_id: str, account: str, region: str) -> bool:
    """Whether EC2 has this subnet."""
    from ministack.services import ec2

    with _scope(account, region):
        ec2._ensure_defaults_initialized()
        return subnet_id in ec2._subnets


def security_group_exists(group_id: str, account: str, region: str) -> bool:
    """Whether EC2 has this security group."""
    from ministack.services import ec2

    with _scope(account, region):
        ec2._ensure_defaults_initialized()
        return group_id in ec2._security_groups
