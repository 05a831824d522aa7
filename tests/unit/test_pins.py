"""pyproject.toml, requirements.lock and environment.yml say the same, and the lock says it for every machine."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = PROJECT["dependency-groups"]["pinned"] + PROJECT["dependency-groups"]["dev"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
RANGES = [*PROJECT["project"]["dependencies"], *EXTRAS["notebooks"], *EXTRAS["local"]]
LOCK = (ROOT / "requirements.lock").read_text()


def locked() -> dict[str, str]:
    """Each locked requirement, and the lines that belong to it."""
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    return {entry.split(" ", 1)[0]: entry for entry in entries}


def test_every_dependency_is_pinned_once():
    names = [re.fullmatch(r"([a-z0-9-]+)==[0-9.]+", pin)[1] for pin in PINS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("text", RANGES)
def test_what_is_tested_is_within_what_the_wheel_accepts(text):
    accepted = Requirement(text)
    assert accepted.specifier, f"{text} accepts any version"
    pin = next(pin for pin in PINS if pin.startswith(f"{accepted.name}=="))
    assert pin.partition("==")[2] in accepted.specifier


def test_studios_image_is_within_what_the_wheel_needs():
    studio = (ROOT / "tests" / "studio" / "requirements.in").read_text()
    for text in PROJECT["project"]["dependencies"]:
        needed = Requirement(text)
        if version := re.search(rf"^{needed.name}==(\S+)$", studio, re.MULTILINE):
            assert version[1] in needed.specifier


@pytest.mark.parametrize("pin", PINS)
def test_the_lock_has_what_pyproject_pins(pin):
    assert pin in locked(), "run `make lock`"


def test_the_lock_was_made_from_these_pins_and_no_others():
    direct = {pin for pin, lines in locked().items() if "(pyproject.toml" in lines}
    assert direct == set(PINS), "run `make lock`"


def test_each_locked_requirement_has_a_hash():
    assert [pin for pin, lines in locked().items() if "--hash=sha256:" not in lines] == []


def test_the_lock_names_no_index_and_no_machine():
    assert not re.search(r"https?:|file:|index-url|find-links|@ |/(home|root|Users|tmp|work)/", LOCK)


def test_conda_gets_the_same_pins():
    *packages, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert sorted(pip["pip"]) == sorted([*PINS, "--editable ."])
    assert packages == ["python=3.12", "pip"]


def test_ministacks_botocore_is_ours():
    requirements = importlib.metadata.requires("ministack")
    ours = next(pin for pin in PINS if pin.startswith("botocore=="))
    assert any(requirement.replace(" ", "").startswith(ours) for requirement in requirements)


def test_the_build_uses_the_pinned_setuptools():
    assert set(PROJECT["build-system"]["requires"]) <= set(PINS)


@pytest.mark.parametrize("pin", PINS)
def test_what_is_installed_is_what_is_pinned(pin):
    name, version = pin.split("==")
    assert importlib.metadata.version(name) == version, "run `make clean`, then `make test`"
