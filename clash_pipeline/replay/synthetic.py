"""A seeded synthetic market: any UTC day of any asset can be computed by itself, the same bits in every process.

The level at each midnight is a sum of smooth noises over the days; within a day the price is a bridge of seeded
increments (a market-wide part and one of its own, with changing volatility and drift) from one midnight to the next.
"""

from typing import Any

import numpy as np

from clash_pipeline.clock import DAY_MS, day_of
from clash_pipeline.replay import funding, listing
from clash_pipeline.replay.listing import Listed
from clash_pipeline.replay.numerals import key_of, unit
from clash_pipeline.replay.truth import Asset, Floats, Minutes, joined, least_trades, nothing

DEFAULT_START_MS = 1_753_228_800_000
"""2025-07-23T00:00:00Z, inside the days of the recordings."""
EARLIEST_START_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z."""
LATEST_START_MS = 4_102_444_800_000
"""2100-01-01T00:00:00Z."""
HISTORY_DAYS = 30
DAY_MINUTES = 1_440
BLOCKS_KEPT = 2_048
LEVEL_NOISE = ((37.0, 0.10), (11.0, 0.05), (3.0, 0.03), (1.0, 0.012))
"""Periods in days and sizes (log price) of the noises whose sum is the level at midnight."""
REGIMES = (0.45, 0.8, 1.0, 1.0, 1.6, 2.8)
"""Factors on an asset's typical move; a regime lasts 20 to 150 minutes."""
MARKET_SHARE = 0.6
"""Part of a move (in amplitude) that all assets share."""


class SyntheticMarket:
    """About two dozen perps with real names and four spots, of one seed, from 30 days before the start on."""

    def __init__(self, seed: int, *, start_ms: int = DEFAULT_START_MS, perps: int | None = None) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self._first_t = day_of(start_ms) - HISTORY_DAYS * DAY_MS
        self._perps = listing.perps(perps)
        self._listed = {asset.symbol: asset for asset in (*self._perps, *listing.SPOTS)}
        self._kinds = {asset.symbol: "perp" for asset in self._perps} | {pair.symbol: "spot" for pair in listing.SPOTS}
        self.assets = tuple(
            Asset(asset.symbol, self._kinds[asset.symbol], asset.sz_decimals, not asset.is_delisted)
            for asset in self._listed.values()
        )
        self._blocks: dict[tuple[str, int], Minutes] = {}

    @property
    def span(self) -> tuple[int, int]:
        """Where a start may lie, half-open: any day can be computed, but nobody listed anything in other centuries."""
        return EARLIEST_START_MS, LATEST_START_MS

    def meta(self) -> dict[str, Any]:
        """The answer of `meta`."""
        return listing.meta(self._perps)

    def spot_meta(self) -> dict[str, Any]:
        """The answer of `spotMeta`."""
        return listing.spot_meta()

    def minutes(self, symbol: str, from_t: int, to_t: int) -> Minutes:
        """The finished minutes that start in [from_t, to_t); none before the market's first day."""
        asset = self._listed.get(symbol)
        from_t = max(from_t, self._first_t)
        if asset is None or asset.is_delisted or from_t >= to_t:
            return nothing(from_t)
        days = range(day_of(from_t), to_t, DAY_MS)
        return joined([self._block(asset, day).between(from_t, to_t) for day in days])

    def funding(self, symbol: str, from_ms: int, to_ms: int) -> list[tuple[int, float]]:
        """Invented hourly payments since the market's first day; a delisted perp pays nothing."""
        if self._kinds.get(symbol) != "perp" or self._listed[symbol].is_delisted:
            return []
        return funding.payments(self.seed, symbol, max(from_ms, self._first_t), to_ms)

    def recorded_context(self, symbol: str) -> dict[str, Any] | None:
        """Only the delisted perp has a context that does not follow from candles."""
        asset = self._listed[symbol]
        return {"oraclePx": str(asset.price), "markPx": str(asset.price)} if asset.is_delisted else None

    def _block(self, asset: Listed, day: int) -> Minutes:
        key = (asset.symbol, day)
        block = self._blocks.get(key)
        if block is None:
            while len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.pop(next(iter(self._blocks)))
            block = self._blocks[key] = self._generated(asset, day)
        return block

    def _generated(self, asset: Listed, day: int) -> Minutes:
        dice = np.random.Generator(np.random.PCG64(key_of(self.seed, "day", asset.symbol, day)))
        closes = self._path(asset, day, dice)
        before = np.concatenate(([self._level(asset, day)], closes[:-1]))
        noise = asset.sigma * 1e-4
        opens = before * np.exp(dice.normal(0, noise * 0.12, DAY_MINUTES))
        wicks = np.abs(dice.normal(0, noise * 0.5, (2, DAY_MINUTES)))
        step = 6 - asset.sz_decimals if self._kinds[asset.symbol] == "perp" else 8 - asset.sz_decimals
        o, c = on_grid(opens, step), on_grid(closes, step)
        h = np.maximum(on_grid(np.maximum(o, c) * (1 + wicks[0]), step), np.maximum(o, c))
        l = np.minimum(on_grid(np.minimum(o, c) * (1 - wicks[1]), step), np.minimum(o, c))  # noqa: E741
        moves = np.abs(np.log(closes / before)) / noise
        lots = np.ceil(asset.volume * np.exp(dice.normal(0, 0.9, DAY_MINUTES)) * (0.4 + moves) * 10**asset.sz_decimals)
        lots = np.maximum(lots, least_trades(o, h, l, c))
        v = lots / 10**asset.sz_decimals
        n = np.minimum(least_trades(o, h, l, c) + dice.poisson(2 + 9 * moves * asset.traded), lots).astype(np.int64)
        is_traded = dice.random(DAY_MINUTES) < asset.traded
        is_traded[-1] = True  # so that the close before a day is known without its minutes
        return _with_quiet_minutes(day, o, h, l, c, v, n, is_traded, float(on_grid(before[:1], step)[0]))

    def _path(self, asset: Listed, day: int, dice: np.random.Generator) -> Floats:
        """Closes of a day: seeded increments bent so that they end at the next midnight's level."""
        walks = listing.FOLLOWS.get(asset.symbol, asset.symbol)
        own = np.random.Generator(np.random.PCG64(key_of(self.seed, "walk", walks, day)))
        shared = np.random.Generator(np.random.PCG64(key_of(self.seed, "market", day)))
        moves = MARKET_SHARE * _moves(shared) + (1 - MARKET_SHARE**2) ** 0.5 * _moves(own)
        walk = np.cumsum(moves) * asset.sigma * 1e-4
        start, end = np.log(self._level(asset, day)), np.log(self._level(asset, day + DAY_MS))
        share = np.arange(1, DAY_MINUTES + 1) / DAY_MINUTES
        premium = dice.normal(0, 0.5e-4, DAY_MINUTES) if walks != asset.symbol else np.zeros(DAY_MINUTES)
        premium[-1] = 0
        return np.asarray(np.exp(start + walk + (end - start - walk[-1]) * share + premium))

    def _level(self, asset: Listed, day: int) -> float:
        """The price at a midnight, from the noises alone."""
        walks = listing.FOLLOWS.get(asset.symbol, asset.symbol)
        place = day / DAY_MS
        return asset.price * float(
            np.exp(sum(size * _noise(key_of(self.seed, walks, index), place / period)
                       for index, (period, size) in enumerate(LEVEL_NOISE)))
        )  # fmt: skip


def on_grid(prices: Floats, decimals: int) -> Floats:
    """Prices rounded to the venue's grid: five significant figures, at most `decimals` decimals, whole numbers always.

    The result is the float nearest to the decimal on the grid, so that its shortest text is that decimal.
    """
    places = np.clip(4 - np.floor(np.log10(prices)).astype(np.int64), 0, max(decimals, 0))
    scale = 10.0**places
    return np.asarray(np.maximum(np.rint(prices * scale), 1) / scale)


def _noise(key: int, at: float) -> float:
    """Smooth noise in about [-1, 1]: a draw at each whole number, eased in between."""
    left = int(at // 1)
    part = at - left
    eased = part * part * (3 - 2 * part)
    a, b = unit(key + left) * 2 - 1, unit(key + left + 1) * 2 - 1
    return a + (b - a) * eased


def _moves(dice: np.random.Generator) -> Floats:
    """A day of increments of unit size, with regimes of volatility and drift."""
    lengths = dice.integers(20, 150, DAY_MINUTES // 20)
    sizes = np.repeat(dice.choice(REGIMES, len(lengths)), lengths)[:DAY_MINUTES]
    drifts = np.repeat(dice.normal(0, 0.12, len(lengths)), lengths)[:DAY_MINUTES]
    return np.asarray(sizes * (dice.normal(0, 1, DAY_MINUTES) + drifts))


def _with_quiet_minutes(
    day: int,
    o: Floats,
    h: Floats,
    l: Floats,  # noqa: E741
    c: Floats,
    v: Floats,
    n: np.ndarray[Any, np.dtype[np.int64]],
    is_traded: np.ndarray[Any, np.dtype[np.bool_]],
    close_before: float,
) -> Minutes:
    """Minutes without a trade are flat rows at the last close (sources 1.4)."""
    last = np.maximum.accumulate(np.where(is_traded, np.arange(len(c)), -1))
    held = np.where(last >= 0, c[np.maximum(last, 0)], close_before)
    o, h, l = (np.where(is_traded, column, held) for column in (o, h, l))  # noqa: E741
    return Minutes(day, o, h, l, held, np.where(is_traded, v, 0.0), np.where(is_traded, n, 0))
