"""Processing jobs, with what a step may ask for, and the local process that runs it."""
