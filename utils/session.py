"""One boto3 session for everything. Only this module knows how to reach either target."""

from __future__ import annotations

import os
from importlib.util import find_spec

import boto3
import botocore.configprovider
import botocore.session
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from .support import studio
from .support.targets import LOCAL_ACCOUNT, LOCAL_REGION, ConfigError

# An endpoint that can't be reached, as IAM's from a VPC without a way to the internet, is given up after half a minute.
# boto3's own 60 seconds, five times, would be five minutes of silence.
# https://docs.aws.amazon.com/botocore/latest/reference/config.html
CONNECT_SECONDS = 5


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
        if studio.detect_studio() and not find_spec(
            "hypercorn"
        ):  # what the embedded AWS runs on, and Studio's image lacks
            raise ConfigError('In SageMaker Studio, set target = "aws" in the parameters cell.')
        import local_aws  # here and nowhere else: on AWS nothing of it is needed

        server = local_aws.start()
        print("Embedded AWS: ready, in the background until `python -m local_aws stop`")
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
    from . import cost, estimate  # they import what imports this module

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


def lend_region(session: boto3.Session) -> None:
    """Make a session's region the default of this process, if the machine's settings have none.

    The SageMaker SDK's ProcessingStep and TransformStep make a session from the machine's settings alone, and raise if
    those have no region. They call nothing through it, and only read the name of a method from it.

    Args:
        session: the session that `connect` returned.
    """
    _take_region_back()
    try:
        has_one = botocore.session.Session().get_config_variable("region")
    except BotoCoreError:
        return  # settings that can't be read, which the local target never needs
    if not has_one:
        os.environ[_REGION] = _lent[_REGION] = session.region_name


_REGION = "AWS_DEFAULT_REGION"
_lent: dict[str, str] = {}  # what `lend_region` has set


def _take_region_back() -> None:
    """Undo `lend_region`, so that a region that the user has not set is missed as before."""
    if _lent and os.environ.get(_REGION) == _lent[_REGION]:
        del os.environ[_REGION]
    _lent.clear()


def embedded_session(endpoint_url: str, region: str = LOCAL_REGION) -> boto3.Session:
    """A session bound to the embedded AWS at `endpoint_url`, deaf to this machine's profiles, variables and proxies."""
    core = _EmbeddedSession(endpoint_url)
    core.set_credentials("test", "test", account_id=LOCAL_ACCOUNT)
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


def aws_session(region: str | None = None) -> boto3.Session:
    """An ordinary boto3 session that is known to reach AWS itself.

    Raises:
        ConfigError: no region, no or refused credentials, no way to AWS, or settings that lead to the embedded AWS.
    """
    _take_region_back()
    redirected = sorted(name for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL") and value)
    if redirected:
        raise ConfigError(
            f'target is "aws", but {redirected[0]} is set, which sends calls elsewhere, perhaps to the embedded AWS; '
            "unset it."
        )
    try:
        session = boto3.Session(region_name=region)
        if not session.region_name and (app := studio.detect_studio()):
            session = boto3.Session(region_name=app.region)
        profile = session._session.get_scoped_config()  # boto3 has no public way to a profile's other settings
    except BotoCoreError as error:
        raise ConfigError(f"target is \"aws\", but this machine's AWS settings can't be read: {error}") from error
    if "endpoint_url" in profile or "services" in profile:
        raise ConfigError(
            f'target is "aws", but the profile "{session.profile_name}" sets its own endpoints, which sends calls '
            "elsewhere, perhaps to the embedded AWS; remove endpoint_url and services from it, or choose another "
            "profile with AWS_PROFILE."
        )
    if not session.region_name:
        raise ConfigError(
            'target is "aws", but no region is set: set the parameter region, or AWS_REGION, or run `aws configure`.'
        )
    session._session.set_default_client_config(ClientConfig(connect_timeout=CONNECT_SECONDS))
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise ConfigError(
            f'target is "aws", but AWS can\'t be reached from here ({error}); check the network and the region. In '
            "SageMaker Studio with VpcOnly, the VPC needs a NAT gateway or endpoints; README says which."
        ) from error
    except (BotoCoreError, ClientError) as error:
        raise ConfigError(
            f'target is "aws", but AWS does not accept your credentials ({error}); sign in with `aws configure` or '
            "`aws sso login`, or choose a profile with AWS_PROFILE."
        ) from error
    if account == LOCAL_ACCOUNT:
        raise ConfigError(
            f'target is "aws", but the account that answers is {LOCAL_ACCOUNT}, the embedded AWS\'s; unset whatever '
            "redirects your calls."
        )
    return session
