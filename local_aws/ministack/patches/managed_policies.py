"""AWS's managed policies that MiniStack does not have."""

from __future__ import annotations

import json
from pathlib import Path

DOCUMENTS = Path(__file__).parents[2] / "managed_policies.json"


def apply() -> None:
    """AWS's own policies that the article attaches to its one role and MiniStack does not have, in AWS's words.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
    """
    from ministack.services import iam

    for name, policy in json.loads(DOCUMENTS.read_text()).items():
        arn = f"arn:aws:iam::aws:policy/{name}"
        if arn not in iam._aws_managed_policies:
            document = json.dumps(policy["document"])
            iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, document, "")
