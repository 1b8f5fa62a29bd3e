"""Exact amounts: synthetic USD, wei, the venue's price and size grid, and the only way to divide.

Money is an integer everywhere inside (09 §4.1): USD in units of 1e-8, rates in 1e-8, funding rates in 1e-10, wei as it
is. Outside text enters through the parsers here, which check form and length before they convert.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache

USD = 100_000_000
"""One synthetic dollar."""
USD_LIMIT = 10**17
"""No amount of synthetic USD may exceed a billion dollars in either direction."""
RATE = 100_000_000
"""A rate of 1 (100 %) in units of 1e-8; 4.5 basis points are 45,000."""
FUNDING_RATE = 10_000_000_000
WEI_LIMIT = 2**256
PRICE_DECIMALS = {"perp": 6, "spot": 8}
"""A price has at most this many decimals less the asset's size decimals."""
PRICE_SIGNIFICANT_FIGURES = 5

_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_WEI = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)


class UnitError(ValueError):
    """An amount that does not fit its unit; the message names field, value and limit."""


class Rounding(Enum):
    """Towards which side a quotient that does not come out is rounded."""

    FLOOR = "floor"
    CEIL = "ceil"
    ZERO = "zero"
    AWAY = "away"


def mul_div(a: int, b: int, c: int, rounding: Rounding) -> int:
    """`a * b / c` in exact integers, rounded once.

    What a user receives is floored, what a user pays is rounded up (09 §4.1.6).

    Raises:
        ZeroDivisionError: `c` is zero.
    """
    product = a * b
    quotient, rest = divmod(product, c)
    if rest == 0:
        return quotient
    is_negative = (product < 0) != (c < 0)
    goes_up = (
        rounding is Rounding.CEIL
        or (rounding is Rounding.ZERO and is_negative)
        or (rounding is Rounding.AWAY and not is_negative)
    )
    return quotient + goes_up


def parse_decimal(
    text: str, *, max_int_digits: int, max_frac_digits: int, signed: bool = False, name: str = "value"
) -> tuple[int, int]:
    """The digits of a decimal text and how many of them are decimals: `"1.50"` gives `(150, 2)`.

    ASCII digits only; no exponent, underscore, space or plus sign. Length is checked before anything is converted.

    Raises:
        UnitError: naming the field, the form expected and the limit.
    """
    if not isinstance(text, str) or len(text) > max_int_digits + max_frac_digits + 2:
        raise UnitError(f"{name} must be decimal text of at most {max_int_digits}.{max_frac_digits} digits")
    match = _DECIMAL.fullmatch(text)
    if match is None or (match[1] and not signed):
        raise UnitError(f"{name} must be a plain {'' if signed else 'unsigned '}decimal, not {text[:40]!r}")
    whole, fraction = match[2], match[3] or ""
    if len(whole.lstrip("0")) > max_int_digits or len(fraction) > max_frac_digits:
        raise UnitError(f"{name} has more than {max_int_digits}.{max_frac_digits} digits: {text[:40]!r}")
    digits = int(whole + fraction)
    return (-digits if match[1] else digits), len(fraction)


def parse_scaled(
    text: str, decimals: int, *, max_int_digits: int = 12, signed: bool = False, name: str = "value"
) -> int:
    """A decimal text as an integer of `10 ** -decimals`.

    Trailing zeros beyond `decimals` are accepted, digits that would be lost are not.

    Raises:
        UnitError: naming the field, value and limit.
    """
    digits, places = parse_decimal(text, max_int_digits=max_int_digits, max_frac_digits=30, signed=signed, name=name)
    if places <= decimals:
        return digits * _power(decimals - places)
    scaled, lost = divmod(abs(digits), _power(places - decimals))
    if lost:
        raise UnitError(f"{name} {text[:40]!r} has more than {decimals} decimals")
    return -scaled if digits < 0 else scaled


def parse_usd(text: str, *, signed: bool = False, name: str = "amount") -> int:
    """Synthetic USD text as an integer of 1e-8 USD, at most a billion dollars.

    Raises:
        UnitError: naming the field, value and limit.
    """
    amount = parse_scaled(text, 8, max_int_digits=10, signed=signed, name=name)
    if abs(amount) > USD_LIMIT:
        raise UnitError(f"{name} is beyond {USD_LIMIT // USD} USD")
    return amount


def parse_wei(text: str, *, name: str = "amountWei") -> int:
    """Canonical decimal wei text, `0 <= wei < 2**256`.

    Raises:
        UnitError: leading zeros, a sign, other characters, or too large.
    """
    if not isinstance(text, str) or _WEI.fullmatch(text) is None:
        raise UnitError(f"{name} must be canonical decimal wei of at most 78 digits")
    wei = int(text)
    if wei >= WEI_LIMIT:
        raise UnitError(f"{name} is beyond 2^256 - 1 wei")
    return wei


def scaled_text(value: int, decimals: int) -> str:
    """The shortest decimal text of a scaled integer: `(150, 2)` gives `"1.5"`."""
    if not decimals:
        return str(value)
    digits = str(value).zfill(decimals + 1 + (value < 0))
    return f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")


def usd_text(amount: int) -> str:
    """Synthetic USD as decimal text of at most 8 places."""
    return scaled_text(amount, 8)


def as_decimal(text: str) -> Decimal:
    """A bounded decimal text of the venue as a Decimal, for comparisons and sums that must be exact.

    Raises:
        UnitError: not a plain decimal of at most 30.20 digits.
    """
    parse_decimal(text, max_int_digits=30, max_frac_digits=20, signed=True)
    return Decimal(text)  # exact, where arithmetic on it would round to the context's 28 digits


def _power(exponent: int) -> int:
    """Ten to a power that is known not to be negative."""
    return int(10**exponent)


@dataclass(frozen=True)
class Grid:
    """The venue's price and size grid of one asset (10 §1, price and size grid)."""

    kind: str
    sz_decimals: int

    @cached_property
    def px_decimals(self) -> int:
        """Decimals of a scaled price."""
        return PRICE_DECIMALS[self.kind] - self.sz_decimals

    @cached_property
    def notional_factor(self) -> int:
        """`price * size * factor` is exact in 1e-8 USD: 100 for perps, 1 for spot."""
        return _power(8 - PRICE_DECIMALS[self.kind])

    def price(self, text: str, name: str = "price") -> int:
        """A price text as a scaled integer.

        Raises:
            UnitError: not positive, or off the decimal grid.
        """
        scaled = parse_scaled(text, self.px_decimals, name=name)
        if scaled <= 0:
            raise UnitError(f"{name} must be positive, not {text[:40]!r}")
        return scaled

    def size(self, text: str, name: str = "size") -> int:
        """A size text as a scaled integer of `sz_decimals`.

        Raises:
            UnitError: negative, or with too many decimals.
        """
        return parse_scaled(text, self.sz_decimals, name=name)

    def price_text(self, price: int) -> str:
        """A scaled price as text."""
        return scaled_text(price, self.px_decimals)

    def size_text(self, size: int) -> str:
        """A scaled size as text."""
        return scaled_text(size, self.sz_decimals)

    def notional(self, price: int, size: int) -> int:
        """Exact notional in 1e-8 USD of a scaled price and a scaled size."""
        return price * size * self.notional_factor

    def on_tick(self, price: int) -> bool:
        """Whether a scaled price has at most five significant figures, or is a whole number."""
        return price == self.round_price(price, Rounding.FLOOR)

    def round_price(self, price: int, rounding: Rounding) -> int:
        """The nearest price of the grid on the wanted side; prices round against the trader (10 §1)."""
        digits = len(str(price))
        step = _power(min(max(digits - PRICE_SIGNIFICANT_FIGURES, 0), self.px_decimals))
        return mul_div(price, 1, step, rounding) * step


@lru_cache(maxsize=64)
def grid_of(kind: str, sz_decimals: int) -> Grid:
    """The grid of an asset, made once: every value of every position asks for it."""
    return Grid(kind, sz_decimals)
