"""What both targets are known by, and the error of a setting that can't work."""

LOCAL_ACCOUNT = "000000000000"
LOCAL_REGION = "us-east-1"


class ConfigError(ValueError):
    """A setting that can't work; the message says which, and what would."""
