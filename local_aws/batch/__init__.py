"""AWS Batch in the embedded AWS, with compute environments, queues, definitions, and jobs that really run."""

from local_aws.batch.api.service import BatchService
from local_aws.batch.api.tasks import TasksService

__all__ = ["BatchService", "TasksService"]
