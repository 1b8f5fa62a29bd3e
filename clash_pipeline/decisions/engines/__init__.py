"""Who decides, one file an engine: `hold` and `rules`; a model engine stands beside them behind the same interface."""
