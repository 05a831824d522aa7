"""Deploy or delete the stack by the AWS CLI. See `python -m deploy.stack deploy --help`, or `make deploy`.

Each command that it runs is printed, so that you can run it yourself or take it into your own pipeline.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from deploy.render import TEMPLATE
from utils import existing, lambdas
from utils.config import Config, ConfigError
from utils.existing import ResourceNotFound
from utils.pipeline import FINAL
from utils.stack import StackNotFound, backend, unattached_policy

# The longest name of a resource is a function's, which Lambda lets have 64 characters.
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,51}")
KEY_DIGITS = 16  # of a package's digest in its key
FUNCTIONS = {"SubmitJobsKey": "submit_jobs", "CheckJobsKey": "check_jobs"}
LISTS = ("pipelines", "job_queues", "job_definitions", "buckets", "kms_keys", "pipeline_roles")
FIRST = ("pipelines", "job_queues", "job_definitions", "buckets")  # what the first deployment needs
# Options that are an ARN, and whose.
ARNS = {
    "alarm_topic": ("an SNS topic", re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+")),
    "permissions_boundary": ("an IAM policy", re.compile(r"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+")),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Its failure ends the program with one sentence."""
    options = _parser().parse_args(arguments)
    try:
        if not options.stack:
            raise ConfigError("The stack has no name: give --stack, or STACK=... to make.")
        if not STACK_NAME.fullmatch(options.stack):
            raise ConfigError(
                f'stack is "{options.stack}". It must have at most 52 letters, digits and hyphens, and begin with a '
                "letter, since it begins the functions' names."
            )
        # The CLI reads AWS_REGION, and boto3 does not.
        session = boto3.Session(region_name=options.region or os.environ.get("AWS_REGION"))
        if not session.region_name:
            raise ConfigError("No region is set. Give --region, or set AWS_DEFAULT_REGION.")
        options.run(session, options)
    except NoCredentialsError:
        sys.exit(
            "There are no AWS credentials here. Sign in with `aws configure` or `aws sso login`, or set AWS_PROFILE."
        )
    except (ConfigError, ResourceNotFound, StackNotFound, BotoCoreError, ClientError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        reasons = _failures(session, options.stack) if error.cmd[1] == "cloudformation" else []
        ended = f"`aws {error.cmd[1]} {error.cmd[2]}` ended with the status {error.returncode}."
        sys.exit("\n".join([ended, *reasons]))


def deploy(session: boto3.Session, options: argparse.Namespace) -> None:
    """Upload the functions' packages, create or update the stack, and print what BatchStep takes."""
    _require_commas(options)
    account = session.client("sts").get_caller_identity()["Account"]
    config = Config("aws", "sagemaker-stack", session.region_name, account).with_existing(
        pipelines=options.pipelines,
        job_queues=options.job_queues,
        job_definitions=options.job_definitions,
        buckets=options.buckets,
        kms_keys=options.kms_keys,
    )
    values = parameters(config, options)
    bucket = options.code_bucket or (options.buckets[0].rpartition(":")[2] if options.buckets else "")
    if not bucket:
        raise ConfigError("The packages need a bucket. Give --buckets or --code-bucket.")
    _require(session, config, options)
    folder = TEMPLATE.parent.parent / "build"
    lambdas.write_packages(folder)
    values["CodeBucket"] = bucket
    for parameter, name in FUNCTIONS.items():
        package = folder / f"{name}.zip"
        # A key that follows the content: the same code changes nothing, and other code updates the function.
        digest = hashlib.sha256(package.read_bytes()).hexdigest()[:KEY_DIGITS]
        values[parameter] = f"{options.stack}/{name}-{digest}.zip"
        _aws(session, "s3", "cp", "--only-show-errors", str(package), f"s3://{bucket}/{values[parameter]}")
    overrides = [f"{name}={value}" for name, value in values.items()]
    _aws(
        session, "cloudformation", "deploy", "--stack-name", options.stack, "--template-file", str(TEMPLATE),
        "--capabilities", "CAPABILITY_IAM", "--no-fail-on-empty-changeset", "--parameter-overrides", *overrides,
    )  # fmt: skip
    if policy := unattached_policy(session, options.stack):
        print(f"Your pipeline's role needs the policy {policy}. Attach it, or deploy with --pipeline-roles.")
    print(f"backend = {json.dumps(backend(session, options.stack), indent=4)}")


def _require(session: boto3.Session, config: Config, options: argparse.Namespace) -> None:
    """Check all that the options name, before anything is made."""
    for option, (what, pattern) in ARNS.items():
        value = getattr(options, option)
        if value and not pattern.fullmatch(value):
            raise ConfigError(f'--{option.replace("_", "-")} is "{value}". It must be the ARN of {what}.')
    existing.require(
        session,
        config.with_existing(buckets=[options.code_bucket] if options.code_bucket else []),
        roles=options.pipeline_roles,
        topics=[options.alarm_topic] if options.alarm_topic else [],
        boundaries=[options.permissions_boundary] if options.permissions_boundary else [],
    )
    try:
        stack = _described(session, options.stack)
    except ClientError:
        return  # you may not see it. CloudFormation says what is wrong
    status = stack["StackStatus"] if stack else "REVIEW_IN_PROGRESS"
    missing = [f"--{name.replace('_', '-')} ({name.upper()})" for name in FIRST if not getattr(options, name)]
    if status == "REVIEW_IN_PROGRESS" and missing:
        raise ConfigError(f"The stack `{options.stack}` is new, so give {' and '.join(missing)}.")
    if status == "ROLLBACK_COMPLETE":
        raise ConfigError(
            f"The first deployment of the stack `{options.stack}` failed. CloudFormation can't update such a stack, so "
            "delete it with `make undeploy`, and deploy it again."
        )


def _require_commas(options: argparse.Namespace) -> None:
    """Check that no name has a space, because then it is more than one."""
    for option in LISTS:
        for name in getattr(options, option):
            if len(names := name.split()) > 1:
                raise ConfigError(f'{option} has "{name}". Separate names by commas, such as "{",".join(names)}".')


def _described(session: boto3.Session, stack: str) -> dict[str, Any] | None:
    """The stack as DescribeStacks answers it, or None if there is none.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
    """
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise


def delete(session: boto3.Session, options: argparse.Namespace) -> None:
    """Delete the packages that were uploaded for the stack, then the stack. Other objects of the bucket stay.

    The packages go first, because the stack says where they are. So a deletion that was interrupted can be run again.
    """
    stack = _described(session, options.stack)
    if stack is None:
        print(f"There is no stack `{options.stack}` in {session.region_name}, so nothing is deleted.")
        return
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
    if not {"CodeBucket", *FUNCTIONS} <= set(values):
        raise ConfigError(
            f"The stack `{options.stack}` is not one of deploy/template.yaml, so it is not deleted. Check its name."
        )
    if not options.force:
        _require_ended(session, values.get("PipelineArns", ""))
    bucket = values["CodeBucket"]
    packages = [part for name in FUNCTIONS.values() for part in ("--include", f"{name}-{'?' * KEY_DIGITS}.zip")]
    _aws(
        session, "s3", "rm", "--only-show-errors", "--recursive", f"s3://{bucket}/{options.stack}/",
        "--exclude", "*", *packages,
    )  # fmt: skip
    _aws(session, "cloudformation", "delete-stack", "--stack-name", options.stack)
    _aws(session, "cloudformation", "wait", "stack-delete-complete", "--stack-name", options.stack)


def _require_ended(session: boto3.Session, pipelines: str) -> None:
    """Check that no execution of these pipelines waits for an answer, which only the stack's function gives.

    A pipeline that is not there, or whose executions you may not list, has none.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutions.html
    """
    pages = session.client("sagemaker").get_paginator("list_pipeline_executions")
    running = set()
    for name in {arn.rpartition("/")[2] for arn in pipelines.split(",") if arn}:
        with contextlib.suppress(ClientError):
            running |= {
                each["PipelineExecutionArn"]
                for page in pages.paginate(PipelineName=name)
                for each in page["PipelineExecutionSummaries"]
                if each["PipelineExecutionStatus"] not in FINAL
            }
    if running:
        commands = [
            f"  aws sagemaker stop-pipeline-execution --pipeline-execution-arn {arn}" for arn in sorted(running)
        ]
        raise ConfigError(
            "Nothing is deleted, because these executions have not ended, and only the stack answers their BatchSteps. "
            "Stop them, and run this again when they have ended. To delete the stack at once, add --force "
            "(ARGS=--force to make).\n" + "\n".join(commands)
        )


def _failures(session: boto3.Session, stack: str) -> list[str]:
    """Why resources of the stack failed, the newest first, and what to do. None if there is no such stack.

    A stack whose creation failed can only be deleted.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-describing-stacks.html
    """
    client = session.client("cloudformation")
    try:
        events = client.describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError:
        return []  # the stack was refused as a whole, and the CLI has said why
    reasons = [
        f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason given')}"
        for each in events
        if each["ResourceStatus"].endswith("_FAILED")
    ]
    # What is cancelled was so after another resource had failed.
    causes = [reason for reason in reasons if not reason.endswith(" cancelled")][:5]
    if events and events[0]["ResourceStatus"] == "ROLLBACK_COMPLETE":
        causes.append(f"Mend the cause, delete the rest by `make undeploy STACK={stack}`, and deploy again.")
    return causes


def parameters(config: Config, options: argparse.Namespace) -> dict[str, str]:
    """The stack's parameters that the options give. In an update, the others keep their values."""
    own = Config(config.target, config.prefix, config.region, config.account)
    lists = {
        "PipelineArns": config.existing_pipeline_arns,
        "JobQueueArns": _beside(config.job_queue_arns, own.job_queue_arns),
        "JobDefinitionArns": [
            each for each in _beside(config.job_definition_arns, own.job_definition_arns) if not each.endswith(":*")
        ],
        "BucketArns": _beside(config.bucket_arns, own.bucket_arns),
        "KmsKeyArns": config.kms_keys,
        "PipelineRoleNames": options.pipeline_roles,
    }
    texts = {
        "PermissionsBoundaryArn": options.permissions_boundary,
        "AlarmTopicArn": options.alarm_topic,
        "Push": None if options.push is None else str(options.push).lower(),
        "PollMinSeconds": options.poll_min_seconds,
        "DeadlineSeconds": options.deadline_seconds,
    }
    given: dict[str, Any] = {name: ",".join(values) for name, values in lists.items() if values}
    return given | {name: str(value) for name, value in texts.items() if value is not None}


def _beside(all_arns: tuple[str, ...], own: tuple[str, ...]) -> list[str]:
    return [each for each in all_arns if each not in own]


def _aws(session: boto3.Session, *arguments: str) -> None:
    """Run this environment's AWS CLI, or else the one on the PATH."""
    beside = Path(sys.executable).with_name("aws")
    program = str(beside) if beside.exists() else shutil.which("aws")
    if not program:
        raise ConfigError("The AWS CLI was not found. Install it with `pip install awscli`.")
    command = [program, *arguments, "--region", session.region_name]
    print("$ " + shlex.join(["aws", *command[1:]]), flush=True)
    subprocess.run(command, check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.stack", description=__doc__)
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("deploy", help="create or update the stack")
    remove = commands.add_parser("delete", help="delete the stack and its packages")
    for command, run in ((create, deploy), (remove, delete)):
        command.set_defaults(run=run)
        command.add_argument(
            "--stack", required=True, help="name of the stack, which begins the names of its resources"
        )
        command.add_argument("--region", help="such as eu-west-1; default: that of your profile or environment")
    for name, what in (
        ("pipelines", "names of the pipelines that use it"),
        ("job-queues", "names or ARNs of the job queues"),
        ("job-definitions", "names or ARNs of the job definitions"),
        ("buckets", "names of the buckets of inputs and outputs"),
        ("kms-keys", "ARNs of the keys that encrypt these buckets"),
        ("pipeline-roles", "names of the pipelines' roles, to attach the policy to that they need"),
    ):
        create.add_argument(f"--{name}", type=_names, default=[], metavar="A,B", help=f"{what}, separated by commas")
    remove.add_argument("--force", action="store_true", help="delete it even while executions of its pipelines run")
    create.add_argument("--permissions-boundary", metavar="ARN", help="boundary of the functions' roles")
    create.add_argument("--alarm-topic", metavar="ARN", help="SNS topic that the alarms notify")
    create.add_argument("--push", action=argparse.BooleanOptionalAction, help="answer when a job ends; default: poll")
    create.add_argument("--poll-min-seconds", type=int, help="least time between two polls; default: 10")
    create.add_argument("--deadline-seconds", type=int, help="how long a step may wait; default: a day")
    create.add_argument("--code-bucket", help="bucket for the functions' packages; default: the first of --buckets")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    main()
