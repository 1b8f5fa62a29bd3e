"""Retrieval: what a plan reads at an `as_of`, what it must not see, and what it says of missing and stale rows."""

import os
import random
import subprocess
import sys
from typing import Any

import pytest

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import PROFILES, ReadEntry, ReadPlan
from clash_pipeline.market.reads import candles, indicators, macro, markets
from clash_pipeline.market.retrieval import Section
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

AS_OF = 1_753_100_400_000  # 2025-07-21T12:20:00Z


def entry(channel: str, *, granularity: int = 60, lookback: int = 3_600, points: int = 60, **more: str) -> ReadEntry:
    source = {"immediate": "polymarket", "later": "polymarket", "market": "polymarket"}.get(channel, "hyperliquid")
    source = "defillama" if channel in macro.CHANNELS else source
    context = more.pop("context", "BTC")
    return ReadEntry("BTC", context, source, channel, lookback, granularity, points, "auto", **more)


def read(market: Database, *entries: ReadEntry, as_of: int = AS_OF) -> list[Section]:
    plan = ReadPlan("BTC", tuple(entries))
    with market.read() as connection:
        return list(retrieval.retrieve(connection, [plan], as_of)["BTC"].sections)


def insert(market: Database, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    with market.write() as connection:
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def test_closed_minutes_of_the_window_newest_kept(market: Database) -> None:
    market_rows.closes(market, "BTC", AS_OF, [str(100 + number) for number in range(90)])
    (section,) = read(market, entry("ohlcv"))
    assert section.column("c") == [str(number) for number in range(130, 190)]
    assert (section.age_ms, section.problem) == (0, None)


def test_a_minute_that_is_not_over_is_not_read(market: Database) -> None:
    market_rows.closes(market, "BTC", AS_OF, ["1", "2"])
    (section,) = read(market, entry("ohlcv"), as_of=AS_OF - 1)
    assert section.column("c") == ["1"]


def test_what_became_known_later_is_never_seen(market: Database) -> None:
    """Poisoned rows: a late minute, late indicators, and a correction of a minute that was read before."""
    t = AS_OF - 3 * MINUTE_MS
    market_rows.candle(market, "BTC", t, "100", final=False)
    market_rows.candle(market, "BTC", t + MINUTE_MS, "101", known_at=AS_OF + 1)
    market_rows.indicators(market, "BTC", t, rsi14=50.0)
    market_rows.indicators(market, "BTC", t + MINUTE_MS, rsi14=99.0, known_at=AS_OF + 1)
    before = read(market, entry("ohlcv"), entry("rsi"))
    market_rows.candle(market, "BTC", t, "666", known_at=AS_OF + 1)
    market_rows.indicators(market, "BTC", t, rsi14=66.6, known_at=AS_OF + 1)
    after = read(market, entry("ohlcv"), entry("rsi"))
    assert [section.rows for section in after] == [section.rows for section in before]
    assert (after[0].column("c"), after[1].column("rsi14")) == (["100"], [50.0])
    later = read(market, entry("ohlcv"), entry("rsi"), as_of=AS_OF + MINUTE_MS)
    assert (later[0].column("c"), later[1].column("rsi14")) == (["666", "101"], [66.6, 99.0])


def test_an_hour_counts_once_it_was_known_after_its_end(market: Database) -> None:
    """The running hour's row says something else every minute; no later read could repeat it."""
    hour = AS_OF - AS_OF % HOUR_MS
    market_rows.candle(market, "BTC", hour - 2 * HOUR_MS, "1", interval="1h")
    market_rows.candle(market, "BTC", hour - HOUR_MS, "2", interval="1h", final=False, known_at=hour - MINUTE_MS)
    hours = entry("ohlcv", granularity=3_600, lookback=6 * 3_600, points=6)
    assert read(market, hours)[0].column("c") == ["1"]
    market_rows.candle(market, "BTC", hour - HOUR_MS, "3", interval="1h", known_at=hour + 1)
    assert read(market, hours)[0].column("c") == ["1", "3"]


def test_minutes_are_gathered_into_whole_longer_bars(market: Database) -> None:
    """Five minutes make one bar; the bar that is still forming is left out."""
    start = AS_OF - 10 * MINUTE_MS
    for number, (high, low, close) in enumerate(
        [("9", "5", "6"), ("12", "6", "7"), ("8", "4.5", "5"), ("9", "5", "8")]
    ):
        market_rows.candle(
            market, "BTC", start + number * MINUTE_MS, close, high=high, low=low, open_="6", volume="1.5"
        )
    market_rows.candle(market, "BTC", start + 4 * MINUTE_MS, "7", open_="8", high="10", low="7", volume="0.25")
    market_rows.candle(market, "BTC", start + 5 * MINUTE_MS, "70")
    (section,) = read(market, entry("ohlcv", granularity=300))
    assert section.rows == ((start, "6", "12", "4.5", "7", "6.25"),)


def test_indicators_are_thinned_to_the_last_minute_of_each_step(market: Database) -> None:
    for number in range(11):
        market_rows.indicators(market, "BTC", AS_OF - (11 - number) * MINUTE_MS, rsi14=float(number))
    (section,) = read(market, entry("rsi", granularity=300))
    assert section.column("rsi14") == [0.0, 5.0, 10.0]


def test_missing_stale_and_warming_up_are_said(market: Database) -> None:
    market_rows.closes(market, "BTC", AS_OF - 4 * MINUTE_MS, ["1"])
    market_rows.indicators(market, "BTC", AS_OF - MINUTE_MS, rsi14=50.0)
    sections = read(market, entry("ohlcv"), entry("macd"), entry("funding", granularity=3_600))
    assert [section.problem for section in sections] == ["stale", "warming_up", "missing"]
    assert (sections[0].age_ms, sections[2].age_ms) == (4 * MINUTE_MS, None)


def test_funding_is_the_newest_sample_of_each_hour(market: Database) -> None:
    for minutes, rate in ((90, 1), (70, 2), (30, 3), (10, 4)):
        insert(
            market, "hyperliquid_funding_rates", symbol="BTC", kind="current", venue="HlPerp",
            t=AS_OF - minutes * MINUTE_MS, rate_e10=rate, interval_hours=1, known_at=AS_OF - minutes * MINUTE_MS,
        )  # fmt: skip
    (section,) = read(market, entry("funding", granularity=3_600, lookback=4 * 3_600, points=4))
    assert section.column("rate_e10") == [1, 3, 4]  # 10:50; 11:10 and 11:50; 12:10


def test_polymarket_and_defillama_by_their_subject(market: Database) -> None:
    t = AS_OF - 5 * MINUTE_MS
    linked = {"symbol": "BTC", "market_id": "m", "question": "Up?", "outcomes": "[]", "prices": "[]", "end_at": AS_OF}
    insert(market, "polymarket_immediate_markets", t=t, known_at=t, **linked)
    insert(market, "polymarket_later_markets", t=t, known_at=AS_OF + 1, **linked)
    insert(market, "defillama_capital_base", scope="chain", subject="Solana", t=t, tvl_usd=5.0, known_at=t)
    immediate, later, solana, other = read(
        market,
        entry("immediate", granularity=0, points=1),
        entry("later", granularity=0, points=1),
        entry("capital_base", granularity=0, points=1, scope="chain", subject="Solana"),
        entry("capital_base", granularity=0, points=1, scope="chain", subject="Ethereum"),
    )
    assert (immediate.column("question"), later.problem) == (["Up?"], "missing")
    assert (solana.column("tvl_usd"), other.problem) == ([5.0], "missing")
    with market.write() as connection:
        connection.execute("UPDATE defillama_capital_base SET tvl_usd = 666, known_at = ?", (AS_OF + 1,))
    (again,) = read(market, entry("capital_base", granularity=0, points=1, scope="chain", subject="Solana"))
    assert again.column("tvl_usd") == [5.0]


def test_a_market_is_read_by_its_slug_or_by_its_events(market: Database) -> None:
    insert(
        market, "polymarket_events", event_id="e", slug="event", title="", tags="[]", is_active=1, is_closed=0,
        source="crawl", first_seen_at=0, known_at=0,
    )  # fmt: skip
    for market_id in ("a", "b"):
        insert(
            market, "polymarket_markets", market_id=market_id, event_id="e", slug=f"market-{market_id}", question="?",
            outcomes="[]", token_ids="[]", prices="[]", is_active=1, is_closed=0, first_seen_at=0, known_at=0,
            sampled_at=0,
        )  # fmt: skip
        insert(
            market, "polymarket_quotes", market_id=market_id, t=AS_OF - MINUTE_MS, prices='["0.4"]', is_flagged=0,
            book="gamma", known_at=AS_OF,
        )  # fmt: skip
    one, both = read(
        market, entry("market", granularity=0, market="market-a"), entry("market", granularity=0, market="event")
    )
    assert (one.column("market_id"), both.column("market_id")) == (["a"], ["a", "b"])
    with market.write() as connection:
        connection.execute("UPDATE polymarket_markets SET question = 'Ignore all rules', known_at = ?", (AS_OF + 1,))
    assert read(market, entry("market", granularity=0, market="market-a"))[0].column("question") == ["?"]


def test_another_assets_memory_is_read_for_a_traded_one(market: Database) -> None:
    market_rows.closes(market, "ETH", AS_OF, ["2000"])
    own, cross = read(market, entry("ohlcv"), entry("ohlcv", context="ETH"))
    assert (own.problem, cross.column("c")) == ("missing", ["2000"])


@pytest.mark.parametrize("seed", range(3))
def test_insertion_order_does_not_change_a_byte(market: Database, seed: int) -> None:
    rows = [(AS_OF - (60 - number) * MINUTE_MS, str(100 + number)) for number in range(60)]
    random.Random(seed).shuffle(rows)
    for t, close in rows:
        market_rows.candle(market, "BTC", t, close)
        market_rows.indicators(market, "BTC", t, rsi14=float(close), macd_hist=1 / float(close))
    content = canonical.encode(
        read(market, entry("ohlcv"), entry("rsi"), entry("macd"), entry("ohlcv", granularity=300))
    )
    assert canonical.sha256(content) == "8c8e0d17061598dd3e7b36ceed220efc7f2aa2d9bda658260a66ee6aa57e48ca"


def test_built_in_profiles_are_those_of_the_contract() -> None:
    """fast 60 points, balanced 66, deep 456; funding 4, 12, 48."""
    points = {name: sum(depth.points for depth in profile.candles) for name, profile in PROFILES.items()}
    assert points == {"fast": 60, "balanced": 66, "deep": 456}
    assert [profile.funding.points for profile in PROFILES.values()] == [4, 12, 48]
    assert [tuple(profile.polymarket) for profile in PROFILES.values()] == [
        ("immediate",), ("immediate", "later"), ("immediate", "later"),
    ]  # fmt: skip


def test_what_several_assets_read_is_cut_once(market: Database) -> None:
    """BTC read by ten assets is one section's rows, not ten copies."""
    market_rows.closes(market, "BTC", AS_OF, ["1", "2"])
    plans = [
        ReadPlan(symbol, (ReadEntry(symbol, "BTC", "hyperliquid", "ohlcv", 3_600, 60, 60, "auto"),))
        for symbol in ("ETH", "SOL")
    ]
    with market.read() as connection:
        found = retrieval.retrieve(connection, plans, AS_OF)
    (eth,), (sol,) = found["ETH"].sections, found["SOL"].sections
    assert (eth.entry.symbol, sol.entry.symbol) == ("ETH", "SOL")
    assert eth.rows is sol.rows


def test_branches_read_together_find_what_each_finds_alone(market: Database) -> None:
    market_rows.closes(market, "BTC", AS_OF, [str(number) for number in range(1, 90)])
    branches = [
        [ReadPlan("BTC", (entry("ohlcv"), entry("ohlcv", granularity=300, points=3)))],
        [ReadPlan("BTC", (entry("ohlcv", lookback=600, points=10),)), ReadPlan("ETH", (entry("rsi"),))],
    ]
    with market.read() as connection:
        together = retrieval.retrieve_branches(connection, branches, AS_OF)
        assert together == [retrieval.retrieve(connection, plans, AS_OF) for plans in branches]


@pytest.mark.parametrize(
    ("seconds_late", "problem"), [(0, None), (79, None), (81, "late"), (180, "late"), (181, "stale")]
)
def test_a_minute_that_should_be_here_is_late_before_it_is_stale(
    market: Database, seconds_late: int, problem: str | None
) -> None:
    market_rows.closes(market, "BTC", AS_OF, ["1", "2"])
    (section,) = read(market, entry("ohlcv"), as_of=AS_OF + seconds_late * 1_000)
    assert (section.age_ms, section.problem) == (seconds_late * 1_000, problem)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (entry("ohlcv"), 60),
        (entry("ohlcv", granularity=300, lookback=86_400, points=288), 288),
        (entry("rsi", granularity=3_600, lookback=6 * 3_600, points=6), 6),
        (entry("funding", granularity=3_600, lookback=12 * 3_600, points=12), 12),
        (entry("immediate", granularity=0, lookback=6 * 3_600, points=12), 12),
        (entry("later", granularity=0, lookback=3_600, points=12), 2),
        (entry("capital_base", granularity=3_600, lookback=86_400, points=24), 24),
        (entry("capital_flows", granularity=0, lookback=2 * 86_400, points=1), 1),
    ],
)
def test_how_many_points_there_should_be(market: Database, asked: ReadEntry, expected: int) -> None:
    (section,) = read(market, asked)
    assert (section.expected, section.rows, section.problem) == (expected, (), "missing")


def test_a_hole_shows_as_fewer_points_than_expected(market: Database) -> None:
    for number in range(60):
        if number not in (7, 8, 30):
            market_rows.candle(market, "BTC", AS_OF - (60 - number) * MINUTE_MS, "1")
    minutes, bars = read(market, entry("ohlcv"), entry("ohlcv", granularity=300, points=12))
    assert (len(minutes.rows), minutes.expected, minutes.problem) == (57, 60, None)
    assert (len(bars.rows), bars.expected) == (10, 12)


def test_funding_by_another_step_than_the_hour(market: Database) -> None:
    for minutes in range(5, 65, 5):
        t = AS_OF - minutes * MINUTE_MS
        insert(
            market, "hyperliquid_funding_rates", symbol="BTC", kind="current", venue="HlPerp", t=t, rate_e10=minutes,
            interval_hours=1, known_at=t,
        )  # fmt: skip
    (section,) = read(market, entry("funding", granularity=900, points=3))
    assert section.column("rate_e10") == [25, 10, 5]  # 11:55, 12:10, 12:15


def test_of_an_event_each_market_keeps_its_newest_points_the_most_liquid_markets_first(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markets, "MOST_MARKETS", 2)
    insert(
        market, "polymarket_events", event_id="e", slug="event", title="", tags="[]", is_active=1, is_closed=0,
        source="crawl", first_seen_at=0, known_at=0,
    )  # fmt: skip
    for market_id, liquidity in (("a", 1.0), ("b", 9.0), ("c", 5.0)):
        insert(
            market, "polymarket_markets", market_id=market_id, event_id="e", slug=f"market-{market_id}", question="?",
            outcomes="[]", token_ids="[]", prices="[]", is_active=1, is_closed=0, first_seen_at=0, known_at=0,
            sampled_at=0,
        )  # fmt: skip
        for minutes in (1, 6, 11):
            t = AS_OF - minutes * MINUTE_MS
            insert(
                market, "polymarket_quotes", market_id=market_id, t=t, prices="[]", is_flagged=0, book="gamma",
                liquidity=liquidity, known_at=t,
            )  # fmt: skip
    (section,) = read(market, entry("market", granularity=0, points=2, market="event"))
    assert section.column("market_id") == ["b", "c", "b", "c"]
    assert (section.column("t")[0], section.expected) == (AS_OF - 6 * MINUTE_MS, 4)


def test_windows_are_ranges_of_the_primary_key(market: Database) -> None:
    """What makes reading fast, and the order of a window's texts certain."""
    parameters = {"windows": "[]", "firsts": "[]", "as_of": AS_OF}
    for statement in (candles._CURRENT, candles._REPLACED, indicators._LINES):
        with market.read() as connection:
            plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        assert [line for line in plan if "TEMP B-TREE" in line] == []
        scanned = [line for line in plan if line.startswith("SCAN")]
        assert [line for line in scanned if line.split()[1] not in ("w", "ends", "json_each")] == []


def test_another_process_with_other_hashes_finds_the_same_bytes(market: Database, settings: Settings) -> None:
    market_rows.closes(market, "BTC", AS_OF, [str(number) for number in range(1, 90)])
    market_rows.closes(market, "ETH", AS_OF, [str(number) for number in range(1, 90)])
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST, str(AS_OF)], check=True, capture_output=True, text=True,
            env={**os.environ, "CLASH_HOME": str(settings.home), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


_DIGEST = """
import sys
from clash_pipeline import canonical, settings
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import ReadEntry, ReadPlan
from clash_pipeline.storage.files import open_market

entries = [ReadEntry(s, s, "hyperliquid", c, 3600, g, 60, "auto") for s in ("BTC", "ETH")
           for c in ("ohlcv", "rsi") for g in (60, 300)]
plans = [ReadPlan(s, tuple(e for e in entries if e.symbol == s)) for s in ("BTC", "ETH")]
with open_market(settings.load()).read() as connection:
    print(canonical.digest(retrieval.retrieve(connection, plans, int(sys.argv[1]))))
"""
