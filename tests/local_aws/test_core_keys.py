"""An object that a KMS key encrypts is written and read with a permission on the key, as on AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .functions import name

KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MIB = b"x" * 5 * 1024 * 1024


@pytest.fixture(scope="module")
def bucket(aws: Any) -> str:
    """Encrypts by the key, unless a request says otherwise."""
    own, s3 = name("keys"), aws.client("s3")
    s3.create_bucket(Bucket=own)
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket=own, ServerSideEncryptionConfiguration=rules)
    s3.put_object(Bucket=own, Key="there", Body=b"abc")
    s3.put_object(Bucket=own, Key="plain", Body=b"abc", ServerSideEncryption="AES256")
    return own


@pytest.fixture
def s3_of(aws: Any) -> Callable[..., Any]:
    """S3's client of a new user who may do everything in S3, and with the key what is passed."""

    def client(*actions: str, resource: str = KEY, **condition: Any) -> Any:
        user, iam = name("user"), aws.client("iam")
        iam.create_user(UserName=user)
        statements: list[dict[str, Any]] = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
        if actions:
            statements.append({"Effect": "Allow", "Action": list(actions), "Resource": resource, **condition})
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
        return aws.client("s3", iam.create_access_key(UserName=user)["AccessKey"])

    return client


def write(s3: Any, bucket: str, **more: Any) -> None:
    s3.put_object(Bucket=bucket, Key="new", Body=b"x", **more)


def read(s3: Any, bucket: str, key: str = "there") -> None:
    s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def copy(s3: Any, bucket: str) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "there"})


def in_parts(s3: Any, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, MIB), (2, b"end"))
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize(
    ("work", "needed"),
    [
        (write, {"kms:GenerateDataKey"}),
        (read, {"kms:Decrypt"}),
        (copy, {"kms:GenerateDataKey", "kms:Decrypt"}),
        (in_parts, {"kms:GenerateDataKey", "kms:Decrypt"}),
    ],
)
def test_each_action_on_the_key_is_needed(
    s3_of: Callable[..., Any], bucket: str, work: Callable[..., None], needed: set[str]
) -> None:
    work(s3_of(*needed), bucket)
    for action in needed:
        with pytest.raises(ClientError, match=f"AccessDenied.*is not authorized to perform: {action} because"):
            work(s3_of(*needed - {action}), bucket)
        with pytest.raises(ClientError, match="AccessDenied"):
            work(s3_of(*needed, resource=KEY.replace("1234", "9999")), bucket)


def test_what_the_key_does_not_encrypt_needs_none(s3_of: Callable[..., Any], bucket: str) -> None:
    s3 = s3_of()
    read(s3, bucket, "plain")
    write(s3, bucket, ServerSideEncryption="AES256")
    s3.head_object(Bucket=bucket, Key="there")
    s3.list_objects_v2(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="new")


@pytest.mark.parametrize("key", [KEY, KEY.rpartition("/")[2]])
def test_a_request_may_name_the_key(s3_of: Callable[..., Any], aws: Any, key: str) -> None:
    own = name("plain")
    aws.client("s3").create_bucket(Bucket=own)
    write(s3_of("kms:GenerateDataKey"), own, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        write(s3_of(), own, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    with pytest.raises(ClientError, match="kms:Decrypt"):
        read(s3_of(), own, "new")


@pytest.mark.parametrize(("service", "allowed"), [("s3", True), ("sqs", False)])
def test_a_policy_may_say_which_service_uses_the_key(
    s3_of: Callable[..., Any], bucket: str, service: str, allowed: bool
) -> None:
    condition = {"StringEquals": {"kms:ViaService": f"{service}.us-east-1.amazonaws.com"}}
    s3 = s3_of("kms:Decrypt", Condition=condition)
    if allowed:
        read(s3, bucket)
        return
    with pytest.raises(ClientError, match="kms:Decrypt"):
        read(s3, bucket)
