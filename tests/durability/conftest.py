"""The trading desk of the prop tests, and the world of the decision tests."""

from tests.decisions.conftest import world
from tests.prop.conftest import desk

__all__ = ["desk", "world"]
