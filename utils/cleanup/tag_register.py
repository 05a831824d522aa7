"""What AWS's register of tags lists under the kit's tag."""

from __future__ import annotations

import boto3

from ..config import Config


def tagged(session: boto3.Session, config: Config) -> list[str]:
    """ARNs of everything in the region that the tag register lists under the kit's tag, records left out.

    Records are finished jobs and their ECS tasks, executions, and deregistered job definitions. They cost nothing, and
    AWS forgets them by itself. The register does not list roles.

    The register is not up to date. It lists deleted resources for minutes or hours (boto/boto3#3341, aws/aws-cli#4173),
    so what it lists may be gone.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    https://github.com/boto/boto3/issues/3341
    https://github.com/aws/aws-cli/issues/4173
    """
    (key, value) = next(iter(config.tags.items()))
    pages = session.client("resourcegroupstaggingapi").get_paginator("get_resources")
    arns = [
        mapping["ResourceARN"]
        for page in pages.paginate(TagFilters=[{"Key": key, "Values": [value]}])
        for mapping in page["ResourceTagMappingList"]
    ]
    definitions = [arn for arn in arns if _resource(arn).startswith("job-definition/")]
    deregistered = set(definitions) - _active(session, definitions)
    return sorted(arn for arn in arns if not _is_record(arn) and arn not in deregistered)


def _active(session: boto3.Session, definitions: list[str]) -> set[str]:
    """Those of these job definitions that can still be used. Batch describes a deregistered one for half a year.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobDefinitions.html
    """
    describe = session.client("batch").describe_job_definitions
    return {
        revision["jobDefinitionArn"]
        for start in range(0, len(definitions), 100)
        for revision in describe(jobDefinitions=definitions[start : start + 100])["jobDefinitions"]
        if revision.get("status") == "ACTIVE"
    }


def _is_record(arn: str) -> bool:
    """Whether this is a job, its ECS task (a definition with `propagateTags` tags it, too) or an execution."""
    return _resource(arn).startswith(("job/", "task/")) or "/execution/" in _resource(arn)


def _resource(arn: str) -> str:
    return arn.split(":", 5)[5]
