import dataclasses
import json

import pytest
from botocore.exceptions import ClientError

from utils import cleanup, iam
from utils.config import Config

PULL = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")


def test_each_task_has_a_role_with_its_own_trust_and_policy(session, config):
    arns = iam.ensure_roles(session, config)
    assert len(set(arns.values())) == len(iam.TASKS)
    for task, (service, template, _) in iam.TASKS.items():
        role = session.client("iam").get_role(RoleName=getattr(config, f"{task}_role"))["Role"]
        assert role["Arn"] == arns[task]
        assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": service}
        assert {"Key": "sagemaker-batch:prefix", "Value": config.prefix} in role["Tags"]
        assert iam.inline_policy(session, role["RoleName"]) == iam.render(template, config)


@pytest.mark.parametrize("layout", ["separate", "shared"])
def test_a_second_time_nothing_is_written(session, config, calls, layout):
    config = dataclasses.replace(config, role_layout=layout)
    first = iam.ensure_roles(session, config)
    calls.made.clear()
    assert iam.ensure_roles(session, config) == first
    assert calls.writes == []


def test_what_was_changed_by_hand_is_put_right(session, config):
    iam.ensure_roles(session, config)
    by_hand, name = session.client("iam"), config.pipeline_role
    trust = json.dumps(iam.render("trust.json", config, service="lambda.amazonaws.com"))
    by_hand.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    broad = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    by_hand.put_role_policy(RoleName=name, PolicyName=iam.INLINE_POLICY, PolicyDocument=json.dumps(broad))
    by_hand.untag_role(RoleName=config.batch_job_role, TagKeys=list(config.tags))
    iam.ensure_roles(session, config)
    role = by_hand.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == iam.render("trust_pipeline.json", config)
    assert iam.inline_policy(session, name) == iam.render("pipeline.json", config)
    for task in ("pipeline", "batch_job"):
        tags = by_hand.list_role_tags(RoleName=getattr(config, f"{task}_role"))["Tags"]
        assert tags == [{"Key": "sagemaker-batch:prefix", "Value": config.prefix}]


def test_the_policy_of_an_earlier_version_is_replaced(session, config):
    iam.ensure_roles(session, config)
    client, name = session.client("iam"), config.pipeline_role
    client.delete_role_policy(RoleName=name, PolicyName=iam.INLINE_POLICY)
    broad = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    client.put_role_policy(RoleName=name, PolicyName="what-its-task-needs", PolicyDocument=json.dumps(broad))
    client.untag_role(RoleName=name, TagKeys=list(config.tags))
    iam.ensure_roles(session, config)
    assert client.list_role_policies(RoleName=name)["PolicyNames"] == ["permissions"]
    assert iam.inline_policy(session, name) == iam.render("pipeline.json", config)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("layout", ["separate", "shared"])
@pytest.mark.parametrize(
    ("foreign", "why"),
    [
        ("trust", "it lacks our tag and is trusted to somebody else"),
        ("inline", "it lacks our tag and has other policies"),
        ("attached", "it lacks our tag and has other policies"),
    ],
)
def test_somebody_elses_role_is_refused_before_any_is_made(session, config, calls, layout, foreign, why):
    config = dataclasses.replace(config, role_layout=layout)
    client, name = session.client("iam"), config.batch_execution_role  # the last to be made
    services = ["ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "sagemaker.amazonaws.com"]
    trust = iam.render(
        "trust.json", config, service="ecs-tasks.amazonaws.com" if foreign != "trust" else "ec2.amazonaws.com"
    )
    if layout == "shared" and foreign != "trust":
        trust["Statement"][0]["Principal"]["Service"] = services
    tags = [{"Key": "owner", "Value": "somebody"}]
    client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=tags)
    if foreign == "inline":
        client.put_role_policy(
            RoleName=name, PolicyName="theirs", PolicyDocument=json.dumps(iam.render("pipeline.json", config))
        )
    elif foreign == "attached":
        client.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    calls.made.clear()
    with pytest.raises(iam.NameConflict) as error:
        iam.ensure_roles(session, config)
    assert str(error.value) == (
        f'The role "{name}" exists and is not this kit\'s, since {why}. Choose another prefix, or delete it.'
    )
    assert calls.writes == []
    assert cleanup.delete_all(session, config) == []
    assert client.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == trust


def test_the_shared_layout_is_the_articles_one_role(session, config):
    arns = iam.ensure_roles(session, dataclasses.replace(config, role_layout="shared"))
    assert set(arns) == set(iam.TASKS)
    (arn,) = set(arns.values())
    name = arn.rsplit("/", 1)[1]
    role = session.client("iam").get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] == [
        "ecs-tasks.amazonaws.com",
        "lambda.amazonaws.com",
        "sagemaker.amazonaws.com",
    ]
    attached = session.client("iam").list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert {policy["PolicyName"] for policy in attached} == set(iam.SHARED_MANAGED_POLICIES)


def test_a_role_may_what_its_policy_says_and_no_more(session, config):
    roles = iam.ensure_roles(session, config)
    queue, other = (config.arn("batch", f"job-queue/{name}") for name in (config.job_queue, "somebodys"))
    assert iam.is_allowed(session, roles["submit_lambda"], "batch:SubmitJob", queue)
    assert not iam.is_allowed(session, roles["submit_lambda"], "batch:SubmitJob", other)
    assert not iam.is_allowed(session, roles["batch_job"], "batch:SubmitJob", queue)


def test_a_placeholder_that_nothing_fills_is_an_error_and_iams_own_stay(config, monkeypatch, tmp_path):
    monkeypatch.setattr(iam, "POLICIES", tmp_path)
    (tmp_path / "own.json").write_text('{"a": "${aws:username}/${bucket}"}')
    (tmp_path / "bad.json").write_text('{"a": "${nonsense}"}')
    assert iam.render("own.json", config) == {"a": f"${{aws:username}}/{config.bucket}"}
    with pytest.raises(KeyError, match="nonsense"):
        iam.render("bad.json", config)


def test_a_missing_role_says_which_notebook_makes_it(session, config):
    with pytest.raises(LookupError, match=f'no role "{config.pipeline_role}". Run notebook 01_iam'):
        iam.role_arn(session, config.pipeline_role)


def test_permissions_are_listed_pair_by_pair():
    policy = {"Statement": [{"Action": ["a:B", "a:C"], "Resource": "x"}, {"Action": "d:E", "Resource": ["y", "z"]}]}
    assert iam.permissions(policy) == [("a:B", "x"), ("a:C", "x"), ("d:E", "y"), ("d:E", "z")]


def refusal(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "X", "Message": message}}, "CreateFunction")


@pytest.mark.parametrize(
    "message",
    [
        "The role defined for the function cannot be assumed by Lambda.",
        "The provided execution role does not have permissions to call ReceiveMessage on SQS",
        "Could not assume role arn:aws:iam::1:role/x.",
        "Role with name x does not exist",
    ],
)
def test_a_young_role_is_waited_for(no_waiting, message):
    attempts = iter([refusal(message), refusal(message), None])

    @iam.retry_iam_propagation()
    def call():
        error = next(attempts)
        if error:
            raise error
        return "created"

    assert call() == "created"
    assert len(no_waiting) == 2


def test_any_other_refusal_is_raised_at_once(no_waiting):
    @iam.retry_iam_propagation()
    def call():
        raise refusal("Member must have length less than or equal to 64")

    with pytest.raises(ClientError, match="less than or equal to 64"):
        call()
    assert no_waiting == []


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/etl:3", "eu-west-1:210987654321:repository/team/etl"),
        ("210987654321.dkr.ecr.eu-west-1.amazonaws.com/etl@sha256:ab", "eu-west-1:210987654321:repository/etl"),
        ("210987654321.dkr-ecr.eu-west-1.on.aws/etl", "eu-west-1:210987654321:repository/etl"),
        ("public.ecr.aws/docker/library/python:3.13-slim", None),
        ("my-image", None),
    ],
)
def test_the_execution_role_may_pull_a_private_image_and_no_other(image, repository):
    config = Config("aws", "sagemaker-x", "eu-west-1", "123456789012", image=image)
    allowed = set(iam.permissions(iam.render("batch_execution.json", config)))
    pulls = {(action, resource) for action, resource in allowed if action.startswith("ecr:")}
    assert pulls == (
        {("ecr:GetAuthorizationToken", "*")} | {(f"ecr:{name}", f"arn:aws:ecr:{repository}") for name in PULL}
        if repository
        else set()
    )
    assert ("logs:PutLogEvents", f"arn:aws:logs:eu-west-1:123456789012:log-group:{config.job_log_group}:*") in allowed
