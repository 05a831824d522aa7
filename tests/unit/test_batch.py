import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from local_aws.batch.state.retries import will_retry
from utils import batch, data, iam, kit
from utils.config import PYTHON_IMAGE


def ensure_environment(session, config, **changes):
    subnets, groups = batch.default_network(session)
    settings = {"subnets": subnets, "security_groups": groups, "max_vcpus": 4, "tags": config.tags, **changes}
    return batch.ensure_compute_environment(session, config.compute_environment, **settings)


def a_subnet(name, **changes):
    """A subnet as DescribeSubnets answers it."""
    return {"SubnetId": name, "AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1"} | changes


@pytest.fixture
def environment(session, config):
    return ensure_environment(session, config)


@pytest.fixture
def queue(session, config, environment):
    return batch.ensure_job_queue(
        session, config.job_queue, compute_environment=environment["computeEnvironmentArn"], tags=config.tags
    )


def test_the_default_network_is_subnets_and_the_default_group_of_one_vpc(session):
    subnets, groups = batch.default_network(session)
    ec2 = session.client("ec2")
    described = [*ec2.describe_subnets(SubnetIds=subnets)["Subnets"]]
    (group,) = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    assert {subnet["VpcId"] for subnet in described} == {group["VpcId"]}
    assert group["GroupName"] == "default"


def test_of_many_subnets_it_takes_as_many_as_fargate_does(session, calls):
    subnets = [a_subnet(f"subnet-{number:02}", DefaultForAz=True) for number in range(20)]
    calls.answer("DescribeSubnets", {"Subnets": subnets})
    taken, _ = batch.default_network(session)
    assert taken == [subnet["SubnetId"] for subnet in subnets[:16]]


def test_private_subnets_in_the_default_vpc_are_taken_only_if_it_has_no_others(session, calls):
    private = a_subnet("subnet-private", DefaultForAz=False)
    calls.answer("DescribeSubnets", {"Subnets": [private, a_subnet("subnet-public", DefaultForAz=True)]})
    assert batch.default_network(session)[0] == ["subnet-public"]
    calls.answer("DescribeSubnets", {"Subnets": [private]})
    assert batch.default_network(session)[0] == ["subnet-private"]


WITHOUT_FARGATE = [
    {"AvailabilityZone": "us-east-1-bos-1a", "AvailabilityZoneId": "use1-bos1-az1"},  # a Local Zone
    {"AvailabilityZone": "us-east-1-wl1-bos-wlz-1", "AvailabilityZoneId": "use1-wl1-bos-wlz1"},  # a Wavelength Zone
    {"OutpostArn": "arn:aws:outposts:us-east-1:000000000000:outpost/op-1"},
    # Of N. California, Tokyo and Beijing; which letter has which id differs from account to account.
    {"AvailabilityZoneId": "usw1-az2"},
    {"AvailabilityZoneId": "apne1-az3"},
    {"AvailabilityZoneId": "cnn1-az3"},
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("where", WITHOUT_FARGATE, ids=lambda where: "-".join(where.values()))
@pytest.mark.parametrize("default", [True, False])
def test_a_subnet_where_fargate_does_not_run_is_left_out(session, calls, where, default):
    outside = a_subnet("subnet-0", DefaultForAz=default, **where)
    calls.answer("DescribeSubnets", {"Subnets": [outside, a_subnet("subnet-1", DefaultForAz=default)]})
    assert batch.default_network(session)[0] == ["subnet-1"]
    calls.answer("DescribeSubnets", {"Subnets": [outside]})
    with pytest.raises(
        batch.BatchError, match=rf"Fargate runs in no subnet .*\({outside['AvailabilityZone']}\). Add one"
    ):
        batch.default_network(session)


def test_a_default_vpc_without_subnets_is_refused(session, calls):
    calls.answer("DescribeSubnets", {"Subnets": []})
    with pytest.raises(batch.BatchError, match=r"it has none.*create-default-subnet"):
        batch.default_network(session)


def test_without_a_default_vpc_it_says_what_to_do(session, calls):
    calls.answer("DescribeVpcs", {"Vpcs": []})
    with pytest.raises(batch.BatchError, match=r"us-east-1 has no default VPC\. Make one with `aws ec2 create-default"):
        batch.default_network(session)


def test_the_environment_is_managed_fargate_and_made_once(session, config, environment, calls):
    assert (environment["type"], environment["state"], environment["status"]) == ("MANAGED", "ENABLED", "VALID")
    assert environment["computeResources"]["type"] == "FARGATE"
    assert environment["tags"] == config.tags
    assert ensure_environment(session, config) == environment
    assert calls.writes == []


def test_the_environment_is_brought_up_to_date(session, config, environment):
    session.client("batch").update_compute_environment(computeEnvironment=config.compute_environment, state="DISABLED")
    changed = ensure_environment(session, config, max_vcpus=2)
    assert (changed["state"], changed["computeResources"]["maxvCpus"]) == ("ENABLED", 2)


def test_an_invalid_environment_is_an_error_with_awss_reason(session, config, calls):
    invalid = {"status": "INVALID", "statusReason": "CLIENT_ERROR - no such subnet", "state": "ENABLED"}
    invalid["tags"] = config.tags
    invalid["computeResources"] = {"type": "FARGATE", "maxvCpus": 1, "subnets": ["s"], "securityGroupIds": ["g"]}
    calls.answer("DescribeComputeEnvironments", *[{"computeEnvironments": [invalid]}] * 2)
    with pytest.raises(batch.BatchError, match=r"is INVALID: CLIENT_ERROR - no such subnet\."):
        ensure_environment(session, config, subnets=["s"], security_groups=["g"], max_vcpus=1)


def new_account(config, reason: str) -> dict:
    """An environment as Batch answers it whose roles it can't use."""
    resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["s"], "securityGroupIds": ["g"]}
    invalid = {"status": "INVALID", "statusReason": reason, "state": "ENABLED", "tags": config.tags}
    return {"computeEnvironments": [invalid | {"computeResources": resources}]}


TOO_NEW = [
    "CLIENT_ERROR - Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    "CLIENT_ERROR - User: arn:aws:sts::1:assumed-role/AWSServiceRoleForBatch/aws-batch is not authorized to perform: "
    "ecs:DescribeClusters on resource: arn:aws:ecs:us-east-1:1:cluster/c",
]


@pytest.mark.parametrize("reason", TOO_NEW)
def test_an_environment_whose_service_linked_roles_are_new_is_repaired(session, config, calls, no_waiting, reason):
    """https://github.com/hashicorp/terraform-provider-aws/issues/37945"""
    ensure_environment(session, config)
    calls.made.clear()
    calls.answer("DescribeComputeEnvironments", *[new_account(config, reason)] * 3)
    calls.answer("UpdateComputeEnvironment", *[{}] * 3)
    environment = ensure_environment(session, config)
    assert environment["status"] == "VALID"
    assert set(calls.writes) == {"UpdateComputeEnvironment"}
    assert no_waiting


def test_roles_that_stay_out_of_reach_are_one_sentence(session, config, calls, monkeypatch):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("tenacity.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    calls.answer("DescribeComputeEnvironments", *[new_account(config, TOO_NEW[0])] * 30)
    calls.answer("UpdateComputeEnvironment", *[{}] * 30)
    with pytest.raises(batch.BatchError, match=r"is INVALID: CLIENT_ERROR - Unable to assume .* run this again"):
        ensure_environment(session, config, subnets=["s"], security_groups=["g"])


def test_an_environment_answered_in_another_order_is_not_updated(session, config, environment, calls):
    subnets = list(reversed(environment["computeResources"]["subnets"]))
    assert len(subnets) > 1
    assert ensure_environment(session, config, subnets=subnets) == environment
    assert calls.writes == []


def test_the_queue_is_made_once_and_brought_up_to_date(session, config, environment, queue, calls):
    arn = environment["computeEnvironmentArn"]
    again = batch.ensure_job_queue(session, config.job_queue, compute_environment=arn, tags=config.tags)
    assert again == queue
    assert calls.writes == []
    changed = batch.ensure_job_queue(session, config.job_queue, compute_environment=arn, priority=7, tags=config.tags)
    assert (changed["priority"], changed["state"], changed["status"]) == (7, "ENABLED", "VALID")


def test_somebody_elses_environment_and_queue_are_refused_untouched(session, config, environment, queue, calls):
    arn, keys = environment["computeEnvironmentArn"], list(config.tags)
    for each in (arn, queue["jobQueueArn"]):
        session.client("batch").untag_resource(resourceArn=each, tagKeys=keys)
    calls.made.clear()
    with pytest.raises(
        iam.NameConflict, match=f'The compute environment "{config.compute_environment}" exists and is not'
    ):
        ensure_environment(session, config, max_vcpus=2)
    with pytest.raises(
        iam.NameConflict, match=f'The job queue "{config.job_queue}" exists and is not this kit\'s, since'
    ):
        batch.ensure_job_queue(session, config.job_queue, compute_environment=arn, priority=7, tags=config.tags)
    assert calls.writes == []


def test_a_queue_that_is_being_deleted_is_made_anew(session, config, environment, queue):
    client = session.client("batch")
    client.update_job_queue(jobQueue=config.job_queue, state="DISABLED")
    batch.settled(session, "job queue", config.job_queue)
    client.delete_job_queue(jobQueue=config.job_queue)
    made = batch.ensure_job_queue(
        session, config.job_queue, compute_environment=environment["computeEnvironmentArn"], tags=config.tags
    )
    assert (made["state"], made["status"]) == ("ENABLED", "VALID")


def test_an_unchanged_definition_keeps_its_revision(session, config):
    roles = iam.ensure_roles(session, config)
    definitions = [make(config, roles["batch_job"], roles["batch_execution"]) for make in MAKERS]
    first = [batch.ensure_job_definition(session, definition) for definition in definitions]
    assert [batch.ensure_job_definition(session, definition) for definition in definitions] == first
    changed = definitions[0] | {"timeout": {"attemptDurationSeconds": 90}}
    arn = batch.ensure_job_definition(session, changed)
    assert arn == first[0].removesuffix(":1") + ":2"
    assert batch.ensure_job_definition(session, changed) == arn


MAKERS = (batch.copy_job, batch.aggregate_job)


def as_aws_answers(definition: dict) -> dict:
    """A definition as DescribeJobDefinitions has it on AWS: actions in lower case, the environment in another order.

    https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/batch/job_definition.go
    https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/batch/container_properties.go
    """
    answer = json.loads(json.dumps(definition)) | {"revision": 7, "jobDefinitionArn": "arn:7", "status": "ACTIVE"}
    for rule in answer["retryStrategy"]["evaluateOnExit"]:
        rule["action"] = rule["action"].lower()
    for name in ("environment", "resourceRequirements"):
        answer["containerProperties"].get(name, []).reverse()
    return answer


def test_a_definition_as_aws_answers_it_is_not_registered_again(session, config, calls):
    definition = batch.aggregate_job(config, "job-role", "execution-role")
    definition["containerProperties"]["environment"] = [{"name": name, "value": "1"} for name in ("B", "A")]
    answer = {"jobDefinitions": [as_aws_answers(definition)]}
    calls.answer("DescribeJobDefinitions", answer, answer)
    assert batch.ensure_job_definition(session, definition) == "arn:7"
    definition["retryStrategy"] = batch.RETRY_STRATEGIES["EC2"]
    calls.answer("RegisterJobDefinition", {"jobDefinitionName": "a", "jobDefinitionArn": "arn:8", "revision": 8})
    assert batch.ensure_job_definition(session, definition) == "arn:8", "other rules, and not only another case"


@pytest.mark.parametrize("make", MAKERS)
def test_definitions_are_for_fargate_and_within_batchs_limits(config, make):
    definition = make(config, "job-role", "execution-role")
    assert definition["retryStrategy"] == batch.RETRY_STRATEGIES["FARGATE"]
    assert definition["timeout"]["attemptDurationSeconds"] >= 60
    assert definition["propagateTags"] is True
    assert definition["tags"] == config.tags
    assert definition["platformCapabilities"] == ["FARGATE"]
    assert len(json.dumps(definition)) < 24 * 1024, "AWS Batch's limit for a definition"


@pytest.mark.parametrize("make", MAKERS)
def test_jobs_have_room_for_an_agent_beside_their_program(config, make):
    """GuardDuty's runtime monitoring adds an agent to each Fargate task, which takes of the task's memory.

    https://docs.aws.amazon.com/guardduty/latest/ug/prereq-runtime-monitoring-ecs-support.html
    """
    requirements = make(config, "job", "execution")["containerProperties"]["resourceRequirements"]
    [memory] = [int(each["value"]) for each in requirements if each["type"] == "MEMORY"]
    assert min(memory, kit.JOB_MEMORY_MIB) >= 1024


def test_no_notebook_asks_for_less_memory():
    texts = {path: path.read_text() for path in Path(kit.__file__).parents[1].glob("notebooks/**/[!.]*.ipynb")}
    memory = r"""memory_mib=(\d+)|MEMORY\W+value\W+(\d+)"""
    found = [(path.stem, one or two) for path, text in texts.items() for one, two in re.findall(memory, text)]
    asked = [(stem, int(mib)) for stem, mib in found]
    assert "your_own_pipeline" in dict(asked)
    assert not [one for one in asked if one[1] < 1024]


@pytest.mark.parametrize("program", ["aggregate.py", "copy_item.py", "practise.py"])
def test_a_program_fits_the_overrides_of_a_job_with_the_longest_parameters(config, program):
    """AWS counts a command whose parameters it fills in with the overrides, which have at most 8,192 characters.

    https://github.com/Netflix/metaflow/issues/977
    """
    text = (batch.JOB_CODE / program).read_text()
    longest = f"s3://{'b' * 63}/{'k' * 1024}"
    manifest = [{"name": "MANIFEST_URI", "value": longest}, {"name": "MANIFEST_LINE_BYTES", "value": "100000"}]
    for arguments, environment in (([longest, longest], []), ([], manifest)):
        definition = batch.python_job(config, text, "job", "execution", arguments=arguments)
        overrides = {"command": definition["containerProperties"]["command"], "environment": environment}
        assert len(json.dumps({"containerOverrides": [overrides]})) < 8192


@pytest.mark.parametrize("program", sorted(path.name for path in batch.JOB_CODE.glob("*.py")))
def test_a_program_holds_nothing_that_batch_would_replace(program):
    """Ref::name, $(NAME) and $$ have a meaning of their own in a job's command."""
    text = (batch.JOB_CODE / program).read_text()
    assert not re.search(r"Ref::|\$\(|\$\$", text)


def test_another_image_is_taken_from_the_configuration_with_room_for_it(config):
    own = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/flights:1"
    for image, room in ((PYTHON_IMAGE, None), (own, {"sizeInGiB": 50})):
        definition = batch.aggregate_job(dataclasses.replace(config, image=image), "job-role", "execution-role")
        assert definition["containerProperties"]["image"] == image
        assert definition["containerProperties"].get("ephemeralStorage") == room


SPOT = {"status_reason": "Your Spot Task was interrupted.", "exit_code": 137}
HOST = {"status_reason": "Host EC2 (instance i-0123456789abcdef0) terminated."}
PULL = {"status_reason": "Task failed to start", "reason": "CannotPullContainerError: failed to resolve ref"}
NETWORK = {"status_reason": "Timeout waiting for network interface provisioning to complete."}
STORAGE = {"status_reason": "Timeout waiting for EphemeralStorage provisioning to complete."}
LATE = {"status_reason": "Job attempt duration exceeded timeout"}
MEMORY = {"status_reason": "Essential container in task exited", "exit_code": 137}
MEMORY |= {"reason": "OutOfMemoryError: Container killed due to memory usage"}
PROGRAM = {"status_reason": "Essential container in task exited", "exit_code": 1}


@pytest.mark.parametrize(
    ("platform", "retried", "ended"),
    [
        ("FARGATE", [SPOT, PULL, NETWORK, STORAGE], [LATE, MEMORY, PROGRAM]),
        ("EC2", [HOST, PULL], [LATE, MEMORY, PROGRAM]),
    ],
)
def test_what_was_lost_or_did_not_start_is_retried_and_what_failed_is_not(platform, retried, ended):
    """Reasons from https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html"""
    strategy = batch.RETRY_STRATEGIES[platform]
    assert len(strategy["evaluateOnExit"]) <= 5, "Batch's limit"
    spec = SimpleNamespace(attempts=strategy["attempts"], rules=strategy["evaluateOnExit"])
    for cases, expected in ((retried, True), (ended, False)):
        for case in cases:
            attempt = SimpleNamespace(**{"reason": None, "exit_code": None, **case})
            assert will_retry(spec, 1, attempt) is expected, case
            assert will_retry(spec, 3, attempt) is False


@pytest.mark.slow
def test_the_copying_job_runs_with_its_role_and_is_waited_for(session, config, queue):
    roles = iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    batch.ensure_log_group(session, config.job_log_group, tags=config.tags)
    data.upload(session, config.bucket, "input", {"a.json": b"{}"})
    definition = batch.ensure_job_definition(
        session, batch.copy_job(config, roles["batch_job"], roles["batch_execution"])
    )

    def run(source: str) -> dict:
        parameters = {"s3Input": config.s3_uri(source), "s3Output": config.s3_uri("output/a.json")}
        job = batch.submit_job(
            session, "one", queue=config.job_queue, definition=definition, parameters=parameters, tags=config.tags
        )
        return batch.wait_for_job(session, job, seconds=60)

    assert run("input/a.json")["status"] == "SUCCEEDED"
    assert data.listing(session, config.bucket, "output") == [("output/a.json", 2)]
    failed = run("input/missing.json")
    assert (failed["status"], failed["container"]["exitCode"]) == ("FAILED", 1)


def spot_job(session, config, definition: str) -> str:
    """A job whose first attempt would take five minutes."""
    code = "import os, time; time.sleep(300 * (os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1'))"
    batch.ensure_log_group(session, config.job_log_group, tags=config.tags)
    roles = iam.ensure_roles(session, config)
    wanted = batch.aggregate_job(config, roles["batch_job"], roles["batch_execution"])
    wanted["containerProperties"]["command"] = ["python", "-c", code]
    arn = batch.ensure_job_definition(session, wanted | {"jobDefinitionName": definition})
    return batch.submit_job(session, "spot", queue=config.job_queue, definition=arn, parameters={}, tags=config.tags)


@pytest.mark.slow
def test_an_interrupted_job_is_retried_by_the_kits_own_strategy(session, config, queue):
    job_id = spot_job(session, config, "interrupted")
    batch.interrupt_job(session, job_id, seconds=60)
    job = batch.wait_for_job(session, job_id, seconds=60)
    assert job["status"] == "SUCCEEDED"
    assert [attempt["statusReason"] for attempt in job["attempts"]] == [
        batch.SPOT_INTERRUPTED,
        "Essential container in task exited",
    ]
    with pytest.raises(batch.BatchError, match=f"Job {job_id} is SUCCEEDED. Only a running job can be interrupted"):
        batch.interrupt_job(session, job_id)


def test_a_job_that_ends_just_before_it_is_interrupted_is_told(session, calls):
    task = "arn:aws:ecs:us-east-1:000000000000:task/AWSBatch-gone/0123"
    calls.answer("DescribeJobs", {"jobs": [{"status": "RUNNING", "container": {"taskArn": task}}]})
    with pytest.raises(
        batch.BatchError, match=r"Job j ended before it could be interrupted \(Cluster not found\)\. Submit it"
    ):
        batch.interrupt_job(session, "j")


def test_the_environment_becomes_spot_and_on_demand_again(session, config, environment):
    environments = [ensure_environment(session, config, spot=spot) for spot in (True, False)]
    assert [each["computeResources"]["type"] for each in environments] == ["FARGATE_SPOT", "FARGATE"]


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (
            {
                "statusReason": "Task failed to start",
                "container": {"reason": "CannotPullContainerError: no such image"},
            },
            "FAILED: Task failed to start; CannotPullContainerError: no such image. Mend",
        ),
        (
            {"statusReason": "Essential container in task exited", "container": {"exitCode": 3}},
            "FAILED, exit code 3: Ess",
        ),
        ({}, "FAILED: no reason given. Mend"),
    ],
    ids=["failed to start", "failed", "nothing known"],
)
def test_a_job_that_failed_is_one_sentence_with_the_reason(job, why):
    with pytest.raises(batch.BatchError, match=re.escape(f"Job mine (id) is {why}")):
        batch.require_success({"jobName": "mine", "jobId": "id", "status": "FAILED", **job})


def test_a_job_that_succeeded_is_returned():
    job = {"jobName": "mine", "jobId": "id", "status": "SUCCEEDED"}
    assert batch.require_success(job) == job


def test_a_job_that_does_not_end_is_told_with_batchs_reason(session, calls):
    stuck = {"status": "RUNNABLE", "statusReason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large"}
    calls.answer("DescribeJobs", {"jobs": [stuck]})
    with pytest.raises(TimeoutError, match=r"Job j is RUNNABLE after 0 seconds \(MISCONFIGURATION:JOB_RESOURCE_REQ"):
        batch.wait_for_job(session, "j", seconds=0)
    calls.answer("DescribeJobs", {"jobs": []})
    with pytest.raises(TimeoutError, match="not known to Batch yet"):
        batch.wait_for_job(session, "j", seconds=0)


def test_a_log_group_is_kept_two_weeks_and_tagged_even_if_a_service_made_it(session, config, calls):
    logs, name = session.client("logs"), config.job_log_group
    logs.create_log_group(logGroupName=name)
    logs.create_log_group(logGroupName=f"{name}-other")
    batch.ensure_log_group(session, name, tags=config.tags)
    group = batch.log_group(session, name)
    assert group["retentionInDays"] == 14
    assert logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"] == config.tags
    calls.made.clear()
    batch.ensure_log_group(session, name, tags=config.tags)
    assert calls.writes == []
    assert "retentionInDays" not in batch.log_group(session, f"{name}-other")


def test_the_shared_role_serves_the_jobs_too(session, config):
    roles = iam.ensure_roles(session, dataclasses.replace(config, role_layout="shared"))
    arn = batch.ensure_job_definition(session, batch.copy_job(config, roles["batch_job"], roles["batch_execution"]))
    assert arn.endswith(f"job-definition/{config.copy_job_definition}:1")
