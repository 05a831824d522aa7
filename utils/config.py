"""Where the kit runs and what its resources are called.

Every name derives from `prefix`, the account and the region, so any notebook finds what another one made without a file
between them. Every name contains "sagemaker": the managed policy AmazonSageMakerPipelinesIntegrations lets a pipeline
invoke only such functions and send to only such queues.
https://docs.aws.amazon.com/sagemaker/latest/dg/security-iam-awsmanpol-pipelines.html
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import botocore.loaders

from .support.aws_session import aws_session
from .support.targets import LOCAL_ACCOUNT, LOCAL_REGION, ConfigError

TAG_KEY = "sagemaker-batch:prefix"
# What the Python jobs run in: small, since Fargate keeps no image from one job to the next. It has no entrypoint, and
# must have none: a job's command is given to an image's entrypoint, and Batch can't replace that.
# https://gallery.ecr.aws/docker/library/python
PYTHON_IMAGE = "public.ecr.aws/docker/library/python:3.13-slim"
# ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG. https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR_IMAGE = re.compile(r"([0-9]{12})\.dkr[.-]ecr\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)/([^:@]+)")

# The tightest limits: a bucket name has 63 characters, a role name 64. Beside the prefix they hold an account (12), a
# region (up to 15: us-isof-south-1) and a task (up to 15: batch-execution).
MAX_PREFIX = 32

_ARN = r"arn:[a-z-]+:{service}:[a-z0-9-]*:[0-9]*:{resource}"
# Existing resources: what a name or an ARN of each kind looks like.
EXISTING = {
    "pipelines": "(" + _ARN.format(service="sagemaker", resource="pipeline/") + ")?[A-Za-z0-9](-*[A-Za-z0-9]){0,255}",
    "job_queues": "(" + _ARN.format(service="batch", resource="job-queue/") + ")?[A-Za-z0-9][A-Za-z0-9_-]{0,127}",
    "job_definitions": "("
    + _ARN.format(service="batch", resource="job-definition/")
    + ")?[A-Za-z0-9][A-Za-z0-9_-]{0,127}(:[0-9]+)?",
    "buckets": "(arn:[a-z-]+:s3:::)?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "kms_keys": _ARN.format(service="kms", resource="key/[A-Za-z0-9-]+"),  # a policy can't name a key by its alias
}


@dataclass(frozen=True)
class Config:
    """One deployment of the kit.

    Attributes:
        target: "local" (the embedded AWS) or "aws".
        prefix: the beginning of every name, and the value of the tag TAG_KEY on every resource. Of two people's, none
            should begin with the other's and a hyphen, because operator.json allows all of `prefix-*`.
        region: such as "us-east-1".
        account: twelve digits.
        role_layout: "separate" (least privilege, one role a task) or "shared" (one role with managed policies).
        image: container image of the Python jobs. Your own image needs `python` and no entrypoint. What a job's
            program needs beyond that is installed when the job starts, unless the image has it.
        pipelines, job_queues, job_definitions, buckets: names or ARNs of what exists already, to use beside the kit's
            resources. The policies, rules and functions include them. The kit never changes or deletes them.
        kms_keys: ARNs of the keys that encrypt these buckets.
    """

    target: str
    prefix: str
    region: str
    account: str
    role_layout: str = "separate"
    image: str = PYTHON_IMAGE
    pipelines: tuple[str, ...] = ()
    job_queues: tuple[str, ...] = ()
    job_definitions: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    kms_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.target not in ("local", "aws"):
            raise ConfigError(f'target is "{self.target}". It must be "local" or "aws".')
        if self.role_layout not in ("separate", "shared"):
            raise ConfigError(f'role_layout is "{self.role_layout}". It must be "separate" or "shared".')
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.prefix) or len(self.prefix) > MAX_PREFIX:
            raise ConfigError(
                f'prefix is "{self.prefix}". It must have at most {MAX_PREFIX} characters, begin with a letter and '
                "hold only lower-case letters, digits and single hyphens, since it begins a bucket's name."
            )
        if "sagemaker" not in self.prefix:
            raise ConfigError(
                f'prefix is "{self.prefix}". It must contain "sagemaker", since AWS\'s managed pipeline policy only '
                f'covers names that do. Try "sagemaker-{self.prefix}".'
            )
        _partition(self.region)
        if not re.fullmatch(r"\d{12}", self.account):
            raise ConfigError(f'account is "{self.account}". An AWS account has twelve digits.')
        for setting, pattern in EXISTING.items():
            _check_existing(setting, getattr(self, setting), pattern)

    def with_existing(
        self,
        *,
        pipelines: Sequence[str] = (),
        job_queues: Sequence[str] = (),
        job_definitions: Sequence[str] = (),
        buckets: Sequence[str] = (),
        kms_keys: Sequence[str] = (),
    ) -> Config:
        """This configuration with more existing resources, as the attributes of the same names have them.

        Raises:
            ConfigError: one is no list, or has a value that is none of AWS's names or ARNs.
        """
        more = (pipelines, job_queues, job_definitions, buckets, kms_keys)
        for setting, names in zip(EXISTING, more, strict=True):
            if isinstance(names, str):  # else its letters would be the names
                raise ConfigError(f'{setting} is "{names}". It must be a list, such as ["{names}"].')
        return dataclasses.replace(
            self,
            pipelines=_joined(self.pipelines, pipelines),
            job_queues=_joined(self.job_queues, job_queues),
            job_definitions=_joined(self.job_definitions, job_definitions),
            buckets=_joined(self.buckets, buckets),
            kms_keys=_joined(self.kms_keys, kms_keys),
        )

    # Tags and ARNs

    @property
    def tags(self) -> dict[str, str]:
        """The tag on every resource, by which cleanup finds them."""
        return {TAG_KEY: self.prefix}

    @property
    def tag_text(self) -> str:
        """The tag as a text, for what not every boto3 in use can tag."""
        return f"{TAG_KEY}={self.prefix}."

    @property
    def partition(self) -> str:
        """The partition in an ARN, such as "aws", "aws-cn" or "aws-us-gov"."""
        return _partition(self.region)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in this account and region. IAM's ARNs have no region."""
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    # What the policies and rules name: the kit's own resources, then those that exist already

    @property
    def pipeline_arns(self) -> tuple[str, ...]:
        """The pipelines whose steps the kit may answer."""
        names = (self.pipeline, self.pipeline_by_hand)
        return (*(self.arn("sagemaker", f"pipeline/{name}") for name in names), *self.existing_pipeline_arns)

    @property
    def existing_pipeline_arns(self) -> tuple[str, ...]:
        """The pipelines beside the kit's, each as it is called and in lower case.

        SageMaker has answered the pipeline AbalonePipeline with the ARN pipeline/abalonepipeline. Newer examples keep
        the case, and IAM compares ARNs by case, so both are named.
        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        names = (name.rpartition("/")[2] for name in self.pipelines)
        both = (form for name in names for form in (name, name.lower()))
        return tuple(dict.fromkeys(self.arn("sagemaker", f"pipeline/{name}") for name in both))

    @property
    def job_queue_arns(self) -> tuple[str, ...]:
        """The queues that jobs may be submitted to."""
        return tuple(self._full_arn("batch", "job-queue", name) for name in (self.job_queue, *self.job_queues))

    @property
    def job_definition_arns(self) -> tuple[str, ...]:
        """The definitions that jobs may be submitted with, any revision of those that are named without one."""
        names = (self.copy_job_definition, self.aggregate_job_definition, *self.job_definitions)
        arns = [self._full_arn("batch", "job-definition", name) for name in names]
        one_revision = re.compile(r"job-definition/.+:\d+")
        return tuple(form for arn in arns for form in ((arn,) if one_revision.search(arn) else (arn, f"{arn}:*")))

    @property
    def bucket_arns(self) -> tuple[str, ...]:
        """The buckets that jobs and functions read and write."""
        names = (name.rpartition(":")[2] for name in (self.bucket, *self.buckets))
        return tuple(f"arn:{self.partition}:s3:::{name}" for name in names)

    def _full_arn(self, service: str, kind: str, name: str) -> str:
        return name if name.startswith("arn:") else self.arn(service, f"{kind}/{name}")

    # S3

    @property
    def bucket(self) -> str:
        """Holds input and output. Bucket names are global, hence account and region."""
        return f"{self.prefix}-{self.account}-{self.region}"

    def s3_uri(self, key: str) -> str:
        """`s3://bucket/key`"""
        return f"s3://{self.bucket}/{key}"

    # IAM. Roles are global too: the region keeps two deployments of one prefix apart.

    def _role(self, task: str) -> str:
        return f"{self.prefix}-{'shared' if self.role_layout == 'shared' else task}-{self.region}"

    @property
    def pipeline_role(self) -> str:
        """The pipeline's role, which invokes the functions and sends to the callback queue."""
        return self._role("pipeline")

    @property
    def submit_lambda_role(self) -> str:
        """The submitting function's role, which submits Batch jobs."""
        return self._role("submit-lambda")

    @property
    def monitor_lambda_role(self) -> str:
        """The checking function's role, which reads the queue, describes jobs, and answers the pipeline."""
        return self._role("monitor-lambda")

    @property
    def data_lambda_role(self) -> str:
        """The role of the existing pipeline's functions, which read and write the bucket."""
        return self._role("data-lambda")

    @property
    def batch_job_role(self) -> str:
        """The role of the program in a job, which reads the input and writes the output."""
        return self._role("batch-job")

    @property
    def batch_execution_role(self) -> str:
        """The role that Fargate uses around a job, to pull the image and write the log."""
        return self._role("batch-execution")

    @property
    def instance_role(self) -> str:
        """The role of EC2 instances that run jobs, and its instance profile."""
        return f"{self.prefix}-batch-instance-{self.region}"

    # AWS Batch

    @property
    def image_repository_arns(self) -> tuple[str, ...]:
        """The private ECR repository of the image, which the execution role then pulls from; () for a public image."""
        match = _ECR_IMAGE.match(self.image)
        if not match:
            return ()
        account, region, repository = match.groups()
        return (f"arn:{self.partition}:ecr:{region}:{account}:repository/{repository}",)

    @property
    def image_registries(self) -> tuple[str, ...]:
        """What the token for a private registry is asked for: "*", since ECR knows no narrower; () without one."""
        return ("*",) if self.image_repository_arns else ()

    @property
    def compute_environment(self) -> str:
        return f"{self.prefix}-compute"

    @property
    def job_queue(self) -> str:
        return f"{self.prefix}-jobs"

    @property
    def copy_job_definition(self) -> str:
        """The article's job definition, which copies one object."""
        return f"{self.prefix}-copy"

    @property
    def aggregate_job_definition(self) -> str:
        """Aggregates one month's flights."""
        return f"{self.prefix}-aggregate"

    # Lambda

    @property
    def submit_jobs_function(self) -> str:
        return f"{self.prefix}-submit-jobs"

    @property
    def check_jobs_function(self) -> str:
        return f"{self.prefix}-check-jobs"

    @property
    def count_inputs_function(self) -> str:
        return f"{self.prefix}-count-inputs"

    @property
    def merge_results_function(self) -> str:
        return f"{self.prefix}-merge-results"

    # SQS

    @property
    def callback_queue(self) -> str:
        """Where the pipeline's callback steps send their tokens."""
        return f"{self.prefix}-callbacks"

    @property
    def dead_letter_queue(self) -> str:
        """Where messages end that nothing could answer."""
        return f"{self.prefix}-callbacks-dead-letter"

    # SageMaker

    @property
    def pipeline(self) -> str:
        return f"{self.prefix}-flights"

    @property
    def pipeline_by_hand(self) -> str:
        """Notebook 04's, of one step that waits."""
        return f"{self.prefix}-by-hand"

    # CloudWatch

    @property
    def dashboard(self) -> str:
        return f"{self.prefix}-callbacks"

    @property
    def job_log_group(self) -> str:
        """The jobs' log group. Every other job of the account shares Batch's default, /aws/batch/job."""
        return f"/aws/batch/{self.prefix}"

    @staticmethod
    def lambda_log_group(function: str) -> str:
        """The log group Lambda writes a function's log to."""
        return f"/aws/lambda/{function}"


def _joined(names: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))


def _check_existing(setting: str, names: Sequence[str], pattern: str) -> None:
    """
    Raises:
        ConfigError: one of its values is none of AWS's names or ARNs.
    """
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(pattern, name):
            kind = "the ARN of a key" if setting == "kms_keys" else "a name or an ARN"
            raise ConfigError(f"{setting} has {name!r}, which is not {kind} that AWS takes. Check its spelling.")


@functools.cache
def _partition(region: str) -> str:
    for partition in botocore.loaders.create_loader().load_data("partitions")["partitions"]:
        if re.fullmatch(partition["regionRegex"], region):
            return partition["id"]
    raise ConfigError(f'region is "{region}". It must be an AWS region such as "us-east-1".')


def load_config(
    target: str | None = None,
    prefix: str | None = None,
    region: str | None = None,
    role_layout: str | None = None,
    account: str | None = None,
    image: str | None = None,
    pipelines: Sequence[str] = (),
    job_queues: Sequence[str] = (),
    job_definitions: Sequence[str] = (),
    buckets: Sequence[str] = (),
    kms_keys: Sequence[str] = (),
) -> Config:
    """The configuration of a notebook, from its parameters.

    A parameter that is None comes from the environment (SAGEMAKER_BATCH_TARGET, SAGEMAKER_BATCH_PREFIX,
    SAGEMAKER_BATCH_REGION, SAGEMAKER_BATCH_ROLE_LAYOUT, SAGEMAKER_BATCH_IMAGE). Without that it is "local",
    "sagemaker-batch", the target's own region, "separate" and PYTHON_IMAGE. On "aws" the region is that of the profile
    or environment boto3 uses, and the account is asked of STS. The lists are empty unless you give them: existing
    resources to use beside the kit's, as `Config` has them.

    Raises:
        ConfigError: a setting can't work, or AWS can't be reached with the credentials at hand.
    """
    target = target or os.environ.get("SAGEMAKER_BATCH_TARGET") or "local"
    region = region or os.environ.get("SAGEMAKER_BATCH_REGION")
    if target == "aws" and not (region and account):
        session = aws_session(region)  # only then: a local configuration calls nothing
        region = session.region_name
        account = account or session.client("sts").get_caller_identity()["Account"]
    config = Config(
        target=target,
        prefix=prefix or os.environ.get("SAGEMAKER_BATCH_PREFIX") or "sagemaker-batch",
        region=region or LOCAL_REGION,
        account=account or LOCAL_ACCOUNT,
        role_layout=role_layout or os.environ.get("SAGEMAKER_BATCH_ROLE_LAYOUT") or "separate",
        image=image or os.environ.get("SAGEMAKER_BATCH_IMAGE") or PYTHON_IMAGE,
    )
    return config.with_existing(
        pipelines=pipelines,
        job_queues=job_queues,
        job_definitions=job_definitions,
        buckets=buckets,
        kms_keys=kms_keys,
    )
