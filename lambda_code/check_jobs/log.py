"""Write the function's log, one line of JSON per event, some with CloudWatch metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import os
import time
import traceback

CONTEXT: dict[str, object] = {}  # fields of every line: which message, execution, step and jobs it is about


def log_context(**fields):
    """Set the fields that each of the following lines has."""
    CONTEXT.clear()
    CONTEXT.update(fields)


def add_to_log_context(**fields):
    CONTEXT.update(fields)


def log(message, metrics=None, **fields):
    """Print one line.

    Args:
        metrics: {name: value}, from which CloudWatch makes metrics of this function.
    """
    if metrics:
        names = [{"Name": name, "Unit": "Seconds" if name.endswith("Lag") else "Count"} for name in metrics]
        namespace = os.environ.get("METRICS_NAMESPACE", "sagemaker-batch")
        directive = {"Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": names}
        fields["_aws"] = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive]}
        fields = {**fields, **metrics, "FunctionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "check_jobs")}
    print(json.dumps({"message": message, **CONTEXT, **fields}, default=str))


def log_unexpected(error):
    details = {"error": repr(error), "traceback": traceback.format_exc()}
    log("unexpected error", metrics={"UnexpectedErrors": 1}, level="ERROR", **details)
