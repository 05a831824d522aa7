"""Airflow's operators and sensors of AWS Batch in dags that it runs, with the triggers of the deferrable ones."""

import json
import re

import pytest

from .conftest import HERE


@pytest.fixture(scope="module")
def ran(account):
    """What Airflow said of its dags, and the state and value of each of their tasks."""
    folder = account.home / "dags"
    folder.mkdir()
    (folder / "dag.py").write_text((HERE / "airflow" / "dag.py").read_text())
    settings = {
        "AIRFLOW_HOME": str(account.home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "QUEUE": account.queue,
        "DEFINITION": account.definition("airflow", "true"),
    }
    made = account.run("airflow", "db", "migrate", **settings)
    assert made.returncode == 0, made.stdout + made.stderr
    done = account.run("python", folder / "dag.py", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr, json.loads(done.stdout.splitlines()[-1])


def test_operators_and_sensors(account, ran):
    log, ended = ran
    assert {state for state, _ in ended["works"].values()} == {"success"}
    assert re.search(r"\] hello from a job *\[", log)  # Airflow fetches it from CloudWatch Logs
    assert account.lines(account.job(ended["works"]["submits"][1])) == ["watched"]
    array = ended["works"]["array"][1]
    assert account.lines(account.job(f"{array}:1")) == ["child 1"]


def test_deferrable_ones(account, ran):
    log, ended = ran
    assert {state for state, _ in ended["defers"].values()} == {"success"}
    assert "Pausing task as DEFERRED" in log
    assert re.search(r"\] a deferred job *\[", log)
    assert account.job(ended["defers"]["waits"][1])["status"] == "SUCCEEDED"


def test_jobs_that_fail(ran):
    log, ended = ran
    assert {name: state for name, (state, _) in ended["fails"].items()} == {
        "waits": "failed",
        "defers": "failed",
        "submits": "success",  # it does not wait
        "watches": "failed",
    }
    assert "Batch sensor failed. AWS Batch job status: FAILED" in log
    assert "Failure while running batch job" in log
