"""Import what takes long without the part of it that takes longest."""

from __future__ import annotations

import importlib
import sys

UNUSED = "rfc3987_syntax"


def import_jsonschema() -> None:
    """Import jsonschema, which papermill, nbconvert and the SageMaker SDK import, without its check of IRIs.

    For that check jsonschema imports `rfc3987_syntax` if it is there. That builds a parser, and takes one to two
    seconds of computing, more than all the rest of papermill. No schema of a notebook or of the SDK's settings has an
    IRI in it.
    """
    if "jsonschema" in sys.modules or UNUSED in sys.modules:
        return
    sys.modules[UNUSED] = None  # type: ignore[assignment]  # an import of it raises ImportError, as if it were absent
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules[UNUSED]
