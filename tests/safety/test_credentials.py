"""What runs inside the embedded AWS sees its role's temporary credentials, and nothing of the user's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from servers import until

import local_aws

CANARY = "AKIACANARYCANARYCANA"
LOOK = '''
import json, os
import boto3

def look():
    """Everything a program can find without breaking in."""
    home = os.path.expanduser("~")
    files = [os.path.join(home, ".aws", name) for name in ("credentials", "config")]
    credentials = boto3.Session().get_credentials()
    return {
        "environment": dict(os.environ),
        "home": home,
        "files": [name for name in files if os.path.exists(name)],
        "profiles": boto3.Session().available_profiles,
        "access_key": credentials and credentials.access_key,
        "token": bool(credentials and credentials.token),
        "who": boto3.client("sts").get_caller_identity()["Arn"],
        "here": os.getcwd(),
    }
'''


@pytest.fixture(scope="module", params=["start", "serve"])
def client(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A server run, in either way, by a user with AWS credentials in every place boto3 looks."""
    home = tmp_path_factory.mktemp("user")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id={CANARY}\naws_secret_access_key={CANARY}\n"
    )
    (home / ".aws" / "config").write_text(f"[profile {CANARY}]\nregion=eu-west-1\n")
    settings = {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_SESSION_TOKEN": CANARY,
        "AWS_PROFILE": CANARY,
        "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
        "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:1/{CANARY}",
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"/{CANARY}",
        "GITHUB_TOKEN": CANARY,
        "PYTHONSTARTUP": f"/{CANARY}",
        "LD_PRELOAD": "",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        server_home = tmp_path_factory.mktemp("server")
        server = local_aws.start(port=0, home=server_home) if request.param == "start" else serve(server_home)

    def root(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=server.endpoint_url, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    root.server = server
    yield root
    local_aws.stop(server_home)


def serve(home: Path) -> local_aws.ServerInfo:
    """A server in the foreground of another process, as a user would run it in a terminal."""
    command = [sys.executable, "-m", "local_aws", "serve", "--home", str(home), "--port", "0"]
    with (home / "server.log").open("wb") as log:
        subprocess.Popen(command, stdout=log, stderr=log)
    return until(lambda: local_aws.find(home))


def role(client: Any, name: str, service: str, *actions: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def assert_clean(seen: dict[str, Any], role_name: str) -> None:
    assert CANARY not in json.dumps(seen)
    assert not {"GITHUB_TOKEN", "PYTHONSTARTUP", "LD_PRELOAD"} & seen["environment"].keys()
    assert seen["files"] == []
    assert seen["profiles"] == []
    assert seen["token"], "long-lived credentials"
    assert seen["access_key"].startswith("ASIA")
    assert f":assumed-role/{role_name}/" in seen["who"]


def test_a_lambda_sees_its_roles_credentials_only(client: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("look.py", LOOK + "\n\ndef handler(event, context):\n    return look()\n")
    arn = role(client, "canary-lambda", "lambda.amazonaws.com", "sts:GetCallerIdentity")
    client("lambda").create_function(
        FunctionName="canary", Runtime="python3.13", Handler="look.handler", Role=arn, Timeout=60,
        Code={"ZipFile": archive.getvalue()},
    )  # fmt: skip
    until(lambda: client("lambda").get_function(FunctionName="canary")["Configuration"]["State"] == "Active")
    answer = client("lambda").invoke(FunctionName="canary")
    seen = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, seen
    assert_clean(seen, "canary-lambda")
    assert str(Path.home()) != seen["home"]


@pytest.mark.slow
@pytest.mark.parametrize("image", ["public.ecr.aws/sagemaker/sagemaker-distribution:4.4.1-cpu"])
def test_a_job_sees_its_roles_credentials_only(client: Any, image: str) -> None:
    batch, ec2, logs = client("batch"), client("ec2"), client("logs")
    execution = role(client, "canary-execution", "ecs-tasks.amazonaws.com", "logs:CreateLogStream", "logs:PutLogEvents")
    job_role = role(client, "canary-job", "ecs-tasks.amazonaws.com", "sts:GetCallerIdentity")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    batch.create_compute_environment(
        computeEnvironmentName="canary", type="MANAGED",
        computeResources={"type": "FARGATE", "maxvCpus": 4, "subnets": [subnet], "securityGroupIds": [group]},
    )  # fmt: skip
    until(lambda: batch.describe_compute_environments()["computeEnvironments"][0]["status"] == "VALID")
    order = [{"order": 1, "computeEnvironment": "canary"}]
    batch.create_job_queue(jobQueueName="canary", priority=1, computeEnvironmentOrder=order)
    until(lambda: batch.describe_job_queues()["jobQueues"][0]["status"] == "VALID")
    definition = batch.register_job_definition(
        jobDefinitionName="canary", type="container", platformCapabilities=["FARGATE"],
        containerProperties={
            "image": image, "jobRoleArn": job_role, "executionRoleArn": execution,
            "command": ["python", "-c", LOOK + "\nprint(json.dumps(look()))"],
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
        },
    )["jobDefinitionArn"]  # fmt: skip
    job = batch.submit_job(jobName="canary", jobQueue="canary", jobDefinition=definition)["jobId"]
    until(lambda: batch.describe_jobs(jobs=[job])["jobs"][0]["status"] in ("SUCCEEDED", "FAILED"))
    ended = batch.describe_jobs(jobs=[job])["jobs"][0]
    stream = ended["container"]["logStreamName"]
    lines = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)["events"]
    assert ended["status"] == "SUCCEEDED", lines
    seen = json.loads(lines[-1]["message"])
    assert_clean(seen, "canary-job")
    assert seen["home"] != os.environ.get("HOME")


def test_no_secret_is_written_to_the_servers_files(client: Any) -> None:
    client("iam").create_user(UserName="logged")
    key = client("iam").create_access_key(UserName="logged")["AccessKey"]
    caller = boto3.client(
        "batch", endpoint_url=client.server.endpoint_url, region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
    )  # fmt: skip
    with pytest.raises(ClientError, match="not authorized"):
        caller.describe_jobs(jobs=["x"])
    written = [path for path in client.server.log.parent.rglob("*") if path.is_file()]
    assert client.server.log in written
    for path in written:
        content = path.read_bytes()
        assert key["SecretAccessKey"].encode() not in content, path
        assert CANARY.encode() not in content, path
