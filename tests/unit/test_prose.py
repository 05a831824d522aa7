"""`.ci/prose.py` reads all texts that a user may read, and nothing else."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys

def refuse(name, error):
    if not name:
        raise ValueError(f"The name {name} is taken; look for another.")
    if name in ("a code", "ThrottlingException"):
        raise KeyError(f"{name} is not JSON: {error}")
    print("It is told; on stdout", "this is counted nowhere")
    print("Nobody can read this file", file=sys.stderr)
    sys.exit("It failed: run it again")

def late_reason(job):
    \'\'\'Nobody reads this docstring; it is no message.\'\'\'
    return f"Job {job} is late: it was told to end"
"""


@pytest.fixture(scope="module")
def prose():
    spec = importlib.util.spec_from_file_location("prose", ROOT / ".ci" / "prose.py")
    module = sys.modules["prose"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_messages_are_what_is_raised_or_ends_a_program(prose, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("\\'", "'"))
    count = prose.messages(file)
    assert count.hits == {
        "semicolons": 1, "joining colons": 2, "look": 1, "tell": 1, "nobody": 1, "of yours": 0,
    }  # fmt: skip
    assert set(count.sentences) == {
        "The name … is taken; look for another.",
        "… is not JSON: …",
        "Nobody can read this file",
        "It failed: run it again",
        "Job … is late: it was told to end",
    }


def test_makefiles_texts_are_what_it_prints(prose, tmp_path):
    file = tmp_path / "Makefile"
    file.write_text(
        "# a comment; not printed\n"
        "help:\n"
        '\t@echo "make tutorial   run the notebooks (ARGS=\\"--from 05\\"); look at them"\n'
        "all:\n"
        '\t@command -v npm || { echo "make book needs npm: install it." >&2; exit 1; }\n'
    )
    count = prose.makefile(file)
    assert (count.hits["semicolons"], count.hits["joining colons"], count.hits["look"]) == (1, 1, 1)


def test_each_group_has_texts_and_the_goals_for_limits(prose):
    for group, (patterns, count_file, highest) in prose.GROUPS.items():
        assert all(highest[name] <= goal for name, goal in prose.GOALS.items()), group
        assert sum(count_file(path).words for path in prose.files(*patterns)) > 250, group
