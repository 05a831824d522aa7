"""Which ARNs IAM's simulator is asked about for an action that a policy allows on a pattern.

The simulator answers implicitDeny for an action on an ARN that fits none of the action's resource types, even where the
policy allows everything. So each action is asked about on its own kind of resource. AWS was recorded at it:
https://github.com/radkawar/stackd/blob/9dc356f5e5cc49d2d334178a09c1398dd1c62617/testdata/aws/iam/simulation_inputs.json
Which types an action has: https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
"""

from __future__ import annotations

from collections.abc import Iterable

# A pattern stands for any name; this is one.
SAMPLE = "preflight"

# A part of an action's name, and the kinds of resource in its statement that it applies to. An action that is not here
# applies to all of its service's.
KINDS = {
    "ComputeEnvironment": ("compute-environment",),
    "JobDefinition": ("job-definition",),
    "JobQueue": ("job-queue",),
    "batch:SubmitJob": ("job", "job-definition", "job-queue"),
    "batch:TerminateJob": ("job",),
    "EventSourceMapping": ("event-source-mapping",),
    "Function": ("function",),
    "lambda:AddPermission": ("function",),
    "Alarm": ("alarm",),
    "cloudwatch:ListTagsForResource": ("alarm",),
    "cloudwatch:TagResource": ("alarm",),
    "Dashboard": ("dashboard",),
}

# A kind of resource, the end of the narrower kind's ARN, and the actions that AWS has on the narrower kind only: a
# revision of a job definition, a stream of a log group, an execution of a pipeline.
NARROWER = {
    "job-definition": (":1", {"batch:DeregisterJobDefinition", "batch:SubmitJob", "batch:TagResource"}),
    "log-group": (f":log-stream:{SAMPLE}", {"logs:GetLogEvents"}),
    "pipeline": (
        f"/execution/{SAMPLE}",
        {
            "sagemaker:DescribePipelineDefinitionForExecution",
            "sagemaker:DescribePipelineExecution",
            "sagemaker:ListPipelineExecutionSteps",
            "sagemaker:RetryPipelineExecution",
            "sagemaker:SendPipelineExecutionStepFailure",
            "sagemaker:StopPipelineExecution",
        },
    ),
}


def arns_to_ask(action: str, patterns: Iterable[str]) -> list[tuple[str, ...]]:
    """For each resource of the action, the spellings of its ARN. A permission on one spelling is enough.

    Args:
        action: such as "batch:SubmitJob".
        patterns: the resources of the action's statement, such as the ARN of job/*.
    """
    asked: dict[tuple[str, ...], None] = {}
    for pattern in patterns:
        if pattern == "*":
            asked["*",] = None
        elif _applies(action, pattern):
            asked[_spellings(action, pattern)] = None
    return list(asked)


def kind(arn: str) -> str:
    """The first word of an ARN's last part, such as "job-queue" in job-queue/NAME."""
    return arn.split(":", 5)[5].replace("/", ":").partition(":")[0]


def _applies(action: str, pattern: str) -> bool:
    kinds = next((kinds for part, kinds in KINDS.items() if part in action), None)
    return pattern.split(":")[2] == action.partition(":")[0] and (kinds is None or kind(pattern) in kinds)


def _spellings(action: str, pattern: str) -> tuple[str, ...]:
    of_group = kind(pattern) == "log-group"
    name = (pattern.removesuffix(":*") if of_group else pattern).replace("*", SAMPLE)
    suffix, actions = NARROWER.get(kind(pattern), ("", set()))
    if action in actions:
        return (name + suffix,)
    # AWS asks for most actions on a log group with ":*" at the end of its ARN, for those on its tags without.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
    return (name, f"{name}:*") if of_group else (name,)
