"""Package, deploy and call Lambda functions (notebook 03)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import linecache
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from .batch import ensure_log_group
from .config import Config
from .iam import NameConflict, retry_iam_propagation
from .support import programs
from .support.waiting import has_code, retry_on

LAMBDA_CODE = programs.folder("lambda_code")
RUNTIME = "python3.13"
HANDLER = "lambda_function.lambda_handler"


class FunctionFailed(RuntimeError):
    """A function raised. The message carries its error's type and text."""


def package(name: str) -> bytes:
    """Package the modules of `lambda_code/<name>/` as a zip.

    The same files give the same bytes, so that an unchanged function is not deployed again. README.md stays out of it:
    the function doesn't need it, and a change of its words is no change of the function.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = LAMBDA_CODE / name
    if not (folder / "lambda_function.py").exists():
        raise FileNotFoundError(f"lambda_code/{name} has no lambda_function.py. Name a folder that has one.")
    return _zip({str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.py"))})


def package_cell(handler: Callable[..., Any]) -> bytes:
    """Package the notebook cell that defines a function, all of it, as the one module of a zip.

    Args:
        handler: the cell's `lambda_handler`.

    Raises:
        LookupError: it was not defined in a cell, or the cell's text is no longer known.
    """
    source = "".join(linecache.getlines(handler.__code__.co_filename))
    if f"def {handler.__name__}(" not in source:
        raise LookupError(f"The cell that defines {handler.__name__} is unknown. Run it again.")
    return _zip({"lambda_function.py": source.encode()})


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # Fixed time and permissions, since a zip otherwise holds when and where it was made.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def write_packages(folder: Path) -> list[Path]:
    """Write the zips of the two functions to take home, `submit_jobs` and `check_jobs`. `make functions` calls it.

    Args:
        folder: where to. It is created if it doesn't exist.

    Returns:
        The zips' paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in ("submit_jobs", "check_jobs"):
        path = folder / f"{name}.zip"
        path.write_bytes(package(name))
        paths.append(path)
    return paths


def ensure_function(
    session: boto3.Session,
    name: str,
    *,
    code: bytes,
    role: str,
    timeout_seconds: int,
    memory_mib: int = 256,
    environment: dict[str, str] | None = None,
    description: str = "",
    tags: dict[str, str],
) -> str:
    """Create a function or update its code and its configuration, each only if it differs, and wait until it is ready.

    Its log group comes first: a function whose role may not create one would otherwise log nothing, and one that Lambda
    creates is kept for ever.

    Args:
        code: a zip, as `package` makes it.
        role: the ARN of its execution role.
        timeout_seconds: at most 900. A LambdaStep waits for 600 at most.

    Returns:
        The function's ARN.

    Raises:
        NameConflict: there is such a function without these tags.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-function-zip.html
    """
    client = session.client("lambda")
    configuration = {
        "Role": role,
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Timeout": timeout_seconds,
        "MemorySize": memory_mib,
        "Description": description,
        "Environment": {"Variables": environment or {}},
    }
    try:
        answer = client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        answer = None
    if answer and not tags.items() <= answer.get("Tags", {}).items():
        raise NameConflict(f'function "{name}"', "it lacks our tag")
    ensure_log_group(session, Config.lambda_log_group(name), tags=tags)
    if answer is None:
        return _create(client, name, code, configuration, tags)
    _update(client, name, code, configuration, answer["Configuration"])
    return answer["Configuration"]["FunctionArn"]


def _create(client: Any, name: str, code: bytes, configuration: dict[str, Any], tags: dict[str, str]) -> str:
    create = retry_iam_propagation()(client.create_function)
    arn = create(FunctionName=name, Code={"ZipFile": code}, Tags=tags, **configuration)["FunctionArn"]
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 900})
    return arn


def _update(client: Any, name: str, code: bytes, configuration: dict[str, Any], now: dict[str, Any]) -> None:
    if now["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode():
        _when_not_updating(client.update_function_code)(FunctionName=name, ZipFile=code)
        _until_updated(client, name)
    has = {key: now.get(key, "") for key in configuration} | {
        "Environment": {"Variables": now.get("Environment", {}).get("Variables", {})}
    }
    if has != configuration:
        retry_iam_propagation()(_when_not_updating(client.update_function_configuration))(
            FunctionName=name, **configuration
        )
        _until_updated(client, name)


def invoke(session: boto3.Session, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call a function, wait for its answer and return it.

    Raises:
        FunctionFailed: it raised.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-sync.html
    """
    answer = session.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise FunctionFailed(f"{payload.get('errorType', 'Error')}: {payload.get('errorMessage', payload)}")
    return payload


def function_arn(session: boto3.Session, name: str) -> str:
    """The ARN of a function that notebook 03 deployed.

    Raises:
        LookupError: there is no such function. Run notebook 03 first.
    """
    client = session.client("lambda")
    try:
        return client.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    except client.exceptions.ResourceNotFoundException:
        raise LookupError(
            f'There is no function "{name}". Run notebook 03_lambdas with the same prefix first.'
        ) from None


def _until_updated(client: Any, name: str) -> None:
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 900})


def _when_not_updating(call: Any) -> Any:
    """Call again while another update of the function is in progress (ResourceConflictException)."""
    return retry_on(has_code("ResourceConflictException"), seconds=120)(call)
