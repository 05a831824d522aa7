"""Read the event, and say in one sentence what is wrong with it."""

import hashlib
import json
import re

from job_options import is_job_key, read_job_options
from values import BadEvent, read_name_pattern, read_truth, read_whole_number

STEP_OUTPUT_CHARACTERS = 1_024
MAX_FILE_JOBS = 1_000
MAX_ITEMS = 1_000_000  # Batch holds no more jobs in SUBMITTED
REQUIRED = ("output_uri", "job_queue", "job_definition", "execution_id", "step_name")
MAX_TRIAL = 1_000
NO_STRINGS = {"max_jobs", "may_be_empty", "trial", "only_trial"}
OPTIONAL = {"mode", "trial", "only_trial", "pipeline_steps"}
# What is asked for is the same without them: the call for the trial and the one for the rest share a plan.
NOT_IN_DIGEST = {"only_trial", "pipeline_steps"}
KEYS_OF_MODE = {
    "per_file": {"input_uri", "max_jobs", "input_name", "output_name"},
    "array": {"input_uri", "manifest_uri", "max_jobs", "may_be_empty"},
}


def validate(event):
    """The event's options with defaults filled in. Raises BadEvent with one sentence for what is wrong."""
    if not isinstance(event, dict):
        raise BadEvent(f"The event must be a JSON object with {', '.join(REQUIRED)}, but it is {event!r}.")
    options = {key: value for key, value in event.items() if value is not None and (value != "" or keeps_empty(key))}
    mode = options.setdefault("mode", "per_file")
    if mode not in KEYS_OF_MODE:
        raise BadEvent(f"mode must be per_file or array, but it is {mode!r}.")
    required = (*REQUIRED, "input_uri", "max_jobs") if mode == "per_file" else REQUIRED
    missing = [key for key in required if key not in options]
    if missing:
        raise BadEvent(f"The event lacks {', '.join(missing)}: pass them in the LambdaStep's inputs.")
    known = {*REQUIRED, *OPTIONAL, *KEYS_OF_MODE[mode]}
    unknown = sorted(key for key in set(options) - known if not is_job_key(key))
    if unknown:
        raise BadEvent(
            f"The event has unknown keys {', '.join(unknown)}. With mode {mode} use {', '.join(sorted(known))}."
        )
    for key, value in options.items():
        if not (key in NO_STRINGS or is_job_key(key) or isinstance(value, str)):
            raise BadEvent(f"{key} must be a string, but it is {value!r}.")
    for key in {"input_uri", "output_uri", "manifest_uri"} & set(options):
        options[key] = options[key].rstrip("/")
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?", options[key]):
            raise BadEvent(f"{key} must have the form s3://bucket/prefix, but it is {options[key]!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options["step_name"]):
        raise BadEvent(f"step_name must be 1 to 64 letters, digits, '-' or '_', but it is {options['step_name']!r}.")
    execution_name(options["execution_id"])
    if len(report_uri(options)) > STEP_OUTPUT_CHARACTERS:
        raise BadEvent(f"output_uri is too long, because a step's output holds {STEP_OUTPUT_CHARACTERS:,} characters.")
    read_job_options(options)
    read_trial(options)
    return validate_files(options) if mode == "per_file" else validate_items(options)


def keeps_empty(key):
    """Whether an empty value is one. A pipeline can't leave out a parameter, so elsewhere empty is not given."""
    return key.startswith("environment.")


def read_trial(options):
    """How many items are tried first, and whether this call submits them alone."""
    if "trial" in options:
        options["trial"] = read_whole_number("trial", options["trial"], 1, MAX_TRIAL)
    options["only_trial"] = read_truth("only_trial", options.get("only_trial", False))
    if options["only_trial"] and "trial" not in options:
        raise BadEvent("The event has only_trial and no trial. Pass how many items to try.")


def validate_files(options):
    more = " (mode array takes more)"
    options["max_jobs"] = read_whole_number("max_jobs", options["max_jobs"], 1, MAX_FILE_JOBS, more)
    for key, default in (("input_name", "file_{i:02d}.json"), ("output_name", "output_{i:02d}.json")):
        options[key] = read_name_pattern(key, options.get(key, default))
    return options


def validate_items(options):
    options["max_jobs"] = read_whole_number("max_jobs", options.get("max_jobs", MAX_ITEMS), 1, MAX_ITEMS)
    options["may_be_empty"] = read_truth("may_be_empty", options.get("may_be_empty", False))
    given = {"input_uri", "manifest_uri"} & set(options)
    if len(given) == 2 or not (given or options["may_be_empty"]):
        raise BadEvent("With mode array pass either input_uri, whose objects are the items, or manifest_uri.")
    if f"{options['output_uri']}/".startswith(f"{options.get('input_uri')}/"):
        raise BadEvent(
            f"output_uri must not lie within input_uri ({options['input_uri']}), because the next run would take "
            "the outputs for inputs."
        )
    return options


def execution_name(execution_id):
    """The last part of the execution's ARN, which distinguishes executions in the jobs' names."""
    name = execution_id.rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise BadEvent(
            "execution_id must be a pipeline execution's ARN, or up to 40 letters, digits, '-' or '_', "
            f"but it is {execution_id!r}."
        )
    return name


def step_name(options):
    """The name of the step that waits for this call's jobs, in their names and tags."""
    return f"{options['step_name']}-Trial" if options["only_trial"] else options["step_name"]


def job_prefix(options):
    """How all names of this call's jobs begin."""
    return f"{execution_name(options['execution_id'])}-{step_name(options)}"


def jobs_folder(options):
    """The s3:// prefix of what this function writes for the step, its trial included."""
    return f"{options['output_uri']}/_jobs/{execution_name(options['execution_id'])}-{options['step_name']}"


def report_uri(options):
    """Where check_jobs may list the items that failed."""
    return f"{jobs_folder(options)}/failed.jsonl"


def digest(options):
    """A short hash of the request, the same for every call of one step."""
    asked = {key: value for key, value in options.items() if key not in NOT_IN_DIGEST}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
