"""README's picture of a run: what is where, and when it appears."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
ZERO = pd.Timestamp("2026-01-01", tz="UTC")


def at(seconds):
    return ZERO + pd.Timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("draw_run", ROOT / "docs" / "draw_run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run():
    """Two steps in ten seconds, the second of which has two jobs, one at a time."""
    steps = pd.DataFrame([("Count", at(0), at(2)), ("Wait <b>", at(2), at(10))], columns=["step", "began", "ended"])
    jobs = [("Submit-01", "x-copy", at(2), at(3), at(5)), ("Submit-02", "x-copy", at(2), at(5), at(9))]
    return steps, pd.DataFrame(jobs, columns=["job", "definition", "created", "started", "stopped"])


def rects(picture, kind):
    rectangles = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    return [(float(each.get("x")), float(each.get("width"))) for each in rectangles if each.get("class") == kind]


def test_bars_are_as_long_as_the_jobs_took(drawing, run):
    picture = drawing.draw(*run)
    second = (drawing.WIDTH - drawing.MARGIN - drawing.LEFT) / 10
    expected = [(drawing.LEFT + began * second, long * second) for began, long in ((3, 2), (5, 4))]
    assert rects(picture, "ran") == [pytest.approx(each, abs=0.1) for each in expected]
    assert [width for _, width in rects(picture, "waited")] == pytest.approx([second, 3 * second], abs=0.1)


def test_boxes_change_when_their_steps_did(drawing, run):
    picture = drawing.draw(*run)
    loop = 10 + drawing.PAUSE
    moments = dict(re.findall(r"@keyframes (\w+) {[^}]*} ([\d.]+)%", picture))
    assert {name: round(float(moment) * loop / 100, 1) for name, moment in moments.items()} == {
        "slide": 10, "E0": 0, "S0": 2, "E1": 2, "S1": 10,
    }  # fmt: skip
    assert "at its real pace" in picture


def test_a_long_run_is_shown_faster_and_says_so(drawing, run):
    steps, jobs = run
    steps["ended"] += pd.Timedelta(seconds=5 * drawing.LONGEST - 10)
    assert "5.0 times as fast" in drawing.draw(steps, jobs)


def test_the_picture_in_the_readme_is_of_a_whole_run():
    picture = (ROOT / "docs" / "run.svg").read_text()
    assert len(rects(picture, "ran")) == 24
    assert "docs/run.svg" in (ROOT / "README.md").read_text()
