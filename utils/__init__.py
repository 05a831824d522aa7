"""Thin helpers over boto3 and the SageMaker SDK, a module a subject.

Notebooks call the modules and packages of this folder, but for two: `runner/` is `make tutorial` and its report, and
`support/` has what the helpers share.
"""
