"""Probes of Lambda."""

from __future__ import annotations

from typing import Any

from .world import Instead, Look, Probe, Versus, World, zipped

OWN = {"FunctionName": "own"}
OTHER_CODE = "def h(event, context):\n    return 'other'\n"
GET: Look = ("lambda", "GetFunction", OWN)
TAGS: Look = ("lambda", "ListTags", {})


def tags(w: World) -> Look:
    return ("lambda", "ListTags", {"Resource": w.arn("lambda", "function:own")})


def code_of(w: World, answer: Any = None) -> Any:
    """What tells one code from another, which `seen` leaves out of answers since it is of zip's time."""
    try:
        return [one["CodeSize"] for one in w.call("lambda", "ListVersionsByFunction", **OWN)["Versions"]]
    except w.client("lambda").exceptions.ResourceNotFoundException:
        return None


def stored(w: World) -> dict[str, Any]:
    """Two versions of an object with code, of different sizes."""
    bucket = w.bucket("code")
    w.call("s3", "PutBucketVersioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [w.put(bucket, "f.zip", zipped(code))["VersionId"] for code in (OTHER_CODE, OTHER_CODE * 30)]
    w.put(bucket, "g.zip", zipped(OTHER_CODE * 300))
    return {"S3Bucket": bucket, "S3Key": "f.zip", "S3ObjectVersion": versions[0]}


def configured(w: World) -> dict[str, Any]:
    layer = w.call("lambda", "PublishLayerVersion", LayerName="l", Content={"ZipFile": zipped("x = 1\n")})
    return {
        "Role": w.role("second", "logs:*"), "Handler": "f.i", "Runtime": "python3.12", "Timeout": 20,
        "Environment": {"Variables": {"A": "b"}}, "Layers": [layer["LayerVersionArn"]],
        "DeadLetterConfig": {"TargetArn": w.open_queue("dead")}, "LoggingConfig.LogGroup": "/own/group",
    }  # fmt: skip


def create(w: World) -> Probe:
    s3, request = stored(w), w.configuration("own")
    return Probe(
        request,
        {
            "FunctionName": "other", **configured(w), "Code.ZipFile": zipped(OTHER_CODE),
            "Code.S3Bucket": Instead(Code=s3), "Code.S3Key": Instead(Code={**s3, "S3Key": "g.zip"}),
            "Code.S3ObjectVersion": Instead(Code={**s3, "S3ObjectVersion": "nosuch"}), "PackageType": "Image",
            "Publish": True, "Tags": {"a": "b"},
        },
        [GET, code_of, tags(w)],
    )  # fmt: skip


def update_configuration(w: World) -> Probe:
    w.function()
    w.function("other")
    return Probe(OWN, {"FunctionName": "other", **configured(w), "RevisionId": "0" * 8}, [GET])


def update_code(w: World) -> Probe:
    w.function()
    w.function("other")
    s3 = stored(w)
    return Probe(
        {**OWN, **s3},
        {
            "FunctionName": "other", "ZipFile": Instead(**OWN, **dict.fromkeys(s3), ZipFile=zipped(OTHER_CODE * 9)),
            "S3Bucket": "nosuch", "S3Key": "g.zip", "S3ObjectVersion": "nosuch", "Publish": True,
            "RevisionId": "0" * 8,
        },
        [GET, code_of],
    )  # fmt: skip


def of_versions(request: dict[str, Any], changes: dict[str, Any], *looks: Any) -> Any:
    """A probe of a function with two versions, and with a policy."""

    def probe(w: World) -> Probe:
        w.function(Publish=True)
        w.call("lambda", "UpdateFunctionConfiguration", **OWN, Timeout=11)
        w.call("lambda", "PublishVersion", **OWN)
        allowed = {"StatementId": "first", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
        w.call("lambda", "AddPermission", **OWN, **allowed)
        w.call("lambda", "AddPermission", **OWN, **{**allowed, "StatementId": "of-1"}, Qualifier="1")
        return Probe({**OWN, **request}, {"FunctionName": "nosuch", **changes}, list(looks))

    return probe


def list_functions(w: World) -> Probe:
    for name in "abc":
        w.function(name, Publish=True)
    marker = w.call("lambda", "ListFunctions", MaxItems=2)["NextMarker"]
    return Probe({"MaxItems": 2}, {"Marker": marker, "MaxItems": 1})


def invoke(w: World) -> Probe:
    w.function()
    w.function("other", OTHER_CODE)
    return Probe(
        {**OWN, "Payload": b"1"},
        {
            "FunctionName": "other", "InvocationType": "DryRun", "LogType": "Tail", "Qualifier": "9",
            "Payload": b"2",
        },
    )  # fmt: skip


POLICY: Look = ("lambda", "GetPolicy", OWN)
POLICY_1: Look = ("lambda", "GetPolicy", {**OWN, "Qualifier": "1"})
OF_URL = {"StatementId": "s", "Action": "lambda:InvokeFunctionUrl", "Principal": "*"}
PERMISSION = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}


def mapped(w: World) -> dict[str, Any]:
    w.function()
    w.function("other")
    w.queue()
    w.queue("second")
    return {**OWN, "EventSourceArn": w.arn("sqs", "own"), "Enabled": False}


MAPPING = {
    "FunctionName": "other", "Enabled": True, "BatchSize": 3, "ScalingConfig": {"MaximumConcurrency": 2},
    "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": ["b"]}}'}]},
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
}  # fmt: skip


def create_mapping(w: World) -> Probe:
    request = mapped(w)

    def tagged(world: World, answer: dict[str, Any]) -> Any:
        return world.call("lambda", "ListTags", Resource=answer["EventSourceMappingArn"])["Tags"]

    return Probe(request, {**MAPPING, "EventSourceArn": w.arn("sqs", "second"), "Tags": {"a": "b"}}, [tagged])


def of_mapping(changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        own = w.call("lambda", "CreateEventSourceMapping", **mapped(w))["UUID"]
        other = w.call(
            "lambda", "CreateEventSourceMapping", FunctionName="other", EventSourceArn=w.arn("sqs", "second"),
            BatchSize=7, Enabled=False,
        )  # fmt: skip
        return Probe({"UUID": own}, {"UUID": other["UUID"], **changes}, [("lambda", "ListEventSourceMappings", {})])

    return probe


def list_mappings(w: World) -> Probe:
    w.call("lambda", "CreateEventSourceMapping", **mapped(w))
    for name, source in (("own", "second"), ("other", "own")):
        w.call(
            "lambda", "CreateEventSourceMapping", FunctionName=name, EventSourceArn=w.arn("sqs", source), Enabled=False
        )
    marker = w.call("lambda", "ListEventSourceMappings", MaxItems=1)["NextMarker"]
    changes = {"EventSourceArn": w.arn("sqs", "second"), "FunctionName": "other", "Marker": marker, "MaxItems": 1}
    return Probe({"MaxItems": 2}, changes)


def of_tags(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        own, other = w.function(Tags={"first": "tag"}), w.function("other")
        return Probe({"Resource": own, **request}, {"Resource": other, **changes}, [tags(w)])

    return probe


def nothing(w: World) -> Probe:
    return Probe({})


PROBES: dict[str, dict[str, Any]] = {
    "lambda": {
        "CreateFunction": create,
        "UpdateFunctionConfiguration": update_configuration,
        "UpdateFunctionCode": update_code,
        "DeleteFunction": of_versions({}, {"Qualifier": "1"}, GET),
        "GetFunction": of_versions({}, {"Qualifier": "1"}),
        "GetFunctionConfiguration": of_versions({}, {"Qualifier": "1"}),
        "ListFunctions": list_functions,
        "Invoke": invoke,
        "AddPermission": of_versions(
            PERMISSION,
            {
                "StatementId": "t", "Action": "lambda:GetFunction", "Principal": "s3.amazonaws.com",
                "SourceArn": "arn:aws:events:us-east-1:000000000000:rule/r", "SourceAccount": "0" * 12,
                "FunctionUrlAuthType": Versus(Instead(**OF_URL), Instead(**OF_URL, FunctionUrlAuthType="NONE")),
                "InvokedViaFunctionUrl": True, "EventSourceToken": "t", "Qualifier": "1",
                "PrincipalOrgID": "o-a1b2c3d4e5f",
            },
            POLICY, POLICY_1,
        ),
        "RemovePermission": of_versions(
            {"StatementId": "first"}, {"StatementId": "of-1", "Qualifier": "1"}, POLICY, POLICY_1
        ),
        "GetPolicy": of_versions({}, {"Qualifier": "1"}),
        "CreateEventSourceMapping": create_mapping,
        "UpdateEventSourceMapping": of_mapping(MAPPING),
        "GetEventSourceMapping": of_mapping({}),
        "DeleteEventSourceMapping": of_mapping({}),
        "ListEventSourceMappings": list_mappings,
        "TagResource": of_tags({"Tags": {"a": "b"}}, {"Tags": {"a": "c"}}),
        "UntagResource": of_tags({"TagKeys": ["first"]}, {"TagKeys": ["second"]}),
        "ListTags": of_tags({}, {}),
        "GetAccountSettings": nothing,
    },
}  # fmt: skip
