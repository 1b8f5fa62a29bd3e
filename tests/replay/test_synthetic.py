"""The synthetic market: decided by its seed alone, on the venue's grid, lively enough to trade."""

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.replay.synthetic import DEFAULT_START_MS, SyntheticMarket
from clash_pipeline.units import Grid

FINGERPRINT = """
import hashlib
from clash_pipeline.replay.synthetic import DEFAULT_START_MS, SyntheticMarket
market = SyntheticMarket({seed})
seen = hashlib.sha256()
for asset in market.assets:
    minutes = market.minutes(asset.symbol, DEFAULT_START_MS - 7_200_000, DEFAULT_START_MS + 7_200_000)
    seen.update(repr(minutes.rows()).encode())
print(seen.hexdigest())
"""


def _fingerprint(seed: int) -> str:
    made = subprocess.run(
        [sys.executable, "-c", FINGERPRINT.format(seed=seed)], capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def test_two_processes_see_the_same_market_to_the_byte() -> None:
    market, seen = SyntheticMarket(7), hashlib.sha256()
    for asset in market.assets:
        rows = market.minutes(asset.symbol, DEFAULT_START_MS - 2 * HOUR_MS, DEFAULT_START_MS + 2 * HOUR_MS).rows()
        seen.update(repr(rows).encode())
    assert _fingerprint(7) == seen.hexdigest()
    assert _fingerprint(8) != seen.hexdigest()


def test_a_minute_does_not_depend_on_what_was_asked_before() -> None:
    asked_much, asked_once = SyntheticMarket(7), SyntheticMarket(7)
    whole = asked_much.minutes("FTT", DEFAULT_START_MS - 2 * DAY_MS, DEFAULT_START_MS + DAY_MS)
    at = DEFAULT_START_MS + 417 * MINUTE_MS
    assert asked_once.minutes("FTT", at, at + MINUTE_MS).rows() == whole.between(at, at + MINUTE_MS).rows()
    assert len(whole) == 3 * 1_440


@pytest.mark.parametrize("symbol", ["BTC", "kPEPE", "FTT", "COMP", "@142", "PURR/USDC"])
def test_prices_and_sizes_lie_on_the_venues_grid(symbol: str) -> None:
    from clash_pipeline.replay.numerals import text

    market = SyntheticMarket(3)
    asset = next(asset for asset in market.assets if asset.symbol == symbol)
    grid = Grid(asset.kind, asset.sz_decimals)
    for minute in market.minutes(symbol, DEFAULT_START_MS, DEFAULT_START_MS + 6 * HOUR_MS).rows():
        for price in minute[1:5]:
            assert grid.on_tick(grid.price(text(price))), (minute, price)
        assert grid.size(text(minute.v)) >= (minute.n > 0)
        assert minute.l <= min(minute.o, minute.c) <= max(minute.o, minute.c) <= minute.h


def test_minutes_without_trades_are_flat_at_the_previous_close_also_across_midnight() -> None:
    minutes = SyntheticMarket(7).minutes("VVV", DEFAULT_START_MS - DAY_MS, DEFAULT_START_MS + DAY_MS).rows()
    quiet = [(before, minute) for before, minute in pairwise(minutes) if not minute.n]
    assert 0.7 < len(quiet) / len(minutes) < 0.9
    assert all(minute[1:5] == (before.c,) * 4 and minute.v == 0 for before, minute in quiet)


def test_the_market_moves_like_one_that_can_be_traded() -> None:
    market = SyntheticMarket(7)
    closes = {s: market.minutes(s, DEFAULT_START_MS - DAY_MS, DEFAULT_START_MS).c for s in ("BTC", "ETH", "SOL")}
    moves = {symbol: np.diff(np.log(column)) for symbol, column in closes.items()}
    assert all(2e-4 < column.std() < 4e-3 for column in moves.values())
    assert np.corrcoef(moves["BTC"], moves["ETH"])[0, 1] > 0.2
    hourly = np.abs(np.log(closes["BTC"][60::60] / closes["BTC"][:-60:60]))
    assert hourly.max() > 0.004, "some hour trends"


def test_the_listing_holds_what_the_product_must_cope_with() -> None:
    market = SyntheticMarket(7)
    universe = {entry["name"]: entry for entry in market.meta()["universe"]}
    assert len(universe) == 24
    assert universe["MATIC"]["isDelisted"]
    assert len(market.minutes("MATIC", DEFAULT_START_MS - DAY_MS, DEFAULT_START_MS)) == 0
    assert "kPEPE" in universe
    assert [pair["name"] for pair in market.spot_meta()["universe"]] == ["PURR/USDC", "@107", "@142", "@151"]
    assert len(SyntheticMarket(7, perps=400).assets) == 404
