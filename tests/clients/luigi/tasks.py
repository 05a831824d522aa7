"""Luigi's own Batch client and task: a task that succeeds, and a job that fails.

The client finds the first active queue, registers a definition from a file, submits with parameters, polls, and reads a
failed job's log for its exception.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import luigi
from luigi.contrib.batch import BatchClient, BatchJobException, BatchTask


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
        "containerProperties": {
            "image": "python",
            "command": list(command),
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
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
    succeeded = luigi.build(
        [Echo(job_definition="luigi", word="hello", poll_time=1)], local_scheduler=True, no_lock=True
    )
    job_id = client.submit_job("luigi-fails", {}, job_name="fails")
    try:
        client.wait_on_job(job_id)
    except BatchJobException as error:
        print(json.dumps({"succeeded": succeeded, "error": str(error)}))


if __name__ == "__main__":
    main()
