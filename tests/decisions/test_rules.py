"""The rules: small tables of readings, and what a trader would expect of each."""

import pytest

from clash_pipeline.decisions.engines.rules import Reading, enter, leave

FLAT = Reading(
    close=100.0,
    rsi=50.0,
    bb_upper=105.0,
    bb_middle=100.0,
    bb_lower=95.0,
    sma=100.0,
    ema=100.0,
    hist=0.0,
    hist_before=0.0,
)
UP = FLAT._replace(close=101.0, rsi=60.0, ema=100.5, hist=0.4, hist_before=0.2)
DOWN = FLAT._replace(close=99.0, rsi=40.0, ema=99.5, hist=-0.4, hist_before=-0.2)


@pytest.mark.parametrize(
    ("reading", "action"),
    [
        (FLAT, "hold"),
        (UP, "open_long"),
        (UP._replace(rsi=69.0), "hold"),  # too late in the move
        (UP._replace(hist=0.1), "hold"),  # momentum is fading
        (UP._replace(close=99.0), "hold"),  # below the middle band
        (DOWN, "open_short"),
        (DOWN._replace(rsi=31.0), "hold"),
        (FLAT._replace(rsi=25.0, close=94.0), "open_long"),  # stretched below the band
        (FLAT._replace(rsi=25.0, close=96.0), "hold"),  # weak, but inside the band
        (FLAT._replace(rsi=75.0, close=106.0), "open_short"),
    ],
)
def test_entering(reading: Reading, action: str) -> None:
    assert enter(reading, can_short=True).action == action


def test_spot_is_never_shorted() -> None:
    assert enter(DOWN, can_short=False).action == "hold"
    assert enter(FLAT._replace(rsi=75.0, close=106.0), can_short=False).action == "hold"


@pytest.mark.parametrize(
    ("side", "reading", "action"),
    [
        ("long", UP, "hold"),
        ("long", UP._replace(rsi=66.0), "close"),
        ("long", DOWN, "close"),
        ("long", DOWN._replace(rsi=27.0), "hold"),  # oversold: the bounce is near
        ("short", DOWN, "hold"),
        ("short", DOWN._replace(rsi=34.0), "close"),
        ("short", UP, "close"),
        ("short", UP._replace(rsi=73.0), "hold"),
    ],
)
def test_leaving(side: str, reading: Reading, action: str) -> None:
    assert leave({"side": side}, reading).action == action
