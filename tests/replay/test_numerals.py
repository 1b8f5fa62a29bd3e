"""Wire text and keyed draws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.replay.numerals import key_of, text, texts, unit


@pytest.mark.parametrize(
    ("value", "shown"),
    [(83765.0, "83765.0"), (0.00003066, "0.00003066"), (1e-05, "0.00001"), (2.20493, "2.20493"), (0.0, "0.0"),
     (3495670.8399999999, "3495670.84"), (1e16, "10000000000000000.0"), (5, "5.0")],
)  # fmt: skip
def test_numbers_look_like_the_venues(value: float, shown: str) -> None:
    assert text(value) == shown


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_the_text_reads_back_as_the_same_number(value: float) -> None:
    shown = text(value)
    assert float(shown) == value
    assert "e" not in shown
    assert "." in shown


@given(st.lists(st.floats(min_value=-1e20, max_value=1e20, allow_subnormal=False)))
def test_a_column_is_written_as_its_numbers_are(values: list[float]) -> None:
    assert texts(values) == [text(value) for value in values]


def test_a_key_is_the_same_in_every_process() -> None:
    assert key_of(7, "BTC", 1_753_228_800_000) == 15_757_549_092_475_820_515
    assert key_of(7, "BTC", 1) != key_of(7, "BTC", 2) != key_of(8, "BTC", 2)
    assert 0 <= unit(key_of(7, "x")) < 1
