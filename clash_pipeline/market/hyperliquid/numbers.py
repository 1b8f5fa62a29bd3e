"""Numbers of the venue as the memory keeps them: the text itself, once it is known to be a plain bounded decimal."""

import re
from typing import Final

from clash_pipeline.units import UnitError, parse_scaled

RATE_DECIMALS: Final = 10
"""Funding rates are integers of 1e-10 (09 §4.1)."""

_PLAIN: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,24})?", re.ASCII)
_PRICE: Final = re.compile(r"(?=[0-9.]*[1-9])[0-9]{1,12}(?:\.[0-9]{1,12})?", re.ASCII)


class BadNumber(ValueError):
    """A number that cannot be kept; the message is the stable reason code."""


def price(text: str) -> str:
    """A positive decimal of at most 12.12 digits.

    Raises:
        BadNumber: `bad_price`.
    """
    if _PRICE.fullmatch(text) is None:
        raise BadNumber("bad_price")
    return text


def amount(text: str) -> str:
    """A decimal that is not negative, such as a volume.

    Raises:
        BadNumber: `bad_amount`.
    """
    if text.startswith("-") or _PLAIN.fullmatch(text) is None:
        raise BadNumber("bad_amount")
    return text


def signed(text: str) -> str:
    """A decimal of either sign, such as a premium.

    Raises:
        BadNumber: `bad_number`.
    """
    if _PLAIN.fullmatch(text) is None:
        raise BadNumber("bad_number")
    return text


def rate_e10(text: str) -> int:
    """A rate as an exact integer of 1e-10.

    Raises:
        BadNumber: `bad_rate`: no decimal, or more digits than the unit holds.
    """
    try:
        return parse_scaled(text, RATE_DECIMALS, max_int_digits=3, signed=True, name="rate")
    except UnitError:
        raise BadNumber("bad_rate") from None
