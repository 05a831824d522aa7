"""The function's settings, read from its environment variables. README.md explains them."""

import os

DEFAULTS = {
    "POLL_MIN_SECONDS": 10,
    "POLL_MAX_SECONDS": 300,
    "PUSH_POLL_SECONDS": 300,
    "DEADLINE_SECONDS": 86_400,
    "MAX_POLLS": 900,
    "POLLS_TO_CONFIRM_ERROR": 5,
}


def setting(name):
    """Return a setting's number, or its default if it is not set.

    Raises:
        ValueError: it is no number of 0 or more.
    """
    text = os.environ.get(name, "")
    try:
        value = float(text or DEFAULTS[name])
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise ValueError(f"The environment variable {name} must be a number of 0 or more, but it is {text!r}.")
    return value


def push_is_on():
    """Whether PUSH_EVENTS is true.

    Raises:
        ValueError: it is neither true nor false.
    """
    text = os.environ.get("PUSH_EVENTS", "")
    if text.lower() not in ("", "true", "false"):
        raise ValueError(f"The environment variable PUSH_EVENTS must be true or false, but it is {text!r}.")
    return text.lower() == "true"


def job_queues():
    """The names or ARNs of the job queues whose jobs this function works with."""
    return os.environ.get("JOB_QUEUES", "").split()


# A wrong setting makes every invocation an error, which the function's alarm reports.
for known_setting in DEFAULTS:
    setting(known_setting)
push_is_on()
