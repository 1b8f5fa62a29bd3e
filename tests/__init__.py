"""Tests mirror the rooms of the house; `orchestration/` covers the four Dagster rooms."""
