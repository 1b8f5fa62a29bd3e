"""Polymarket: discovery by crypto tag and search, links to assets, immediate and later markets."""
