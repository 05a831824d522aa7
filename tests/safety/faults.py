"""Faults of AWS for a `FaultInjectionProxy`, each with the source it is taken from."""

from __future__ import annotations

import collections
import json
import re
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.etree import ElementTree

import botocore.session
from fault_proxy import Call

# What a service answers when it is called too often, as botocore's own retry tables know it (data/_retry.json).
_THROTTLES = {
    "batch": ("TooManyRequestsException", 429),
    "lambda": ("TooManyRequestsException", 429),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "sqs": ("ThrottlingException", 400),
    "logs": ("ThrottlingException", 400),
    "events": ("ThrottlingException", 400),
    "sagemaker": ("ThrottlingException", 400),
    "tagging": ("ThrottledException", 400),
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
}


@dataclass
class Throttled:
    """The first call of every operation, and then every `every`th, comes too soon."""

    every: int = 5
    seen: collections.Counter[str] = field(default_factory=collections.Counter)

    def before(self, call: Call) -> tuple[str, str, int] | None:
        count = self.seen[call.action]
        self.seen[call.action] += 1
        if count % self.every == 0 and call.service in _THROTTLES:
            code, status = _THROTTLES[call.service]
            return code, "Rate exceeded", status
        return None


@dataclass
class RolesTake:
    """A new role, and a new policy in it, is not seen by the services for some seconds.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    The words are Lambda's and SageMaker's own, as people quote them.
    """

    seconds: float  # from the first use of a role that was made or changed: so the clock of the test does not matter
    unused: set[str] = field(default_factory=set)
    first_use: dict[str, float] = field(default_factory=dict)
    refused: int = 0

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.service == "iam" and call.operation in ("CreateRole", "PutRolePolicy", "AttachRolePolicy"):
            self.unused.add(call.params["RoleName"])
            return None
        words = _ROLE_WORDS.get(call.action)
        if not words:
            return None
        role = call.params.get("Role") or call.params.get("RoleArn") or ""
        # A mapping names its function only; it is the mapping itself whose first tries come too soon.
        if self._young(role.rpartition("/")[2] or call.action):
            self.refused += 1
            return (words[0], words[1].format(role=role), 400)
        return None

    def _young(self, name: str) -> bool:
        if name in self.unused or (":" in name and name not in self.first_use):
            self.unused.discard(name)
            self.first_use[name] = time.monotonic()
        return time.monotonic() - self.first_use.get(name, float("-inf")) < self.seconds


_UNASSUMABLE = "The role defined for the function cannot be assumed by Lambda."
_ROLE_WORDS = {
    "lambda:CreateFunction": ("InvalidParameterValueException", _UNASSUMABLE),
    "lambda:UpdateFunctionConfiguration": ("InvalidParameterValueException", _UNASSUMABLE),
    "lambda:CreateEventSourceMapping": (
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call ReceiveMessage on SQS",
    ),
    "sagemaker:CreatePipeline": (
        "ValidationException",
        "Could not assume role {role}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role.",
    ),
}


@dataclass
class OneItemAPage:
    """Every listing that AWS may break into pages comes in pages of one item.

    The proxy breaks them itself, since an emulator may answer in one piece whatever it is asked.
    """

    pages: collections.Counter[str] = field(default_factory=collections.Counter)
    _starts: dict[int, int] = field(default_factory=dict)

    def change(self, call: Call) -> None:
        page = _pages(call.service).get(call.operation)
        if not page:
            return
        token = str(call.params.get(page["input_token"], ""))
        self._starts[id(call)] = int(token.removeprefix("proxy-")) if token.startswith("proxy-") else 0
        for name in (page["input_token"], page.get("limit_key", "")):
            if name in call.params:
                del call.params[name]
                call.changed = True

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        page = _pages(call.service).get(call.operation)
        if not page or page["result"] not in answer:
            return
        start = self._starts.pop(id(call))
        items = answer[page["result"]]
        answer[page["result"]] = items[start : start + 1]
        answer.pop(page["output_token"], None)
        if start + 1 < len(items):
            answer[page["output_token"]] = f"proxy-{start + 1}"
            self.pages[call.action] += 1

    def after_xml(self, call: Call, root: ElementTree.Element) -> None:
        page = _pages(call.service).get(call.operation)
        items = root.find(f".//{{*}}{page['result']}") if page else None
        if items is None:
            return
        start, result, space = self._starts.pop(id(call)), root[0], root.tag.partition("}")[0] + "}"
        members = list(items)
        for index, member in enumerate(members):
            if index != start:
                items.remove(member)
        for name in ("IsTruncated", page["output_token"]):
            for old in result.findall(f"{{*}}{name}"):
                result.remove(old)
        ElementTree.SubElement(result, f"{space}IsTruncated").text = str(start + 1 < len(members)).lower()
        if start + 1 < len(members):
            ElementTree.SubElement(result, f"{space}{page['output_token']}").text = f"proxy-{start + 1}"
            self.pages[call.action] += 1


@cache
def _pages(service: str) -> dict[str, dict[str, str]]:
    """How each listing of a service is paged, from botocore's paginators."""
    if service not in ("iam", "sqs", "lambda", "events", "logs", "batch", "sagemaker", "tagging"):
        return {}
    name = {"tagging": "resourcegroupstaggingapi"}.get(service, service)
    loader = botocore.session.Session().get_component("data_loader")
    pages = {}
    for operation, page in loader.load_service_model(name, "paginators-1")["pagination"].items():
        result = page["result_key"]
        result = result[0] if isinstance(result, list) else result
        if isinstance(page["input_token"], str) and isinstance(page["output_token"], str):
            pages[operation] = {**page, "result": result}
    return pages


@dataclass
class SlowStates:
    """What AWS makes takes a while, and what it deletes stays for a while: `looks` looks each time."""

    looks: int = 2
    seen: collections.Counter[str] = field(default_factory=collections.Counter)

    def before(self, call: Call) -> None:
        if call.writes:  # every change starts the wait anew
            self.seen.clear()

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        for key, name, field_name, settled, passing in _STATES.get(call.action, ()):
            member = answer.get(key) if key else answer
            for item in member if isinstance(member, list) else [member]:
                if isinstance(item, dict) and item.get(field_name) in settled:
                    resource = f"{call.service}:{item.get(name)}"
                    self.seen[resource] += 1
                    if self.seen[resource] <= self.looks:
                        item[field_name] = passing


_STATES: dict[str, list[tuple[str, str, str, tuple[str, ...], str]]] = {
    "batch:DescribeComputeEnvironments": [
        ("computeEnvironments", "computeEnvironmentName", "status", ("VALID",), "UPDATING")
    ],
    "batch:DescribeJobQueues": [("jobQueues", "jobQueueName", "status", ("VALID",), "UPDATING")],
    "lambda:GetFunctionConfiguration": [("", "FunctionName", "LastUpdateStatus", ("Successful",), "InProgress")],
    "lambda:GetFunction": [("Configuration", "FunctionName", "LastUpdateStatus", ("Successful",), "InProgress")],
    "lambda:GetEventSourceMapping": [("", "UUID", "State", ("Enabled", "Disabled"), "Updating")],
    "lambda:ListEventSourceMappings": [("EventSourceMappings", "UUID", "State", ("Enabled", "Disabled"), "Updating")],
}


@dataclass
class RegionNotEnabled:
    """An opt-in Region the account has not opted into: its endpoints don't know the account's keys.

    https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
    """

    region: str

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.region != self.region:
            return None
        code = {"sts": "InvalidClientTokenId", "iam": "InvalidClientTokenId", "ec2": "AuthFailure"}.get(
            call.service, "UnrecognizedClientException"
        )
        return code, "The security token included in the request is invalid.", 403


@dataclass
class InPartition:
    """The account is in China or GovCloud: another Region, and another beginning of every ARN.

    MiniStack knows one partition only. So the caller's texts are translated into its, and its answers back; an ARN that
    the caller writes with the wrong beginning is noted. (No signature is checked of the account's root, who calls.)
    """

    partition: str
    region: str
    embedded: str = "eu-central-1"
    wrong: list[str] = field(default_factory=list)

    def there(self, text: str | bytes) -> str | bytes:
        plain = text.decode("latin-1") if isinstance(text, bytes) else text
        self.wrong += re.findall(r"arn(?:%3A|:)aws(?:%3A|:).{0,60}", plain)
        plain = re.sub(rf"arn(%3A|:){self.partition}(%3A|:)", r"arn\1aws\2", plain).replace(self.region, self.embedded)
        return plain.encode("latin-1") if isinstance(text, bytes) else plain

    def back(self, text: bytes) -> bytes:
        text = text.replace(b"arn:aws:", f"arn:{self.partition}:".encode())
        return text.replace(self.embedded.encode(), self.region.encode())


@dataclass
class Denied:
    """Some actions are refused, as a Studio execution role without permissions finds it."""

    actions: tuple[str, ...]

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.action not in self.actions:
            return None
        code = "AccessDenied" if call.service in ("iam", "sts", "s3", "sqs") else "AccessDeniedException"
        return code, f"User: arn:aws:sts::0:assumed-role/x is not authorized to perform: {call.action}", 403


@dataclass
class RefusedByOrganization:
    """A policy of the organization refuses, says the simulator, which conditions in such policies break.

    https://github.com/aws-containers/amazon-ecs-exec-checker/issues/70
    """

    action: str

    def after_xml(self, call: Call, root: ElementTree.Element) -> None:
        for result in root.findall(".//{*}EvaluationResults/{*}member"):
            name, decision = result.find("{*}EvalActionName"), result.find("{*}EvalDecision")
            if name is not None and decision is not None and name.text == self.action:
                decision.text = "implicitDeny"
                space = result.tag.partition("}")[0] + "}"
                detail = ElementTree.SubElement(result, f"{space}OrganizationsDecisionDetail")
                ElementTree.SubElement(detail, f"{space}AllowedByOrganizations").text = "false"


@dataclass
class InterruptedAt:
    """The client dies when it is about to make this call (see `named`): it does not get through, nor any after it."""

    fatal: str
    dead: bool = False

    def before(self, call: Call) -> tuple[str, str, int] | None:
        self.dead = self.dead or named(call) == self.fatal
        return ("Interrupted", "The run ends here.", 400) if self.dead else None


def named(call: Call) -> str:
    """A call by its action and its parameters, less what differs from proxy to proxy."""
    lasting = {name: value for name, value in call.params.items() if name != "ClientRequestToken"}
    return re.sub(r"http://127\.0\.0\.1:\d+", "", f"{call.action} {json.dumps(lasting, sort_keys=True)}")
