"""What both targets are known by, and the error of a setting that can't work."""

LOCAL_ACCOUNT = "000000000000"
LOCAL_REGION = "us-east-1"


class ConfigError(ValueError):
    """A setting is invalid. The message says which one, and names valid values."""
