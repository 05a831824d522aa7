import json

import boto3
import pytest

from utils import session
from utils.config import ConfigError
from utils.preflight import caller
from utils.support import studio

LAB = {
    "AppType": "JupyterLab",
    "DomainId": "d-abcdefghijkl",
    "SpaceName": "flights",
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/studio",
    "ResourceArn": "arn:aws:sagemaker:eu-central-1:123456789012:app/d-abcdefghijkl/flights/JupyterLab/default",
    "ResourceName": "default",
}


@pytest.fixture
def metadata(tmp_path, monkeypatch):
    """Writes Studio's file, or whatever else is there."""
    path = tmp_path / "resource-metadata.json"
    monkeypatch.setattr(studio, "METADATA", path)
    return lambda content: path.write_text(content if isinstance(content, str) else json.dumps(content)) and path


def test_studio_is_recognized(metadata):
    studio_app = studio.detect_studio(metadata(LAB))
    assert studio_app == studio.Studio("JupyterLab", "eu-central-1", "arn:aws:iam::123456789012:role/studio")


def test_an_older_studio_does_not_name_its_role(metadata):
    assert studio.detect_studio(metadata({"ResourceArn": LAB["ResourceArn"]})) == studio.Studio(
        "", "eu-central-1", None
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ResourceArn": "x"}', '{"ResourceArn": null}', "\x00"])
def test_anything_else_is_not_studio(metadata, content):
    path = metadata(content or " ")
    assert studio.detect_studio(path) is None


def test_elsewhere_there_is_no_such_file(tmp_path):
    assert studio.detect_studio(tmp_path / "missing.json") is None


def test_a_session_on_aws_takes_studios_region_when_no_other_is_set(metadata, monkeypatch):
    metadata(LAB)
    asked = []

    class Sts:
        def get_caller_identity(self):
            return {"Account": "123456789012", "Arn": "arn:aws:sts::123456789012:assumed-role/studio/SageMaker"}

    monkeypatch.setattr(boto3.Session, "client", lambda self, name: asked.append((name, self.region_name)) or Sts())
    assert session.aws_session().region_name == "eu-central-1"
    assert session.aws_session("us-west-2").region_name == "us-west-2"
    assert asked == [("sts", "eu-central-1"), ("sts", "us-west-2")]


def test_the_local_target_is_refused_in_studio_where_the_embedded_aws_is_not_installed(metadata, monkeypatch):
    metadata(LAB)
    monkeypatch.setattr(session, "find_spec", lambda *_: None)
    with pytest.raises(ConfigError, match=r'Run `make kernel` in a terminal.* Or set target = "aws"'):
        session.connect()


def test_the_preflight_asks_about_studios_role_by_the_name_that_studio_gives(metadata):
    """With its path, and without GetRole, which a Studio role often lacks."""
    role = "arn:aws:iam::123456789012:role/service-role/studio"
    metadata(LAB | {"ExecutionRoleArn": role})

    class Unasked:
        def client(self, name):
            raise AssertionError(f"{name} is asked")

    assert caller.principal(Unasked(), "arn:aws:sts::123456789012:assumed-role/studio/SageMaker") == role
    with pytest.raises(AssertionError, match="iam is asked"):  # another role than Studio's, of a profile
        caller.principal(Unasked(), "arn:aws:sts::123456789012:assumed-role/other/me")
