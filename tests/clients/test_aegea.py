"""aegea submits jobs of a definition that is there and of its own, watches them and reads their logs."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def definition(account):
    name = account.definition("aegea", "true")
    return account.client("batch").describe_job_definitions(jobDefinitionName=name)["jobDefinitions"][0]


def submit(account, *options):
    return account.run("aegea", "batch", "submit", "--queue", account.queue, "--memory-mb", 128, *options)


def job_of(account, definition, *command):
    """Submit a job of the definition."""
    done = submit(account, "--job-definition-arn", definition["jobDefinitionArn"], "--command", *command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["jobId"]


def test_a_job(account, definition):
    done = account.run("aegea", "batch", "watch", job_of(account, definition, "printenv", "AWS_BATCH_JQ_NAME"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\S+ \S+ instances$", done.stdout, re.MULTILINE), done.stdout


def test_a_job_that_fails(account, definition):
    done = account.run("aegea", "batch", "watch", job_of(account, definition, "ls", "nothing-here"))
    assert done.returncode == 2  # the job's exit code
    assert "cannot access 'nothing-here'" in done.stdout


def test_a_definition_that_aegea_makes_is_taken(account):
    """It asks for the user 0. What its jobs run needs programs of the image, which a process lacks."""
    done = submit(account, "--image", "python", "--command", "true")
    assert done.returncode == 0, done.stderr
    batch = account.client("batch")
    job = batch.describe_jobs(jobs=[json.loads(done.stdout)["jobId"]])["jobs"][0]
    assert "/aegea_" in job["jobDefinition"]
    assert job["container"]["user"] == "0"
