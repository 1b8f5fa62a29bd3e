"""Clones: graphs, their compiler, versions and entitlements."""
