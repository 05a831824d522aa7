"""Read the options for every job, such as parameters, environment, vCPUs, memory, attempts, timeout and share.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

import re

from values import BadEvent, read_number, read_text, read_whole_number

JOB_KEYS = {"vcpus", "memory_mib", "attempts", "timeout_seconds", "share_identifier", "scheduling_priority"}
WHOLE_NUMBERS = {
    "memory_mib": (4, 100_000_000),
    "attempts": (1, 10),
    "timeout_seconds": (60, 2_147_483_647),
    "scheduling_priority": (0, 9_999),
}
# What submit_jobs gives each job itself.
TAKEN = {
    "per_file": {"parameters.s3Input", "parameters.s3Output"},
    "array": {"environment.MANIFEST_URI", "environment.MANIFEST_LINE_BYTES"},
}


def is_job_key(key):
    return key in JOB_KEYS or re.fullmatch(r"(parameters|environment)\..+", key) is not None


def read_job_options(options):
    """Check the options for every job, and return them as SubmitJob's parameters. Raises BadEvent."""
    for key in filter(is_job_key, options):
        if key in WHOLE_NUMBERS:
            options[key] = read_whole_number(key, options[key], *WHOLE_NUMBERS[key])
        elif key == "vcpus":
            options[key] = f"{read_number(key, options[key], 0.25, 10_000):g}"  # Batch refuses "1.0"
        elif key == "share_identifier":
            if not isinstance(options[key], str) or not re.fullmatch("[A-Za-z0-9]{1,255}", options[key]):
                raise BadEvent(f"share_identifier must be 1 to 255 letters and digits, but it is {options[key]!r}.")
        elif key in TAKEN[options["mode"]] or key.startswith("environment.AWS_BATCH"):
            raise BadEvent(f"{key} can't be passed, because each job gets a different value of it.")
        else:
            options[key] = read_text(key, options[key])


def job_parameters(options, environment):
    """The parameters of SubmitJob that are the same for every job.

    Args:
        options: the event's, once read_job_options has checked them.
        environment: environment variables that this function adds, by name.
    """
    environment = {**named(options, "environment"), **environment}
    resources = {"VCPU": options.get("vcpus"), "MEMORY": options.get("memory_mib")}
    overrides = {
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "resourceRequirements": [
            {"type": kind, "value": str(value)} for kind, value in resources.items() if value is not None
        ],
    }
    request = {
        "parameters": named(options, "parameters"),
        "containerOverrides": {key: value for key, value in overrides.items() if value},
    }
    if "attempts" in options:
        request["retryStrategy"] = {"attempts": options["attempts"]}
    if "timeout_seconds" in options:
        request["timeout"] = {"attemptDurationSeconds": options["timeout_seconds"]}
    if "share_identifier" in options:
        request["shareIdentifier"] = options["share_identifier"]
    if "scheduling_priority" in options:
        request["schedulingPriorityOverride"] = options["scheduling_priority"]
    return {key: value for key, value in request.items() if value or key == "schedulingPriorityOverride"}


def named(options, kind):
    """{name: value} of the options `parameters.NAME` or `environment.NAME`."""
    start = f"{kind}."
    return {key.removeprefix(start): value for key, value in options.items() if key.startswith(start)}
