"""Run executions, start their steps, make their calls, and end them."""
