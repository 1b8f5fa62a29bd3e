"""Prop trading: the only owner of synthetic account truth."""
