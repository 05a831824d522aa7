"""How a call travels in each of AWS's protocols, for a fuzzer that does not mind whether its parameters are right.

https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from botocore.model import OperationModel, Shape

# The services that MiniStack answers for, by botocore's names.
MINISTACKS = (
    "iam",
    "sts",
    "s3",
    "sqs",
    "lambda",
    "events",
    "logs",
    "ec2",
    "sns",
    "resourcegroupstaggingapi",
    "cloudwatch",
    "cloudformation",
)


def form(operation: OperationModel, payload: Any, version: str) -> bytes:
    """A body of the query protocol, and of EC2's, in which lists have no `member`."""
    flat: list[tuple[str, bytes]] = [("Action", operation.name.encode()), ("Version", version.encode())]
    between = "" if operation.service_model.metadata["protocol"] == "ec2" else ".member"

    def add(at: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                add(f"{at}.{name}" if at else name, item)
        elif isinstance(value, list):
            for number, item in enumerate(value, 1):
                add(f"{at}{between}.{number}", item)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat.append((at, text.encode("utf-8", "surrogatepass")))

    add("", payload)
    return urlencode([(name.encode("utf-8", "surrogatepass"), value) for name, value in flat]).encode()


def xml(payload: Any, shape: Shape | None) -> bytes:
    """A body of rest-xml: each member an element, each item of a list one in its list's, or, flattened, by itself.

    Args:
        shape: the operation's input. What in the payload is not its, is written all the same.
    """

    def elements(name: str, value: Any, shape: Shape | None) -> str:
        if isinstance(value, dict):
            return _element(name, "".join(elements(key, item, _member(shape, key)) for key, item in value.items()))
        if isinstance(value, list):
            of = shape.member if shape and shape.type_name == "list" else None
            if of is None or shape.serialization.get("flattened"):
                return "".join(elements(name, item, of) for item in value)
            return _element(name, "".join(elements(of.serialization.get("name", "member"), item, of) for item in value))
        return _element(name, escape(value if isinstance(value, str) else json.dumps(value)))

    inside = payload if isinstance(payload, dict) else {"Value": payload}
    text = "".join(elements(name, item, _member(shape, name)) for name, item in inside.items())
    return text.encode("utf-8", "surrogatepass")


def _member(shape: Shape | None, wire: str) -> Shape | None:
    """The member that travels under this name."""
    members = shape.members.items() if shape and shape.type_name == "structure" else ()
    return next((member for name, member in members if member.serialization.get("name", name) == wire), None)


def _element(name: str, inside: str) -> str:
    if not name.isidentifier():
        return f"<Member name={quoteattr(name)}>{inside}</Member>"
    return f"<{name}>{inside}</{name}>"


def texts(answer: bytes) -> list[tuple[str, str]]:
    """Each element of an XML answer that has a text, by its name without its namespace.

    Raises:
        ParseError: it is no XML.
    """
    elements = ElementTree.fromstring(answer).iter()
    return [(one.tag.rpartition("}")[2], one.text) for one in elements if one.text and one.text.strip()]
