"""Read the event: which options there are, and one sentence for what is wrong with it."""

import hashlib
import json
import re

STEP_OUTPUT_CHARACTERS = 1_024
MAX_FILE_JOBS = 1_000
MAX_ITEMS = 1_000_000  # Batch holds no more jobs in SUBMITTED
REQUIRED = ("output_uri", "job_queue", "job_definition", "execution_id", "step_name")
KEYS_OF_MODE = {
    "per_file": {"input_uri", "max_jobs", "input_name", "output_name"},
    "array": {"input_uri", "manifest_uri", "max_jobs", "may_be_empty"},
}


class BadEvent(ValueError):
    """The event is not one this function can work with; the message says why and what to pass instead."""


def validate(event):
    """The event's options with defaults filled in; raises BadEvent with one sentence for what is wrong."""
    if not isinstance(event, dict):
        raise BadEvent(f"The event must be a JSON object with {', '.join(REQUIRED)}, but it is {event!r}.")
    options = {key: value for key, value in event.items() if value not in (None, "")}
    mode = options.setdefault("mode", "per_file")
    if mode not in KEYS_OF_MODE:
        raise BadEvent(f"mode must be per_file or array, but it is {mode!r}.")
    required = (*REQUIRED, "input_uri", "max_jobs") if mode == "per_file" else REQUIRED
    missing = [key for key in required if key not in options]
    if missing:
        raise BadEvent(f"The event lacks {', '.join(missing)}: pass them in the LambdaStep's inputs.")
    known = {*REQUIRED, "mode", *KEYS_OF_MODE[mode]}
    unknown = sorted(set(options) - known)
    if unknown:
        raise BadEvent(
            f"The event has unknown keys {', '.join(unknown)}: with mode {mode} use {', '.join(sorted(known))}."
        )
    for key, value in options.items():
        if key not in ("max_jobs", "may_be_empty") and not isinstance(value, str):
            raise BadEvent(f"{key} must be a string, but it is {value!r}.")
    for key in {"input_uri", "output_uri", "manifest_uri"} & set(options):
        options[key] = options[key].rstrip("/")
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?", options[key]):
            raise BadEvent(f"{key} must look like s3://bucket/prefix, but it is {options[key]!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options["step_name"]):
        raise BadEvent(f"step_name must be 1 to 64 letters, digits, '-' or '_', but it is {options['step_name']!r}.")
    execution_name(options["execution_id"])
    if len(report_uri(options)) > STEP_OUTPUT_CHARACTERS:
        raise BadEvent(f"output_uri is too long: a step's output holds {STEP_OUTPUT_CHARACTERS:,} characters.")
    return validate_files(options) if mode == "per_file" else validate_items(options)


def validate_files(options):
    options["max_jobs"] = whole_number("max_jobs", options["max_jobs"], MAX_FILE_JOBS)
    for key, default in (("input_name", "file_{i:02d}.json"), ("output_name", "output_{i:02d}.json")):
        options[key] = name_pattern(key, options.get(key, default))
    return options


def validate_items(options):
    options["max_jobs"] = whole_number("max_jobs", options.get("max_jobs", MAX_ITEMS), MAX_ITEMS)
    options["may_be_empty"] = truth("may_be_empty", options.get("may_be_empty", False))
    given = {"input_uri", "manifest_uri"} & set(options)
    if len(given) == 2 or not (given or options["may_be_empty"]):
        raise BadEvent("With mode array pass either input_uri, whose objects are the items, or manifest_uri.")
    if f"{options['output_uri']}/".startswith(f"{options.get('input_uri')}/"):
        raise BadEvent(
            f"output_uri must not lie within input_uri ({options['input_uri']}): the next run would take the outputs "
            "for inputs."
        )
    return options


def whole_number(key, value, high):
    """The value as an int; a pipeline passes numbers as int, float (12.0) or string ("12", "12.0")."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if isinstance(value, bool) or not (1 <= number <= high and number.is_integer()):
        more = "; for more, use mode array" if high == MAX_FILE_JOBS else ""
        raise BadEvent(f"{key} must be a whole number from 1 to {high:,}{more}, but it is {value!r}.")
    return int(number)


def truth(key, value):
    """The value as a bool; a pipeline passes truth values as bool or string ("true", "True")."""
    if str(value).lower() not in ("true", "false"):
        raise BadEvent(f"{key} must be true or false, but it is {value!r}.")
    return str(value).lower() == "true"


def name_pattern(key, pattern):
    """The pattern, once it is known to give every job a name of its own."""
    try:
        names = {pattern.format(i=i) for i in (1, 2)}
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise BadEvent(f"{key} must be like 'file_{{i:02d}}.json', but it is {pattern!r} ({error}).") from error
    if len(names) < 2:
        raise BadEvent(f"{key} must contain {{i}}, the job's number, or all jobs share one object: it is {pattern!r}.")
    return pattern


def execution_name(execution_id):
    """The last part of the execution's ARN: the part of a job's name that tells one execution from the next."""
    name = execution_id.rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name):
        raise BadEvent(
            "execution_id must be a pipeline execution's ARN, or up to 50 letters, digits, '-' or '_', "
            f"but it is {execution_id!r}."
        )
    return name


def job_prefix(options):
    """How all names of the step's jobs begin."""
    return f"{execution_name(options['execution_id'])}-{options['step_name']}"


def jobs_folder(options):
    """The s3:// prefix of what this function writes for the step."""
    return f"{options['output_uri']}/_jobs/{job_prefix(options)}"


def report_uri(options):
    """Where check_jobs may list the items that failed."""
    return f"{jobs_folder(options)}/failed.jsonl"


def digest(options):
    """What is asked for, in a few characters: the same for every call of one step."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
