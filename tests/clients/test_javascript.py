"""The AWS SDK for JavaScript, with a serializer, a signer and error classes of its own."""

import json

from .conftest import HERE


def test_jobs(account):
    definition = account.definition("javascript", "true")
    program = account.environment / "jobs.js"  # beside node_modules, where Node.js looks for packages
    program.write_text((HERE / "javascript" / "jobs.js").read_text())
    done = account.run("node", program, account.queue, definition)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert ended["works"] == {"status": "SUCCEEDED", "exitCode": 0, "lines": ["hello"]}
    assert ended["fails"] == {"status": "FAILED", "exitCode": 3, "lines": ["why"]}
    assert ended["array"] == {"status": "SUCCEEDED", "lines": ["child 0", "child 1", "child 2"]}
    assert ended["refused"]["name"] == "ClientException"
    assert ended["refused"]["fault"] == "client"
    assert "no-such-queue" in ended["refused"]["message"]
