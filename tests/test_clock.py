"""Times as text: seconds, and milliseconds only where there are some."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import iso, parse_time

FIRST = -62_135_596_800_000
LAST = 253_402_300_799_999
"""The years 1 to 9999."""
FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z", re.ASCII)


@given(st.integers(FIRST, LAST))
def test_a_time_survives_text(t_ms: int) -> None:
    text = iso(t_ms)
    assert parse_time(text) == t_ms
    found = FORM.fullmatch(text)
    assert found is not None
    assert (found[1] is not None) == bool(t_ms % 1000)


@given(st.integers(FIRST // 1000, LAST // 1000))
def test_whole_seconds_are_written_as_python_writes_them(t_sec: int) -> None:
    assert iso(t_sec * 1000) == datetime.fromtimestamp(t_sec, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("t_ms", "text"), [
    (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.001Z"), (-1, "1969-12-31T23:59:59.999Z"),
    (1_773_307_200_500, "2026-03-12T09:20:00.500Z"), (FIRST, "0001-01-01T00:00:00Z"),
])  # fmt: skip
def test_times_as_they_are_shown(t_ms: int, text: str) -> None:
    assert iso(t_ms) == text
