"""Luigi's own Batch client and task against the embedded AWS:

    python tests/local_aws/batch/try_luigi.py ENDPOINT ROLE

ENDPOINT is the server's URL and ROLE the ARN of an execution role; there is an enabled Fargate queue. What it does is
Luigi's: it finds the first active queue, registers a definition from a file, submits with parameters, polls, and reads
a failed job's log for its exception.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

ENDPOINT, EXECUTION_ROLE = sys.argv[1:3]
os.environ |= {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

import luigi  # noqa: E402
from luigi.contrib.batch import BatchClient, BatchJobException, BatchTask  # noqa: E402


class Echo(BatchTask):
    """A task whose job prints a word."""

    word = luigi.Parameter()
    finished = False

    @property
    def parameters(self) -> dict[str, str]:
        return {"word": self.word}

    def run(self) -> None:
        super().run()
        Echo.finished = True

    def complete(self) -> bool:
        return self.finished


def definition(name: str, *command: str) -> dict:
    return {
        "jobDefinitionName": name,
        "type": "container",
        "platformCapabilities": ["FARGATE"],
        "containerProperties": {
            "image": "python",
            "command": list(command),
            "executionRoleArn": EXECUTION_ROLE,
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
        },
    }


def main() -> None:
    client = BatchClient(poll_time=0.1)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "definition.json"
        for document in (
            definition("luigi", "echo", "Ref::word"),
            definition("luigi-fails", "sh", "-c", "echo why; exit 3"),
        ):
            file.write_text(json.dumps(document))
            client.register_job_definition(str(file))
    assert luigi.build([Echo(job_definition="luigi", word="hello", poll_time=1)], local_scheduler=True, no_lock=True)
    job_id = client.submit_job("luigi-fails", {}, job_name="fails")
    try:
        client.wait_on_job(job_id)
    except BatchJobException as error:
        assert "why" in str(error), error
    else:
        raise AssertionError("Luigi did not see its job fail")
    print(f"luigi {luigi.__version__}: ok")  # noqa: T201


if __name__ == "__main__":
    main()
