"""What notebooks and README say of time and cost on AWS is what utils/estimate.py computes."""

import re
from pathlib import Path

import nbformat
import pytest

from utils import batch, cost, estimate, monitoring
from utils.cleanup.resource import Resource
from utils.config import PYTHON_IMAGE, load_config

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {path.stem: path for path in (ROOT / "notebooks").rglob("[!.]*.ipynb") if "checkpoint" not in str(path)}


def prose(name: str) -> list[str]:
    cells = nbformat.read(NOTEBOOKS[name], as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


def minutes(name: str, image: str) -> int:
    return int(estimate.notebooks(image).set_index("notebook").at[name, "minutes"])


def test_each_notebook_is_estimated():
    assert set(estimate.NOTEBOOKS) == set(NOTEBOOKS)


@pytest.mark.parametrize("name", sorted(estimate.NOTEBOOKS))
def test_an_opening_says_the_time_and_cost_that_are_computed(name):
    took, paid = estimate.words(name)
    (time, usd) = re.search(r"\|---\|---\|\n\| (.*?) \| (.*) \|", prose(name)[0]).groups()
    assert (f"(on AWS {took})" in time) if took != "seconds" else time.endswith("seconds to run")
    if estimate.NOTEBOOKS[name].stages:
        assert usd.startswith(paid)


def test_your_own_pipeline_says_what_it_pays_for():
    plan = estimate.NOTEBOOKS["your_own_pipeline"]
    tasks = sum(stage.number for stage in plan.stages)
    [opening, *_] = prose("your_own_pipeline")
    assert f": {tasks} small Fargate tasks and {plan.processing_jobs} processing jobs |" in opening
    cells = nbformat.read(NOTEBOOKS["your_own_pipeline"], as_version=4).cells
    [step] = [cell.source for cell in cells if "= BatchStep(" in cell.source]
    for stage in plan.stages:
        assert f"vcpus={stage.vcpus:g},\n    memory_mib={1024 * stage.memory_gb:g}," in step
    assert sum(cell.source.count("team.processing_step(") for cell in cells) == plan.processing_jobs


def test_02_and_readme_say_what_a_large_image_costs_in_time():
    slow, fast = (minutes("05_pipeline_build", image) for image in (batch.SAGEMAKER_IMAGE, PYTHON_IMAGE))
    for text in ("\n".join(prose("02_batch_setup")), (ROOT / "README.md").read_text()):
        assert re.search(rf"notebook 05 (then )?takes about\s{slow} minutes instead of {fast}\.", text)


def test_readme_says_what_the_seven_notebooks_take():
    plan = estimate.notebooks()
    total = int(plan[plan["notebook"].isin(estimate.TUTORIAL)]["minutes"].sum())
    cents = round(100 * estimate.tutorial()["usd"].sum())
    told = re.findall(r"about (\d+) minutes and (\d+) cents", (ROOT / "README.md").read_text())
    assert told == [(f"{total}", f"{cents}")] * 2
    assert cost.total(estimate.tutorial()) == f"${cents / 100:.2f}"


def test_what_stays_costs_what_the_price_list_says():
    alarms, dashboard = (cost.STANDING[name].usd for name in ("alarm", "dashboard"))
    told = "Five alarms and a dashboard cost $"
    assert len(monitoring.alarm_names(load_config())) == 5
    assert f"{told}{5 * alarms + dashboard:.2f} for a whole month" in "\n".join(prose("06_monitoring"))
    mapping = Resource("event source mapping", "m", "arn", lambda: None, ours=True).if_left
    [cents] = re.findall(r"about (\d+) cents a month for the mapping", "\n".join(prose("04_sqs_and_mapping")))
    assert mapping.startswith(f"${int(cents) / 100:.2f} a month")


def test_readme_names_the_images_that_the_kit_uses():
    text = (ROOT / "README.md").read_text()
    assert f"`{PYTHON_IMAGE}`" in text
    assert f"`{batch.SAGEMAKER_IMAGE}`" in text
