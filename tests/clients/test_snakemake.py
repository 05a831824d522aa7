"""Snakemake's executor plugin for AWS Batch: rules that run as jobs, with sources and results in S3."""

import shutil

from .conftest import HERE


def run(account, target):
    shutil.copy(HERE / "snakemake" / "Snakefile", account.home)  # Snakemake hands sources on from its own directory
    # The plugin asks for its storage plugin to be installed by each job. In this image it is there already.
    in_image = f"export PATH={account.path_in_container}; pip() {{ :; }}"
    return account.run(
        "snakemake", target, "--executor", "aws-batch", "--jobs", 1,
        "--aws-batch-region", "us-east-1", "--aws-batch-job-queue", account.queue,
        "--aws-batch-job-role", account.job_role, "--container-image", "public.ecr.aws/docker/library/python:3.13",
        "--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{account.bucket}/snakemake",
        "--precommand", in_image,
    )  # fmt: skip


def test_a_rule(account):
    done = run(account, "hello.txt")
    assert done.returncode == 0, done.stdout + done.stderr
    made = account.client("s3").get_object(Bucket=account.bucket, Key="snakemake/hello.txt")["Body"].read()
    assert made == b"hello from instances\n"


def test_a_rule_that_fails(account):
    done = run(account, "never.txt")
    assert done.returncode == 1
    assert "AWS Batch job failed. Code: 1, Msg: Essential container in task exited" in done.stdout + done.stderr
