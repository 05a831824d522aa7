"""A refusal in the form that the service's clients read, for a request that no service answers.

Which form that is, the request says where its service is not here: https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import json
import re
import uuid
from xml.sax.saxutils import escape

from local_aws.protocol import ApiError, Response

# The services whose clients read XML and send no form: S3's own, and the three others of the protocol rest-xml.
_REST_XML = {"s3", "s3express", "s3-outposts", "route53", "cloudfront"}


def response(error: ApiError, service: str, headers: dict[str, str]) -> Response:
    """The refusal as a response.

    Args:
        service: what the request is signed for. "" for a request that is not signed.
        headers: the request's headers, with names in lower case.
    """
    request_id = str(uuid.uuid4())
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if headers.get("smithy-protocol", "") == "rpc-v2-cbor":
        body = _cbor({"__type": error.code, "message": error.message})
        more = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
    elif service in _REST_XML or kind == "application/x-www-form-urlencoded":
        body, more = readable_xml(_xml(error, service, request_id)).encode(), {"content-type": "text/xml"}
    else:
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        more = {"content-type": "application/json", "x-amzn-errortype": error.code}
    return Response(error.status, {**more, "x-amzn-requestid": request_id}, body)


# https://www.w3.org/TR/xml/#charsets
_FORBIDDEN_IN_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def readable_xml(text: str) -> str:
    """The text of a document without the characters that XML can't have: no client would read it."""
    return _FORBIDDEN_IN_XML.sub("?", text)


def _xml(error: ApiError, service: str, request_id: str) -> str:
    about = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if service.startswith("s3"):
        return f"<Error>{about}<RequestId>{request_id}</RequestId></Error>"
    if service == "ec2":
        return f"<Response><Errors><Error>{about}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    kind = "Sender" if error.status < 500 else "Receiver"
    return (
        f"<ErrorResponse><Error><Type>{kind}</Type>{about}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _cbor(texts: dict[str, str]) -> bytes:
    """A map of texts: https://www.rfc-editor.org/rfc/rfc8949#section-3.1"""
    encoded = bytes([0xA0 + len(texts)])  # a map of up to 23 pairs
    for pair in texts.items():
        for text in pair:
            content = text.encode()
            encoded += b"\x79" + len(content).to_bytes(2) + content  # a text, its length in two bytes
    return encoded
