"""Recorded behaviour of AWS that its pages don't mention, as faults of a `FaultInjectionProxy`, with who reported it.

IAM's simulator and Batch's lower-case actions are not here: the embedded AWS itself answers so.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_proxy import Call, FaultInjectionProxy


@dataclass
class SimulatorRefusesCalls:
    """IAM's simulator refuses a call as a whole if its actions "require different authorization information".

    AWS documents no rule for it, so here no two actions go together.
    https://github.com/aws-cloudformation/rain (internal/aws/iam)

    Attributes:
        about: the only action whose questions are refused. Default: any.
    """

    refused: int = 0
    about: str = ""

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.action != "iam:SimulatePrincipalPolicy":
            return None
        first, *others = [value for name, value in call.params.items() if name.startswith("ActionNames.member.")]
        if not others or (self.about and self.about not in [first, *others]):
            return None
        self.refused += 1
        words = f"Invalid Input Actions: [{first}] and [{','.join(others)}] require different authorization information"
        return "InvalidInput", words, 400


@dataclass
class RegisterRemembers:
    """The register of tags lists what it has ever listed, deleted or not.

    https://github.com/boto/boto3/issues/3341
    """

    listed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.action == "tagging:GetResources":
            self.listed |= {item["ResourceARN"]: item for item in answer["ResourceTagMappingList"]}
            answer["ResourceTagMappingList"] = list(self.listed.values())


@dataclass
class ShortListings:
    """ListJobs with a filter leaves out when a job started, and why it ended.

    https://github.com/boto/boto3/issues/3315, https://github.com/aws/aws-sdk-js/issues/4587
    """

    shortened: int = 0

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.action == "batch:ListJobs" and call.params.get("filters"):
            for summary in answer["jobSummaryList"]:
                self.shortened += "startedAt" in summary
                for member in ("startedAt", "statusReason"):
                    summary.pop(member, None)


@dataclass
class FailedJobsHaveNoLog:
    """A failed job names a log stream that does not exist, as one that failed to start may.

    https://github.com/nextstrain/cli/issues/405
    """

    streams: set[str] = field(default_factory=set)
    refused: int = 0

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.action == "batch:DescribeJobs":
            failed = [job.get("container", {}) for job in answer["jobs"] if job["status"] == "FAILED"]
            self.streams |= {container["logStreamName"] for container in failed if "logStreamName" in container}

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.action == "logs:GetLogEvents" and call.params["logStreamName"] in self.streams:
            self.refused += 1
            return "ResourceNotFoundException", "The specified log stream does not exist.", 400
        return None


@dataclass
class FunctionsBehindProxy:
    """What the functions call of SageMaker goes over the proxy too, which the client does not see."""

    proxy: FaultInjectionProxy

    def change(self, call: Call) -> None:
        if call.action in ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"):
            variables = call.params.setdefault("Environment", {}).setdefault("Variables", {})
            variables["AWS_ENDPOINT_URL_SAGEMAKER"] = self.proxy.endpoint_url
            call.changed = True

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.service == "lambda":
            configuration = answer.get("Configuration", answer)
            configuration.get("Environment", {}).get("Variables", {}).pop("AWS_ENDPOINT_URL_SAGEMAKER", None)


@dataclass
class FirstAnswerIsLost:
    """The answer to a callback step arrives, its response does not, and the second try is refused with a text.

    The text was quoted by a developer, the code it came with was not. It is not one of the model's here.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SendPipelineExecutionStepSuccess.html
    """

    most: int = 1
    lost: set[str] = field(default_factory=set)
    refused: int = 0

    def before(self, call: Call) -> tuple[str, str, int] | None:
        if call.params.get("CallbackToken") not in self.lost:
            return None
        self.refused += 1
        return "ValidationException", "Step is already in a terminal status, but was answered again.", 400

    def lose(self, call: Call) -> tuple[str, str, int] | None:
        if "SendPipelineExecutionStep" not in call.operation or len(self.lost) >= self.most:
            return None
        self.lost.add(call.params["CallbackToken"])
        return "InternalFailure", "The request processing has failed because of an unknown error.", 500


@dataclass
class ImageOfARegistry:
    """Definitions of one image have another one, which only a registry has; the client does not see it."""

    given: str
    instead: str

    def change(self, call: Call) -> None:
        container = call.params.get("containerProperties", {})
        if call.action == "batch:RegisterJobDefinition" and container["image"] == self.given:
            container["image"], call.changed = self.instead, True

    def after(self, call: Call, answer: dict[str, Any]) -> None:
        if call.action == "batch:DescribeJobDefinitions":
            for definition in answer["jobDefinitions"]:
                if definition.get("containerProperties", {}).get("image") == self.instead:
                    definition["containerProperties"]["image"] = self.given


# Each task pulls its image again, as on Fargate: https://github.com/aws/containers-roadmap/issues/696
_DOCKER = """#!/bin/sh
case "$1" in
version) exit 0 ;;
image) exit 1 ;;
pull)
    echo >>"$0.pulls"
    case " {refused} " in *" $(($(wc -l <"$0.pulls"))) "*) echo "toomanyrequests: Rate exceeded" >&2; exit 1 ;; esac
    ;;
run)
    while [ "$1" != "{image}" ]; do shift; done
    shift
    exec {program} "$@"
    ;;
esac
"""


def busy_registry(directory: Path, image: str, program: str, refused: tuple[int, ...]) -> Path:
    """A `docker` that has one image and pulls it each time; the registry refuses some of the pulls, by their number.

    https://github.com/nextflow-io/nextflow/issues/5681

    Returns:
        The file with a line for each pull. Put its folder in front of the server's PATH.
    """
    docker = directory / "docker"
    docker.write_text(_DOCKER.format(image=image, program=program, refused=" ".join(map(str, refused))))
    docker.chmod(0o755)
    return directory / "docker.pulls"


@contextmanager
def black_hole() -> Iterator[str]:
    """An address at which connections hang, as IAM's does from a VPC without a way to the internet."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue that is never emptied
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for each in waiting:
            each.close()
