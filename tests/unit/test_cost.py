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
    costs = cost.of_jobs(pd.Series([4, missing, 70], dtype="float64"))
    assert math.isclose(costs["usd"].sum(), cost.of_jobs([4, 70])["usd"].sum())
    assert cost.total(costs) == "$0.002"


def test_calls_are_paid_with_their_messages_and_logs():
    assert set(cost.of_calls(15)["what"]) == {"Lambda calls", "Lambda duration", "SQS", "Logs"}
    assert cost.total(cost.of_calls(0)) == "$0.00"


def test_processing_is_paid_by_the_second():
    assert math.isclose(cost.of_processing([240, 240])["usd"].sum(), 480 * 0.05 / 3600)
    assert cost.of_processing([]).empty


def test_smaller_jobs_cost_less_but_for_their_address():
    small = cost.of_jobs([600], vcpus=0.25, memory_gb=1).set_index("what")["usd"]
    large = cost.of_jobs([600]).set_index("what")["usd"]
    assert math.isclose(small["Fargate vCPU"], large["Fargate vCPU"] / 4)
    assert math.isclose(small["Fargate memory"], large["Fargate memory"] / 2)
    assert small["public IPv4"] == large["public IPv4"]


def test_tables_are_added_price_by_price():
    both = cost.add([cost.of_jobs([60]), cost.of_jobs([600]), cost.of_calls(5)])
    assert list(both["what"]) == [*cost.of_jobs([60])["what"], *cost.of_calls(5)["what"]]
    assert math.isclose(both["usd"].sum(), cost.of_jobs([60, 600])["usd"].sum() + cost.of_calls(5)["usd"].sum())


def test_a_readable_table_shows_the_digits_that_count():
    table = cost.readable(cost.table(vcpu_seconds=4440, log_gb=0.0002, calls=60)).set_index("what")
    assert table.at["Fargate vCPU", "amount"] == "4,440"
    assert table.at["Logs", "amount"] == "0.0002"
    assert table.at["Lambda calls", "usd"] == "< 0.0001"


@pytest.mark.parametrize(
    ("usd", "told"), [(0.2, "$0.20"), (0.01, "$0.01"), (0.0042, "$0.004"), (0.000099, "$0.0001"), (0, "$0.00")]
)
def test_the_total_is_readable(usd, told):
    table = cost.of_jobs([60]).head(1).assign(usd=usd)
    assert cost.total(table) == told


def test_every_price_names_amazons_own_page():
    assert all(re.fullmatch(r"https://aws\.amazon\.com/[\w/]+/pricing/", price.page) for price in cost.PRICES.values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cost.READ)
