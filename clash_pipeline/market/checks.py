"""What must be true of the market memory, as verdicts: each check asks one question of the rows and says how bad it is.

Severities: `error` is wrong data or data that cannot come back, `warn` is late or being repaired. A check that has
nothing to look at passes and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, hour_of, iso
from clash_pipeline.market.spans import Span
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

if TYPE_CHECKING:
    import polars as pl

    from clash_pipeline.archive.stores import ArtifactStore

Severity = Literal["warn", "error"]

COVERAGE_WARN, COVERAGE_ERROR = 0.98, 0.80
STALE_ERROR_FACTOR = 5
"""A stream this many times older than its limit is an error; before that it is a warning."""
EXAMPLES = 10


@dataclass(frozen=True)
class Verdict:
    """The answer of a check; `examples` are the first offending rows, with `columns` as their header."""

    passed: bool
    summary: str
    severity: Severity = "error"
    figures: dict[str, int | float | str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    examples: tuple[tuple[object, ...], ...] = ()


def gaps(connection: Connection, span: Span) -> Verdict:
    """Whether every minute between a symbol's first and last is there, or is listed as a gap.

    A hole that nobody listed is an error, because nobody will repair it; one that is open or lost is a warning.
    """
    listed = connection.execute(_LISTED_GAPS, span._asdict()).fetchall()
    holes = [tuple(row) for row in connection.execute(_UNLISTED_HOLES, span._asdict())]
    open_minutes = sum(row["minutes"] for row in listed if row["state"] == "open")
    lost_minutes = sum(row["minutes"] for row in listed if row["state"] == "lost")
    unlisted = sum(int(hole[2]) for hole in holes)
    worst = holes or [(row["symbol"], row["first"], row["minutes"]) for row in listed]
    return Verdict(
        passed=not holes and not open_minutes and not lost_minutes,
        summary=f"{unlisted} minutes missing and not listed, {open_minutes} being repaired, {lost_minutes} lost",
        severity="error" if holes else "warn",
        figures={"unlisted_minutes": unlisted, "open_minutes": open_minutes, "lost_minutes": lost_minutes},
        columns=("symbol", "from", "minutes"),
        examples=tuple((symbol, iso(int(t)), minutes) for symbol, t, minutes in worst[:EXAMPLES]),
    )


def staleness(connection: Connection, now_ms: int, stale_after_ms: int) -> Verdict:
    """Whether the newest closed minute of any symbol ended recently enough."""
    newest = connection.execute(_NEWEST_MINUTE).fetchone()["newest"]
    if newest is None:
        return Verdict(False, "there are no one-minute candles at all")
    age_ms = max(now_ms - (newest + MINUTE_MS), 0)
    return Verdict(
        passed=age_ms <= stale_after_ms,
        summary=f"the newest minute ended {age_ms / 1000:,.0f} s ago; the limit is {stale_after_ms / 1000:,.0f} s",
        severity="error" if age_ms > STALE_ERROR_FACTOR * stale_after_ms else "warn",
        figures={"age_sec": age_ms / 1000, "newest": iso(newest)},
    )


def ohlc_sanity(connection: Connection, span: Span) -> Verdict:
    """Whether each candle is possible: positive, nothing outside low and high, a flat row without any trade."""
    wrong = [tuple(row) for row in connection.execute(_IMPOSSIBLE_CANDLES, span._asdict())]
    return Verdict(
        passed=not wrong,
        summary=f"{len(wrong):,} impossible candles",
        figures={"impossible": len(wrong)},
        columns=("symbol", "interval", "t", "o", "h", "l", "c", "v", "n"),
        examples=tuple(wrong[:EXAMPLES]),
    )


def duplicate_keys(connection: Connection, span: Span) -> Verdict:
    """Whether each symbol has at most one candle that opens inside an interval, exactly at its start."""
    doubled = [tuple(row) for row in connection.execute(_DUPLICATES, span._asdict())]
    return Verdict(
        passed=not doubled,
        summary=f"{len(doubled):,} intervals with a second or misplaced candle",
        figures={"doubled": len(doubled)},
        columns=("symbol", "interval", "opens", "candles"),
        examples=tuple(doubled[:EXAMPLES]),
    )


def coverage(connection: Connection, span: Span, expected: Sequence[str]) -> Verdict:
    """Which share of the assets that should have minutes has any in the range."""
    present = {row["symbol"] for row in connection.execute(_SYMBOLS_WITH_MINUTES, span._asdict())}
    missing = sorted(set(expected) - present)
    share = 1 - len(missing) / len(expected) if expected else 1.0
    return Verdict(
        passed=share >= COVERAGE_WARN,
        summary=f"{len(expected) - len(missing)} of {len(expected)} assets have candles",
        severity="error" if share < COVERAGE_ERROR else "warn",
        figures={"coverage": round(share, 4), "missing": len(missing)},
        columns=("missing",),
        examples=tuple((symbol,) for symbol in missing[:EXAMPLES]),
    )


def rollup_equals_source(connection: Connection, span: Span) -> Verdict:
    """Whether each final hour equals what its sixty final minutes make; hours without their minutes are not judged."""
    import polars as pl

    from clash_pipeline.market import candles, rollup

    begin, end = hour_of(span.from_t), hour_of(span.to_t)
    minutes = candles.frame(connection, interval="1m", from_t=begin, to_t=end, final_only=True)
    stored = candles.frame(connection, interval="1h", from_t=begin, to_t=end, final_only=True)
    whole = minutes.group_by("symbol", t=pl.col("t") - pl.col("t") % HOUR_MS).len().filter(pl.col("len") == 60)
    judged = stored.join(whole, on=["symbol", "t"], how="semi")
    made = rollup.hours(minutes.join(whole, left_on=["symbol", _hour()], right_on=["symbol", "t"], how="semi"))
    wrong = _differing(judged, made)
    return Verdict(
        passed=not wrong,
        summary=f"{len(wrong):,} of {judged.height:,} final hours differ from their minutes",
        figures={"judged": judged.height, "differing": len(wrong)},
        columns=("symbol", "t", "field", "stored", "made"),
        examples=tuple(wrong[:EXAMPLES]),
    )


def indicator_rows(market: Database, spans: Sequence[Span]) -> list[tuple[object, ...]]:
    """Every indicator row of some ranges without its `known_at`, to be compared with another reading."""
    with market.read() as connection:
        rows = [row for span in spans for row in connection.execute(_INDICATOR_ROWS, span._asdict())]
    return [tuple(row) for row in rows]


def equals_what_was_written(before: Sequence[tuple[object, ...]], after: Sequence[tuple[object, ...]]) -> Verdict:
    """Whether indicator rows that were there are the same bits after they were made again; new rows are not judged."""
    made = {row[:2]: row for row in after}
    differing = [row for row in before if made.get(row[:2]) != row]
    return Verdict(
        passed=not differing,
        summary=f"{len(differing):,} of {len(before):,} rows differ when made again; {len(after) - len(before):,} new",
        figures={"judged": len(before), "differing": len(differing)},
        columns=("symbol", "t", "rsi14 as it was", "rsi14 made again"),
        examples=tuple((row[0], row[1], row[2], made.get(row[:2], (None,) * 3)[2]) for row in differing[:EXAMPLES]),
    )


def archive_equals_source(
    market: Database, store: "ArtifactStore", table: str, days: Sequence[int], now_ms: int
) -> Verdict:
    """Whether each archived day reads back whole, and equals what SQLite still holds of it."""
    from clash_pipeline.archive import partitions
    from clash_pipeline.archive.readiness import PartitionRefused
    from clash_pipeline.archive.stores import StoreError

    wrong: list[tuple[object, ...]] = []
    rows = 0
    for day in days:
        try:
            partition = partitions.verify_day(market, store, table, day, now_ms)
        except (PartitionRefused, StoreError) as problem:
            wrong.append((iso(day), str(problem)))
            continue
        rows += partition.row_count
        if not partition.may_lack_hot_rows:
            count, content_hash = partitions.hot_content(market, table, day)
            if (count, content_hash) != (partition.row_count, partition.content_hash):
                wrong.append((iso(day), f"{partition.row_count:,} rows archived, {count:,} other rows in SQLite"))
    return Verdict(
        passed=not wrong,
        summary=f"{len(days) - len(wrong)} of {len(days)} days read back and equal",
        figures={"days": len(days), "rows": rows},
        columns=("day", "problem"),
        examples=tuple(wrong[:EXAMPLES]),
    )


def channel_is_fresh(connection: Connection, settings: Settings, source: str, channel: str, now_ms: int) -> Verdict:
    """What the health page says of a channel; a channel that never ran or only is late is a warning."""
    from clash_pipeline.market import health

    found = next(
        (c for c in health.read(connection, settings, now_ms) if (c.source, c.channel) == (source, channel)), None
    )
    if found is None:
        return Verdict(False, f"{source}.{channel} is not a channel of this system")
    return Verdict(
        passed=found.is_good,
        summary=found.sentence,
        severity="error" if found.status == "failed" else "warn",
        figures={"status": found.status, "rows_per_hour": found.rows_per_hour},
    )


# how rows are compared, and the questions as SQL


def _hour() -> "pl.Expr":
    import polars as pl

    return pl.col("t") - pl.col("t") % HOUR_MS


def _differing(stored: "pl.DataFrame", made: "pl.DataFrame") -> list[tuple[object, ...]]:
    """Prices compare as numbers: the same value may be written in two ways."""
    import polars as pl

    both = stored.join(made, on=["symbol", "t"], how="left", suffix="_made")
    wrong: list[tuple[object, ...]] = []
    for name in ("o", "h", "l", "c", "v", "n"):
        one, other = pl.col(name).cast(pl.Float64), pl.col(f"{name}_made").cast(pl.Float64)
        differs = both.filter(one.ne_missing(other)).select("symbol", "t", name, f"{name}_made")
        wrong += [(symbol, iso(t), name, was, now) for symbol, t, was, now in differs.iter_rows()]
    return wrong


_LISTED_GAPS = """
SELECT symbol, state, max(from_t, :from_t) AS first, (min(to_t, :to_t) - max(from_t, :from_t)) / 60000 AS minutes
FROM candle_gaps
WHERE state <> 'repaired' AND from_t < :to_t AND to_t > :from_t AND reason <> 'confirm'
ORDER BY minutes DESC
"""

# From one minute of a symbol to its next: more than a minute apart, and no gap row that covers the way.
_UNLISTED_HOLES = """
WITH steps AS (
  SELECT symbol, t, lead(t) OVER (PARTITION BY symbol ORDER BY t) AS next_t
  FROM hyperliquid_candles WHERE interval = '1m' AND t >= :from_t AND t < :to_t
)
SELECT symbol, t + 60000 AS first, (next_t - t) / 60000 - 1 AS minutes FROM steps
WHERE next_t > t + 60000 AND NOT EXISTS (
  SELECT 1 FROM candle_gaps AS g
  WHERE g.symbol = steps.symbol AND g.state <> 'repaired' AND g.from_t <= steps.t + 60000 AND g.to_t >= steps.next_t
)
ORDER BY minutes DESC
"""

_NEWEST_MINUTE = """
SELECT max(newest) AS newest FROM (
  SELECT (SELECT max(t) FROM hyperliquid_candles WHERE symbol = a.symbol AND interval = '1m') AS newest
  FROM hyperliquid_assets AS a
)
"""

_IMPOSSIBLE_CANDLES = """
SELECT symbol, interval, t, o, h, l, c, v, n FROM hyperliquid_candles
WHERE t >= :from_t AND t < :to_t AND (
     CAST(l AS REAL) <= 0 OR CAST(h AS REAL) < CAST(l AS REAL)
  OR CAST(o AS REAL) NOT BETWEEN CAST(l AS REAL) AND CAST(h AS REAL)
  OR CAST(c AS REAL) NOT BETWEEN CAST(l AS REAL) AND CAST(h AS REAL)
  OR CAST(v AS REAL) < 0 OR n < 0
  OR (origin = 'flat' AND (n <> 0 OR CAST(v AS REAL) <> 0 OR o <> c OR h <> l))
)
ORDER BY symbol, t
"""

_DUPLICATES = """
SELECT symbol, interval, min(t) AS opens, count(*) AS candles FROM hyperliquid_candles
WHERE t >= :from_t AND t < :to_t
GROUP BY symbol, interval, t / iif(interval = '1m', 60000, 3600000)
HAVING count(*) > 1 OR min(t) % iif(interval = '1m', 60000, 3600000) <> 0
ORDER BY symbol, opens
"""

_INDICATOR_ROWS = """
SELECT symbol, t, rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist
FROM hyperliquid_technical_indicators WHERE t >= :from_t AND t < :to_t ORDER BY symbol, t
"""

_SYMBOLS_WITH_MINUTES = """
SELECT symbol FROM hyperliquid_assets AS a WHERE EXISTS (
  SELECT 1 FROM hyperliquid_candles AS k
  WHERE k.symbol = a.symbol AND k.interval = '1m' AND k.t >= :from_t AND k.t < :to_t
)
"""
