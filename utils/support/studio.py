"""Is this SageMaker Studio? Then its region is ours, and the role behind its credentials is known by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

METADATA = Path("/opt/ml/metadata/resource-metadata.json")


@dataclass(frozen=True)
class Studio:
    """The app that this code runs in.

    Attributes:
        app: such as "JupyterLab", or "" if Studio does not say.
        region: such as "eu-west-1".
        role: the ARN of the execution role, or None if Studio does not say. boto3 has its credentials by itself.
    """

    app: str
    region: str
    role: str | None


def detect_studio(metadata: Path | None = None) -> Studio | None:
    """What Studio's metadata file says of this app, or None anywhere else.

    Of its members, ResourceArn is in every example of the file, ExecutionRoleArn only in newer ones.
    https://docs.aws.amazon.com/sagemaker/latest/dg/notebooks-run-and-manage-metadata.html
    https://github.com/aws/sagemaker-python-sdk/pull/5315
    """
    try:
        document = json.loads((metadata or METADATA).read_text())
        region = document["ResourceArn"].split(":")[3]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None  # no such file, or another one: this is not Studio
    return Studio(document.get("AppType", ""), region, document.get("ExecutionRoleArn"))
