"""Jobs, and every transition of one. It has no clock, no process and no HTTP."""
