"""Thin helpers over boto3 and the SageMaker SDK, one module a notebook."""
