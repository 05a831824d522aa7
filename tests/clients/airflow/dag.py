"""Dags of Airflow's Batch operators and sensors. As a program, run each and print the state and value of its tasks."""

import json
import os
from datetime import timedelta

from airflow.providers.amazon.aws.operators.batch import BatchOperator
from airflow.providers.amazon.aws.sensors.batch import (
    BatchComputeEnvironmentSensor,
    BatchJobQueueSensor,
    BatchSensor,
)
from airflow.sdk import DAG

QUEUE = os.environ["QUEUE"]  # and the name of its compute environment
JOB = {
    "job_queue": QUEUE,
    "job_definition": os.environ["DEFINITION"],
    "awslogs_fetch_interval": timedelta(seconds=1),
}


def operator(name: str, command: str, **arguments) -> BatchOperator:
    overrides = {"command": ["sh", "-c", command]}
    return BatchOperator(task_id=name, job_name=name, container_overrides=overrides, **JOB | arguments)


with DAG("works") as works:
    environment = BatchComputeEnvironmentSensor(task_id="environment", compute_environment=QUEUE)
    queue = BatchJobQueueSensor(task_id="queue", job_queue=QUEUE)
    waits = operator("waits", "echo hello from a job", awslogs_enabled=True)
    submits = operator("submits", "echo watched", wait_for_completion=False)
    watches = BatchSensor(task_id="watches", job_id=submits.output, poke_interval=1)
    array = operator("array", "echo child $AWS_BATCH_JOB_ARRAY_INDEX", array_properties={"size": 2})
    environment >> queue >> [waits, submits, array]

with DAG("defers") as defers:
    waits = operator("waits", "sleep 2; echo a deferred job", awslogs_enabled=True, deferrable=True, poll_interval=1)
    submits = operator("submits", "sleep 2", wait_for_completion=False)
    watches = BatchSensor(task_id="watches", job_id=submits.output, deferrable=True, poke_interval=1)

with DAG("fails") as fails:
    waits = operator("waits", "echo why; exit 3")
    defers_to_failure = operator("defers", "sleep 2; exit 3", deferrable=True, poll_interval=1)
    submits = operator("submits", "exit 3", wait_for_completion=False)
    watches = BatchSensor(task_id="watches", job_id=submits.output, poke_interval=1)

if __name__ == "__main__":
    ended = {}
    for dag in (works, defers, fails):
        tasks = dag.test().get_task_instances()
        ended[dag.dag_id] = {task.task_id: [task.state, task.xcom_pull(task_ids=task.task_id)] for task in tasks}
    print(json.dumps(ended))
