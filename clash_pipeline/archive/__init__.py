"""Artifact stores and cold partitions: what leaves SQLite, verified before anything is pruned."""
