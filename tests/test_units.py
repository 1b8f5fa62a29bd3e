"""Exact amounts: the venue's grid by its own examples, one rounding, and parsers that refuse what they do not know."""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, trunc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.units import (
    USD,
    USD_LIMIT,
    WEI_LIMIT,
    Grid,
    Rounding,
    UnitError,
    as_decimal,
    mul_div,
    parse_decimal,
    parse_scaled,
    parse_usd,
    parse_wei,
    scaled_text,
    usd_text,
)

PERP, SPOT = "perp", "spot"


@given(st.integers(-(10**30), 10**30), st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18).filter(bool))
def test_mul_div_equals_fractions(a: int, b: int, c: int) -> None:
    exact = Fraction(a * b, c)
    assert mul_div(a, b, c, Rounding.FLOOR) == floor(exact)
    assert mul_div(a, b, c, Rounding.CEIL) == ceil(exact)
    assert mul_div(a, b, c, Rounding.ZERO) == trunc(exact)
    away = ceil(exact) if exact > 0 else floor(exact)
    assert mul_div(a, b, c, Rounding.AWAY) == away


def test_nothing_is_divided_by_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        mul_div(1, 1, 0, Rounding.FLOOR)


@pytest.mark.parametrize(
    ("kind", "sz_decimals", "text", "ok"),
    [
        (PERP, 1, "1234.5", True),
        (PERP, 1, "1234.56", False),  # six significant figures
        (PERP, 0, "0.001234", True),
        (PERP, 0, "0.0012345", False),  # seven decimals
        (PERP, 1, "0.01234", True),
        (PERP, 1, "0.012345", False),  # six decimals where five are left
        (PERP, 5, "123456", True),  # whole numbers are always allowed
        (PERP, 5, "12345.6", False),
        (SPOT, 0, "0.00001234", True),
        (SPOT, 2, "0.0000012", False),
    ],
)
def test_prices_of_the_venues_own_examples(kind: str, sz_decimals: int, text: str, ok: bool) -> None:
    """10 §1, price and size grid."""
    grid = Grid(kind, sz_decimals)
    try:
        assert grid.on_tick(grid.price(text)) is ok
    except UnitError:
        assert not ok


@given(st.integers(1, 10**14), st.sampled_from([PERP, SPOT]), st.integers(0, 6))
def test_rounded_prices_are_the_nearest_of_the_grid(price: int, kind: str, sz_decimals: int) -> None:
    grid = Grid(kind, sz_decimals)
    low, high = grid.round_price(price, Rounding.FLOOR), grid.round_price(price, Rounding.CEIL)
    assert low <= price <= high
    assert grid.on_tick(high)
    assert low == 0 or grid.on_tick(low)
    assert (low == high) is grid.on_tick(price)


@given(st.integers(1, 10**12), st.integers(0, 10**9), st.sampled_from([PERP, SPOT]), st.integers(0, 6))
def test_every_notional_is_exact_in_1e_8_usd(price: int, size: int, kind: str, sz_decimals: int) -> None:
    grid = Grid(kind, sz_decimals)
    exact = Fraction(price, 10**grid.px_decimals) * Fraction(size, 10**sz_decimals) * USD
    assert grid.notional(price, size) == exact


@given(st.integers(-(10**17), 10**17))
def test_usd_survives_text(amount: int) -> None:
    assert parse_usd(usd_text(amount), signed=True) == amount


@given(st.integers(-(10**20), 10**20), st.integers(0, 12))
def test_scaled_integers_survive_text(value: int, decimals: int) -> None:
    text = scaled_text(value, decimals)
    assert parse_scaled(text, decimals, max_int_digits=21, signed=True) == value
    assert Fraction(text) == Fraction(value, 10**decimals)
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "1_000", "1e3", "1E3", ".5", "5.", "NaN", "inf", "0x10", "１", "1,0", "--1", "1\n", "-1"],
)
def test_texts_that_are_no_plain_decimal(text: str) -> None:
    """A full-width digit, an exponent, an underscore: all refused before anything is converted (09 F12)."""
    with pytest.raises(UnitError):
        parse_decimal(text, max_int_digits=10, max_frac_digits=10)


def test_length_is_checked_before_conversion() -> None:
    with pytest.raises(UnitError, match="at most"):
        parse_decimal("9" * 1_000_000, max_int_digits=10, max_frac_digits=8)
    with pytest.raises(UnitError, match=r"more than 2\.1 digits"):
        parse_decimal("100.0", max_int_digits=2, max_frac_digits=1)


def test_digits_that_would_be_lost_are_an_error_not_a_rounding() -> None:
    assert parse_scaled("1.500", 1) == 15
    with pytest.raises(UnitError, match="more than 1 decimals"):
        parse_scaled("1.55", 1)
    assert parse_scaled("-1.50", 1, signed=True) == -15


def test_prices_are_positive() -> None:
    with pytest.raises(UnitError, match="must be positive"):
        Grid(PERP, 2).price("0.0")


def test_usd_has_a_limit() -> None:
    assert parse_usd("1000000000") == USD_LIMIT
    with pytest.raises(UnitError, match="beyond 1000000000 USD"):
        parse_usd("1000000000.00000001")


@pytest.mark.parametrize("text", ["", "01", "-1", "1.0", "1e3", " 1", "１", "1_0", "0x1", "9" * 79, str(WEI_LIMIT)])
def test_wei_is_canonical(text: str) -> None:
    with pytest.raises(UnitError):
        parse_wei(text)


def test_wei_reaches_its_limit() -> None:
    assert parse_wei(str(WEI_LIMIT - 1)) == WEI_LIMIT - 1
    assert parse_wei("0") == 0


def test_decimals_keep_every_digit() -> None:
    assert as_decimal("0.000000010000000001") == Decimal("0.000000010000000001")
    with pytest.raises(UnitError):
        as_decimal("1e400")
