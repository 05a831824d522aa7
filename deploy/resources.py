"""The resources of the stack. They are those of notebooks 03 and 04, and alarms."""

from __future__ import annotations

from typing import Any

from deploy.policies import NAMES, Call, policy, text, trust
from utils import events, kit, lambdas, queues
from utils.monitoring import alarms

LOG_DAYS = 14
NO_VALUE = Call("Ref", "AWS::NoValue")
FUNCTIONS = {
    "SubmitJobs": (NAMES.submit_jobs_function, "submit_lambda.json"),
    "CheckJobs": (NAMES.check_jobs_function, "monitor_lambda.json"),
}


def resources() -> dict[str, Any]:
    """All resources by their logical ids."""
    made: dict[str, Any] = {}
    for name in FUNCTIONS:
        made |= _function(name)
    return made | _queues() | _rules() | {"PipelinePolicy": _pipeline_policy()} | _alarms()


def resource(kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A resource of the template."""
    return {"Type": f"AWS::{kind}", **more, "Properties": properties}


def arn(name: str) -> Call:
    return Call("GetAtt", f"{name}.Arn")


def _function(name: str) -> dict[str, Any]:
    """A function with its role and its log group."""
    function, permissions = FUNCTIONS[name]
    properties = {
        "FunctionName": text(function),
        "Role": arn(f"{name}Role"),
        "Runtime": lambdas.RUNTIME,
        "Handler": lambdas.HANDLER,
        "Timeout": kit.FUNCTION_TIMEOUT_SECONDS,
        "MemorySize": kit.FUNCTION_MEMORY_MIB,
        "Code": {"S3Bucket": Call("Ref", "CodeBucket"), "S3Key": Call("Ref", f"{name}Key")},
    }
    if name == "CheckJobs":
        settings = {
            "DEAD_LETTER_QUEUE_URL": Call("Ref", "DeadLetterQueue"),
            "JOB_QUEUES": Call("Join", [" ", Call("Ref", "JobQueueArns")]),
            "POLL_MIN_SECONDS": Call("Ref", "PollMinSeconds"),
            "DEADLINE_SECONDS": Call("Ref", "DeadlineSeconds"),
            "PUSH_EVENTS": Call("Ref", "Push"),
        }
        properties["Environment"] = {"Variables": settings}
    role = {
        "AssumeRolePolicyDocument": trust("lambda.amazonaws.com"),
        "PermissionsBoundary": Call("If", ["HasBoundary", Call("Ref", "PermissionsBoundaryArn"), NO_VALUE]),
        "Policies": [{"PolicyName": "permissions", "PolicyDocument": policy(permissions)}],
    }
    log_group = {"LogGroupName": text(f"/aws/lambda/{function}"), "RetentionInDays": LOG_DAYS}
    return {
        # Deleted with the stack, as notebook 07 deletes it. A function that still runs may make it again.
        f"{name}Logs": resource("Logs::LogGroup", log_group, DeletionPolicy="Delete", UpdateReplacePolicy="Delete"),
        f"{name}Role": resource("IAM::Role", role),
        name: resource("Lambda::Function", properties, DependsOn=f"{name}Logs"),
    }


def _queues() -> dict[str, Any]:
    """The callback queue, its dead-letter queue and the mapping to the function."""
    lost = {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
    dead_letters = {
        "QueueName": text(NAMES.dead_letter_queue),
        "VisibilityTimeout": kit.VISIBILITY_TIMEOUT_SECONDS,
        "MessageRetentionPeriod": queues.RETENTION_SECONDS,
    }
    callbacks = {
        **dead_letters,
        "QueueName": text(NAMES.callback_queue),
        "RedrivePolicy": {
            "deadLetterTargetArn": arn("DeadLetterQueue"),
            "maxReceiveCount": queues.MAX_RECEIVE_COUNT,
        },
    }
    mapping = {
        "EventSourceArn": arn("CallbackQueue"),
        "FunctionName": Call("Ref", "CheckJobs"),
        "BatchSize": queues.BATCH_SIZE,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": queues.MAXIMUM_CONCURRENCY},
    }
    return {
        "DeadLetterQueue": resource("SQS::Queue", dead_letters, **lost),
        "CallbackQueue": resource("SQS::Queue", callbacks, **lost),
        "Mapping": resource("Lambda::EventSourceMapping", mapping),
    }


def _rules() -> dict[str, Any]:
    """The rules for stopped executions and, with push, for jobs that end. Each may reach its target."""
    stopped_name, ended_name = events.rule_names(NAMES)
    stopped_pattern, ended_pattern = events.execution_ended(), events.job_ended()
    # All executions of the pipelines: their ARNs in the event are exactly those of the parameter.
    del stopped_pattern["detail"]["pipelineExecutionArn"]
    stopped_pattern["detail"]["pipelineArn"] = Call("Ref", "PipelineArns")
    ended_pattern["detail"]["jobQueue"] = Call("Ref", "JobQueueArns")
    stopped = {
        "Name": text(stopped_name),
        "EventPattern": stopped_pattern,
        "State": "ENABLED",
        "Targets": [{"Id": "check-jobs", "Arn": arn("CallbackQueue")}],
    }
    ended = {
        "Name": text(ended_name),
        "EventPattern": ended_pattern,
        "State": "ENABLED",
        "Targets": [{"Id": "check-jobs", "Arn": arn("CheckJobs")}],
    }
    permission = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": Call("Ref", "CheckJobs"),
        "Principal": "events.amazonaws.com",
        "SourceArn": arn("JobEndedRule"),
    }
    statement = queues.rule_statement(arn("CallbackQueue"), arn("StoppedRule"))
    queue_policy = {
        "Queues": [Call("Ref", "CallbackQueue")],
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    return {
        "StoppedRule": resource("Events::Rule", stopped),
        "CallbackQueuePolicy": resource("SQS::QueuePolicy", queue_policy),
        "JobEndedRule": resource("Events::Rule", ended, Condition="HasPush"),
        "JobEndedPermission": resource("Lambda::Permission", permission, Condition="HasPush"),
    }


def _pipeline_policy() -> dict[str, Any]:
    """What a pipeline's role needs to call the function and to send to the queue."""
    return resource(
        "IAM::ManagedPolicy",
        {
            "Description": "Lets a SageMaker pipeline submit Batch jobs and wait for them.",
            "PolicyDocument": policy("pipeline.json"),
            "Roles": Call("If", ["HasPipelineRoles", Call("Ref", "PipelineRoleNames"), NO_VALUE]),
        },
    )


def _alarms() -> dict[str, Any]:
    """The alarms that notebook 06 sets, with the topic they notify."""
    ids = ("DeadLetterAlarm", "NotPolledAlarm", "AnswersDeniedAlarm", "SubmitJobsErrorsAlarm", "CheckJobsErrorsAlarm")
    made = {}
    for logical_id, (name, settings) in zip(ids, alarms.alarm_settings(NAMES).items(), strict=True):
        dimensions = [{**each, "Value": text(each["Value"])} for each in settings["Dimensions"]]
        topic = Call("If", ["HasAlarmTopic", [Call("Ref", "AlarmTopicArn")], NO_VALUE])
        made[logical_id] = resource(
            "CloudWatch::Alarm",
            {
                "AlarmName": text(name),
                **settings,
                "AlarmDescription": text(settings["AlarmDescription"]),
                "Dimensions": dimensions,
                "AlarmActions": topic,
            },
        )
    return made
