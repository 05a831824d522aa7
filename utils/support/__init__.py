"""What the helpers share: waiting, paging, and whether this is SageMaker Studio. No notebook calls it."""
