"""The domain of Clash of Clones: everything that would exist without Dagster, and `definitions`, the composition root."""
