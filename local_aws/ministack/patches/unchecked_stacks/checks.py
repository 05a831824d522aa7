"""What is checked before a stack makes, changes or deletes a resource."""

from __future__ import annotations

from typing import Any

from local_aws.ministack.patches import function_roles, unchecked_mappings
from local_aws.ministack.patches.unchecked_stacks.types import Type
from local_aws.protocol import ApiError, Request


def arn(kind: Type, request: Request, props: dict[str, Any], stack: str, logical_id: str) -> str:
    """The ARN that a resource has or will have, by its name or the name that a stack gives it."""
    from ministack.services.cloudformation import provisioners

    if name := _named(kind, props):
        return _arn(kind, request, name)
    return _arn(kind, request, provisioners._physical_name(stack, logical_id, max_len=kind.longest))


def arn_of(kind: Type, request: Request, physical_id: str, props: dict[str, Any]) -> str:
    """The ARN of a resource that a stack has made."""
    if name := _named(kind, props):
        return _arn(kind, request, name)
    return physical_id if physical_id.startswith("arn:") else _arn(kind, request, physical_id)


def _named(kind: Type, props: dict[str, Any]) -> str:
    """What names a resource in the template: a name, an ARN, a URL, or a list of one. "" for a generated name."""
    value = props.get(kind.name) if kind.name else None
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


def _arn(kind: Type, request: Request, name: str) -> str:
    name = name.rsplit(":", 1)[-1] if name.startswith("arn:") else name.rsplit("/", 1)[-1] if "://" in name else name
    region = "" if kind.service == "iam" else request.region
    return f"arn:{request.partition}:{kind.service}:{region}:{request.account}:{kind.resource}{name}"


def check_new(name: str, kind: Type, request: Request, props: dict[str, Any], resource: str) -> None:
    """Refuse a resource that its caller may not make, that exists, or that its service refuses.

    Raises:
        ApiError: in the words of CloudFormation or of the service.
    """
    _check_properties(name, kind, props)
    _authorize(request, kind.create, resource)
    if kind.exists(resource.rpartition(kind.resource)[2] if kind.resource else resource.rpartition(":")[2]):
        identifier = resource.rpartition("/" if "/" in resource else ":")[2]
        raise ApiError("AlreadyExists", f"Resource of type '{name}' with identifier '{identifier}' already exists.")
    _check_by_service(name, request, props, "")


def check_changed(
    name: str, kind: Type, request: Request, props: dict[str, Any], resource: str, physical_id: str
) -> None:
    """Refuse a change of a resource, as `check_new` refuses a new one."""
    _check_properties(name, kind, props)
    _authorize(request, kind.update, resource)
    _check_by_service(name, request, props, physical_id)


def check_deleted(kind: Type, request: Request, resource: str) -> None:
    """Refuse a deletion that the caller may not do."""
    _authorize(request, kind.delete, resource)


def _authorize(request: Request, actions: str, resource: str) -> None:
    for action in actions.split():
        scope = "*" if action in UNSCOPED else resource
        request.authorize(action, scope)


# Actions that no resource of the caller's narrows, in the order of AWS's reference.
UNSCOPED = {"lambda:CreateEventSourceMapping"}


def _check_properties(name: str, kind: Type, props: dict[str, Any]) -> None:
    unknown = sorted(set(props) - set(kind.properties.split()))
    if unknown:
        raise ApiError(
            "ValidationError",
            f"The embedded AWS does not have the property {unknown[0]} of {name}. local_aws/README.md lists what it "
            "has.",
        )


def _check_by_service(name: str, request: Request, props: dict[str, Any], physical_id: str) -> None:
    if name == "AWS::Lambda::Function":
        function_roles.check(request, props["Role"])
        code = props["Code"]
        if "S3Key" in code:
            request.authorize("s3:GetObject", f"arn:{request.partition}:s3:::{code['S3Bucket']}/{code['S3Key']}")
            _check_package(code)
    elif name == "AWS::Lambda::EventSourceMapping":
        unchecked_mappings.check(props, physical_id)
    elif name == "AWS::IAM::Role":
        for policy in props.get("ManagedPolicyArns", []):
            request.authorize("iam:AttachRolePolicy", policy)


def _check_package(code: dict[str, Any]) -> None:
    """MiniStack makes a function without code of a package that is not there."""
    from ministack.services import lambda_svc

    if lambda_svc._fetch_code_from_s3(code["S3Bucket"], code["S3Key"], version_id=code.get("S3ObjectVersion")) is None:
        raise ApiError(
            "InvalidParameterValueException",
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not "
            "exist.",
        )
