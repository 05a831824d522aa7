"""The two functions as the article has them, re-created in our own words: the reference our tests must fail on.

Only their logic is kept, mistakes included. Clients come from `aws`, as in ours from boto3.
"""

import json


class ArticleSubmit:
    JOB_QUEUE = ""  # the article leaves both names blank, and never reads them from the event
    JOB_DEFINITION = ""

    def __init__(self, aws, filled_in=True):
        self.batch = aws.client("batch")
        if filled_in:  # what its readers have to do before anything works
            self.JOB_QUEUE, self.JOB_DEFINITION = "queue-sagemaker", "copy"

    def lambda_handler(self, event, context):
        ids = []
        for i in range(1, event["max_jobs"] + 1):
            job = self.batch.submit_job(
                jobName=f"copy-{i}",
                jobQueue=self.JOB_QUEUE,
                jobDefinition=self.JOB_DEFINITION,
                parameters={
                    "s3Input": f"{event['input_uri']}/file_{i:02d}.json",
                    "s3Output": f"{event['output_uri']}/output_{i:02d}.json",
                },
            )
            ids.append(job["jobId"])
        return {"statusCode": 200, "jobIds": " ".join(ids)}


class ArticleCheck:
    def __init__(self, aws):
        self.batch, self.sagemaker = aws.client("batch"), aws.client("sagemaker")

    def lambda_handler(self, event, context):
        for record in event["Records"]:
            body = json.loads(record["body"])
            token, ids = body["token"], body["arguments"]["job_ids"].split(" ")
            response = self.batch.describe_jobs(jobs=ids)
            for job in response["jobs"]:
                if job["status"] == "FAILED":
                    self.sagemaker.send_pipeline_execution_step_failure(
                        CallbackToken=token, FailureReason=response["statusReason"]
                    )
                elif job["status"] != "SUCCEEDED":
                    raise RuntimeError(f"Job {job['jobId']} is {job['status']}")
            if all(job["status"] == "SUCCEEDED" for job in response["jobs"]):
                self.sagemaker.send_pipeline_execution_step_success(
                    CallbackToken=token, OutputParameters=[{"Name": "job_status", "Value": "Completed"}]
                )


class ArticleCheckWithReason(ArticleCheck):
    """With its KeyError mended, to see the mistakes behind it."""

    def __init__(self, aws):
        super().__init__(aws)
        describe = self.batch.describe_jobs
        self.batch = type(
            "Batch", (), {"describe_jobs": lambda _, jobs: {**describe(jobs=jobs), "statusReason": "x"}}
        )()
