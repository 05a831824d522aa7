"""What the tests of the API share: an account with a role, functions and a queue, in the one embedded AWS."""

from __future__ import annotations

import io
import itertools
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

from . import definitions

ACCOUNT = "000000000000"
# Newer than the installed model, which the SDK's StepDependency documents.
NEWER = {"CompletedWithFailures"}

FUNCTION_CODE = """
import time

def lambda_handler(event, context):
    if "sleep" in event:
        time.sleep(event["sleep"])
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"statusCode": 200, "out": event.get("out", "nothing"), **event}
"""


def misfits(value: Any, shape: Shape, where: str = "") -> Iterator[str]:
    """Where a parsed response breaks a constraint of the model: enumerations, patterns, lengths, required members."""
    limits = shape.metadata
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, item in value.items():
            if name in shape.members:
                yield from misfits(item, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        if len(value) > limits.get("max", len(value)):
            yield f"{where} has {len(value)} items"
        for item in value:
            yield from misfits(item, shape.member, f"{where}[]")
    elif shape.type_name == "string":
        if "enum" in limits and value not in limits["enum"] and value not in NEWER:
            yield f"{where} is {value!r}, not one of {limits['enum']}"
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{where} has {len(value)} characters"
        if "pattern" in limits and "\\p{" not in limits["pattern"] and not re.fullmatch(limits["pattern"], value, re.S):
            yield f"{where} is {value!r}, which {limits['pattern']} does not match"


class Account:
    """Clients, and short ways to make and watch things. Every response of SageMaker is held against its model."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self._names = itertools.count(1)
        self.sagemaker, self.sqs, self.s3 = self.checked(aws.client("sagemaker")), aws.client("sqs"), aws.client("s3")
        self.iam, self.functions = aws.client("iam"), aws.client("lambda")
        self.pipeline_role = self.role(
            "pipeline", "sagemaker.amazonaws.com", "lambda:InvokeFunction", "sqs:SendMessage", "s3:*",
            "sagemaker:CreateProcessingJob", "iam:PassRole",
        )  # fmt: skip
        self.function_role = self.role("function", "lambda.amazonaws.com", "logs:*")
        self.function = self.make_function("sagemaker-pl-function", FUNCTION_CODE)

    def checked(self, client: Any) -> Any:
        def check(parsed: dict[str, Any], model: Any, **_: Any) -> None:
            if model.output_shape and "Error" not in parsed:
                assert not list(misfits(parsed, model.output_shape, model.name))

        client.meta.events.register("after-call.sagemaker", check)
        return client

    def name(self, kind: str = "p") -> str:
        return f"sagemaker-pl-{kind}-{next(self._names)}"

    def role(self, name: str, service: str, *actions: str, resource: str = "*") -> str:
        document = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        name = f"sagemaker-pl-{name}"
        trust = json.dumps({"Version": "2012-10-17", "Statement": [document]})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        if actions:
            self.allow(name, *actions, resource=resource)
        return role["Arn"]

    def allow(self, role_name: str, *actions: str, resource: str = "*") -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_role_policy(RoleName=role_name, PolicyName="p", PolicyDocument=policy)

    def user(self, *actions: str, resource: str = "*") -> dict[str, str]:
        """An IAM user who may do these; its access key."""
        name = self.name("user")
        self.iam.create_user(UserName=name)
        if actions:
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        return self.iam.create_access_key(UserName=name)["AccessKey"]

    def make_function(self, name: str, code: str, timeout: int = 30) -> str:
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("lambda_function.py", code)
        return self.functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=self.function_role,
            Handler="lambda_function.lambda_handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=timeout,
        )["FunctionArn"]

    def queue(self) -> str:
        return self.sqs.create_queue(QueueName=self.name("queue"))["QueueUrl"]

    def message(self, queue: str, seconds: float = 20) -> dict[str, Any]:
        """The next message of a queue, taken off it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in self.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2).get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return json.loads(message["Body"])
        raise AssertionError("no message came")

    # --- definitions -----------------------------------------------------------------------------------------------

    def lambda_step(self, step: str, *needs: Any, outputs: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
        return definitions.lambda_step(step, *needs, outputs=outputs, **arguments) | {"FunctionArn": self.function}

    def callback_step(self, step: str, queue: str, outputs: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
        return definitions.callback_step(step, outputs, **arguments) | {"SqsQueueUrl": queue}

    def definition(self, *steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> str:
        return json.dumps(definitions.pipeline(*steps, parameters=parameters))

    def create(self, *steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None, **more: Any) -> str:
        """A pipeline of these steps; its name."""
        name = self.name()
        definition = self.definition(*steps, parameters=parameters)
        self.sagemaker.create_pipeline(
            **{"PipelineName": name, "PipelineDefinition": definition, "RoleArn": self.pipeline_role, **more}
        )
        return name

    # --- executions ------------------------------------------------------------------------------------------------

    def start(self, name: str, **more: Any) -> str:
        parameters = [{"Name": key, "Value": value} for key, value in more.pop("parameters", {}).items()]
        return self.sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters, **more)[
            "PipelineExecutionArn"
        ]

    def describe(self, arn: str) -> dict[str, Any]:
        return self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)

    def statuses(self, name: str) -> dict[str, str]:
        """The status of every execution of a pipeline."""
        pages = self.sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=name)
        summaries = [summary for page in pages for summary in page["PipelineExecutionSummaries"]]
        return {summary["PipelineExecutionArn"]: summary["PipelineExecutionStatus"] for summary in summaries}

    def wait(self, arn: str, seconds: float = 60) -> dict[str, Any]:
        """The execution when it has ended."""
        return self.until(
            lambda: self.describe(arn),
            lambda shown: shown["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
            seconds,
        )

    def until(self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not good(value := look()):
            assert time.monotonic() < deadline, f"still {value}"
            time.sleep(0.02)
        return value

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        pages = self.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
        return {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}

    def run(self, *steps: dict[str, Any], **more: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Run a new pipeline of these steps to its end: the execution and its steps."""
        parameters = more.pop("parameters", None)
        arn = self.start(self.create(*steps, parameters=parameters), **more)
        return self.wait(arn), self.steps(arn)


@pytest.fixture(scope="session")
def account(aws: Any) -> Account:
    return Account(aws)


def refusal(call: Callable, **arguments: Any) -> dict[str, str]:
    """The error of a call that AWS refuses."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]
