"""The SageMaker API of Pipelines, with one method per operation and one module per kind of resource."""
