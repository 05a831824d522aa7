"""Each member of a request to MiniStack's covered operations is honoured, listed as without effect, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from local_aws.ministack import member_page
from local_aws.ministack.members import HONOURED, WITHOUT_EFFECT, covers, unsupported
from local_aws.ministack.requests import MODELS

from .functions import configuration, function, name, queue, refusal, statement
from .members import members, with_member

README = (Path(__file__).parents[2] / "local_aws" / "README.md").read_text()
OPERATIONS = [(service, operation) for service, operations in HONOURED.items() for operation in operations]


def tables(service: str, operation: str) -> list[str]:
    return [*HONOURED[service][operation].split(), *WITHOUT_EFFECT.get(service, {}).get(operation, {})]


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_a_member_that_no_table_has_is_refused_by_its_path(service: str, operation: str) -> None:
    name, known = MODELS.get(service, service), tables(service, operation)
    model = botocore.session.Session().get_service_model(name).operation_model(operation)
    paths = [path for path in members(name, operation) if path]
    assert not [one for one in known if not any(covers(one, path) for path in paths)], "the model has no such member"
    for path in paths:
        refused = unsupported(service, model, with_member(name, operation, path, {}))
        if any(covers(one, path) for one in known):
            assert refused != path
        else:
            assert refused, f"{path} is neither honoured nor listed nor refused"


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_each_member_stands_in_one_list(service: str, operation: str) -> None:
    """It is honoured, or README lists it as without effect, or MEMBERS.md lists it as refused, and it is."""
    without_effect = rows("Taken without effect.").get((service, operation), set())
    refused = listed_as_refused().get((service, operation), set())
    for path in filter(None, members(MODELS.get(service, service), operation)):
        lists = [HONOURED[service][operation].split(), without_effect, refused]
        assert [any(covers(one, path) for one in each) for each in lists].count(True) == 1, path


def listed_as_refused() -> dict[tuple[str, str], set[str]]:
    """The members that MEMBERS.md lists, by service and operation."""
    found: dict[tuple[str, str], set[str]] = {}
    for section in member_page.PAGE.read_text().split("\n## ")[1:]:
        service = section.partition("\n")[0]
        for operation, paths in re.findall(r"^\| (\w+) \| (`.+) \|$", section, re.MULTILINE):
            found[service, operation] = set(re.findall("`([^`]+)`", paths))
    return found


def test_the_page_of_refused_members_is_what_the_tables_say() -> None:
    assert member_page.PAGE.read_text() == member_page.page(), "run python -m local_aws.ministack.member_page"
    assert "members that are refused" in member_page.page().lower()
    assert "(MEMBERS.md)" in README


def test_what_is_refused_is_named_to_the_client(aws: Any) -> None:
    own, (url, _), bucket = function(aws), queue(aws), name("bucket")
    aws.client("s3").create_bucket(Bucket=bucket)
    attribute = {"x": {"DataType": "String", "StringValue": "v", "StringListValues": ["a"]}}
    for call, arguments, member in (
        (aws.client("lambda").invoke, {"FunctionName": own, "ClientContext": "e30="}, "ClientContext"),
        (
            aws.client("lambda").create_function,
            configuration(
                aws, LoggingConfig={"LogGroup": "g"}, Code={"ZipFile": b"", "SourceKMSKeyArn": "arn:aws:kms:x"}
            ),
            "Code.SourceKMSKeyArn",
        ),
        (
            aws.client("sqs").send_message,
            {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attribute},
            "MessageAttributes{}.StringListValues[]",
        ),
        (aws.client("logs").create_log_group, {"logGroupName": "keyed", "kmsKeyId": "k"}, "kmsKeyId"),
        (aws.client("ec2").describe_vpcs, {"DryRun": True}, "DryRun"),
        (
            aws.client("iam").simulate_custom_policy,
            {
                "PolicyInputList": [statement("*")],
                "ActionNames": ["s3:GetObject"],
                "CallerArn": f"arn:aws:iam::{'0' * 12}:user/a",
            },
            "CallerArn",
        ),
        (aws.client("s3").delete_object, {"Bucket": bucket, "Key": "k", "MFA": "serial 123456"}, "MFA"),
    ):
        _, message = refusal(call, **arguments)
        assert f"does not have the member {member} of" in message


def test_zero_is_a_value_and_a_switch_that_is_off_is_none(aws: Any) -> None:
    def put(**more: Any) -> tuple[str, str]:
        target = {"Id": "t", "Arn": queue(aws)[1], **more}
        return refusal(aws.client("events").put_targets, Rule="nosuch", Targets=[target])

    _, message = put(RetryPolicy={"MaximumRetryAttempts": 0})
    assert "does not have the member Targets[].RetryPolicy.MaximumRetryAttempts of PutTargets" in message
    assert refusal(aws.client("ec2").describe_subnets, SubnetIds=["subnet-nosuch"], DryRun=False)[0].endswith(
        ".NotFound"
    )


def rows(heading: str) -> dict[tuple[str, str], set[str]]:
    """The rows of the table below a heading of README: the members by service and operation."""
    section = README.partition("\n## MiniStack's services")[2].partition("\n## ")[0]
    members_of: dict[tuple[str, str], set[str]] = {}
    for service, operations, given in re.findall(
        r"^\| (\w+) \| (.+?) \| (.+?) \|", section.partition(f"**{heading}**")[2].partition("\n\n**")[0], re.MULTILINE
    ):
        for operation in re.findall(r"\w+", operations):
            members_of.setdefault((service, operation), set()).update(re.findall("`([^`]+)`", given))
    del members_of["service", "operations"]  # the table's head
    return members_of


def test_readme_lists_what_is_covered() -> None:
    section = README.partition("\n## MiniStack's services")[2].partition("\n## ")[0]
    listed = section.partition("**Operations**")[2].partition("\n\n**")[0]
    for service, operations in HONOURED.items():
        row = re.search(rf"^\| {service} \| (.+?) \|$", listed, re.MULTILINE)
        assert row, service
        assert set(re.findall(r"\w+", row.group(1))) == operations.keys()


def test_readme_lists_what_has_no_effect() -> None:
    expected = {
        (service, operation): set(paths)
        for service, operations in WITHOUT_EFFECT.items()
        for operation, paths in operations.items()
    }
    assert rows("Taken without effect.") == expected
