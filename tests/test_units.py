"""Exact amounts: the venue's grid by its own examples, one rounding, and parsers that refuse what they do not know."""

from collections.abc import Callable
from contextlib import nullcontext
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


@pytest.mark.parametrize(
    ("text", "signed", "says"),
    [
        ("-10.50", False, "price must be a plain unsigned decimal, not '-10.50'"),
        ("10,5", True, "price must be a plain decimal, not '10,5'"),
        ("x" * 41, True, f"price must be a plain decimal, not '{'x' * 40}'"),
        ("0" * 43, True, "price must be decimal text of at most 20.20 digits"),
        ("0" * 42, False, None),
        ("-" + "9" * 20 + "." + "9" * 20, True, None),
        ("9" * 21 + "." + "9" * 19, True, f"price has more than 20.20 digits: '{'9' * 21}.{'9' * 18}'"),
        ("9" * 20 + "." + "9" * 21, True, f"price has more than 20.20 digits: '{'9' * 20}.{'9' * 19}'"),
    ],
)
def test_what_is_no_decimal_is_said_with_name_form_and_limit(text: str, signed: bool, says: str | None) -> None:
    with pytest.raises(UnitError) if says else nullcontext() as caught:
        parse_decimal(text, max_int_digits=20, max_frac_digits=20, signed=signed, name="price")
    assert says is None or str(caught.value) == says


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (lambda text: parse_decimal(text, max_int_digits=1, max_frac_digits=1), "x",
         "value must be a plain unsigned decimal, not 'x'"),
        (lambda text: parse_scaled(text, 1, name="size"), "9" * 13, f"size has more than 12.30 digits: '{'9' * 13}'"),
        (lambda text: parse_scaled(text, 1), "1." + "1" * 31, f"value has more than 12.30 digits: '1.{'1' * 31}'"),
        (lambda text: parse_scaled(text, 1), "-1", "value must be a plain unsigned decimal, not '-1'"),
        (lambda text: parse_scaled(text, 1, max_int_digits=40), "9" * 39 + ".01",
         f"value '{'9' * 39}.' has more than 1 decimals"),
        (lambda text: parse_usd(text, name="fee"), "9" * 11, f"fee has more than 10.30 digits: '{'9' * 11}'"),
        (parse_usd, "-1", "amount must be a plain unsigned decimal, not '-1'"),
        (parse_usd, "1000000000.1", "amount is beyond 1000000000 USD"),
        (lambda text: parse_usd(text, signed=True), "-1000000000.1", "amount is beyond 1000000000 USD"),
        (parse_wei, "01", "amountWei must be canonical decimal wei of at most 78 digits"),
        (lambda text: parse_wei(text, name="feeWei"), str(WEI_LIMIT), "feeWei is beyond 2^256 - 1 wei"),
        (as_decimal, "9" * 31, f"value has more than 30.20 digits: '{'9' * 31}'"),
        (as_decimal, "1." + "9" * 21, f"value has more than 30.20 digits: '1.{'9' * 21}'"),
        (Grid(PERP, 2).price, "0." + "0" * 29, f"price must be positive, not '0.{'0' * 29}'"),
        (Grid(PERP, 2).price, "0" * 12 + "." + "0" * 29, f"price must be positive, not '{'0' * 12}.{'0' * 27}'"),
        (Grid(PERP, 2).price, "1e3", "price must be a plain unsigned decimal, not '1e3'"),
        (Grid(PERP, 2).size, "0.001", "size '0.001' has more than 2 decimals"),
        (lambda text: Grid(PERP, 2).price(text, "limit"), "-1", "limit must be a plain unsigned decimal, not '-1'"),
        (lambda text: Grid(PERP, 2).size(text, "qty"), "-1", "qty must be a plain unsigned decimal, not '-1'"),
    ],
)  # fmt: skip
def test_every_parser_says_the_field_the_value_and_the_limit(
    parse: Callable[[str], object], text: str, says: str
) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text)
    assert str(caught.value) == says


def test_the_largest_of_each_are_taken() -> None:
    assert parse_scaled("9" * 12 + "." + "9" + "0" * 29, 1) == 10**13 - 1
    assert as_decimal("-" + "9" * 30 + "." + "9" * 20) == Decimal("-" + "9" * 30 + "." + "9" * 20)


def test_a_grid_reads_and_writes_prices_and_sizes() -> None:
    grid = Grid(PERP, 2)
    assert (grid.price("0.0001"), grid.price_text(1), grid.price_text(150_000)) == (1, "0.0001", "15")
    assert (grid.size("0.01"), grid.size("0"), grid.size_text(150)) == (1, 0, "1.5")


@pytest.mark.parametrize(("value", "decimals", "text"), [(0, 2, "0"), (5, 1, "0.5"), (-5, 2, "-0.05"), (10, 0, "10")])
def test_the_shortest_text_of_a_scaled_integer(value: int, decimals: int, text: str) -> None:
    assert scaled_text(value, decimals) == text


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
