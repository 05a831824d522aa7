"""What exists already, beside the kit: policies and rules that include it, and sentences for what is not there."""

import json
import re

import pytest

from utils import events, existing, iam, kit, pipeline_role, queues
from utils.config import Config, ConfigError, load_config

NAMES = {
    "pipelines": ["my-churn-model", "arn:aws:sagemaker:us-east-1:000000000000:pipeline/Abalone"],
    "job_queues": ["team-queue", "arn:aws:batch:us-east-1:000000000000:job-queue/other"],
    "job_definitions": ["etl", "train:3"],
    "buckets": ["team-data", "arn:aws:s3:::team-results"],
}
KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def wide(config):
    return config.with_existing(**NAMES)


def resources(template, config, sid):
    (statement,) = (each for each in iam.render(template, config)["Statement"] if each["Sid"] == sid)
    return statement["Resource"]


def test_without_any_the_policies_name_what_the_notebooks_make(config):
    executions = resources("monitor_lambda.json", config, "AnswerCallbackSteps")
    names = (config.pipeline, config.pipeline_by_hand)
    assert executions == [config.arn("sagemaker", f"pipeline/{name}/execution/*") for name in names]
    assert "kms" not in json.dumps([iam.render(each, config) for _, each, _ in iam.TASKS.values()])
    assert load_config() == load_config(pipelines=[])


def test_the_functions_may_answer_the_pipelines_in_either_case(wide):
    executions = resources("monitor_lambda.json", wide, "AnswerCallbackSteps")
    names = [re.search("pipeline/(.+)/execution/[*]", each)[1] for each in executions]
    assert names == [wide.pipeline, wide.pipeline_by_hand, "my-churn-model", "Abalone", "abalone"]


def test_jobs_may_be_submitted_to_the_queues_with_the_definitions(wide):
    of_others = [each for each in resources("submit_lambda.json", wide, "SubmitTaggedJobs") if wide.prefix not in each]
    assert [each.partition("000000000000:")[2] for each in of_others] == [
        "job-queue/team-queue",
        "job-queue/other",
        "job-definition/etl",
        "job-definition/etl:*",
        "job-definition/train:3",
        "job/*",
    ]


def test_the_buckets_are_read_and_written_and_their_keys_used(wide):
    config = wide.with_existing(kms_keys=[KEY])
    assert resources("batch_job.json", config, "ReadInputAndWriteOutput") == [
        f"arn:aws:s3:::{name}/*" for name in (config.bucket, "team-data", "team-results")
    ]
    for template in ("batch_job.json", "submit_lambda.json", "monitor_lambda.json"):
        assert resources(template, config, "UseBucketKeys") == KEY


def test_a_role_of_the_kit_is_trusted_for_the_pipelines(wide):
    (statement,) = iam.render("trust_pipeline.json", wide)["Statement"]
    sources = [each.partition("pipeline/")[2] for each in statement["Condition"]["ArnLike"]["aws:SourceArn"]]
    assert sources[0] == f"{wide.prefix}-*"
    assert {"my-churn-model", "my-churn-model/*", "abalone/*"} <= set(sources)


def test_the_rules_include_them(session, wide):
    callbacks = queues.ensure_queue(session, wide.callback_queue, tags=wide.tags)
    events.ensure_stop_rule(session, wide, queue_url=callbacks)
    name, _ = events.rule_names(wide)
    pattern = json.loads(session.client("events").describe_rule(Name=name)["EventPattern"])
    beginnings = [each["prefix"].partition("pipeline/")[2] for each in pattern["detail"]["pipelineExecutionArn"]]
    assert beginnings == [f"{wide.prefix}-", "my-churn-model/execution/", "Abalone/execution/", "abalone/execution/"]
    assert len(events.job_ended(*wide.job_queue_arns)["detail"]["jobQueue"]) == 3


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"pipelines": "mine"}, 'pipelines is "mine". It must be a list, such as ["mine"].'),
        (
            {"pipelines": ["my_model"]},
            "pipelines has 'my_model', which is not a name or an ARN that AWS takes. Check its spelling.",
        ),
        ({"job_queues": ["a queue"]}, "job_queues has 'a queue'"),
        ({"job_queues": ["arn:aws:sqs:us-east-1:000000000000:q"]}, "job_queues has 'arn:aws:sqs"),
        ({"job_definitions": ["etl:x"]}, "job_definitions has 'etl:x'"),
        ({"buckets": ["s3://data"]}, "buckets has 's3://data'"),
        ({"kms_keys": ["alias/data"]}, "kms_keys has 'alias/data', which is not the ARN of a key"),
    ],
)
def test_what_is_no_name_is_refused_in_one_sentence(names, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load_config(**names)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            {"job_queues": ["no-such"]},
            "The job queue `no-such` was not found in us-east-1. Check the name and the region.",
        ),
        ({"job_definitions": ["no-such"]}, "The job definition `no-such` has no active revision in us-east-1."),
        ({"job_definitions": ["no-such:7"]}, "The job definition `no-such:7` has no active revision in us-east-1."),
        ({"buckets": ["no-such-bucket"]}, "The bucket `no-such-bucket` was not found. Check its name."),
    ],
)
def test_what_is_not_there_is_named_before_anything_is_made(session, calls, config, names, sentence):
    with pytest.raises(LookupError, match=re.escape(sentence)):
        kit.deploy(session, config, program="print(1)", **names)
    assert calls.writes == []


def test_without_a_program_a_queue_and_a_definition_are_needed(session, calls, config):
    with pytest.raises(ConfigError, match="Without a program, name your own job queue and definition"):
        kit.deploy(session, config, program=None, job_queues=["team-queue"])
    assert calls.made == []


def test_a_key_that_is_not_there_is_named_and_where_there_is_no_kms_it_is_taken_as_it_is(session, calls, config):
    calls.refuse("DescribeKey", "NotFoundException")
    with pytest.raises(existing.ResourceNotFound, match=re.escape(f"The KMS key `{KEY}` was not found.")):
        existing.require(session, config.with_existing(kms_keys=[KEY]))
    existing.require(session, config.with_existing(kms_keys=[KEY]))  # the embedded AWS has none


def test_a_bucket_that_may_not_be_seen_counts_as_there(session, calls, config):
    calls.refuse("HeadBucket", "403")
    existing.require(session, config.with_existing(buckets=["team-data"]))


@pytest.fixture
def client(session):
    client = session.client("sagemaker")
    pipeline_role.explain_refusals(session, client)
    return client


STEP = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
DEFINITION = json.dumps({"Version": "2020-12-01", "Steps": [STEP]})


def refusal(client, role, name="explained-model"):
    with pytest.raises(client.exceptions.ClientError) as raised:
        client.create_pipeline(PipelineName=name, PipelineDefinition=DEFINITION, RoleArn=role)
    return raised.value.response["Error"]["Message"]


def test_a_refused_role_is_explained_by_the_pipelines_that_it_trusts(session, client, config):
    role = iam.ensure_roles(session, config)["pipeline"]
    assert refusal(client, role).endswith(
        f"The role trusts only pipelines named `{config.prefix}-*`. Add explained-model to aws:SourceArn in its trust "
        'policy. If the role is one of the kit, deploy the kit with pipelines=["explained-model"].'
    )
    iam.ensure_roles(session, config.with_existing(pipelines=["explained-model"]))
    client.create_pipeline(PipelineName="explained-model", PipelineDefinition=DEFINITION, RoleArn=role)


def test_another_refusal_stays_as_aws_says_it(session, client, config):
    roles = iam.ensure_roles(session, config)
    for role in (roles["batch_job"], roles["pipeline"].replace("pipeline", "no-such")):
        assert "trusts only" not in refusal(client, role, "another-model")


def test_a_role_that_may_not_be_seen_leaves_the_refusal_as_it_is(session, calls, client, config):
    role = iam.ensure_roles(session, config)["pipeline"]
    calls.refuse("GetRole", "AccessDenied")
    assert "trusts only" not in refusal(client, role, "unseen-model")


def test_the_names_of_a_configuration_can_be_added_to():
    config = Config("local", "sagemaker-x", "us-east-1", "000000000000", pipelines=("a",))
    assert config.with_existing(pipelines=["b", "a"]).pipelines == ("a", "b")
