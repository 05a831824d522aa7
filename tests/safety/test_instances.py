"""What an operator needs for environments of EC2 instances: two more policies, of which nothing is too much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from servers import allow

import local_aws
from utils import batch, cleanup, iam
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

CONFIG = Config("local", "sagemaker-instances", "us-east-1", "000000000000")
OPERATOR = iam.render("operator.json", CONFIG)["Statement"]
PASS = iam.render("operator_instances.json", CONFIG)["Statement"]
PROFILE = iam.render("operator_instance_profile.json", CONFIG)["Statement"]
# A profile that is created with tags: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateInstanceProfile.html
NOT_SEEN_HERE = {"iam:TagInstanceProfile"}


class Operator:
    """An IAM user whose statements each test chooses."""

    def __init__(self, root: boto3.Session) -> None:
        self.root = root
        users = root.client("iam")
        users.create_user(UserName="operator")
        key = users.create_access_key(UserName="operator")["AccessKey"]
        self.session = embedded_session(users.meta.endpoint_url)
        self.session._session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def allow(self, *statements: dict[str, Any]) -> None:
        allow(self.root.client("iam"), "operator", statements)

    def environment(self, profile: str, **more: Any) -> str:
        subnets, groups = batch.default_network(self.session)
        place = {"subnets": subnets, "security_groups": groups, "max_vcpus": 4, "tags": CONFIG.tags}
        return batch.ensure_compute_environment(
            self.session,
            CONFIG.compute_environment,
            instance_types=["m7i.large"],
            instance_role=profile,
            **place,
            **more,
        )["computeEnvironmentArn"]

    def all_of_it(self) -> None:
        """Make a profile and an environment, and delete both."""
        self.environment(batch.ensure_instance_profile(self.session, CONFIG))
        cleanup.delete_all(self.session, CONFIG)
        cleanup.delete_instance_profile(self.session, CONFIG)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    home = tmp_path_factory.mktemp("instances")
    yield Operator(embedded_session(local_aws.start(port=0, home=home).endpoint_url))
    local_aws.stop(home)


@pytest.mark.parametrize("spot", [False, True])
def test_a_job_runs_on_instances_and_nothing_stays(operator: Operator, spot: bool) -> None:
    operator.allow(*OPERATOR, *PASS, *PROFILE)
    session = operator.session
    environment = operator.environment(batch.ensure_instance_profile(session, CONFIG), spot=spot)
    assert batch.ensure_instance_profile(session, CONFIG).endswith(f"instance-profile/{CONFIG.instance_role}")
    batch.ensure_job_queue(session, CONFIG.job_queue, compute_environment=environment, tags=CONFIG.tags)
    batch.ensure_log_group(session, CONFIG.job_log_group, tags=CONFIG.tags)
    roles = iam.ensure_roles(session, CONFIG)
    fargate = batch.python_job(CONFIG, "print(1)", roles["batch_job"], roles["batch_execution"])
    definition = batch.ensure_job_definition(session, batch.on_instances(fargate))
    job = batch.submit_job(
        session, "one", queue=CONFIG.job_queue, definition=definition, parameters={}, tags=CONFIG.tags
    )
    assert batch.wait_for_job(session, job, seconds=120)["status"] == "SUCCEEDED"
    cleanup.delete_all(session, CONFIG)
    cleanup.delete_instance_profile(session, CONFIG)
    cleanup.delete_instance_profile(session, CONFIG)  # a second time there is nothing to do
    assert cleanup.leftovers(session, CONFIG) == []
    users = operator.root.client("iam")
    assert users.list_instance_profiles()["InstanceProfiles"] == []
    assert not [role for role in users.list_roles()["Roles"] if CONFIG.prefix in role["RoleName"]]


@pytest.mark.thorough
def test_without_any_one_action_of_the_two_policies_it_is_refused(operator: Operator) -> None:
    entries = [
        (number, action)
        for number, statement in enumerate([*PASS, *PROFILE])
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    refused = set()
    for entry in entries:
        rest = []
        for number, statement in enumerate([*PASS, *PROFILE]):
            actions = [action for other, action in entries if other == number and (other, action) != entry]
            rest += [{**statement, "Action": actions}] if actions else []
        operator.allow(*OPERATOR, *rest)
        try:
            operator.all_of_it()
        except ClientError as error:
            found = re.search(r"is not authorized to perform: ([\w:]+)", str(error))
            assert found and found[1] == entry[1], error
            refused.add(entry[1])
        operator.allow(*OPERATOR, *PASS, *PROFILE)
        operator.all_of_it()
    assert refused == {action for _, action in entries} - NOT_SEEN_HERE


def test_an_instance_role_that_exists_is_passed_to_ec2_alone(operator: Operator) -> None:
    """The policy for a profile that somebody else has made."""
    users, name = operator.root.client("iam"), "ecsInstanceRole"
    trust = json.dumps(iam.render("trust.json", CONFIG, service="ec2.amazonaws.com"))
    users.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    profile = users.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    users.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    operator.allow(*OPERATOR)
    with pytest.raises(ClientError, match="is not authorized to perform: iam:PassRole"):
        operator.environment(profile)
    operator.allow(*OPERATOR, *iam.render("operator_instances.json", CONFIG, instance_role=name)["Statement"])
    operator.environment(profile)
    role = profile.replace("instance-profile", "role")
    (made,) = iam.render("operator_instances.json", CONFIG, instance_role=name)["Statement"]
    assert made["Resource"] == role
    with pytest.raises(ClientError, match="is not authorized to perform: iam:PassRole"):  # not to a function
        operator.session.client("lambda").create_function(
            FunctionName=f"{CONFIG.prefix}-x", Role=role, Runtime="python3.12", Handler="a.b", Code={"ZipFile": b"x"}
        )
    cleanup.delete_all(operator.session, CONFIG)
