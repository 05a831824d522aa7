"""The stack's template: what is committed is what is rendered, and what the deploying command tells it."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from deploy import policies, render, stack
from utils import iam
from utils.config import Config


def options(*arguments):
    return ["deploy", "--stack", "sagemaker-churn", *arguments]


def test_the_template_is_what_the_script_writes():
    assert render.TEMPLATE.read_text() == render.render(), "run `.venv/bin/python -m deploy.render`"


def test_every_parameter_is_used_and_said_in_the_readme():
    text, page = render.TEMPLATE.read_text(), (render.TEMPLATE.parent / "README.md").read_text()
    for name in render.parameters():
        assert f"!Ref '{name}'" in text
        assert f"`{name}`" in page


@pytest.mark.parametrize("template", ["submit_lambda.json", "monitor_lambda.json"])
def test_the_stacks_policies_have_the_notebooks_statements(template):
    config = Config("aws", "sagemaker-x", "eu-west-1", "123456789012", kms_keys=("arn:aws:kms:eu-west-1:1:key/x",))
    ours = iam.render(template, config)["Statement"]
    theirs = [
        each.value[1] if isinstance(each, policies.Call) else each for each in policies.policy(template)["Statement"]
    ]
    assert [(each["Sid"], each["Action"]) for each in theirs] == [(each["Sid"], each["Action"]) for each in ours]


class Ran(list):
    """The AWS CLI's command lines, instead of running them."""

    def __call__(self, command, check):
        assert check
        self.append(command[1:])

    def overrides(self):
        (command,) = [each for each in self if each[1] == "deploy"]
        values = command[command.index("--parameter-overrides") + 1 : command.index("--region")]
        return dict(each.split("=", 1) for each in values)


@pytest.fixture
def ran(monkeypatch):
    ran = Ran()
    aws = SimpleNamespace(  # where everything that is named exists
        get_caller_identity=lambda: {"Account": "123456789012"},
        describe_job_queues=lambda **_: {"jobQueues": [{"jobQueueName": "q", "status": "VALID"}]},
        describe_job_definitions=lambda **_: {"jobDefinitions": [{"status": "ACTIVE"}]},
        head_bucket=lambda **_: {},
        get_topic_attributes=lambda **_: {},
        describe_stacks=lambda **_: {"Stacks": [{"StackStatus": "UPDATE_COMPLETE"}]},
    )
    session = SimpleNamespace(region_name="eu-west-1", client=lambda *_, **__: aws)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    monkeypatch.setattr("subprocess.run", ran)
    monkeypatch.setattr(stack, "backend", lambda *_: {"callback_queue_url": "https://queue"})
    return ran


def test_names_become_the_arns_that_the_template_takes(ran, capsys):
    stack.main(
        options(
            "--pipelines", "MyModel, other", "--job-queues", "q", "--job-definitions", "etl,train:3",
            "--buckets", "data", "--push", "--alarm-topic", "arn:aws:sns:eu-west-1:123456789012:alarms",
        )
    )  # fmt: skip
    values = ran.overrides()
    names = [arn.rpartition("pipeline/")[2] for arn in values["PipelineArns"].split(",")]
    assert names == ["MyModel", "mymodel", "other"]
    assert values["JobQueueArns"] == "arn:aws:batch:eu-west-1:123456789012:job-queue/q"
    assert [arn.rpartition("/")[2] for arn in values["JobDefinitionArns"].split(",")] == ["etl", "train:3"]
    assert (values["BucketArns"], values["CodeBucket"]) == ("arn:aws:s3:::data", "data")
    assert (values["Push"], values["AlarmTopicArn"][-7:]) == ("true", ":alarms")
    assert not {"KmsKeyArns", "PollMinSeconds", "PermissionsBoundaryArn"} & set(values), "an update keeps them"
    assert set(values) <= set(render.parameters())
    assert json.loads(capsys.readouterr().out.partition("backend = ")[2]) == {"callback_queue_url": "https://queue"}


@pytest.mark.parametrize(("roles", "told"), [("", True), ("my-role", False)])
def test_a_stack_that_no_pipelines_role_has_the_policy_of_says_so(ran, capsys, monkeypatch, roles, told):
    policy = "arn:aws:iam::123456789012:policy/p"
    described = {
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": "PipelineRoleNames", "ParameterValue": roles}],
        "Outputs": [{"OutputKey": "PipelinePolicyArn", "OutputValue": policy}],
    }
    monkeypatch.setattr(boto3.Session().client(), "describe_stacks", lambda **_: {"Stacks": [described]})
    stack.main(options("--buckets", "data"))
    sentence = f"Your pipeline's role needs the policy {policy}. Attach it, or deploy with --pipeline-roles."
    assert (sentence in capsys.readouterr().out) is told


def test_the_same_code_has_the_same_key(ran):
    for _ in range(2):
        stack.main(options("--buckets", "data"))
    uploads = [each[-3] for each in ran if each[0] == "s3"]
    assert len(uploads) == 4 and len(set(uploads)) == 2


def test_deleting_a_stack_that_is_not_there_says_so(monkeypatch, capsys):
    client = boto3.session.Session("x", "x").client("cloudformation", "eu-west-1")
    monkeypatch.setattr(boto3, "Session", lambda **_: SimpleNamespace(region_name="eu-west-1", client=lambda _: client))
    with Stubber(client) as stubber:
        stubber.add_client_error("describe_stacks", "ValidationError", "Stack with id my-stack does not exist")
        stack.main(["delete", "--stack", "my-stack"])
        assert capsys.readouterr().out == "There is no stack `my-stack` in eu-west-1, so nothing is deleted.\n"
        stubber.add_client_error("describe_stacks", "AccessDenied", "You are not authorized")
        with pytest.raises(SystemExit, match=r"AccessDenied.*DescribeStacks.*You are not authorized"):
            stack.main(["delete", "--stack", "my-stack"])


def test_a_stack_of_another_template_is_not_deleted(monkeypatch, ran):
    client = boto3.session.Session("x", "x").client("cloudformation", "eu-west-1")
    monkeypatch.setattr(boto3, "Session", lambda **_: SimpleNamespace(region_name="eu-west-1", client=lambda _: client))
    described = {"StackName": "theirs", "CreationTime": datetime.now(UTC), "StackStatus": "CREATE_COMPLETE"}
    with Stubber(client) as stubber:
        for more in ({}, {"Parameters": [{"ParameterKey": "CodeBucket", "ParameterValue": "theirs"}]}):
            stubber.add_response("describe_stacks", {"Stacks": [described | more]})
            with pytest.raises(SystemExit) as ended:
                stack.main(["delete", "--stack", "theirs"])
            assert ended.value.code == (
                "The stack `theirs` is not one of deploy/template.yaml, so it is not deleted. Check its name."
            )
    assert ran == []


def waiting_stack(calls):
    """What CloudFormation and SageMaker answer while an execution of `m` runs. There is no pipeline `other` yet."""
    names = {"PipelineArns": "arn:a:pipeline/m,arn:a:pipeline/other", "CodeBucket": "unit-stack-code"}
    parameters = [{"ParameterKey": name, "ParameterValue": names.get(name, "x")} for name in render.parameters()]
    stacks = [{"StackName": "s", "StackStatus": "CREATE_COMPLETE", "Parameters": parameters}]
    calls.answer("DescribeStacks", {"Stacks": stacks})
    states = enumerate(["Executing", "Succeeded", "Stopping", "Failed", "Stopped"])
    executions = [{"PipelineExecutionArn": f"m/{n}", "PipelineExecutionStatus": state} for n, state in states]
    return {"PipelineExecutionSummaries": executions}


def test_a_stack_whose_executions_wait_is_not_deleted(on_aws, session, calls):
    executions = waiting_stack(calls)

    def listed(params, **_):
        if b'"m"' in params["body"]:
            calls.answer("ListPipelineExecutions", executions)
        else:
            calls.refuse("ListPipelineExecutions", "ResourceNotFound", "Pipeline 'other' does not exist.")

    session.events.register_first("before-call.sagemaker.ListPipelineExecutions", listed)
    with pytest.raises(SystemExit) as ended:
        stack.main(["delete", "--stack", "s"])
    said, *commands = ended.value.code.splitlines()
    assert said.startswith("Nothing is deleted, because these executions have not ended")
    stop = "  aws sagemaker stop-pipeline-execution --pipeline-execution-arn"
    assert (commands, on_aws) == ([f"{stop} m/0", f"{stop} m/2"], [])


def test_it_is_deleted_by_force_or_if_its_executions_may_not_be_listed(on_aws, calls):
    for arguments in (["--force"], []):
        waiting_stack(calls)
        calls.refuse("ListPipelineExecutions", "AccessDeniedException", "no", times=0 if arguments else 2)
        stack.main(["delete", "--stack", "s", *arguments])
        assert [each[1] for each in on_aws] == ["rm", "delete-stack", "wait"]
        on_aws.clear()
    assert calls.made.count("ListPipelineExecutions") == 2


def test_an_error_of_the_program_is_not_made_a_sentence(monkeypatch, ran):
    def broken(*_):
        return {}["no such key"]

    monkeypatch.setattr(stack, "backend", broken)
    with pytest.raises(KeyError):
        stack.main(options("--buckets", "data"))


CHECK = "Check the name and the region."
TOPIC = "arn:aws:sns:us-east-1:000000000000:no-such"
BOUNDARY = "arn:aws:iam::000000000000:policy/no-such"
KEY = "arn:aws:kms:eu-west-1:000000000000:key/no-such"
MISSING = {
    "--job-queues": f"The job queue `no-such` was not found in us-east-1. {CHECK}",
    "--job-definitions": f"The job definition `no-such` has no active revision in us-east-1. {CHECK}",
    "--buckets": "The bucket `no-such` was not found. Check its name.",
    "--code-bucket": "The bucket `no-such` was not found. Check its name.",
    "--pipeline-roles": "The role `no-such` was not found. Check its name.",
    "--alarm-topic": f"The SNS topic `{TOPIC}` was not found. Check its ARN.",
    "--permissions-boundary": f"The permissions boundary `{BOUNDARY}` was not found. Check its ARN.",
}
NAMED = {"--alarm-topic": TOPIC, "--permissions-boundary": BOUNDARY}


@pytest.fixture
def on_aws(session, ran, monkeypatch):
    """The command line meets the embedded AWS, where there is a bucket and nothing else that it needs."""
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    session.client("s3").create_bucket(Bucket="unit-stack-code")
    monkeypatch.setattr(stack, "unattached_policy", lambda *_: "")
    return ran


@pytest.mark.parametrize("option", MISSING)
def test_what_is_not_there_is_named_before_anything_is_made(on_aws, option):
    with pytest.raises(SystemExit) as ended:
        stack.main(options("--buckets", "unit-stack-code", option, NAMED.get(option, "no-such")))
    assert (ended.value.code, on_aws) == (MISSING[option], [])


def test_all_that_is_not_there_is_named_at_once(on_aws):
    names = [part for option in MISSING if option != "--code-bucket" for part in (option, NAMED.get(option, "no-such"))]
    with pytest.raises(SystemExit) as ended:
        stack.main(options(*names))
    assert ended.value.code.splitlines() == [said for option, said in MISSING.items() if option != "--code-bucket"]


def test_a_key_is_searched_in_its_own_region(on_aws, session, calls):
    """The embedded AWS has no KMS, so the answer is AWS's as its API describes it."""
    calls.refuse("DescribeKey", "NotFoundException", f"Key '{KEY}' does not exist")
    asked = []
    session.events.register("before-call.kms", lambda params, **_: asked.append(params["context"]["client_region"]))
    with pytest.raises(SystemExit) as ended:
        stack.main(options("--buckets", "unit-stack-code", "--kms-keys", KEY))
    assert ended.value.code == f"The KMS key `{KEY}` was not found. Check its ARN."
    assert (asked, on_aws) == (["eu-west-1"], [])


def test_what_may_not_be_seen_counts_as_there(on_aws, calls):
    for operation in ("DescribeJobQueues", "DescribeJobDefinitions"):
        calls.refuse(operation, "AccessDeniedException")
    calls.refuse("HeadBucket", "403")
    for operation in ("GetRole", "GetPolicy"):
        calls.refuse(operation, "AccessDenied")
    calls.refuse("DescribeKey", "AccessDeniedException")
    calls.refuse("GetTopicAttributes", "AuthorizationError")
    names = ["--job-queues", "q", "--job-definitions", "etl", "--buckets", "data", "--pipeline-roles", "mine"]
    names += ["--pipelines", "mine"]
    stack.main(options(*names, "--kms-keys", KEY, *[part for each in NAMED.items() for part in each]))
    assert [each[1] for each in on_aws] == ["cp", "cp", "deploy"]


def test_a_new_stack_needs_what_it_is_for(on_aws):
    with pytest.raises(SystemExit) as ended:
        stack.main(options("--buckets", "unit-stack-code", "--pipelines", "mine"))
    assert ended.value.code == (
        "The stack `sagemaker-churn` is new, so give --job-queues (JOB_QUEUES) and --job-definitions (JOB_DEFINITIONS)."
    )
    assert on_aws == []


def test_a_stack_whose_creation_failed_is_to_be_deleted_first(on_aws, calls):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html"""
    failed = {"StackName": "s", "CreationTime": datetime.now(UTC), "StackStatus": "ROLLBACK_COMPLETE"}
    calls.answer("DescribeStacks", {"Stacks": [failed]})
    with pytest.raises(SystemExit, match="delete it with `make undeploy`, and deploy it again"):
        stack.main(options("--buckets", "unit-stack-code"))
    assert on_aws == []


def test_without_credentials_it_says_how_to_get_some(monkeypatch, ran):
    def client(*_):
        raise NoCredentialsError

    monkeypatch.setattr(boto3, "Session", lambda **_: SimpleNamespace(region_name="eu-west-1", client=client))
    with pytest.raises(SystemExit, match="There are no AWS credentials here"):
        stack.main(options("--buckets", "data"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deploy", "--stack", ""], "The stack has no name: give --stack, or STACK=... to make."),
        (["deploy", "--stack", "1st"], 'stack is "1st". It must have at most 52 letters'),
        (options("--job-queues", "q"), "The packages need a bucket. Give --buckets or --code-bucket."),
        (options("--pipelines", "a b"), 'pipelines has "a b". Separate names by commas, such as "a,b".'),
        (options("--pipelines", "my_model"), "pipelines has 'my_model'"),
        (
            options("--buckets", "data", "--alarm-topic", "mine"),
            '--alarm-topic is "mine". It must be the ARN of an SNS topic',
        ),
        (options("--buckets", "data", "--permissions-boundary", "mine"), "It must be the ARN of an IAM policy."),
        (
            options("--buckets", "data", "--kms-keys", "alias/mine"),
            "kms_keys has 'alias/mine', which is not the ARN of a key",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(ran, arguments, sentence):
    with pytest.raises(SystemExit, match=sentence):
        stack.main(arguments)
    assert ran == []


def test_a_failed_creation_is_explained_by_its_causes_with_what_to_do(monkeypatch):
    """Resources that CloudFormation cancels after a failure don't hide it."""
    session = boto3.Session(region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    client = session.client("cloudformation")
    monkeypatch.setattr(session, "client", lambda _: client)
    cancelled = [(f"R{number}", "CREATE_FAILED", "Resource creation cancelled") for number in range(9)]
    events = [
        ("sagemaker-churn", "ROLLBACK_COMPLETE", None),
        *cancelled,
        ("Queue", "CREATE_FAILED", "No permission."),
        ("Queue", "CREATE_IN_PROGRESS", None),
    ]
    answer = {
        "StackEvents": [
            {"StackId": "s", "EventId": "e", "StackName": "s", "Timestamp": datetime.now(UTC)}
            | {"LogicalResourceId": name, "ResourceStatus": status}
            | ({"ResourceStatusReason": why} if why else {})
            for name, status, why in events
        ]
    }
    with Stubber(client) as stubber:
        stubber.add_response("describe_stack_events", answer)
        assert stack._failures(session, "sagemaker-churn") == [
            "Queue: No permission.",
            "Mend the cause, delete the rest by `make undeploy STACK=sagemaker-churn`, and deploy again.",
        ]
