"""Luigi's Batch client and task, in a process of their own, since they set up logging for the whole of one."""

import json

from .conftest import HERE


def test_tasks(account):
    done = account.run("python", HERE / "luigi" / "tasks.py")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["succeeded"]
    assert "why" in told["error"]  # Luigi reads it from the failed job's log
    (works,) = (job for job in account.jobs() if job["status"] == "SUCCEEDED")
    assert account.lines(works) == ["hello"]
