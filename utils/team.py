"""What exists before the kit comes: an example for the notebook going_further/your_own_pipeline.

A platform team has a job queue. A data scientist has a bucket, roles and processing steps. Every name begins with the
prefix of the configuration that is passed. It is not the kit's, so that the kit has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import boto3

from . import batch, cost, data, iam, kit
from .config import Config

MAX_VCPUS = 3  # of the example's queue


@dataclass(frozen=True)
class Team:
    """What exists already.

    Attributes:
        bucket: name of the bucket with the team's data.
        pipeline: name of its pipeline.
        pipeline_role: ARN of the role that the pipeline runs with.
        job_role: ARN of the role that the program in a Batch job has.
        execution_role: ARN of the role that pulls a job's image and writes its log.
        log_group: name of the jobs' log group.
    """

    bucket: str
    pipeline: str
    pipeline_role: str
    job_role: str
    execution_role: str
    log_group: str


def ensure(session: boto3.Session, config: Config) -> Team:
    """Create what is missing of a team's resources.

    Args:
        config: of the team. Its prefix begins the names. An image of ECR may be pulled by the execution role.

    Returns:
        The Team.
    """
    tags = config.tags
    data.ensure_bucket(session, config.bucket, tags=tags)
    pipeline_role = iam.ensure_role(
        session,
        config.pipeline_role,
        trust=iam.render("trust.json", config, service="sagemaker.amazonaws.com"),
        policy=processing_policy(config),
        tags=tags,
    )
    job_role, execution_role = (
        iam.ensure_role(
            session,
            getattr(config, f"{task}_role"),
            trust=iam.render("trust_tasks.json", config, service="ecs-tasks.amazonaws.com"),
            policy=iam.render(f"{task}.json", config),
            tags=tags,
        )
        for task in ("batch_job", "batch_execution")
    )
    batch.ensure_log_group(session, config.job_log_group, tags=tags)
    return Team(config.bucket, config.pipeline, pipeline_role, job_role, execution_role, config.job_log_group)


def ensure_queue(session: boto3.Session, config: Config) -> str:
    """Create a platform team's job queue on Fargate, unless it exists.

    Returns:
        The queue's ARN.
    """
    return kit.ensure_queue_on_fargate(session, config, max_vcpus=MAX_VCPUS)


def processing_step(
    sdk_session: Any, own: Team, name: str, script: str, *, source: Any, target: str, arguments: Sequence[str] = ()
) -> Any:
    """A ProcessingStep that runs a Python script of job_code/ on one small instance.

    Args:
        sdk_session: SageMaker SDK session, as `pipeline.sdk_session` returns it.
        own: the Team whose role the step's job runs with.
        name: the step's name.
        script: file name of the script.
        source: S3 URI of the folder that the script reads, or an output of an earlier step that has it.
        target: S3 URI of the folder that gets what the script writes.
        arguments: of the script.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
    """
    from sagemaker.core import image_uris
    from sagemaker.core.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
    from sagemaker.core.shapes import ProcessingS3Input, ProcessingS3Output
    from sagemaker.mlops.workflow.steps import ProcessingStep

    folder = "/opt/ml/processing"
    processor = ScriptProcessor(
        role=own.pipeline_role,
        image_uri=image_uris.retrieve("sklearn", sdk_session.boto_region_name, version="1.2-1"),
        command=["python3"],
        instance_type=cost.PROCESSING_INSTANCE,
        instance_count=1,
        sagemaker_session=sdk_session,
    )
    inputs = ProcessingS3Input(
        s3_uri=source,
        local_path=f"{folder}/input",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
    )
    outputs = ProcessingS3Output(s3_uri=target, local_path=f"{folder}/output", s3_upload_mode="EndOfJob")
    job = processor.run(
        code=str(batch.JOB_CODE / script),
        inputs=[ProcessingInput(input_name="input", s3_input=inputs)],
        outputs=[ProcessingOutput(output_name="output", s3_output=outputs)],
        arguments=[*arguments] or None,
    )
    return ProcessingStep(name, step_args=job)


def processing_policy(config: Config) -> dict[str, Any]:
    """What a pipeline's role needs for Processing steps, whose jobs run with the same role.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
    """
    bucket = f"arn:{config.partition}:s3:::{config.bucket}"
    role = config.arn("iam", f"role/{config.pipeline_role}")
    passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    processing = ["CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob", "AddTags"]
    logs = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
    images = [
        *("ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability"),
        *("ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"),
    ]
    statements: list[dict[str, Any]] = [
        {
            "Action": [f"sagemaker:{action}" for action in processing],
            "Resource": config.arn("sagemaker", "processing-job/*"),
        },
        {"Action": "iam:PassRole", "Resource": role, "Condition": passed},
        {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{bucket}/*"},
        {"Action": "s3:ListBucket", "Resource": bucket},
        {
            "Action": [f"logs:{action}" for action in logs],
            "Resource": config.arn("logs", "log-group:/aws/sagemaker/ProcessingJobs*"),
        },
        {"Action": [*images, "cloudwatch:PutMetricData"], "Resource": "*"},
    ]
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
