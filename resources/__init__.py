"""Dagster resources: configuration in, a plain client, database or store out; no business rules."""
