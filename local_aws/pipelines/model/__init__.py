"""What a pipeline's definition may say."""
