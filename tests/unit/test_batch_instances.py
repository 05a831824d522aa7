"""Requests for EC2, Spot and GPUs are what Batch's API takes."""

import boto3
import pytest
from botocore.validate import validate_parameters

from utils import batch
from utils.config import Config

MODEL = boto3.Session(region_name="eu-west-1").client("batch").meta.service_model
CONFIG = Config("aws", "sagemaker-batch", "eu-west-1", "123456789012")
ROLE = "arn:aws:iam::123456789012:role/x"


@pytest.mark.parametrize(
    ("spot", "kind", "strategy"),
    [(False, "EC2", "BEST_FIT_PROGRESSIVE"), (True, "SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")],
)
def test_an_environment_of_instances_is_what_the_api_takes(spot, kind, strategy):
    resources = batch.instance_resources(
        instance_types=("g5.xlarge",), instance_role="arn:aws:iam::123456789012:instance-profile/x",
        subnets=["subnet-1"], security_groups=["sg-1"], max_vcpus=8, spot=spot,
    )  # fmt: skip
    assert (resources["type"], resources["allocationStrategy"], resources["minvCpus"]) == (kind, strategy, 0)
    request = {"computeEnvironmentName": "x", "type": "MANAGED", "computeResources": resources}
    validate_parameters(request, MODEL.operation_model("CreateComputeEnvironment").input_shape)
    # What the helper brings up to date must be what an update takes, too.
    update = {"computeEnvironment": "x", "computeResources": resources}
    validate_parameters(update, MODEL.operation_model("UpdateComputeEnvironment").input_shape)


def test_a_definition_for_instances_has_nothing_of_fargate():
    fargate = batch.python_job(CONFIG, "print(1)", ROLE, ROLE, vcpus=0.25, memory_mib=512)
    definition = batch.on_instances(fargate, gpus=1)
    validate_parameters(definition, MODEL.operation_model("RegisterJobDefinition").input_shape)
    assert definition["platformCapabilities"] == ["EC2"]
    assert not {"networkConfiguration", "runtimePlatform"} & set(definition["containerProperties"])
    requirements = {each["type"]: each["value"] for each in definition["containerProperties"]["resourceRequirements"]}
    assert requirements == {"VCPU": "1", "MEMORY": "512", "GPU": "1"}
    assert definition["retryStrategy"] == batch.RETRY_STRATEGIES["EC2"]
    assert fargate["platformCapabilities"] == ["FARGATE"], "the definition given is left as it is"
