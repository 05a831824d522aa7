"""What the helpers share for waiting, for paging and for SageMaker Studio. No notebook calls it."""
