"""What to submit: the parameters of SubmitJob for each job, by job name."""

from arrays import plan_arrays
from event import digest, execution_name, job_prefix

REQUEST_TAG = "sagemaker-batch:request"  # what was asked for, as a digest


def job_requests(options):
    """{job name: SubmitJob parameters} of all jobs of the step.

    Args:
        options: the event's, as `validate` returns them.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
    """
    return file_requests(options) if options["mode"] == "per_file" else array_requests(options)


def file_requests(options):
    """One job per file. Names have at most 50 + 64 + 6 characters."""
    prefix = job_prefix(options)
    return {
        name: {
            **common(options, name),
            "parameters": {
                "s3Input": f"{options['input_uri']}/{options['input_name'].format(i=i)}",
                "s3Output": f"{options['output_uri']}/{options['output_name'].format(i=i)}",
            },
        }
        for i in range(1, options["max_jobs"] + 1)
        for name in [f"{prefix}-{i:02d}"]
    }


def array_requests(options):
    """One job for each array of items. Writes the arrays' manifests to S3."""
    requests = {}
    for number, array in enumerate(plan_arrays(options), 1):
        name = f"{job_prefix(options)}-{number:02d}"
        environment = {"MANIFEST_URI": array["manifest_uri"], "MANIFEST_LINE_BYTES": str(array["line_bytes"])}
        requests[name] = {
            **common(options, name),
            "containerOverrides": {"environment": [{"name": k, "value": v} for k, v in environment.items()]},
        }
        if array["size"] > 1:  # Batch has no arrays of one; a plain job reads the first line
            requests[name]["arrayProperties"] = {"size": array["size"]}
    return requests


def common(options, name):
    return {
        "jobName": name,
        "jobQueue": options["job_queue"],
        "jobDefinition": options["job_definition"],
        "tags": {
            "sagemaker-batch:execution": execution_name(options["execution_id"]),
            "sagemaker-batch:step": options["step_name"],
            REQUEST_TAG: digest(options),
        },
    }
