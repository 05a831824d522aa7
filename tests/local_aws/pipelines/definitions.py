"""Definitions for tests: steps and pipelines as the SDK writes them."""

from __future__ import annotations

from typing import Any

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sagemaker-f"
QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-q"
EQUALS = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}


def lambda_step(name: str, *needs: Any, outputs: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Lambda",
        "FunctionArn": FUNCTION,
        "Arguments": arguments,
        "OutputParameters": _strings(outputs),
        **({"DependsOn": list(needs)} if needs else {}),
    }


def callback_step(name: str, outputs: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Callback",
        "SqsQueueUrl": QUEUE,
        "Arguments": arguments,
        "OutputParameters": _strings(outputs),
    }


def condition_step(name: str, conditions: list, if_steps: list = (), else_steps: list = ()) -> dict[str, Any]:
    arguments = {"Conditions": conditions, "IfSteps": list(if_steps), "ElseSteps": list(else_steps)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def processing_step(name: str, **more: Any) -> dict[str, Any]:
    arguments = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": "python:3.12", "ContainerEntrypoint": ["python3", "x.py"]},
        "RoleArn": "arn:aws:iam::000000000000:role/job",
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "report",
                    "S3Output": {"S3Uri": "s3://b/o", "LocalPath": "/opt/ml/processing/o", "S3UploadMode": "EndOfJob"},
                }
            ]
        },
    }
    files = [{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "r.json"}]
    return {"Name": name, "Type": "Processing", "Arguments": arguments, "PropertyFiles": files, **more}


def for_each_step(name: str, body: list, items: Any = ("a", "b"), **more: Any) -> dict[str, Any]:
    items = list(items) if isinstance(items, tuple) else items
    arguments = {"IterableItems": items, "MaxConcurrency": 2, "ForEachBody": body, **more}
    return {"Name": name, "Type": "ForEach", "Arguments": arguments}


def pipeline(*steps: dict[str, Any], parameters: list | None = None, **more: Any) -> dict[str, Any]:
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters or [], "Steps": list(steps), **more}


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def sdk_v2_document(function: str, queue: str) -> dict[str, Any]:
    """What `sagemaker` 2.x serializes: no MlflowConfig, DependsOn by name only, an explicit CacheConfig."""
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": "ProcessingInstanceCount", "Type": "Integer", "DefaultValue": 1}],
        "PipelineExperimentConfig": {
            "ExperimentName": {"Get": "Execution.PipelineName"},
            "TrialName": {"Get": "Execution.PipelineExecutionId"},
        },
        "Steps": [
            {
                "Name": "Submit",
                "Type": "Lambda",
                "Arguments": {"count": {"Get": "Parameters.ProcessingInstanceCount"}},
                "FunctionArn": function,
                "OutputParameters": [{"OutputName": "statusCode", "OutputType": "String"}],
                "CacheConfig": {"Enabled": False},
            },
            {
                "Name": "Wait",
                "Type": "Callback",
                "Arguments": {"job": {"Get": "Steps.Submit.OutputParameters['statusCode']"}},
                "DependsOn": ["Submit"],
                "SqsQueueUrl": queue,
                "OutputParameters": [{"OutputName": "status", "OutputType": "String"}],
            },
            condition_step(
                "Check",
                [{"Type": "Equals", "LeftValue": {"Get": "Steps.Wait.OutputParameters['status']"}, "RightValue": "ok"}],
                [lambda_step("Good") | {"FunctionArn": function}],
                [{"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
            ),
        ],
    }


def _strings(outputs: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"OutputName": output, "OutputType": "String"} for output in outputs]
