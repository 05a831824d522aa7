"""An account with a little of everything, so that requests about something can be about something."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import boto3

REGION = "us-east-1"
STEP = "def handler(event, context):\n    return {'jobIds': 'a b'}\n"
CAPABLE = ["CAPABILITY_NAMED_IAM"]
PIPELINE = {
    "Version": "2020-12-01",
    "Metadata": {},
    "Parameters": [{"Name": "Count", "Type": "Integer", "DefaultValue": 3}],
}


def furnish(endpoint_url: str) -> dict[str, list[str]]:
    """Make roles, a function, queues, Batch resources, a pipeline and waiting executions.

    Returns:
        What exists, by the name of the parameter that would take it.
    """

    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        return boto3.client(service, endpoint_url=endpoint_url, **keys)

    roles = {
        service: _role(client("iam"), service, *actions)
        for service, actions in {
            "sagemaker": ("lambda:InvokeFunction", "sqs:SendMessage"),
            "lambda": ("logs:CreateLogStream", "logs:PutLogEvents"),
            "ecs-tasks": ("logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject"),
        }.items()
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("step.py", STEP)
    function = client("lambda").create_function(
        FunctionName="step", Runtime="python3.13", Handler="step.handler", Role=roles["lambda"],
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]  # fmt: skip
    queue = client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    s3 = client("s3")
    s3.create_bucket(Bucket="populated-account")
    s3.put_object(Bucket="populated-account", Key="key", Body=b"a\nb\n")
    upload = s3.create_multipart_upload(Bucket="populated-account", Key="key")["UploadId"]

    ec2, batch = client("ec2"), client("batch")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    environment = batch.create_compute_environment(
        computeEnvironmentName="environment", type="MANAGED",
        computeResources={"type": "FARGATE", "maxvCpus": 2, "subnets": [subnet], "securityGroupIds": [group]},
    )["computeEnvironmentArn"]  # fmt: skip
    while (described := batch.describe_compute_environments()["computeEnvironments"][0])["status"] != "VALID":
        pass
    job_queue = batch.create_job_queue(
        jobQueueName="queue", priority=1, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}]
    )["jobQueueArn"]
    while batch.describe_job_queues()["jobQueues"][0]["status"] != "VALID":
        pass
    definition = batch.register_job_definition(
        jobDefinitionName="definition", type="container", platformCapabilities=["FARGATE"],
        containerProperties={
            "image": "public.ecr.aws/aws-cli/aws-cli", "command": ["s3", "ls", "Ref::uri"],
            "executionRoleArn": roles["ecs-tasks"], "jobRoleArn": roles["ecs-tasks"],
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
        },
        parameters={"uri": "s3://populated-account"},
    )["jobDefinitionArn"]  # fmt: skip
    jobs = [
        batch.submit_job(jobName=f"job-{index}", jobQueue=job_queue, jobDefinition=definition)["jobId"]
        for index in range(3)
    ]

    client("cloudformation").create_stack(
        StackName="stack", TemplateBody=json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    )

    sagemaker = client("sagemaker")
    steps = [
        {"Name": "Submit", "Type": "Lambda", "FunctionArn": function, "Arguments": {"n": {"Get": "Parameters.Count"}},
         "OutputParameters": [{"OutputName": "jobIds", "OutputType": "String"}]},
        {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": queue, "OutputParameters": [],
         "Arguments": {"job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"}}},
    ]  # fmt: skip
    pipeline = sagemaker.create_pipeline(
        PipelineName="pipeline", RoleArn=roles["sagemaker"], ClientRequestToken="t" * 32,
        PipelineDefinition=json.dumps({**PIPELINE, "Steps": steps}),
    )["PipelineArn"]  # fmt: skip
    executions, tokens = [], []
    for _ in range(5):
        start = {"PipelineName": "pipeline", "PipelineExecutionDisplayName": "fuzz"}
        executions.append(sagemaker.start_pipeline_execution(**start)["PipelineExecutionArn"])
    while len(tokens) < len(executions):
        for message in client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            tokens.append(json.loads(message["Body"])["token"])
    return {
        "roleArn": list(roles.values()),
        "jobRoleArn": [roles["ecs-tasks"]],
        "executionRoleArn": [roles["ecs-tasks"]],
        "functionArn": [function],
        "sqsQueueUrl": [queue],
        "subnets": [subnet],
        "securityGroupIds": [group],
        "computeEnvironment": ["environment", environment],
        "cluster": [described["ecsClusterArn"].rpartition("/")[2], described["ecsClusterArn"]],
        "jobQueue": ["queue", job_queue],
        "jobDefinition": ["definition", "definition:1", definition],
        "jobId": jobs,
        "pipelineName": ["pipeline", pipeline],
        "pipelineExecutionArn": executions,
        "callbackToken": tokens,
        "resourceArn": [environment, job_queue, definition, pipeline, *executions],
        "image": ["public.ecr.aws/aws-cli/aws-cli", "nosuch/image"],
        "value": ["0.25", "512", "1"],
        "StackName": ["stack"],
        "LogicalResourceId": ["Queue"],
        "Bucket": ["populated-account"],
        "Key": ["key"],
        "CopySource": ["populated-account/key"],
        "UploadId": [upload],
    }


def _role(iam: Any, service: str, *actions: str) -> str:
    principal = {"Service": f"{service}.amazonaws.com"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName=service, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    iam.put_role_policy(RoleName=service, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def recipes(known: dict[str, list[str]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Calls that are right, each to be spoilt a little by the fuzzer; "<new>" is a name not taken yet,
    "<token>" a token not used yet."""
    resources = [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}]
    container = {
        "image": "nosuch/image", "command": ["s3", "ls", "Ref::uri"], "executionRoleArn": known["executionRoleArn"][0],
        "resourceRequirements": resources, "environment": [{"name": "A", "value": "b"}],
    }  # fmt: skip
    network = {"subnets": known["subnets"], "securityGroupIds": known["securityGroupIds"]}
    compute = {"type": "FARGATE", "maxvCpus": 2, **network}
    limits = {"retryStrategy": {"attempts": 2}, "timeout": {"attemptDurationSeconds": 60}}
    overrides = {"command": ["s3", "ls"], "resourceRequirements": resources}
    submit = {"jobName": "<new>", "jobQueue": "queue", "jobDefinition": "definition"}
    order = [{"order": 1, "computeEnvironment": "environment"}]
    definition = {
        **PIPELINE,
        "Steps": [
            {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": known["sqsQueueUrl"][0], "OutputParameters": [],
             "Arguments": {"n": {"Get": "Parameters.Count"}}},
            {"Name": "Stop", "Type": "Fail", "DependsOn": ["Wait"], "Arguments": {"ErrorMessage": "enough"}},
        ],
    }  # fmt: skip
    text = json.dumps(definition)
    token = {"CallbackToken": known["callbackToken"][0]}
    outputs = [{"Name": "job_status", "Value": "Completed"}]
    return [
        ("batch", "CreateComputeEnvironment",
         {"computeEnvironmentName": "<new>", "type": "MANAGED", "computeResources": compute}),
        ("batch", "CreateJobQueue", {"jobQueueName": "<new>", "priority": 1, "computeEnvironmentOrder": order}),
        ("batch", "RegisterJobDefinition",
         {"jobDefinitionName": "<new>", "type": "container", "platformCapabilities": ["FARGATE"],
          "containerProperties": container, **limits}),
        ("batch", "SubmitJob", submit | {"parameters": {"uri": "s3://populated-account/x"}, "tags": {"a": "b"}}),
        ("batch", "SubmitJob", submit | {"arrayProperties": {"size": 3}}),
        ("batch", "SubmitJob", submit | {"dependsOn": [{"jobId": known["jobId"][0], "type": "SEQUENTIAL"}]}),
        ("batch", "SubmitJob", submit | {"containerOverrides": overrides}),
        ("batch", "ListJobs", {"jobQueue": "queue", "jobStatus": "FAILED", "maxResults": 2}),
        ("batch", "ListJobs", {"jobQueue": "queue", "filters": [{"name": "JOB_NAME", "values": ["job*"]}]}),
        ("batch", "UpdateJobQueue", {"jobQueue": "queue", "state": "ENABLED", "priority": 2}),
        ("batch", "TerminateJob", {"jobId": known["jobId"][0], "reason": "enough"}),
        ("cloudformation", "CreateStack", {"StackName": "<new>", "TemplateBody": "", "Capabilities": CAPABLE}),
        ("cloudformation", "UpdateStack", {"StackName": "stack", "TemplateBody": "", "Capabilities": CAPABLE}),
        ("cloudformation", "CreateChangeSet",
         {"StackName": "stack", "ChangeSetName": "<new>", "TemplateBody": "", "Capabilities": CAPABLE}),
        ("ecs", "StopTask", {"cluster": known["cluster"][0], "task": "0" * 32, "reason": "enough"}),
        ("service-quotas", "GetServiceQuota", {"ServiceCode": "fargate", "QuotaCode": "L-3032A538"}),
        ("sagemaker", "CreatePipeline",
         {"PipelineName": "<new>", "RoleArn": known["roleArn"][0], "ClientRequestToken": "<token>",
          "PipelineDefinition": text}),
        ("sagemaker", "StartPipelineExecution",
         {"PipelineName": "pipeline", "ClientRequestToken": "<token>",
          "PipelineParameters": [{"Name": "Count", "Value": "4"}],
          "ParallelismConfiguration": {"MaxParallelExecutionSteps": 2}}),
        ("sagemaker", "StopPipelineExecution",
         {"PipelineExecutionArn": known["pipelineExecutionArn"][0], "ClientRequestToken": "<token>"}),
        ("sagemaker", "RetryPipelineExecution",
         {"PipelineExecutionArn": known["pipelineExecutionArn"][0], "ClientRequestToken": "<token>"}),
        ("sagemaker", "SendPipelineExecutionStepSuccess", token | {"OutputParameters": outputs}),
        ("sagemaker", "SendPipelineExecutionStepFailure", token | {"FailureReason": "because"}),
        ("sagemaker", "ListPipelineExecutionSteps",
         {"PipelineExecutionArn": known["pipelineExecutionArn"][0], "MaxResults": 1}),
    ]  # fmt: skip
