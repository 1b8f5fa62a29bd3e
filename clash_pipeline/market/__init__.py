"""Global market memory: shared rows of three sources, with the time each became known."""
