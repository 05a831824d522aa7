"""MEMBERS.md: each member that a covered operation of MiniStack refuses, by the tables it is refused by.

python -m local_aws.ministack.member_page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import botocore.session
from botocore.model import Shape

from local_aws.ministack.members import HONOURED, WITHOUT_EFFECT, covers
from local_aws.ministack.requests import MODELS

PAGE = Path(__file__).parents[1] / "MEMBERS.md"
_HEAD = """# Members that are refused

The embedded AWS refuses each of these members by its name, and all that a member contains. An operation that is not
here takes each member of its request. [README.md](README.md#ministacks-services-ministack) lists the operations, and
the members that are taken without effect. `python -m local_aws.ministack.member_page` writes this page.
"""


def refused(service: str, operation: str) -> list[str]:
    """The members of an operation's request that are neither honoured nor taken without effect.

    A member stands for all that it contains, if all of it is refused.
    """
    known = [*HONOURED[service][operation].split(), *WITHOUT_EFFECT.get(service, {}).get(operation, {})]
    model = botocore.session.Session().get_service_model(MODELS.get(service, service))
    shape = model.operation_model(operation).input_shape
    return list(_refused(shape, "", known)) if shape else []


def _refused(shape: Shape, at: str, known: list[str]) -> Iterator[str]:
    if any(covers(one, at) for one in known):
        return
    if at and not any(covers(at, one) for one in known):
        yield at
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from _refused(member, f"{at}.{name}" if at else name, known)
    elif shape.type_name == "list":
        yield from _refused(shape.member, f"{at}[]", known)
    else:
        yield from _refused(shape.value, f"{at}{{}}", known)


def page() -> str:
    """The text of MEMBERS.md."""
    parts = [_HEAD]
    for service, operations in HONOURED.items():
        rows = [(name, paths) for name in operations if (paths := refused(service, name))]
        if rows:
            lines = [f"| {name} | {', '.join(f'`{path}`' for path in paths)} |" for name, paths in rows]
            parts.append("\n".join([f"\n## {service}\n", "| operation | refused members |", "|---|---|", *lines, ""]))
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
