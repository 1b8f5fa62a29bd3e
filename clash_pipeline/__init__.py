"""The domain: everything that would exist without Dagster, and `definitions`, the composition root."""
