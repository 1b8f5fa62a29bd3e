"""The trading desk of the prop tests."""

from tests.prop.conftest import desk

__all__ = ["desk"]
