import http.server
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError

import local_aws
from utils.config import ConfigError, load_config
from utils.session import aws_session, connect, embedded_session

IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message>
</Error></ErrorResponse>"""


@pytest.fixture
def sts():
    """An endpoint that answers GetCallerIdentity as it is told to, and keeps the headers it was asked with."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            state.asked.append(self.headers)
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(state.answer.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}",
        asked=[],
        status=200,
        answer=IDENTITY.format(account="123456789012"),
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with an AWS configuration of its own, and nothing of this one's."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "")  # so that what a test sets is gone after it
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def real_looking_machine(machine, monkeypatch):
    (machine / "credentials").write_text("[default]\naws_access_key_id = AKIAREAL\naws_secret_access_key = real\n")
    (machine / "config").write_text("[default]\nregion = eu-west-1\n")
    return machine


# The local target


@pytest.mark.parametrize(
    "settings",
    [
        {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real", "AWS_SESSION_TOKEN": "real"},
        {"AWS_PROFILE": "production"},
        {"AWS_PROFILE": "there-is-no-such-profile"},
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"},
        {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""},
        {"AWS_CA_BUNDLE": "/there/is/no/such/file"},
        {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_local_target_uses_nothing_of_the_machines_aws(settings, sts, real_looking_machine, monkeypatch):
    with (real_looking_machine / "credentials").open("a") as file:
        file.write("[production]\naws_access_key_id = AKIAREAL\naws_secret_access_key = real\n")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    session = embedded_session(sts.url)
    session.client("sts").get_caller_identity()
    assert len(sts.asked) == 1
    authorization = sts.asked[0]["Authorization"]
    assert re.search(r"Credential=test/\d+/us-east-1/sts/", authorization)
    assert "X-Amz-Security-Token" not in sts.asked[0]


def test_an_endpoint_spelled_out_does_not_leave_this_machine(sts, machine):
    client = embedded_session(sts.url).client("sts", endpoint_url="https://sts.eu-west-1.amazonaws.com")
    client.get_caller_identity()
    assert len(sts.asked) == 1


def test_resources_go_to_the_embedded_aws_too(sts, machine):
    assert embedded_session(sts.url).resource("s3").meta.client.meta.endpoint_url == sts.url


@pytest.mark.slow
def test_the_sagemaker_sdks_own_clients_go_to_the_embedded_aws(sts, machine):
    from sagemaker.core.helper.session_helper import Session

    sdk = Session(boto_session=embedded_session(sts.url, "eu-west-1"))
    clients = [value for name, value in vars(sdk).items() if name.endswith("_client") and value is not None]
    assert len(clients) >= 4
    assert {client.meta.endpoint_url for client in clients} == {sts.url}
    assert sdk.account_id() == "123456789012"  # asked of STS at an AWS address that the SDK spells out
    assert sdk.boto_region_name == "eu-west-1"


@pytest.mark.thorough
@pytest.mark.slow
def test_after_connecting_the_sdk_can_be_imported_and_a_step_can_make_its_own_session(sts, machine):
    """In a process of its own, on a machine without a region.

    The SDK makes a client as soon as it is imported, which fails without a region before. ProcessingStep makes a
    session from the machine's settings alone.
    """
    code = (
        "import local_aws, types\n"
        f"local_aws.start = lambda: types.SimpleNamespace(endpoint_url={sts.url!r})\n"
        "from utils.session import connect\n"
        "session = connect()\n"
        "from sagemaker.ai_registry.air_hub import AIRHub\n"
        "assert AIRHub._sagemaker_client.meta.endpoint_url == local_aws.start().endpoint_url\n"
        "from sagemaker.core.processing import ScriptProcessor\n"
        "from sagemaker.core.workflow.pipeline_context import PipelineSession\n"
        "from sagemaker.mlops.workflow.steps import ProcessingStep\n"
        "processor = ScriptProcessor(role='arn:aws:iam::0:role/r', image_uri='i', command=['python3'],\n"
        "    instance_count=1, instance_type='ml.m5.large',\n"
        "    sagemaker_session=PipelineSession(boto_session=session, default_bucket='b'))\n"
        "ProcessingStep('Prepare', step_args=processor.run(code='s3://b/prepare.py'))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=600)


def test_the_region_of_the_local_target_is_none_of_the_aws_target(sts, machine, monkeypatch):
    monkeypatch.setattr(local_aws, "start", lambda: SimpleNamespace(endpoint_url=sts.url))
    for region in ("eu-west-2", "eu-west-3"):
        connect(target="local", region=region)
        assert boto3.Session().region_name == region
    with pytest.raises(ConfigError, match="no region is set"):
        connect(target="aws")
    assert boto3.Session().region_name is None


def test_a_machines_own_region_is_left_alone(sts, real_looking_machine, monkeypatch):
    monkeypatch.setattr(local_aws, "start", lambda: SimpleNamespace(endpoint_url=sts.url))
    connect(target="local", region="eu-west-2")
    assert boto3.Session().region_name == "eu-west-1"
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    connect(target="local", region="eu-west-2")


def test_connecting_starts_or_finds_the_server_and_prints_one_line_without_port_pid_or_path(
    sts, machine, monkeypatch, capsys
):
    monkeypatch.setattr(local_aws, "start", lambda: SimpleNamespace(endpoint_url=sts.url))
    session = connect(target="local", region="eu-west-2")
    assert session.client("sts").meta.endpoint_url == sts.url
    assert session.region_name == "eu-west-2"
    printed = capsys.readouterr().out
    assert printed.startswith("Embedded AWS: ready") and printed.count("\n") == 1
    assert not re.search(r"[0-9]|127|://", printed)


def test_an_unknown_target_is_named(machine):
    with pytest.raises(ConfigError, match='target is "azure"'):
        connect(target="azure")


# The AWS target. Nothing here may reach AWS: a session's STS client is led to the endpoint above.


@pytest.fixture
def answered_by(sts, monkeypatch):
    make = boto3.Session.client
    monkeypatch.setattr(boto3.Session, "client", lambda self, name: make(self, name, endpoint_url=sts.url))
    return sts


@pytest.fixture
def never_asked(monkeypatch):
    def client(*_):
        raise AssertionError("a call was about to be made")

    monkeypatch.setattr(boto3.Session, "client", client)


def test_the_aws_target_uses_the_machines_profile(answered_by, real_looking_machine, capsys):
    session = connect(target="aws")
    assert session.region_name == "eu-west-1"
    assert "Credential=AKIAREAL/" in answered_by.asked[0]["Authorization"]
    shown = capsys.readouterr().out
    assert re.fullmatch(
        r"AWS: account 123456789012, region eu-west-1\. All seven notebooks cost about \$0\.\d\d there\.\n", shown
    )


def test_a_configuration_for_aws_asks_region_and_account(answered_by, real_looking_machine, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BATCH_TARGET", "aws")
    config = load_config()
    assert (config.target, config.region, config.account) == ("aws", "eu-west-1", "123456789012")
    assert config.bucket == "sagemaker-batch-123456789012-eu-west-1"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BATCH"])
def test_the_aws_target_refuses_a_redirecting_variable(name, never_asked, real_looking_machine, monkeypatch):
    monkeypatch.setenv(name, "http://127.0.0.1:4566")
    with pytest.raises(ConfigError, match=f"{name} is set.*Unset it"):
        connect(target="aws")


@pytest.mark.parametrize(
    "setting",
    ["endpoint_url = http://127.0.0.1:4566\n", "services = here\n[services here]\nbatch =\n  endpoint_url = x\n"],
)
def test_the_aws_target_refuses_a_redirecting_profile(setting, never_asked, real_looking_machine):
    with (real_looking_machine / "config").open("a") as file:
        file.write(setting)
    with pytest.raises(ConfigError, match='profile "default" sets its own endpoints'):
        connect(target="aws")


def test_the_aws_target_refuses_the_embedded_account(answered_by, real_looking_machine):
    answered_by.answer = IDENTITY.format(account="000000000000")
    with pytest.raises(ConfigError, match="000000000000, the embedded AWS's"):
        aws_session()


def test_no_region_is_one_sentence(never_asked, machine):
    with pytest.raises(ConfigError, match=r"no region is set\. Set the parameter region, or AWS_DEFAULT_REGION"):
        connect(target="aws")


def test_no_credentials_is_one_sentence(answered_by, machine, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(ConfigError, match=r"does not accept your credentials \(Unable to locate credentials\)"):
        connect(target="aws", region="eu-west-1")
    assert answered_by.asked == []


def test_an_aws_that_cannot_be_reached_is_one_sentence(answered_by, real_looking_machine, monkeypatch):
    def lose(*_, **__):
        raise ConnectTimeoutError(endpoint_url="https://sts.eu-west-1.amazonaws.com/")

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lose)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ConfigError, match=r"can't be reached from here .*sts\.eu-west-1.*VpcOnly"):
        connect(target="aws")


def test_no_client_waits_minutes_for_a_connection(answered_by, real_looking_machine):
    session = connect(target="aws")
    for service in ("iam", "batch", "lambda"):
        settings = session.client(service).meta.config
        assert settings.connect_timeout * 5 <= 30, "legacy retries make five attempts"


def test_expired_credentials_are_one_sentence(answered_by, real_looking_machine):
    answered_by.status, answered_by.answer = 403, REFUSAL
    with pytest.raises(ConfigError, match=r"ExpiredToken.*aws sso login"):
        connect(target="aws")


def test_a_missing_profile_is_one_sentence(never_asked, real_looking_machine, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    with pytest.raises(ConfigError, match=r"settings can't be read: .*there-is-no-such-profile"):
        connect(target="aws")
