"""Read plans executed against a week of market memory, beside bare statements for the same rows; and by branch size."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from bench.harness import Bench, Contender
from bench.market_memory import AS_OF, memory, symbols
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import CHANNELS, PROFILES, ReadEntry, ReadPlan, built_in
from clash_pipeline.storage.sqlite import Connection, Database

ASSETS, DAYS = 30, 7
BRANCHES = (1, 3, 10, 25)
ROUNDS = 60
GLOBAL = ("global", "defi")


def benches(quick: bool) -> tuple[Bench, ...]:
    """25 assets with `deep` against the floor, then each profile and size of branch for itself."""
    assets, days, wide = (4, 2, 3) if quick else (ASSETS, DAYS, 25)
    whole = (
        Contender("bare SQL of the same rows", "floor", lambda: _prepared(assets, days, wide), bare),
        Contender("clash retrieval", "ours", lambda: _prepared(assets, days, wide), deep),
    )
    branches = tuple(
        _branch(profile, min(size, wide), assets, days, 5 if quick else ROUNDS)
        for profile in PROFILES
        for size in BRANCHES
    )
    return (
        Bench("retrieval", f"{wide} assets with deep", "rows", whole, 9, aim=0.5, aim_of="bare SQL of the same rows"),
        Bench("retrieval, by branch", "One branch at a time", "branches", branches, 1, is_long=True),
    )


def plan(symbol: str, profile: str) -> ReadPlan:
    """Everything a built-in profile reads of an asset."""
    entries = (
        ReadEntry(symbol, symbol, source, channel, *depth, "auto", *(GLOBAL if source == "defillama" else ("", "")))
        for source, channels in CHANNELS.items()
        for channel in channels
        if channel != "market"
        for depth in built_in(profile, source, channel)
    )
    return ReadPlan(symbol, tuple(sorted(entries)))


def deep(prepared: tuple[Database, int, int]) -> int:
    """The product's retrieval; what counts are the rows of market memory that went into it, as for the floor."""
    market, assets, rows = prepared
    plans = [plan(symbol, "deep") for symbol in symbols(assets)]
    with market.read() as connection:
        retrieval.retrieve(connection, plans, AS_OF)
    return rows


def bare(prepared: tuple[Database, int, int]) -> int:
    """One statement a table and asset, fetched whole and forgotten: nothing is grouped, thinned, merged or judged."""
    market, assets, _ = prepared
    with market.read() as connection:
        count = sum(len(rows) for symbol in symbols(assets) for rows in _bare_rows(connection, symbol))
        count += sum(len(_plain(connection, statement, (AS_OF - 7 * DAY_MS, AS_OF, AS_OF))) for statement in _MACRO)
    return count


@cache
def _prepared(assets: int, days: int, wide: int) -> tuple[Database, int, int]:
    """A memory, how many assets are asked for, and how many rows of it answer."""
    market = memory(assets, days)
    return market, wide, bare((market, wide, 0))


def _branch(profile: str, size: int, assets: int, days: int, rounds: int) -> Contender:
    name = f"{profile}, {size} asset{'s' if size > 1 else ''}"
    taken: list[float] = []

    def run(market: Database) -> int:
        plans = [plan(symbol, profile) for symbol in symbols(size)]
        for _ in range(rounds):
            started = time.perf_counter()
            with market.read() as connection:
                retrieval.retrieve(connection, plans, AS_OF)
            taken.append(time.perf_counter() - started)
        return rounds

    def figures(_: Any) -> Mapping[str, float]:
        ordered = sorted(taken)
        return {"p50 ms": ordered[len(ordered) // 2] * 1e3, "p99 ms": ordered[int(len(ordered) * 0.99)] * 1e3}

    return Contender(name, "ours", lambda: memory(assets, days), run, figures)


def _bare_rows(connection: Connection, symbol: str) -> list[list[Any]]:
    day, week, closed = AS_OF - DAY_MS, AS_OF - 7 * DAY_MS, AS_OF - MINUTE_MS
    return [
        _plain(connection, _MINUTES, (symbol, day, closed, AS_OF)),
        _plain(connection, _HOURS, (symbol, week, AS_OF - HOUR_MS, AS_OF)),
        _plain(connection, _LINES, (symbol, day, closed, 5 * MINUTE_MS, AS_OF)),
        _plain(connection, _LINES, (symbol, week, closed, HOUR_MS, AS_OF)),
        _plain(connection, _FUNDING, (symbol, AS_OF - 2 * DAY_MS, AS_OF, AS_OF)),
        _plain(connection, _IMMEDIATE, (symbol, AS_OF - 6 * HOUR_MS, AS_OF, AS_OF)),
        _plain(connection, _LATER, (symbol, day, AS_OF, AS_OF)),
    ]


def _plain(connection: Connection, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(statement, parameters).fetchall()


_MINUTES = """
    SELECT t, o, h, l, c, v, n FROM hyperliquid_candles
    WHERE symbol = ? AND interval = '1m' AND t >= ? AND t <= ? AND known_at <= ?
"""
_HOURS = """
    SELECT t, o, h, l, c, v, n FROM hyperliquid_candles
    WHERE symbol = ? AND interval = '1h' AND t >= ? AND t <= ? AND known_at <= ?
"""
_LINES = """
    SELECT t, rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist
    FROM hyperliquid_technical_indicators
    WHERE symbol = ? AND t >= ? AND t <= ? AND (t + 60000) % ? = 0 AND known_at <= ?
"""
_FUNDING = """
    SELECT t, rate_e10, interval_hours, premium FROM hyperliquid_funding_rates
    WHERE symbol = ? AND kind = 'current' AND venue = 'HlPerp' AND t >= ? AND t <= ? AND known_at <= ?
      AND t % 3600000 = 3300000
"""
_IMMEDIATE = """
    SELECT t, market_id, question, outcomes, prices, end_at, liquidity FROM polymarket_immediate_markets
    WHERE symbol = ? AND t >= ? AND t <= ? AND known_at <= ?
"""
_LATER = """
    SELECT t, market_id, question, outcomes, prices, end_at, liquidity FROM polymarket_later_markets
    WHERE symbol = ? AND t >= ? AND t <= ? AND known_at <= ?
"""
_MACRO = (
    """
    SELECT t, tvl_usd, mcap_usd, circulating_usd, missing_reason FROM defillama_capital_base
    WHERE scope = 'global' AND subject = 'defi' AND t >= ? AND t <= ? AND known_at <= ?
    """,
    """
    SELECT t, change_1h_pct, change_1d_pct, change_7d_pct, flow_1d_usd, flow_7d_usd, missing_reason
    FROM defillama_capital_flows
    WHERE scope = 'global' AND subject = 'defi' AND t >= ? AND t <= ? AND known_at <= ?
    """,
    """
    SELECT t, dex_volume_24h_usd, dex_volume_change_1d_pct, fees_24h_usd, fees_change_1d_pct, revenue_24h_usd,
           revenue_change_1d_pct, open_interest_usd, open_interest_change_1d_pct, missing_reason
    FROM defillama_economic_throughput
    WHERE scope = 'global' AND subject = 'defi' AND t >= ? AND t <= ? AND known_at <= ?
    """,
)
