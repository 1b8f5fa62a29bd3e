"""Fields of untyped JSON: many forms of the right thing, a stable code for the wrong one."""

import math

import pytest

from clash_pipeline.market import decoding
from clash_pipeline.market.decoding import Malformed, Refused


@pytest.mark.parametrize(
    ("value", "amount"), [(5, 5.0), (0.5, 0.5), ("12.5", 12.5), (".5", 0.5), ("-1", -1.0), (None, None), ("", None)]
)
def test_numbers_come_as_numbers_or_text(value: object, amount: float | None) -> None:
    assert decoding.number(value, "x") == amount


@pytest.mark.parametrize("value", [True, "NaN", "inf", "1e5", "١", "1_0", [], {}, 1e30, math.nan, math.inf, 10**400])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(Malformed, match="amount"):
        decoding.number(value, "amount")


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.505", "0.505"), (".48", "0.48"), (1, "1"), (0.0005, "0.0005"), (1e-7, "0.0000001"), (None, None)],
)
def test_prices_stay_plain_decimal_text(value: object, text: str | None) -> None:
    assert decoding.decimal_text(value, "x") == text


@pytest.mark.parametrize("value", ["-0.1", "1.0001", 2, -1, "1e-9", "NaN", "0.5 ", True, [0.5], 1e300, "0" * 40])
def test_what_is_no_probability_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        decoding.decimal_text(value, "x")


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-03-12T09:20:00Z", 1_773_307_200_000),
        ("2026-03-12 09:20:00+00", 1_773_307_200_000),
        ("2026-03-12T09:20:00.5Z", 1_773_307_200_500),
        ("2026-03-12", 1_773_273_600_000),
        (None, None),
    ],
)
def test_times_of_the_forms_met(text: str | None, at_ms: int | None) -> None:
    assert decoding.moment(text, "x") == at_ms


@pytest.mark.parametrize("value", ["soon", "1950-01-01", "9999-01-01", 1_773_307_200, "2026-13-01", "２０２６-03-12"])
def test_other_times_are_refused(value: object) -> None:
    with pytest.raises(Malformed):
        decoding.moment(value, "x")


def test_a_list_may_be_written_as_json_in_a_string() -> None:
    assert decoding.listing('["Up", "Down"]', "x") == ["Up", "Down"]
    assert decoding.listing(["Up"], "x") == ["Up"]
    assert decoding.listing(None, "x") == []
    for broken in ('["Up"', "{}", "[" * 100_000, 5, "\ud800"):
        with pytest.raises(Malformed):
            decoding.listing(broken, "x")


def test_one_bad_entry_leaves_its_neighbours() -> None:
    decoded = decoding.each([{"n": 1}, {"n": "no"}, 7], lambda raw: decoding.number(raw["n"], "bad_n"), "form")
    assert decoded.items == (1.0,)
    assert decoded.refused == (Refused("bad_n", '{"n":"no"}'), Refused("form", "7"))


def test_a_tally_counts_reasons_and_keeps_the_first_sample() -> None:
    refused = (Refused("a", "one"), Refused("b", "two"), Refused("a", "three"))
    assert decoding.tally(refused) == {"a": (2, "one"), "b": (1, "two")}
