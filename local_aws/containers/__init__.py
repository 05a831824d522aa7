"""Processes that stand for containers, of jobs of Batch and of Processing: one way to run them, one to end them."""
