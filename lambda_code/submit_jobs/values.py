"""Read a value of the event. A pipeline passes numbers as int, float (12.0) or string ("12", "12.0")."""


class BadEvent(ValueError):
    """The function can't use this event. The message says why and what to pass instead."""


def read_number(key, value, low, high, more=""):
    """The value as a float.

    Args:
        more: what else to say of the limits.
    """
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high:
        raise BadEvent(f"{key} must be a number from {low:,} to {high:,}{more}, but it is {value!r}.")
    return number


def read_whole_number(key, value, low, high, more=""):
    """The value as an int."""
    sentence = f"{key} must be a whole number from {low:,} to {high:,}{more}, but it is {value!r}."
    try:
        number = read_number(key, value, low, high)
    except BadEvent as error:
        raise BadEvent(sentence) from error
    if not number.is_integer():
        raise BadEvent(sentence)
    return int(number)


def read_truth(key, value):
    """The value as a bool. A pipeline passes truth values as bool or string ("true", "True")."""
    if str(value).lower() not in ("true", "false"):
        raise BadEvent(f"{key} must be true or false, but it is {value!r}.")
    return str(value).lower() == "true"


def read_text(key, value):
    """The value of a job's parameter or variable, which Batch takes as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int | float):
        raise BadEvent(f"{key} must be a string or a number, but it is {value!r}.")
    return str(value)


def read_name_pattern(key, pattern):
    """The pattern, after checking that it gives every job a different name."""
    try:
        names = {pattern.format(i=i) for i in (1, 2)}
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise BadEvent(f"{key} must be like 'file_{{i:02d}}.json', but it is {pattern!r} ({error}).") from error
    if len(names) < 2:
        raise BadEvent(f"{key} must contain {{i}}, the job's number, or all jobs share one object. It is {pattern!r}.")
    return pattern
