"""Tests of the Arena."""
