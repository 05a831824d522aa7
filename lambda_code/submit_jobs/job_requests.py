"""The parameters of SubmitJob for each job, by job name."""

from arrays import plan_arrays
from event import digest, execution_name, job_prefix, step_name
from job_options import job_parameters

REQUEST_TAG = "sagemaker-batch:request"  # what was asked for, as a digest


def job_requests(options):
    """Return the jobs of this call, either the trial's or all others.

    Args:
        options: the event's, as `validate` returns them.

    Returns:
        {job name: SubmitJob parameters}, and how many items the trial has.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
    """
    return file_requests(options) if options["mode"] == "per_file" else array_requests(options)


def file_requests(options):
    """One job per file. Of the 128 characters that Batch allows, 12 are left for a retry's "-tryN"."""
    trial = min(options.get("trial", 0), options["max_jobs"])
    requests = {}
    for i in range(1, options["max_jobs"] + 1):
        if (i <= trial) == options["only_trial"]:
            request = new_request(options, i)
            request["parameters"] = {
                **request.get("parameters", {}),
                "s3Input": f"{options['input_uri']}/{options['input_name'].format(i=i)}",
                "s3Output": f"{options['output_uri']}/{options['output_name'].format(i=i)}",
            }
            requests[request["jobName"]] = request
    return requests, trial


def array_requests(options):
    """One job for each array of items. Writes the arrays' manifests to S3."""
    arrays = plan_arrays(options)
    trial = arrays[:1] if "trial" in options else []
    requests = {}
    for number, array in enumerate(arrays, 1):
        if (number <= len(trial)) == options["only_trial"]:
            environment = {"MANIFEST_URI": array["manifest_uri"], "MANIFEST_LINE_BYTES": str(array["line_bytes"])}
            request = new_request(options, number, environment)
            if array["size"] > 1:  # Batch has no arrays of one. A plain job reads the first line
                request["arrayProperties"] = {"size": array["size"]}
            requests[request["jobName"]] = request
    return requests, sum(array["size"] for array in trial)


def new_request(options, number, environment=None):
    return {
        "jobName": f"{job_prefix(options)}-{number:02d}",
        "jobQueue": options["job_queue"],
        "jobDefinition": options["job_definition"],
        **job_parameters(options, environment or {}),
        "tags": {
            "sagemaker-batch:execution": execution_name(options["execution_id"]),
            "sagemaker-batch:step": step_name(options),
            REQUEST_TAG: digest(options),
        },
    }
