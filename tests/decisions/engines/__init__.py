"""Engines, each on its own."""
