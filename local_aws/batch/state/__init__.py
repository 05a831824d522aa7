"""Jobs, and every transition of one. No clock, no process and no HTTP of its own."""
