"""aioboto3: boto3's calls on asyncio, several jobs under way at once in one process."""

import json

from .conftest import HERE


def test_jobs(account):
    definition = account.definition("aioboto3", "true")
    done = account.run("python", HERE / "aioboto3" / "jobs.py", account.queue, definition)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert ended["works"] == {"status": "SUCCEEDED", "exitCode": 0, "lines": ["hello"]}
    assert ended["fails"] == {"status": "FAILED", "exitCode": 3, "lines": ["why"]}
    assert ended["array"] == {"status": "SUCCEEDED", "exitCode": None, "lines": ["child 0", "child 1", "child 2"]}
    assert "no-such-queue" in ended["refused"]
