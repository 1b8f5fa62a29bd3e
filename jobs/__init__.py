"""Ops and jobs: what can be launched. How it is done stands in `clash_pipeline`."""
