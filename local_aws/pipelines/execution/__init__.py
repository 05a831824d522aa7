"""Executions as they go on: what starts, what it calls, how it ends."""
