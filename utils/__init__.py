"""Thin helpers over boto3 and the SageMaker SDK, a module a subject."""
