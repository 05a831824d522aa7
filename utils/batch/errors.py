"""What a resource of AWS Batch that can't be used raises."""


class BatchError(RuntimeError):
    """A resource of AWS Batch that can't be used. The message says which, why, and what to do."""
