"""A boto3 session that reaches AWS itself, and the region that the SageMaker SDK needs."""

from __future__ import annotations

import os

import boto3
import botocore.session
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from . import studio
from .targets import LOCAL_ACCOUNT, ConfigError

# An endpoint that can't be reached, as IAM's from a VPC without a way to the internet, is given up after half a minute.
# boto3's own 60 seconds, five times, would be five minutes of silence.
# https://docs.aws.amazon.com/botocore/latest/reference/config.html
CONNECT_SECONDS = 5


def aws_session(region: str | None = None) -> boto3.Session:
    """An ordinary boto3 session that is known to reach AWS itself.

    Raises:
        ConfigError: no region, no or refused credentials, no way to AWS, or settings that lead to the embedded AWS.
    """
    _take_region_back()
    redirected = sorted(name for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL") and value)
    if redirected:
        raise ConfigError(
            f'target is "aws", but {redirected[0]} is set, which sends calls elsewhere, perhaps to the embedded AWS. '
            "Unset it."
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
            "elsewhere, perhaps to the embedded AWS. Remove endpoint_url and services from it, or choose another "
            "profile with AWS_PROFILE."
        )
    if not session.region_name:
        raise ConfigError(
            'target is "aws", but no region is set. Set the parameter region, or AWS_DEFAULT_REGION, or run '
            "`aws configure`."
        )
    session._session.set_default_client_config(ClientConfig(connect_timeout=CONNECT_SECONDS))
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise ConfigError(
            f'target is "aws", but AWS can\'t be reached from here ({error}). Check the network and the region. In '
            "SageMaker Studio with VpcOnly, the VPC needs a NAT gateway or endpoints. README says which."
        ) from error
    except (BotoCoreError, ClientError) as error:
        raise ConfigError(
            f'target is "aws", but AWS does not accept your credentials ({error}). Sign in with `aws configure` or '
            "`aws sso login`, or choose a profile with AWS_PROFILE."
        ) from error
    if account == LOCAL_ACCOUNT:
        raise ConfigError(
            f'target is "aws", but the account that answers is {LOCAL_ACCOUNT}, the embedded AWS\'s. Unset whatever '
            "redirects your calls."
        )
    return session


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
