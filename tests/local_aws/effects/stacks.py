"""Probes of CloudFormation, of EC2's network and of tagging."""

from __future__ import annotations

import json
import time
from typing import Any

from .world import Instead, Probe, Versus, World, trusting


def template(*queues: str, description: str = "d", **more: Any) -> str:
    resources = {name: {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": {"Ref": "Delay"}}} for name in queues}
    delay = {"Delay": {"Type": "Number", "Default": 1}}
    return json.dumps({"Description": description, "Parameters": delay, "Resources": resources | more})


OWN, TEMPLATE = {"StackName": "own"}, template("First")
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": json.loads(trusting()), "RoleName": "made"},
}
NAMED = {"TemplateBody": template("First", "Third", Named=ROLE), "Capabilities": ["CAPABILITY_NAMED_IAM"]}
BROKEN = {"Bad": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/there"}}}
DELAY = [{"ParameterKey": "Delay", "ParameterValue": "2"}]
CHANGE: dict[str, Any] = {"StackName": "own", "ChangeSetName": "change"}
SHOWN = ("StackName", "Tags", "Parameters", "EnableTerminationProtection", "Description")
STATES = (
    "CREATE_COMPLETE", "CREATE_FAILED", "ROLLBACK_COMPLETE", "DELETE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_FAILED",
)  # fmt: skip


def settled(w: World, answer: Any = None) -> Any:
    """The stacks once none is in progress: names, states and resources, with their delays; and the events' tokens."""
    end = time.monotonic() + 30
    while True:
        stacks = w.call("cloudformation", "ListStacks")["StackSummaries"]
        if all(stack["StackStatus"] in STATES for stack in stacks):
            break
        assert time.monotonic() < end, stacks
        time.sleep(0.02)
    described = w.call("cloudformation", "DescribeStacks")["Stacks"]
    events = [w.call("cloudformation", "DescribeStackEvents", StackName=one["StackId"]) for one in stacks]
    queues = w.call("sqs", "ListQueues").get("QueueUrls", [])
    delays = [
        w.call("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]
        for url in queues
    ]
    return {
        "states": sorted((stack["StackName"], stack["StackStatus"]) for stack in stacks),
        "described": [
            {key: one.get(key) for key in SHOWN}
            for one in described
        ],
        "tokens": sorted({event.get("ClientRequestToken", "") for one in events for event in one["StackEvents"]}),
        "delays": delays, "queues": len(queues),
        "roles": [role["RoleName"] for role in w.call("iam", "ListRoles")["Roles"]],
    }  # fmt: skip


def stored(w: World, body: str) -> str:
    bucket = w.bucket("templates")
    w.put(bucket, "t.json", body.encode())
    return f"{w.clients.endpoint_url}/{bucket}/t.json"


def stack(w: World, body: str = TEMPLATE, **more: Any) -> None:
    w.call("cloudformation", "CreateStack", **{**OWN, "TemplateBody": body, **more})
    settled(w)


def common(w: World, **base: Any) -> dict[str, Any]:
    """Changes of what several operations have."""
    url = stored(w, template("First", "Stored"))
    return {
        "StackName": "other", "TemplateBody": template("First", "Second"),
        "TemplateURL": Instead(TemplateBody=None, TemplateURL=url),
        "Parameters[].ParameterKey": "Nosuch",
        "Parameters[].ParameterValue": "3", "Tags": [{"Key": "a", "Value": "b"}], "Capabilities": ["CAPABILITY_IAM"],
    }  # fmt: skip


def broken(w: World) -> dict[str, Any]:
    """A template that keeps its first resource, and whose second one exists already."""
    w.call("logs", "CreateLogGroup", logGroupName="/there")
    kept = {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain"}
    return {"TemplateBody": template(Kept=kept, Bad={**BROKEN["Bad"], "DependsOn": "Kept"})}


def create(w: World) -> Probe:
    changes, fails = common(w), broken(w)
    return Probe(
        {**OWN, **NAMED, "Parameters": DELAY},
        {
            **changes, "DisableRollback": Versus(Instead(**fails), Instead(**fails, DisableRollback=True)),
            "RetainExceptOnCreate": Versus(Instead(**fails), Instead(**fails, RetainExceptOnCreate=True)),
            "ClientRequestToken": "token", "OnFailure": Versus(Instead(**fails), Instead(**fails, OnFailure="DELETE")),
            "EnableTerminationProtection": True,
        },
        [settled],
    )  # fmt: skip


def update(w: World) -> Probe:
    changes, fails = common(w), broken(w)
    stack(w)
    stack(w, StackName="other")
    return Probe(
        {**OWN, **NAMED, "Parameters": DELAY},
        {
            **changes, "DisableRollback": Versus(Instead(**fails), Instead(**fails, DisableRollback=True)),
            "RetainExceptOnCreate": Versus(Instead(**fails), Instead(**fails, RetainExceptOnCreate=True)),
            "ClientRequestToken": "token",
            "UsePreviousTemplate": Instead(TemplateBody=None, UsePreviousTemplate=True),
            "Parameters[].UsePreviousValue": Instead(Parameters=[{"ParameterKey": "Delay", "UsePreviousValue": True}]),
        },
        [settled],
    )  # fmt: skip


def delete(w: World) -> Probe:
    """A stack whose last deletion failed, since a bucket's policy is not there any more."""
    stack(w, template("First", "Second"))
    changes = {"StackName": "nosuch", "ClientRequestToken": "token"}
    return Probe(OWN, {**changes, "RetainResources": ["First"], "DeletionMode": "FORCE_DELETE_STACK"}, [settled])


def of_stack(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    """A probe of a stack, with another one and a change set of it."""

    def probe(w: World) -> Probe:
        stack(w)
        stack(w, template("Second", description="o"), StackName="other")
        w.call("cloudformation", "CreateChangeSet", **CHANGE, TemplateBody=template("Third"))
        return Probe(request, changes)

    return probe


def summary(w: World) -> Probe:
    stack(w, template("Of", "Stack", description="of the stack"))
    url = stored(w, template("First", description="stored"))
    return Probe(
        {"TemplateBody": TEMPLATE},
        {
            "StackName": Instead(TemplateBody=None, **OWN), "TemplateBody": template("First", description="e"),
            "TemplateURL": Instead(TemplateBody=None, TemplateURL=url),
        },
    )  # fmt: skip


def validate(w: World) -> Probe:
    changes = summary(w).changes
    del changes["StackName"]
    return Probe({"TemplateBody": TEMPLATE}, changes)


def described(w: World, answer: Any = None) -> Any:
    found = []
    for name in ("own", "other", "fresh"):
        try:
            sets = w.call("cloudformation", "ListChangeSets", StackName=name)["Summaries"]
        except w.client("cloudformation").exceptions.ClientError as error:
            found.append(str(error))
            continue
        for each in sets:
            answer = w.call("cloudformation", "DescribeChangeSet", StackName=name, ChangeSetName=each["ChangeSetName"])
            found.append({key: value for key, value in answer.items() if key not in ("ResponseMetadata",)})
    return found


def create_change(w: World) -> Probe:
    changes = common(w)
    stack(w)
    stack(w, StackName="other")
    return Probe(
        {**CHANGE, **NAMED, "Parameters": DELAY},
        {
            **changes, "UsePreviousTemplate": Instead(TemplateBody=None, UsePreviousTemplate=True),
            "Parameters[].UsePreviousValue": Instead(Parameters=[{"ParameterKey": "Delay", "UsePreviousValue": True}]),
            "ChangeSetName": "another", "Description": "d", "ChangeSetType": Versus(
                Instead(StackName="fresh"), Instead(StackName="fresh", ChangeSetType="CREATE")
            ), "OnStackFailure": "DO_NOTHING",
        },
        [described],
    )  # fmt: skip


def of_change(looks: list[Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        stack(w)
        stack(w, StackName="other")
        bad = broken(w)
        w.call("cloudformation", "CreateChangeSet", **CHANGE, TemplateBody=template("First", "Third"))
        w.call("cloudformation", "CreateChangeSet", **{**CHANGE, "ChangeSetName": "bad"}, **bad)
        return Probe(CHANGE, {"StackName": "other", "ChangeSetName": "nosuch", **changes}, looks)

    return probe


# --- EC2 and tagging -------------------------------------------------------------------------------------------------


def network(operation: str, member: str, filtered: str) -> Any:
    def probe(w: World) -> Probe:
        vpc = w.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        w.call("ec2", "CreateSubnet", VpcId=vpc, CidrBlock="10.0.1.0/24")
        w.call("ec2", "CreateSecurityGroup", GroupName="g", Description="d", VpcId=vpc)
        [first, *_] = next(value for key, value in w.call("ec2", operation).items() if key != "ResponseMetadata")
        ids = {"VpcIds": "VpcId", "SubnetIds": "SubnetId", "GroupIds": "GroupId"}
        changes = {member: [first[ids[member]]], "Filters": [{"Name": filtered, "Values": ["10.*", "g"]}]}
        if operation == "DescribeSecurityGroups":
            changes["GroupNames"] = ["default"]

        def shown(world: World, answer: Any) -> Any:
            return [sorted(one) for one in next(iter(answer.values()))] if "refused" not in answer else None

        return Probe({}, changes, [shown])

    return probe


def resources(w: World) -> Probe:
    for name in ("a", "b", "c"):
        url = w.queue(name)
        w.call("sqs", "TagQueue", QueueUrl=url, Tags={"name": name, "kind": "queue"})
    w.call("sns", "CreateTopic", Name="own", Tags=[{"Key": "name", "Value": "topic"}])
    return Probe(
        {},
        {
            "TagFilters": [{"Key": "name", "Values": ["a"]}], "ResourceTypeFilters": ["sns"],
            "ResourceARNList": [w.arn("sqs", "b")],
        },
    )  # fmt: skip


PROBES: dict[str, dict[str, Any]] = {
    "cloudformation": {
        "CreateStack": create,
        "UpdateStack": update,
        "DeleteStack": delete,
        "DescribeStacks": of_stack({}, {"StackName": "other", "NextToken": "nosuch"}),
        "ListStacks": of_stack({}, {"StackStatusFilter": ["DELETE_COMPLETE"], "NextToken": "nosuch"}),
        "DescribeStackEvents": of_stack(OWN, {"StackName": "other", "NextToken": "nosuch"}),
        "DescribeStackResource": of_stack(
            {**OWN, "LogicalResourceId": "First"}, {"StackName": "other", "LogicalResourceId": "Second"}
        ),
        "DescribeStackResources": of_stack(OWN, {"StackName": "other", "LogicalResourceId": "Second"}),
        "ListStackResources": of_stack(OWN, {"StackName": "other", "NextToken": "nosuch"}),
        "GetTemplate": of_stack(OWN, {"StackName": "other", "ChangeSetName": "change"}),
        "GetTemplateSummary": summary,
        "ValidateTemplate": validate,
        "CreateChangeSet": create_change,
        "DescribeChangeSet": of_change([], {}),
        "ExecuteChangeSet": of_change(
            [settled],
            {
                "ClientRequestToken": "token",
                **{
                    switch: Versus(Instead(ChangeSetName="bad"), Instead(ChangeSetName="bad", **{switch: True}))
                    for switch in ("DisableRollback", "RetainExceptOnCreate")
                },
            },
        ),
        "DeleteChangeSet": of_change([described], {}),
        "ListChangeSets": of_stack(OWN, {"StackName": "other", "NextToken": "nosuch"}),
    },
    "ec2": {
        "DescribeVpcs": network("DescribeVpcs", "VpcIds", "cidr"),
        "DescribeSubnets": network("DescribeSubnets", "SubnetIds", "cidr-block"),
        "DescribeSecurityGroups": network("DescribeSecurityGroups", "GroupIds", "group-name"),
    },
    "tagging": {"GetResources": resources},
}
