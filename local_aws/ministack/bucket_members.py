"""What is done with each member of a request to S3, for the operations that the kit, its clients and the CLI use."""

from __future__ import annotations

_CHECKSUMS = "ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumSHA1 ChecksumSHA256"
_GRANTS = "ACL GrantFullControl GrantRead GrantReadACP GrantWriteACP"
_KEY = "SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5"
_SOURCE = f"""CopySource CopySourceIfMatch CopySourceIfModifiedSince CopySourceIfNoneMatch CopySourceIfUnmodifiedSince
    ExpectedSourceBucketOwner {" ".join(f"CopySource{member}" for member in _KEY.split())}"""
_OBJECT = "Bucket Key ExpectedBucketOwner"
_SHOWN = f"""{_OBJECT} {_GRANTS} {_KEY} CacheControl ContentDisposition ContentEncoding ContentLanguage ContentType
    Expires Metadata SSEKMSKeyId Tagging"""
_BEGUN = f"""{_OBJECT} ACL {_KEY} CacheControl ContentDisposition ContentEncoding ContentLanguage ContentType Expires
    Metadata SSEKMSKeyId"""
_NEW = f"{_SHOWN} ObjectLockMode ObjectLockRetainUntilDate ObjectLockLegalHoldStatus"
_READ = f"""{_OBJECT} {_KEY} IfMatch IfModifiedSince IfNoneMatch IfUnmodifiedSince Range VersionId PartNumber
    ChecksumMode ResponseCacheControl ResponseContentDisposition ResponseContentEncoding ResponseContentLanguage
    ResponseContentType ResponseExpires"""
_HEAD = f"""{_OBJECT} {_KEY} IfMatch IfModifiedSince IfNoneMatch IfUnmodifiedSince VersionId ChecksumMode"""
_LIST = "Bucket ExpectedBucketOwner Delimiter MaxKeys Prefix"
_PART = f"{_OBJECT} {_KEY} UploadId"

HONOURED: dict[str, str] = {
    "ListBuckets": "MaxBuckets ContinuationToken Prefix BucketRegion",
    "CreateBucket": f"""Bucket {_GRANTS} GrantWrite ObjectLockEnabledForBucket ObjectOwnership
        CreateBucketConfiguration.LocationConstraint CreateBucketConfiguration.Tags""",
    "HeadBucket": "Bucket ExpectedBucketOwner",
    "DeleteBucket": "Bucket ExpectedBucketOwner",
    "GetBucketLocation": "Bucket ExpectedBucketOwner",
    "GetBucketTagging": "Bucket ExpectedBucketOwner",
    "PutBucketTagging": "Bucket ExpectedBucketOwner ContentMD5 Tagging",
    "PutObject": f"{_NEW} {_CHECKSUMS} Body ContentLength ContentMD5 ChecksumAlgorithm IfMatch IfNoneMatch",
    "GetObject": _READ,
    "HeadObject": _HEAD,
    "CopyObject": f"{_SHOWN} {_SOURCE} MetadataDirective TaggingDirective",
    "DeleteObject": f"{_OBJECT} VersionId BypassGovernanceRetention IfMatch IfMatchLastModifiedTime IfMatchSize",
    "DeleteObjects": "Bucket ExpectedBucketOwner Delete BypassGovernanceRetention",
    "ListObjects": f"{_LIST} EncodingType Marker",
    "ListObjectsV2": f"{_LIST} EncodingType ContinuationToken FetchOwner StartAfter",
    "ListObjectVersions": f"{_LIST} KeyMarker VersionIdMarker",
    "CreateMultipartUpload": f"{_BEGUN} ChecksumAlgorithm",
    "UploadPart": f"{_PART} {_CHECKSUMS} Body ContentLength ContentMD5 PartNumber",
    "UploadPartCopy": f"{_PART} {_SOURCE} CopySourceRange PartNumber",
    "CompleteMultipartUpload": f"{_PART} MpuObjectSize IfMatch IfNoneMatch "
    + " ".join(f"MultipartUpload.Parts[].{member}" for member in f"ETag PartNumber {_CHECKSUMS}".split()),
    "AbortMultipartUpload": f"{_OBJECT} UploadId",
    "ListParts": f"{_OBJECT} UploadId MaxParts PartNumberMarker",
}

_PAID = {"RequestPayer": "nothing costs anything"}
_STORED = {
    "StorageClass": "shown; what is archived has to be restored, and costs nothing",
    "ServerSideEncryption": "shown; objects are not encrypted",
    "WebsiteRedirectLocation": "shown; there are no websites",
}
_SUMMED = {"ChecksumAlgorithm": "the header of the checksum itself says which it is"}
_PAYS = (
    "GetObject HeadObject DeleteObject DeleteObjects ListObjects ListObjectsV2 ListObjectVersions UploadPart "
    "UploadPartCopy CompleteMultipartUpload AbortMultipartUpload ListParts"
)

WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    **dict.fromkeys(_PAYS.split(), _PAID),
    **dict.fromkeys(("PutObject", "CopyObject", "CreateMultipartUpload"), _STORED | _PAID),
    "CopyObject": {**_STORED, **_PAID, "AnnotationDirective": "there are no annotations"},
    **dict.fromkeys(("DeleteObjects", "UploadPart"), _PAID | _SUMMED),
    "PutBucketTagging": _SUMMED,
    "ListObjectVersions": {**_PAID, "EncodingType": "keys are answered as they are"},
}
