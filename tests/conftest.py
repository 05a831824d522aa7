"""Fixtures every test may use."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest
import tiers
from botocore.client import ClientCreator
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel
from hypothesis.database import DirectoryBasedExampleDatabase

import local_aws
from utils.runner.quick_imports import import_jsonschema

import_jsonschema()  # before nbformat, which would import all of it
REGION = "us-east-1"

# Random tests draw new examples in each run, in CI too, where Hypothesis would repeat the same. A failure
# prints the code that repeats it, and .hypothesis/ remembers it. There is no deadline, since a busy machine is no bug.
hypothesis.settings.register_profile(
    "kit",
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(Path(__file__).parent.parent / ".hypothesis" / "examples"),
)
hypothesis.settings.load_profile("kit")


# Parse each of botocore's models once for all sessions. The tests make thousands, and EC2's model takes 0.1 s.
# S3's is read anew, since its clients take the bucket out of the addresses in it.
_load, _load_once = JSONFileLoader.load_file, functools.cache(JSONFileLoader.load_file)
JSONFileLoader.load_file = lambda self, path: (_load if "/s3/" in str(path) else _load_once)(self, path)
Loader.FILE_LOADER_CLASS = staticmethod(functools.cache(JSONFileLoader))

# The same for the list of services, which each session finds in some 450 folders.
_services, _list = {}, Loader.list_available_services


def _list_once(loader: Loader, type_name: str) -> list[str]:
    if type_name not in _services:
        _services[type_name] = _list(loader, type_name)
    return list(_services[type_name])


Loader.list_available_services = _list_once

# And for the class of a service's clients, which has a method for each operation.
_classes, _make_class = {}, ClientCreator._create_client_class


def _make_class_once(creator: ClientCreator, service: str, model: ServiceModel) -> type:
    if service not in _classes:
        _classes[service] = _make_class(creator, service, model)
    return _classes[service]


ClientCreator._create_client_class = _make_class_once

# The tests run in some processes side by side, a file in one of them. What takes longest begins first.
LONGEST = (
    "test_notebooks",
    "test_further_notebooks",
    "test_operator",
    "test_exercises",
    "test_keys",
    "test_operator_own",
    "test_your_own_pipeline",
    "test_as_recorded",
    "test_saved_outputs",
    "test_saved_outputs_further",
    "test_wheel",
    "test_timeout",
    "test_preflight",
    "test_cleanup",
    "test_as_on_aws",
    "test_twice_and_together",
    "test_resumed",
    "test_least_privilege",
    "test_end_to_end",
    "test_on_embedded_aws",
    "test_again",
    "test_runner",
    "test_wire",
    "test_batch",
    "test_core_mappings",
    "test_core_server",
    "test_core_saving",
    "test_core_lifecycle",
    "test_clock_jumps",
    "test_documented_samples",
    "test_core_presence",
    "test_lambdas",
    "test_data",
)


def pytest_report_header() -> str:
    tier = "all" if tiers.THOROUGH else "quick"
    return f"tier: {tier}; random tests: TEST_SEED={tiers.SEED} repeats this run's"


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = set() if tiers.THOROUGH else set(items) - set(tiers.sampled(items))
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


@dataclass(frozen=True)
class LocalAws:
    """An embedded AWS that runs for the tests."""

    server: local_aws.ServerInfo
    home: Path
    account: str = "000000000000"
    region: str = REGION

    @property
    def endpoint_url(self) -> str:
        return self.server.endpoint_url

    @property
    def session(self) -> boto3.Session:
        """The account's root, with the dummy credentials; give `endpoint_url` to its clients, or use `client`."""
        return boto3.Session("test", "test", region_name=self.region)

    def client(self, service: str, credentials: dict[str, str] | None = None, **config: Any) -> Any:
        """A client as root, or with the `Credentials` of AssumeRole or the `AccessKey` of CreateAccessKey."""
        known = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=known["AccessKeyId"],
            aws_secret_access_key=known["SecretAccessKey"],
            aws_session_token=known.get("SessionToken"),
            config=Config(**config),
        )


@pytest.fixture(scope="session", autouse=True)
def no_real_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the machine's AWS profile or the kit's own variables, or finds a server that it did not start.

    Nor does a `make` that a test calls see the variables of the one that runs the tests.
    """
    saved = dict(os.environ)
    others = ("AWS_", "SAGEMAKER_BATCH_", "MAKE", "MFLAGS", "ARGS")
    for name in [name for name in os.environ if name.startswith(others)]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    home = tmp_path_factory.mktemp("no-server-here")
    os.environ["LOCAL_AWS_HOME"] = str(home)
    yield
    local_aws.stop(home)  # `make tutorial` starts one here when a test runs it
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """What a test sets, or the connecting that it does, reaches no other test."""
    saved = dict(os.environ)
    yield
    for name in (saved.keys() | os.environ.keys()) - {"PYTEST_CURRENT_TEST"}:
        if name not in saved:
            del os.environ[name]
        elif os.environ.get(name) != saved[name]:
            os.environ[name] = saved[name]


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One embedded AWS on a free port for the whole test run: tests share it, so they name their own resources."""
    home = tmp_path_factory.mktemp("local-aws")
    yield LocalAws(local_aws.start(port=0, home=home), home)
    local_aws.stop(home)
