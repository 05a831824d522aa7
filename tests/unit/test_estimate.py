"""Time and cost before a run: worked by hand from the assumptions."""

import math

import pytest

from utils import batch, cost, estimate, kit, preflight
from utils.config import PYTHON_IMAGE


def row(name: str, **settings):
    return estimate.notebooks(**settings).set_index("notebook").loc[name]


def test_a_job_is_paid_from_the_pull_to_its_end():
    jobs = estimate.Jobs(estimate.AGGREGATE, 1)
    pulled = (45 + 45) / 13  # the image, and what pip downloads
    assert math.isclose(jobs.paid_seconds(), pulled + 12 + 5)
    quarter = estimate.Jobs(estimate.AGGREGATE, 1, vcpus=0.25)
    assert math.isclose(quarter.paid_seconds(), pulled + 4 * (12 + 5))


def test_an_image_that_has_the_packages_installs_none_and_is_pulled_longer():
    jobs = estimate.Jobs(estimate.AGGREGATE, 1)
    assert math.isclose(jobs.paid_seconds(batch.SAGEMAKER_IMAGE), 4000 / 13 + 5)
    copies = estimate.Jobs(estimate.COPY, 1)
    assert copies.paid_seconds(batch.SAGEMAKER_IMAGE) == copies.paid_seconds(), "the AWS CLI's image stays"


@pytest.mark.parametrize(("jobs", "waves"), [(1, 1), (6, 1), (7, 2), (12, 2), (13, 3)])
def test_jobs_run_in_waves_of_six(jobs, waves):
    assert preflight.MAX_VCPUS == 6
    one = estimate.Jobs(estimate.COPY, 1).seconds()
    assert math.isclose(estimate.Jobs(estimate.COPY, jobs).seconds(), waves * one)


def test_notebook_05_takes_two_waves_of_copies_and_two_of_aggregates():
    copy, aggregate = 40 + 150 / 13 + 3, 40 + 90 / 13 + 17
    seconds = 6 * 10 + 1.125 * (2 * copy + 2 * aggregate)
    estimated = row("05_pipeline_build")
    assert (estimated.jobs, estimated.minutes) == (24, math.ceil(seconds / 60))
    assert math.isclose(estimated.usd, cost.of_jobs([60] * 24)["usd"].sum()), "each is paid for a minute"


def test_small_jobs_are_the_kits():
    jobs = estimate.NOTEBOOKS["array_jobs"].stages[0]
    assert (jobs.vcpus, jobs.memory_gb * 1024) == (kit.JOB_VCPUS, kit.JOB_MEMORY_MIB)


def test_your_own_pipeline_pays_for_its_jobs_and_its_processing_jobs():
    plan = estimate.NOTEBOOKS["your_own_pipeline"]
    trial, others = plan.stages
    assert (trial.number, others.number) == (2, 10)
    jobs = cost.of_jobs([60] * 12, vcpus=0.5, memory_gb=1)["usd"].sum()
    assert math.isclose(row("your_own_pipeline").usd, jobs + 2 * 240 * 0.05 / 3600)
    one = estimate.Jobs(estimate.AGGREGATE, 1, 0.5, 1).seconds()
    assert math.isclose(others.seconds(), 2 * one), "ten jobs of half a vCPU, on the three of the team's queue"


def test_the_tutorial_is_the_sum_of_its_notebooks_and_of_what_calls_and_messages_cost():
    plan = estimate.notebooks()
    jobs = plan[plan["notebook"].isin(estimate.TUTORIAL)]["usd"].sum()
    rest = cost.of_calls(estimate.CALLS)["usd"].sum()
    table = estimate.tutorial()
    assert jobs + rest < table["usd"].sum() < 1.1 * (jobs + rest)
    assert set(table["what"]) == set(cost.PRICES) - {"Processing"}


def test_images_that_the_kit_uses_have_a_size():
    assert {batch.AWS_CLI_IMAGE, PYTHON_IMAGE, batch.SAGEMAKER_IMAGE} == set(estimate.IMAGE_MB)


def test_words_say_what_the_numbers_do():
    assert estimate.words("01_iam") == ("seconds", "less than a cent")
    assert estimate.words("03_lambdas")[0] == "about 1 minute"
    estimated = row("05_pipeline_build")
    assert estimate.words("05_pipeline_build") == (
        f"about {estimated.minutes:.0f} minutes",
        f"about {100 * estimated.usd:.0f} cents",
    )
