"""One boto3 session for everything. Only this module knows how to reach either target."""

from __future__ import annotations

import os
from importlib.util import find_spec

import boto3
import botocore.configprovider
import botocore.session
from botocore.config import Config as ClientConfig

from .support import studio
from .support.aws_session import aws_session, lend_region
from .support.targets import LOCAL_ACCOUNT, LOCAL_REGION, ConfigError


def connect(target: str = "local", region: str | None = None) -> boto3.Session:
    """The session through which notebooks and helpers call AWS.

    Args:
        target: "local" starts the embedded AWS, or connects to the one already running. "aws" uses the credentials that
            boto3 finds.
        region: such as "us-east-1". None is us-east-1 locally, and your profile's or environment's region on AWS.

    Returns:
        A boto3 session. Every client made from it, the SageMaker SDK's included, talks to the target. It also becomes
        boto3's default session, since the SDK makes clients from that as soon as it is imported. So connect first, then
        import `sagemaker`.

    Raises:
        ConfigError: the target is unknown, or AWS can't be used as this machine is set up.
        local_aws.LocalAwsError: the embedded AWS does not start.
    """
    if target == "local":
        # The embedded AWS runs on hypercorn, which Studio's image lacks.
        if studio.detect_studio() and not find_spec("hypercorn"):
            raise ConfigError(
                "This kernel lacks the embedded AWS. Run `make kernel` in a terminal, and choose the kernel "
                '"SageMaker Batch Step". Or set target = "aws" in the parameters cell.'
            )
        import local_aws  # here and nowhere else: on AWS nothing of it is needed

        server = local_aws.start()
        print(f"Embedded AWS: ready, in the background until `{local_aws.COMMAND} stop`")
        session = embedded_session(server.endpoint_url, region or LOCAL_REGION)
    elif target == "aws":
        session = aws_session(region)
        print(_where_and_for_how_much(session))
    else:
        raise ConfigError(f'target is "{target}". It must be "local" or "aws".')
    boto3.DEFAULT_SESSION = session
    lend_region(session)
    return session


def _where_and_for_how_much(session: boto3.Session) -> str:
    """What one must know before anything is made in an AWS account."""
    from . import cost, estimate  # here, since they import pandas, which takes a while

    account = session.client("sts").get_caller_identity()["Account"]
    app = studio.detect_studio()
    role = f" as {app.role.rsplit('/', 1)[1]}" if app and app.role else ""
    return (
        f"AWS: account {account}, region {session.region_name}"
        + (f", from SageMaker Studio{role}" if app else "")
        + f". All seven notebooks cost about {cost.total(estimate.tutorial())} there."
    )


def embedded_state() -> str | None:
    """Which embedded AWS runs, by what it holds.

    Returns:
        An id that another server has only when it holds the same, since both have one state directory, or None when no
        server answers.
    """
    import local_aws

    server = local_aws.find()
    return server.state_id if server else None


def embedded_session(endpoint_url: str, region: str = LOCAL_REGION, *, account: str = LOCAL_ACCOUNT) -> boto3.Session:
    """A session bound to the embedded AWS at `endpoint_url`, deaf to this machine's profiles, variables and proxies.

    Args:
        account: twelve digits. Each account is empty at first, and sees nothing of the others.
    """
    core = _EmbeddedSession(endpoint_url)
    # The embedded AWS takes either key as the root of its account.
    core.set_credentials("test" if account == LOCAL_ACCOUNT else account, "test", account_id=account)
    return boto3.Session(botocore_session=core, region_name=region)


class _EmbeddedSession(botocore.session.Session):
    """A botocore session whose every client goes to one endpoint.

    The SageMaker SDK makes its own clients from the session it is given, some (STS) with an AWS endpoint spelled
    out. They must not leave this machine either, so the endpoint here is not a default but the only one.
    """

    def __init__(self, endpoint_url: str) -> None:
        # botocore's own settings less their environment variables: AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE, ...
        settings = {
            name: (in_file, None, default, convert)
            for name, (
                in_file,
                _,
                default,
                convert,
            ) in botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
        }
        settings["config_file"] = settings["credentials_file"] = (None, None, os.devnull, None)
        super().__init__(session_vars=settings)
        self._endpoint_url = endpoint_url
        self.set_default_client_config(ClientConfig(proxies={}))

    def create_client(self, *args, **kwargs):
        return super().create_client(*args, **kwargs | {"endpoint_url": self._endpoint_url})
