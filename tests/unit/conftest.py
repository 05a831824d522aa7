"""A session on the embedded AWS whose calls are counted, and some of which are answered as a test wants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from utils.config import Config
from utils.session import embedded_session

WRITES = ("Create", "Update", "Put", "Delete", "Set", "Register", "Attach", "Add", "Tag", "Submit")
_numbers = itertools.count(1)


class Calls:
    """What a session calls, in order; and answers that are given in AWS's place, each a number of times."""

    def __init__(self, session: boto3.Session) -> None:
        self.made: list[str] = []
        self._prepared: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        session.events.register("before-call", self._before)

    @property
    def writes(self) -> list[str]:
        """Those that change something."""
        return [name for name in self.made if name.startswith(WRITES)]

    def refuse(self, operation: str, code: str, message: str = "", times: int = 1) -> None:
        """The next calls of the operation fail with this error."""
        error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        self._prepared.setdefault(operation, []).extend([(400, error)] * times)

    def answer(self, operation: str, *answers: dict[str, Any]) -> None:
        """The next calls of the operation are answered with these, one after another."""
        self._prepared.setdefault(operation, []).extend((200, answer) for answer in answers)

    def _before(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        self.made.append(model.name)
        if self._prepared.get(model.name):
            status, answer = self._prepared[model.name].pop(0)
            return SimpleNamespace(status_code=status, headers={}), {"ResponseMetadata": {}, **answer}
        return None


@pytest.fixture
def session(aws) -> boto3.Session:
    return embedded_session(aws.endpoint_url)


@pytest.fixture
def calls(session: boto3.Session) -> Calls:
    return Calls(session)


@pytest.fixture
def config() -> Config:
    """A prefix of its own for each test: all share one embedded AWS."""
    return Config("local", f"sagemaker-unit{next(_numbers)}", "us-east-1", "000000000000")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """tenacity's waits take no time; what they would have been is listed."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waited.append))
    return waited
