"""What a deployed stack (deploy/template.yaml) gives to BatchStep."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

OUTPUTS = {"submit_function_arn": "SubmitFunctionArn", "callback_queue_url": "CallbackQueueUrl"}


class StackNotFound(LookupError):
    """There is no such stack, or it is another one."""


def backend(session: boto3.Session, stack: str) -> dict[str, str]:
    """The arguments of BatchStep that a stack has, as in `BatchStep(..., **backend(session, "my-stack"))`.

    Args:
        session: boto3 session.
        stack: the stack's name.

    Returns:
        submit_function_arn and callback_queue_url.

    Raises:
        StackNotFound: there is no such stack, or it is another one.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
    """
    try:
        described = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackNotFound(
            f"The stack `{stack}` was not found in {session.region_name}. Deploy it with `make deploy`."
        ) from None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    missing = [key for key in OUTPUTS.values() if key not in outputs]
    if missing:
        raise StackNotFound(
            f"The stack `{stack}` has no output {missing[0]}. Name a stack that `make deploy` has made."
        )
    return {argument: outputs[key] for argument, key in OUTPUTS.items()}


def unattached_policy(session: boto3.Session, stack: str) -> str:
    """The ARN of the policy that a pipeline's role needs, if the stack attaches it to none. Otherwise "".

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
    """
    described = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    return "" if values.get("PipelineRoleNames") else outputs.get("PipelinePolicyArn", "")
