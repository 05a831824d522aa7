"""What a run costs on AWS. `estimate.py` asks before a run (notebook 01), and notebook 06 after it.

The one table of prices. They are list prices in US dollars of US East (N. Virginia), without free tiers. Other regions
differ by some percent, and AWS changes prices, so check the pages before you rely on them.

S3 is left out, a fraction of a cent here: its rates were not to be found as text, and the tutorial makes some hundred
requests and keeps some hundred megabytes for an hour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

READ = "2026-11-23"  # the day on which the sources were looked at


@dataclass(frozen=True)
class Price:
    """One line of a price list.

    Attributes:
        usd: US dollars for one unit.
        unit: what is counted.
        page: AWS's page that has the price.
        read_in: where the number was read. AWS draws most of its tables by script. A page stored as text
            has the numbers of its examples only, and some were to be found in others' articles alone.
    """

    usd: float
    unit: str
    page: str
    read_in: str


_AWS = "https://aws.amazon.com/{}/pricing/"
PRICES = {
    "Fargate vCPU": Price(0.000011244, "vCPU second", _AWS.format("fargate"), "AWS's example"),
    "Fargate memory": Price(0.004445 / 3600, "GB second", _AWS.format("fargate"), "vantage.sh/blog/fargate-pricing"),
    "public IPv4": Price(
        0.005 / 3600, "address second", _AWS.format("vpc"), "announcement of 2023, price list of 2026-10"
    ),
    "Lambda calls": Price(0.20 / 1e6, "call", _AWS.format("lambda"), "AWS's example"),
    "Lambda duration": Price(0.0000166667, "GB second", _AWS.format("lambda"), "AWS's example (0.00001667)"),
    "SQS": Price(0.40 / 1e6, "request", _AWS.format("sqs"), "cloudburn.io/blog/amazon-sqs-pricing, 2026-03"),
    "Logs": Price(0.50, "GB", _AWS.format("cloudwatch"), "no text found: check it"),
    "Processing": Price(0.05 / 3600, "second", _AWS.format("sagemaker/ai"), "others' tables, ml.t3.medium"),
}
PROCESSING_INSTANCE = "ml.t3.medium"  # that Processing is the price of

# What costs by being there. The hour of a run is not worth a line; what is forgotten is.
STANDING = {
    "alarm": Price(0.10, "month", _AWS.format("cloudwatch"), "c3x.dev/resources/aws/aws_cloudwatch_metric_alarm"),
    "dashboard": Price(3.00, "month", _AWS.format("cloudwatch"), "factualminds.com/blog, 2026-06"),
}

COLUMNS = ["what", "amount", "unit", "usd"]  # of every table here
FARGATE_MINIMUM_SECONDS = 60  # a task is paid by the second, but for a minute at least
VCPUS, MEMORY_GB = 1, 2  # of each job, as notebook 02 defines them
LOG_BYTES = 2_000  # that a job or a call writes, about


def of_jobs(seconds: Sequence[float], *, vcpus: float = VCPUS, memory_gb: float = MEMORY_GB) -> pd.DataFrame:
    """What jobs cost that ran this long.

    Args:
        seconds: from each job's start to its end, as in `monitoring.jobs`. Without a value, the job never started, and
            costs nothing. The image's download before the start is paid too, and Batch does not report how long that
            took: the real bill is higher by it.
        vcpus, memory_gb: of each job. Default: those of notebook 02's.

    Returns:
        Columns what, amount, unit, usd.
    """
    paid = sum(max(each, FARGATE_MINIMUM_SECONDS) for each in seconds if not pd.isna(each))
    return table(vcpu_seconds=paid * vcpus, gb_seconds=paid * memory_gb, address_seconds=paid)


def of_calls(calls: int) -> pd.DataFrame:
    """What calls of the functions cost, a second each at 0.25 GB, and the messages behind them.

    Returns:
        Columns what, amount, unit, usd.
    """
    return table(calls=calls, sqs_requests=3 * calls, log_gb=log_gb(calls))


def of_processing(seconds: Sequence[float]) -> pd.DataFrame:
    """What processing jobs cost, each on one instance of the type PROCESSING_INSTANCE.

    Its volume is left out. 30 GB for some minutes cost less than a tenth of the instance.

    Args:
        seconds: of each job, from its start to its end.

    Returns:
        Columns what, amount, unit, usd.
    """
    return table(processing_seconds=sum(seconds))


def log_gb(writers: int) -> float:
    """GB of log that so many jobs or calls write."""
    return writers * LOG_BYTES / 1e9


def add(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several tables as one, a row for each price."""
    return pd.concat(tables).groupby(["what", "unit"], sort=False, as_index=False).sum()[COLUMNS]


def total(table: pd.DataFrame) -> str:
    """The sum, such as "$0.06", or with one significant digit if it is below a cent."""
    usd = table["usd"].sum()
    if usd >= 0.01 or not usd:
        return f"${usd:.2f}"
    rounded = float(f"{usd:.1g}")
    return f"${rounded:.{-math.floor(math.log10(rounded))}f}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table in words, each amount with the digits that count."""
    return table.assign(
        amount=[f"{amount:,.0f}" if amount >= 1 else f"{amount:.1g}" for amount in table["amount"]],
        usd=[f"{usd:.4f}" if usd >= 0.00005 else "< 0.0001" for usd in table["usd"]],
    )


def table(
    *,
    vcpu_seconds: float = 0,
    gb_seconds: float = 0,
    address_seconds: float = 0,
    calls: float = 0,
    sqs_requests: float = 0,
    log_gb: float = 0,
    processing_seconds: float = 0,
) -> pd.DataFrame:
    """Amounts times prices, without what there is nothing of.

    Returns:
        Columns what, amount, unit, usd.
    """
    amounts = {
        "Fargate vCPU": vcpu_seconds,
        "Fargate memory": gb_seconds,
        "public IPv4": address_seconds,
        "Lambda calls": calls,
        "Lambda duration": calls * 1 * 0.25,
        "SQS": sqs_requests,
        "Logs": log_gb,
        "Processing": processing_seconds,
    }
    rows = [(what, amount, PRICES[what].unit, amount * PRICES[what].usd) for what, amount in amounts.items() if amount]
    return pd.DataFrame(rows, columns=COLUMNS)
