"""MiniStack answers 200 for an object that it could not write to the disk."""

from __future__ import annotations

from typing import Any

from local_aws.disk import Disk, NotWritten


def apply(disk: Disk) -> None:
    """Let a write of S3's that fails fail its call, and end the server."""
    from ministack.services import s3

    write = s3._atomic_write

    def atomic_write(*arguments: Any, **options: Any) -> None:
        try:
            write(*arguments, **options)
        except OSError as error:
            disk.refuse(error)
            raise NotWritten(disk.refusal) from error

    s3._atomic_write = atomic_write
