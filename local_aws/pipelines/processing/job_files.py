"""Bring a processing job's inputs from S3 and its outputs to S3, as the job's role.

A container has its files in /opt/ml. Here each job has a directory that stands for it. So that scripts find
their files, that path is replaced in the command, in the environment and in the scripts the job downloads, those in a
packed source directory too.
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

from local_aws.pipelines.execution.failures import StepFailed

ROOT = "/opt/ml"
SCRIPTS = (".py", ".sh")
SOURCE_ARCHIVE = "sourcedir.tar.gz"  # what the SDK's FrameworkProcessor makes of a source_dir
_ROOT_IN_TEXT = re.compile(r"/opt/ml(?![\w.\-])")
_ROOT_IN_BYTES = re.compile(_ROOT_IN_TEXT.pattern.encode())


def download(client: Any, record: dict[str, Any], place: Path) -> None:
    """Bring a job's inputs, and the files that describe the job, into its directory.

    Args:
        client: of S3, as the job's role.
        record: the job.
        place: the directory that stands for /opt/ml.

    Raises:
        StepFailed: an input is not there, or leads out of the directory.
    """
    config = place / "config"
    config.mkdir()
    shown = json.dumps(record, default=lambda moment: moment.isoformat())
    (config / "processingjobconfig.json").write_text(shown)
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    for item in record.get("ProcessingInputs") or []:
        source = item["S3Input"]
        bucket, _, prefix = source["S3Uri"].removeprefix("s3://").partition("/")
        target = _inside(place, source["LocalPath"])
        target.mkdir(parents=True, exist_ok=True)
        empty = True
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                empty = False
                _fetch(client, bucket, entry["Key"], prefix, target, place)
        if empty:
            raise StepFailed(f"ClientError: No S3 objects found under S3 URL {source['S3Uri']!r}.")
    for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        _inside(place, item["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)


def _fetch(client: Any, bucket: str, key: str, prefix: str, target: Path, place: Path) -> None:
    # A prefix that is one object's key gives that object's file; one that is a folder gives what is in it.
    relative = key.rsplit("/", 1)[-1] if key == prefix else key[prefix.rfind("/") + 1 :]
    if key != prefix and key.startswith(prefix.rstrip("/") + "/"):
        relative = key[len(prefix.rstrip("/")) + 1 :]
    if not relative or relative.endswith("/"):
        return
    path = (target / relative).resolve()
    if not path.is_relative_to(target.resolve()):
        raise StepFailed(f"ClientError: The key {key!r} leads out of the job's directory.")
    path.parent.mkdir(parents=True, exist_ok=True)
    client.download_file(bucket, key, str(path))
    if path.name.endswith(SCRIPTS):
        path.write_bytes(_relocate_script(path.read_bytes(), place))
    elif path.name == SOURCE_ARCHIVE:
        _relocate_archive(path, place)


def upload(client: Any, record: dict[str, Any], place: Path) -> None:
    """Bring what a job has written to where its outputs belong. Arguments: as of `download`."""
    for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        output = item["S3Output"]
        bucket, _, prefix = output["S3Uri"].removeprefix("s3://").partition("/")
        source = _inside(place, output["LocalPath"])
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.is_symlink():
                key = "/".join(filter(None, [prefix.rstrip("/"), path.relative_to(source).as_posix()]))
                client.upload_file(str(path), bucket, key)


def _inside(place: Path, local_path: str) -> Path:
    """Where a path of the container is on this machine.

    Raises:
        StepFailed: it leads out of /opt/ml.
    """
    path = (place / local_path.removeprefix(ROOT).lstrip("/")).resolve()
    if not local_path.startswith(ROOT) or not path.is_relative_to(place.resolve()):
        raise StepFailed(f"ClientError: The LocalPath {local_path!r} is not in {ROOT}.")
    return path


def relocate(text: str, place: Path) -> str:
    """A text of the job's in which its directory stands for /opt/ml."""
    return _ROOT_IN_TEXT.sub(lambda _: str(place), text)


def _relocate_script(script: bytes, place: Path) -> bytes:
    """As `relocate`, for a script that need not be UTF-8."""
    return _ROOT_IN_BYTES.sub(lambda _: os.fsencode(place), script)


def _relocate_archive(path: Path, place: Path) -> None:
    """Relocate the scripts in an archive, which the job's own entrypoint unpacks."""
    renewed = path.with_name(".renewed")
    try:
        with tarfile.open(path) as old, tarfile.open(renewed, "w:gz") as new:
            for member in old:
                body = old.extractfile(member) if member.isfile() else None
                if body and member.name.endswith(SCRIPTS):
                    script = _relocate_script(body.read(), place)
                    member.size, body = len(script), io.BytesIO(script)
                new.addfile(member, body)
        renewed.replace(path)
    except (tarfile.TarError, EOFError, zlib.error):
        renewed.unlink()  # no archive: whoever unpacks it will say so
