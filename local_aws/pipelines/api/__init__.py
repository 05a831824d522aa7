"""The SageMaker API of Pipelines: one method an operation, one module a kind of resource."""
