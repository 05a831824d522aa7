"""Prices and sums: worked by hand from AWS's own way of counting."""

import math
import re

import pandas as pd
import pytest

from utils import cost


def test_a_job_shorter_than_a_minute_is_paid_as_a_minute():
    vcpu = 60 * 0.04048 / 3600
    memory = 60 * 2 * 0.004445 / 3600
    address = 60 * 0.005 / 3600
    assert math.isclose(cost.of_jobs([0.4])["usd"].sum(), vcpu + memory + address, rel_tol=1e-3)
    assert cost.of_jobs([0.4])["usd"].sum() == cost.of_jobs([59.9])["usd"].sum() < cost.of_jobs([61])["usd"].sum()


def test_jobs_are_paid_one_by_one():
    assert math.isclose(cost.of_jobs([10, 600])["usd"].sum(), cost.of_jobs([60, 600])["usd"].sum())
    assert math.isclose(cost.of_jobs([600, 600])["usd"].sum(), 2 * cost.of_jobs([600])["usd"].sum())


def test_no_jobs_cost_nothing():
    assert cost.of_jobs([]).empty
    assert cost.total(cost.of_jobs([])) == "$0.00"


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_job_that_never_started_costs_nothing(missing):
    found = cost.of_jobs(pd.Series([4, missing, 70], dtype="float64"))
    assert math.isclose(found["usd"].sum(), cost.of_jobs([4, 70])["usd"].sum())
    assert cost.total(found) == "$0.002"


def test_calls_are_paid_with_their_messages_and_logs():
    assert set(cost.of_calls(15)["what"]) == {"Lambda calls", "Lambda duration", "SQS", "Logs"}
    assert cost.total(cost.of_calls(0)) == "$0.00"


def test_the_assumption_that_the_texts_tell_is_the_estimates():
    """Two minutes a job, 37 jobs, seven cents: README and the notebooks say so."""
    assert cost.JOB_SECONDS == 120
    assert cost.total(cost.estimate()) == "$0.07"
    assert [cost.total(cost.of_jobs([cost.JOB_SECONDS] * jobs)) for jobs in (24, 12)] == ["$0.04", "$0.02"]


def test_a_readable_table_shows_the_digits_that_count():
    table = cost.readable(cost.estimate()).set_index("what")
    assert table.at["Fargate vCPU", "amount"] == "4,440"
    assert table.at["Logs", "amount"] == "0.0002"
    assert table.at["Lambda calls", "usd"] == "< 0.0001"


def test_the_estimate_is_the_sum_of_its_lines_and_names_a_price_for_each():
    table = cost.estimate()
    for row in table.itertuples():
        assert math.isclose(row.usd, row.amount * cost.PRICES[row.what].usd)
        assert row.unit == cost.PRICES[row.what].unit
    assert set(table["what"]) == set(cost.PRICES)


def test_the_estimate_grows_with_what_it_is_told():
    usual = cost.estimate()["usd"].sum()
    for more in ({"jobs": 100}, {"job_seconds": 600}, {"calls": 1000}, {"waiting_seconds": 7200}):
        assert cost.estimate(**more)["usd"].sum() > usual, more


@pytest.mark.parametrize(
    ("usd", "told"), [(0.2, "$0.20"), (0.01, "$0.01"), (0.0042, "$0.004"), (0.000099, "$0.0001"), (0, "$0.00")]
)
def test_the_total_is_readable(usd, told):
    table = cost.of_jobs([60]).head(1).assign(usd=usd)
    assert cost.total(table) == told


def test_every_price_names_amazons_own_page():
    assert all(re.fullmatch(r"https://aws\.amazon\.com/\w+/pricing/", price.page) for price in cost.PRICES.values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cost.READ)
