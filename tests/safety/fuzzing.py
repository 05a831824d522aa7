"""Requests nobody would write, for all services of the embedded AWS, made from botocore's models.

`Fuzzer(endpoint, rng)` makes one signed HTTP request after another: most are almost right, some are torn. What the
server answers feeds the next ones, so ids, ARNs and names that exist come up in them. Nothing here knows how the server
is written. A run is repeatable by its seed as far as the server's own ids are.
"""

from __future__ import annotations

import collections
import http.client
import json
import random
import string
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.etree.ElementTree import ParseError

import botocore.session
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import OperationModel, Shape
from protocols import MINISTACKS, form, texts, xml
from stack_templates import TEMPLATE

REGION = "us-east-1"
ACCOUNT = "000000000000"
HANG_SECONDS = 30

STRINGS = [
    "", "a", "x" * 129, "x" * 5000, "copy", "flights", "../../etc/passwd", "/", "a/b", "a:b", "a:1", "a:b:c", "*", "a*",
    "é", "名", "😀", "\u0000", "\n", "\ud800", "\u202e", "{}", "[]", "null", "true", "0", "-1", "1e9", "0x10", "NaN",
    "%", "%s", "%00", "Ref::s3Input", "Ref::", "${x}", "$(id)", "';--", "s3://b/k", "https://x.example/1", "arn:",
    f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/a", f"arn:aws:iam::{ACCOUNT}:role/nosuch", "us-east-1", "2026-01-01",
    f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/p/execution/abcdefghijkl", "abcdefghij", "0.25", "512", "1024",
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, -1, 10, 60, 100, 256, 1000, 10_000, 10_001, 2**31, 2**63, -(2**63), 10**40, 0.5, -0.0, 1e308]
LITERALS = ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000, '"\\ud800"', "[" * 2000, '{"a":' * 500, "\u0000", "'a'"]


@dataclass
class Case:
    """One request, and what came back."""

    service: str
    operation: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer: bytes = b""
    problem: str = ""

    def __str__(self) -> str:
        sent = f"{self.service}:{self.operation} {self.method} {self.path[:300]} {self.body[:1500]!r}"
        return f"{self.problem}\n  sent {sent}\n  got  {self.status} {self.answer[:500]!r}"


@cache
def model(service: str):
    return botocore.session.Session().get_service_model(service)


class Fuzzer:
    """Sends random requests to the services of one server, and judges the answers."""

    def __init__(
        self,
        endpoint_url: str,
        rng: random.Random,
        known: dict[str, list[str]] | None = None,
        recipes: list[tuple[str, str, dict[str, Any]]] | None = None,
        only: str | None = None,
    ) -> None:
        self.endpoint_url, self.rng, self.only = endpoint_url, rng, only
        self.recipes = [recipe for recipe in recipes or [] if only in (None, recipe[0])]
        self.host = urlsplit(endpoint_url).netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=HANG_SECONDS)
        self.known: dict[str, collections.deque[str]] = collections.defaultdict(lambda: collections.deque(maxlen=60))
        self.given = {_stem(name): values for name, values in (known or {}).items()}
        for name, values in (known or {}).items():
            self.known[_stem(name)].extend(values)
        self.generosity = 0.5
        self.uncovered: set[str] = set()
        self.counts: collections.Counter[str] = collections.Counter()

    def run_one(self) -> Case:
        """Make a request, send it, and say in `problem` what must not have happened."""
        case = self.case()
        self.send(case)
        self.judge(case)
        self.counts[f"{case.status}"] += 1
        return case

    # Making a request

    def case(self) -> Case:
        rng = self.rng
        if rng.random() < 0.02:
            return self.local()
        if self.recipes and rng.random() < 0.5:
            service, name, params = rng.choice(self.recipes)
            operation = model(service).operation_model(name)
            method, path, query, payload = (
                operation.http["method"],
                operation.http["requestUri"],
                "",
                self.spoilt(params),
            )
            located = {}
        else:
            service, name = self.any_operation()
            method, path, query, located, payload = self.wire(model(service).operation_model(name))
        headers, body = self.encoded(service, name, payload, located)
        if rng.random() < 0.01:
            method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "POST", "XYZZY"])
        if rng.random() < 0.01:
            path = "/" + quote(rng.choice(STRINGS).encode("utf-8", "surrogatepass"), safe="/%")
        url = path + (f"?{query}" if query else "")
        return Case(service, name, method, url, self.sign(service, method, url, headers, body), body)

    def encoded(self, service: str, name: str, payload: Any, located: dict[str, str]) -> tuple[dict[str, str], bytes]:
        """Headers and body in a protocol of the service."""
        rng, metadata = self.rng, model(service).metadata
        operation = model(service).operation_model(name)
        headers = {"Host": self.host, **located}
        speaks_forms = metadata["protocol"] in ("query", "ec2") or "query" in metadata.get("protocols", [])
        prefix = metadata.get("targetPrefix")
        if speaks_forms and (not prefix or rng.random() < 0.3):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return headers, self.torn(form(operation, payload, metadata["apiVersion"]))
        if metadata["protocol"] == "rest-xml":
            shape = operation.input_shape
            name = shape.serialization.get("payload") if shape else None
            if isinstance(payload, dict) and name and shape.members[name].type_name != "structure":
                return headers, self.torn(str(payload.get(name, "")).encode("utf-8", "replace"))
            return headers, self.torn(xml(payload, shape) if payload else b"")
        headers["Content-Type"] = "application/json"
        if prefix:
            target = f"{prefix}.{name}" if rng.random() < 0.99 else rng.choice([*STRINGS, f"{prefix}.", "x.y.z"])
            headers |= {"X-Amz-Target": _header(target), "Content-Type": "application/x-amz-json-1.1"}
        return headers, self.torn(json.dumps(payload).encode())

    def local(self) -> Case:
        """An unsigned request to what only the embedded AWS has, under /_local_aws/."""
        rng = self.rng
        other = quote(self.text(_STRING, "jobId").encode("utf-8", "surrogatepass"))
        name = rng.choice(["batch/spot-reclaim"] * 6 + ["health", "credentials", other])
        payload = self.mutated({"jobId": self.text(_STRING, "jobId")}) if rng.random() < 0.7 else self.anything(2)
        headers = {"Host": self.host}
        if rng.random() < 0.9:
            headers["Content-Type"] = rng.choice(["application/json", "application/json; charset=utf-8", "text/plain"])
        if rng.random() < 0.2:
            headers["Authorization"] = _header(rng.choice(STRINGS))
        method = "POST" if rng.random() < 0.9 else rng.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
        return Case("local", name, method, f"/_local_aws/{name}", headers, self.torn(json.dumps(payload).encode()))

    def any_operation(self) -> tuple[str, str]:
        rng = self.rng
        self.generosity = rng.choice([0.05, 0.2, 0.5])  # how many of the optional parameters a call has
        while True:
            own = ["batch", "ecs", "sagemaker", "service-quotas"]
            service = self.only or rng.choice(own if rng.random() < 0.5 else MINISTACKS)
            name = rng.choice(model(service).operation_names)
            # Of SageMaker's hundreds of operations most have nothing to do with pipelines; of ECS's and of Service
            # Quotas' one is here.
            alone = name in ("StopTask", "GetServiceQuota")
            likely = service == "batch" or "Pipeline" in name or name.endswith("Tags") or alone
            likely |= service in MINISTACKS and (service != "ec2" or name in _OF_EC2)
            if rng.random() < (0.02 if f"{service}:{name}" in self.uncovered else 1 if likely else 0.05):
                return service, name

    def spoilt(self, params: Any) -> Any:
        """A right call with up to two places changed, and other things of the same kind in it."""
        rng = self.rng
        new = "n" + "".join(rng.choices(string.ascii_lowercase, k=6))
        made = {"<new>": new, "<token>": new * 6}
        whole = {name: made.get(value, value) if isinstance(value, str) else value for name, value in params.items()}
        for name in whole:
            known = self.known.get(_stem(name))
            if known and isinstance(whole[name], str) and whole[name] not in made.values() and rng.random() < 0.5:
                whole[name] = rng.choice(known)
        if "PipelineDefinition" in whole and rng.random() < 0.8:
            definition = json.loads(whole["PipelineDefinition"])
            if rng.random() < 0.7:
                definition = self.mutated(definition)
            whole["PipelineDefinition"] = json.dumps(definition if rng.random() < 0.7 else self.definition())
        if "TemplateBody" in whole:
            whole["TemplateBody"] = self.template()
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            whole = self.mutated(whole)
        return whole

    def wire(self, operation: OperationModel) -> tuple[str, str, str, dict[str, str], Any]:
        """Method, path, query, headers and body of one call with almost valid parameters."""
        path, query, headers, payload = operation.http["requestUri"], [], {}, {}
        shape = operation.input_shape
        if shape is None:
            return operation.http["method"], path, "", {}, {}
        for name, member in shape.members.items():
            if name not in shape.required_members and self.rng.random() > self.generosity:
                continue
            if name in shape.required_members and self.rng.random() < 0.02:
                continue
            wire, location = member.serialization.get("name", name), member.serialization.get("location")
            value = self.value(member, name, 0)
            if location == "uri":
                text = quote(str(value).encode("utf-8", "surrogatepass"), safe="/:" if self.rng.random() < 0.3 else "")
                path = path.replace("{" + wire + "}", text).replace("{" + wire + "+}", text)
            elif location == "querystring":
                for item in value if isinstance(value, list) else [value]:
                    query.append((wire, str(item).encode("utf-8", "surrogatepass")))
            elif wire == "Content-Length":
                continue  # a body has one already
            elif location in ("header", "headers"):
                headers[wire if location == "header" else wire + "x"] = _header(str(value))
            else:
                payload[wire] = value if self.rng.random() > 0.01 else None
        if self.rng.random() < 0.03:
            payload = self.mutated(payload)
        path, _, fixed = path.partition("?")
        return operation.http["method"], path, "&".join(filter(None, [fixed, urlencode(query)])), headers, payload

    def value(self, shape: Shape, name: str, depth: int) -> Any:
        rng = self.rng
        if rng.random() < 0.015:
            return self.anything(2)
        if depth > 6:
            return None
        kind, limits = shape.type_name, shape.metadata
        if kind == "structure":
            return {
                member.serialization.get("name", key): self.value(member, key, depth + 1)
                for key, member in shape.members.items()
                if key in shape.required_members or rng.random() < self.generosity
            }
        if kind == "list":
            length = rng.choice([limits.get("min", 0), 1, 1, 2, 3] + ([limits.get("max", 5)] if depth < 2 else []))
            return [self.value(shape.member, name, depth + 1) for _ in range(min(length, 40))]
        if kind == "map":
            return {
                self.text(shape.key, name): self.value(shape.value, name, depth + 1)
                for _ in range(rng.choice([0, 1, 2]))
            }
        if kind == "string":
            return self.text(shape, name)
        if kind == "boolean":
            return rng.random() < 0.5
        if name == "WaitTimeSeconds":
            return rng.choice([0, 0, 21, -1])  # what waits would only take time
        if kind in ("integer", "long", "float", "double"):
            near = [limits[end] for end in ("min", "max") if end in limits]
            return rng.choice(near) if near and rng.random() < 0.6 else rng.choice(NUMBERS)
        if kind == "timestamp":
            return rng.choice([0, 1_700_000_000, 1_700_000_000.5, -1, 10**18, "2026-01-01T00:00:00Z", "yesterday"])
        return rng.choice(["", "YQ==", "not base64!", "x" * 1000])

    def text(self, shape: Shape, name: str) -> str:
        rng = self.rng
        if "enum" in shape.metadata and rng.random() < 0.95:
            return rng.choice(shape.metadata["enum"])
        if name == "PipelineDefinition" and rng.random() < 0.9:
            return json.dumps(self.definition())
        if name == "TemplateBody" and rng.random() < 0.9:
            return self.template()
        known, given = self.known.get(_stem(name)), self.given.get(_stem(name))
        if given and rng.random() < 0.3:
            return rng.choice(given)
        if known and rng.random() < 0.75:
            return rng.choice(known)
        if rng.random() < 0.5:
            return "".join(rng.choices(string.ascii_letters + string.digits + "-_", k=rng.choice([1, 3, 8, 10, 20])))
        return rng.choice(STRINGS)

    def anything(self, depth: int) -> Any:
        """Any JSON value."""
        rng = self.rng
        kind = rng.randrange(7 if depth else 5)
        if kind == 5:
            return [self.anything(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 6:
            return {rng.choice(STRINGS): self.anything(depth - 1) for _ in range(rng.randrange(4))}
        return [None, rng.random() < 0.5, rng.choice(NUMBERS), rng.choice(STRINGS), {}][kind]

    def mutated(self, value: Any) -> Any:
        """`value` with one place in it replaced, dropped or doubled."""
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.85:
            key = rng.choice(sorted(value))
            fate = rng.random()
            rest = {name: item for name, item in value.items() if name != key}
            if fate < 0.1:
                return rest
            if fate < 0.2:
                return {**rest, rng.choice(STRINGS): value[key]}
            return {**value, key: self.mutated(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.85:
            index = rng.randrange(len(value))
            if rng.random() < 0.15:
                return value + value[index : index + 1]
            return [*value[:index], self.mutated(value[index]), *value[index + 1 :]]
        return self.anything(2)

    def definition(self) -> Any:
        """A pipeline definition, whole or with up to three wounds."""
        rng = self.rng
        steps = rng.sample(_STEPS, rng.randrange(1, len(_STEPS)))
        known = {key: list(self.known[key]) for key in ("functionarn", "sqsqueueurl") if self.known.get(key)}
        text = json.dumps(steps)
        for key, default in (("functionarn", "arn:aws:lambda:us-east-1:000000000000:function:f"), ("sqsqueueurl", "u")):
            text = text.replace(f"<{key}>", rng.choice(known.get(key, [default])))
        whole: Any = {
            "Version": "2020-12-01",
            "Metadata": {},
            "Parameters": [
                {"Name": "InputUri", "Type": "String", "DefaultValue": "s3://b/in"},
                {"Name": "Count", "Type": "Integer", "DefaultValue": 3},
            ],
            "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": "t"},
            "Steps": json.loads(text),
        }
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            whole = self.mutated(whole)
        return whole

    def template(self) -> str:
        """A template of CloudFormation with some resources, whole or with up to three wounds, now and then torn."""
        rng, whole = self.rng, TEMPLATE
        if rng.random() < 0.7:
            kept = rng.sample(sorted(TEMPLATE["Resources"]), rng.randrange(1, 4))
            whole = {**TEMPLATE, "Resources": {name: TEMPLATE["Resources"][name] for name in kept}, "Outputs": {}}
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            whole = self.mutated(whole)
        text = json.dumps(whole)
        if rng.random() < 0.3:  # JSON is YAML
            text = "# a comment\n" + text
        return self.torn(text.encode()).decode(errors="replace") if rng.random() < 0.3 else text

    def torn(self, body: bytes) -> bytes:
        """Now and then, bytes that are not what they were."""
        rng = self.rng
        if rng.random() < 0.95 or not body:
            return body
        at = rng.randrange(len(body))
        return rng.choice([
            body[:at],
            body[:at] + rng.randbytes(3) + body[at + 3 :],
            body[:at] + rng.choice(LITERALS).encode("utf-8", "surrogatepass") + body[at + 1 :],
            rng.randbytes(rng.randrange(200)),
            b"",
            b"\xef\xbb\xbf" + body,
            body.decode("ascii", "replace").encode("utf-16"),
            body + body,
        ])  # fmt: skip

    def sign(self, service: str, method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        request = AWSRequest(method, self.endpoint_url + url, headers=headers, data=body)
        secret = "test" if self.rng.random() < 0.995 else "wrong"
        auth = S3SigV4Auth if service == "s3" else SigV4Auth
        auth(Credentials("test", secret), model(service).signing_name, REGION).add_auth(request)
        return dict(request.headers.items())

    # Sending and judging

    def send(self, case: Case) -> None:
        try:
            self.connection.request(case.method, case.path, case.body, case.headers)
            response = self.connection.getresponse()
            case.status, case.answer = response.status, response.read()
            if response.getheader("connection", "") == "close":
                self.connection.close()
        except TimeoutError:
            case.problem = f"no answer within {HANG_SECONDS} s"
            self.connection.close()
        except (OSError, http.client.HTTPException) as error:
            case.problem = f"the connection broke: {error!r}"
            self.connection.close()

    def judge(self, case: Case) -> None:
        if case.problem:
            return
        if case.status == 501 and (case.method == "HEAD" or b"does not cover" in case.answer):
            self.uncovered.add(f"{case.service}:{case.operation}")
            return
        if case.status == 501 and case.service == "s3" and b"<Code>NotImplemented</Code>" in case.answer:
            return  # AWS's own answer to headers that only directory buckets take
        if case.status >= 500:
            case.problem = f"status {case.status}"
            return
        if case.method == "HEAD" or case.status in (204, 304):
            return
        if case.answer.lstrip().startswith(b"<"):
            self.judge_xml(case)
            return
        if case.status < 300 and case.service in MINISTACKS and not case.answer.lstrip().startswith((b"{", b"[")):
            return  # an object, a function's answer, or nothing
        try:
            answer = json.loads(case.answer)
        except ValueError:
            case.problem = "the answer is not JSON"
            return
        if case.status < 300:
            self.learn(answer, "")
        elif not isinstance(answer, dict) or not isinstance(answer.get("message") or answer.get("Message"), str):
            case.problem = "an error without a message"

    def judge_xml(self, case: Case) -> None:
        try:
            elements = texts(case.answer)
        except ParseError:
            if case.status >= 400 or case.operation != "GetObject":
                case.problem = "the answer is not XML"
            return
        if case.status < 300:
            for name, text in elements[:20]:
                self.learn(text, name)
        elif case.status >= 400 and not {"Code", "Message"} <= dict(elements).keys():
            case.problem = "an error without a code or a message"

    def learn(self, value: Any, name: str) -> None:
        """Remember what exists under the name it was told by."""
        if isinstance(value, dict):
            for key, item in value.items():
                self.learn(item, key)
        elif isinstance(value, list):
            for item in value[:5]:
                self.learn(item, name)
        elif isinstance(value, str) and 0 < len(value) < 300 and value not in self.known[_stem(name)]:
            self.known[_stem(name)].append(value)


def _stem(name: str) -> str:
    """jobQueue, jobQueueArn and jobQueueName are one thing to a fuzzer; so are jobs, job and jobId."""
    name = name.lower()
    for suffix in ("arn", "name", "id", "s"):
        if len(name) > len(suffix) + 2 and name.endswith(suffix) and not name.endswith("functionarn"):
            name = name[: -len(suffix)]
    return name


def _header(text: str) -> str:
    return "".join(character for character in text if " " <= character <= "~")


_STRING = Shape("String", {"type": "string"})

# The embedded AWS has EC2 for its default VPC.
_OF_EC2 = {
    f"{verb}{what}"
    for verb in ("Create", "Describe", "Delete")
    for what in ("Vpc", "Vpcs", "Subnet", "Subnets", "SecurityGroup", "SecurityGroups", "Tags", "SecurityGroupRules")
} | {"DescribeAvailabilityZones", "DescribeRegions", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"}

_STEPS = [
    {"Name": "Submit", "Type": "Lambda", "FunctionArn": "<functionarn>",
     "Arguments": {"input_uri": {"Get": "Parameters.InputUri"}, "n": {"Get": "Parameters.Count"}, "x": 1.5},
     "OutputParameters": [{"OutputName": "jobIds", "OutputType": "String"}]},
    {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": "<sqsqueueurl>", "DependsOn": ["Submit"],
     "Arguments": {"job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"}},
     "OutputParameters": [{"OutputName": "job_status", "OutputType": "String"}]},
    {"Name": "Check", "Type": "Condition", "Arguments": {
        "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Count"}, "RightValue": 3}],
        "IfSteps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {
            "Std:Join": {"On": " ", "Values": ["a", {"Get": "Execution.PipelineExecutionId"}]}}}}],
        "ElseSteps": []}},
    {"Name": "Work", "Type": "Processing", "Arguments": {
        "RoleArn": "arn:aws:iam::000000000000:role/nosuch",
        "AppSpecification": {"ImageUri": "x", "ContainerEntrypoint": ["python3"]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}}},
]  # fmt: skip
