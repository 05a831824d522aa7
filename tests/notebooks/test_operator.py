"""The seven notebooks by a person who may do what utils/policies/operator.json allows, and nothing else."""

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from utils import iam
from utils import session as session_module
from utils.config import load_config
from utils.session import embedded_session

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("0*.ipynb"))


def run(notebook: Path) -> None:
    """All code of a notebook, here and not in a kernel, where no other identity could be given to it."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)


@pytest.fixture
def operator(own_aws, monkeypatch):
    """A user with the operator's policy, as whom the notebooks connect."""
    root, config = embedded_session(own_aws.endpoint_url), load_config()
    users = root.client("iam")
    users.create_user(UserName="operator")
    policy = json.dumps(iam.render("operator.json", config))
    users.put_user_policy(UserName="operator", PolicyName="tutorial", PolicyDocument=policy)
    key = users.create_access_key(UserName="operator")["AccessKey"]

    def connect(target: str, region: str) -> boto3.Session:
        core = session_module._EmbeddedSession(own_aws.endpoint_url)
        core.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])
        boto3.DEFAULT_SESSION = boto3.Session(botocore_session=core, region_name=region)
        return boto3.DEFAULT_SESSION

    monkeypatch.setattr(session_module, "connect", connect)
    return connect("local", config.region)


@pytest.mark.slow
def test_the_operators_policy_suffices_for_all_notebooks(operator, capsys):
    for notebook in NOTEBOOKS:
        run(notebook)
    assert "left behind: nothing" in capsys.readouterr().out

    # And it is no more than a kit's: neither other roles and buckets, nor jobs in other queues.
    for service, operation, arguments in (
        ("iam", "create_role", {"RoleName": "other", "AssumeRolePolicyDocument": "{}"}),
        ("s3", "create_bucket", {"Bucket": "another-bucket"}),
        ("batch", "submit_job", {"jobName": "x", "jobQueue": "other", "jobDefinition": "sagemaker-batch-copy"}),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            getattr(operator.client(service), operation)(**arguments)
