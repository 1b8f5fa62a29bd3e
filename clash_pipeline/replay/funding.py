"""Invented funding: hourly rates near the venue's resting rate, paid some milliseconds past the hour."""

from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.replay.numerals import key_of, unit

RESTING_RATE = 0.0000125
"""The interest part of an hour, by far the most common rate (sources 1.6)."""


def rate(seed: int, symbol: str, hour_t: int) -> float:
    """The rate paid at an hour: the resting one in two hours of three, else somewhere around it."""
    key = key_of(seed, "funding", symbol, hour_t)
    if unit(key) < 0.66:
        return RESTING_RATE
    return round(RESTING_RATE + (unit(key + 1) - 0.55) * 0.0001, 10)


def payments(seed: int, symbol: str, from_ms: int, to_ms: int) -> list[tuple[int, float]]:
    """Payments whose time lies in [from_ms, to_ms)."""
    hours = range(hour_of(from_ms), to_ms, HOUR_MS)
    paid = ((hour + 12 + key_of(seed, "paid", symbol, hour) % 60, rate(seed, symbol, hour)) for hour in hours)
    return [(at, value) for at, value in paid if from_ms <= at < to_ms]
