"""Print the definition of a pipeline like notebook 05's, compiled without asking AWS anything."""

import json

import boto3
from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, LambdaOutput, LambdaStep, Pipeline

from utils.pipeline import sdk_session

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sagemaker-batch-submit-jobs"
sdk = sdk_session(boto3.Session("test", "test", region_name="us-east-1"), bucket="sagemaker-batch")
input_uri = ParameterString("InputUri", default_value="s3://sagemaker-batch/input")
max_jobs = ParameterInteger("MaxJobs", default_value=12)
submit = LambdaStep(
    name="SubmitCopies",
    lambda_func=Lambda(function_arn=FUNCTION, session=sdk),
    inputs={
        "input_uri": input_uri,
        "max_jobs": max_jobs,
        "execution_id": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        "step_name": "SubmitCopies",
    },
    outputs=[LambdaOutput("statusCode"), LambdaOutput("jobIds")],
)
wait = CallbackStep(
    name="WaitForCopies",
    sqs_queue_url="https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-batch-callbacks",
    inputs={"job_ids": submit.properties.Outputs["jobIds"]},
    outputs=[CallbackOutput("job_status")],
)
merge = LambdaStep(
    name="MergeResults",
    lambda_func=Lambda(function_arn=FUNCTION, session=sdk),
    inputs={"input_uri": input_uri},
    outputs=[LambdaOutput("fileCount")],
    depends_on=[wait],
)
pipeline = Pipeline(
    name="flights", parameters=[input_uri, max_jobs], steps=[submit, wait, merge], sagemaker_session=sdk
)
print(json.dumps(json.loads(pipeline.definition()), sort_keys=True))  # noqa: T201  read by the test
