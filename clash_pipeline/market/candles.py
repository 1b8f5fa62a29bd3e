"""Candles of Hyperliquid: what a sane one is, and the one table they live in.

Prices and volumes stay the venue's decimal text. Ranges are half-open, `[from_t, to_t)`, in epoch ms.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import PRICE_DECIMALS, PRICE_SIGNIFICANT_FIGURES, Grid

if TYPE_CHECKING:
    import polars as pl

INTERVAL_MS = {"1m": MINUTE_MS, "1h": HOUR_MS}

# Fifteen digits at most, so that comparing prices as floats is exact; volumes may carry float artefacts (sources 1.3).
_FORM = re.compile(
    r"(?:(?=[0-9.]{1,16} )[0-9]{1,12}(?:\.[0-9]{1,12})? ){4}[0-9]{1,18}(?:\.[0-9]{1,20})?",
    re.ASCII,
)
_VOLUME = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,20})?", re.ASCII)


class Candle(NamedTuple):
    """One candle as the venue writes it: `t` is the open time, `v` is in base units, `n` counts trades."""

    symbol: str
    t: int
    o: str
    h: str
    l: str  # noqa: E741  # the venue's own key
    c: str
    v: str
    n: int


class StoredCandle(NamedTuple):
    """A candle with what the memory knows about it; a superseded version reads as not final."""

    symbol: str
    t: int
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    v: str
    n: int
    origin: str
    final: int
    known_at: int

    @property
    def candle(self) -> Candle:
        """The candle alone."""
        return Candle._make(self[:8])


class Written(NamedTuple):
    """What `store` did: new rows, rows whose values or finality changed, rows left alone, and refused corrections.

    `revalued` are the candles that replaced other values: whatever was derived from them is out of date.
    """

    inserted: int
    changed: int
    unchanged: int
    conflicts: tuple[Candle, ...]
    revalued: tuple[Candle, ...]


def problem(candle: Candle, interval_ms: int = MINUTE_MS, grid: Grid | None = None) -> str | None:
    """The stable code of the first thing wrong with a candle, or None (09 §5.1.6, §6.6).

    With a `grid`, every price must lie on the asset's tick.
    """
    _, t, o, h, l, c, v, n = candle  # noqa: E741
    if t < 0 or t % interval_ms:
        return "off_interval"
    if n < 0:
        return "bad_count"
    if _FORM.fullmatch(f"{o} {h} {l} {c} {v}") is None:
        return _form_problem(candle)
    opened, high, low, closed = float(o), float(h), float(l), float(c)
    if low <= 0:
        return "not_positive"
    if high < low:
        return "high_below_low"
    if not (low <= opened <= high and low <= closed <= high):
        return "outside_range"
    if grid is not None and not all(is_on_tick(price, grid) for price in {o, h, l, c}):
        return "off_tick"
    return None


def problem_after(candle: Candle, before: Candle, interval_ms: int = MINUTE_MS, grid: Grid | None = None) -> str | None:
    """The same as `problem` for a later state of a sane candle: what did not change need not be looked at again."""
    if candle.o != before.o or candle.h != before.h or candle.l != before.l or candle.t != before.t or candle.n < 0:
        return problem(candle, interval_ms, grid)
    close = candle.c
    if close != before.c and close not in (before.o, before.h, before.l):
        return problem(candle, interval_ms, grid)
    return None if _VOLUME.fullmatch(candle.v) else "bad_volume"


def is_on_tick(price: str, grid: Grid) -> bool:
    """Whether a well-formed price text is whole, or has few enough figures and decimals (sources 1.8)."""
    whole, _, fraction = price.partition(".")
    fraction = fraction.rstrip("0")
    if not fraction:
        return True
    if len(fraction) > PRICE_DECIMALS[grid.kind] - grid.sz_decimals:
        return False
    return len((whole + fraction).lstrip("0")) <= PRICE_SIGNIFICANT_FIGURES


def flat(symbol: str, t: int, close: str) -> Candle:
    """The row of a minute without trades, as the venue's own history writes it."""
    return Candle(symbol, t, close, close, close, close, "0.0", 0)


def store(
    connection: Connection,
    candles: Sequence[Candle],
    *,
    interval: str = "1m",
    origin: str,
    final: bool,
    known_at: int,
) -> Written:
    """Write candles; doing it again, or in another order, leaves the same rows.

    A final row never changes: a differing candle comes back in `conflicts`, unless it is only an older running state.
    Finality is gained, never lost. Among rows that are not final, one with fewer trades is older and does not count. A
    row that only becomes final keeps its `known_at`, because its values were known all along.
    """
    tail = (interval, origin, int(final), known_at)
    there = _insert(connection, candles, tail)
    inserted = len(candles) - len(there)
    if not there:
        return Written(inserted, 0, 0, (), ())
    return _merge(connection, there, inserted, tail)


def read(
    connection: Connection, symbol: str, *, interval: str, from_t: int, to_t: int, as_of: int | None = None
) -> list[StoredCandle]:
    """Candles of one symbol, oldest first; with `as_of`, as they were known then and none that was known later."""
    parameters = {"symbol": symbol, "interval": interval, "from_t": from_t, "to_t": to_t, "as_of": as_of}
    rows = connection.execute(_READ if as_of is None else _READ_AS_OF, parameters)
    return [StoredCandle._make(row) for row in rows]


def frame(
    connection: Connection,
    *,
    interval: str,
    from_t: int,
    to_t: int,
    symbols: Collection[str] | None = None,
    as_of: int | None = None,
    final_only: bool = False,
) -> "pl.DataFrame":
    """The candles of all (or some) symbols as a frame with the fields of `StoredCandle`, by symbol and time."""
    import polars as pl

    wanted = followed(connection) if symbols is None else sorted(symbols)
    parameters = {
        "symbols": msgspec.json.encode(wanted).decode(), "interval": interval, "from_t": from_t, "to_t": to_t,
        "as_of": as_of, "final_only": int(final_only),
    }  # fmt: skip
    cursor = connection.cursor()
    cursor.row_factory = None
    rows = cursor.execute(_FRAME if as_of is None else _FRAME_AS_OF, parameters).fetchall()
    text, number = pl.String, pl.Int64
    kinds = (text, number, text, text, text, text, text, number, text, number, number)
    return pl.DataFrame(rows, schema=dict(zip(StoredCandle._fields, kinds, strict=True)), orient="row")


def followed(connection: Connection) -> list[str]:
    """Every symbol that has candles, in order; steps from one to the next instead of scanning the table."""
    rows = connection.execute(
        """
        WITH RECURSIVE present(symbol) AS (
          SELECT min(symbol) FROM hyperliquid_candles
          UNION ALL
          SELECT (SELECT min(symbol) FROM hyperliquid_candles WHERE symbol > present.symbol)
          FROM present WHERE present.symbol IS NOT NULL
        )
        SELECT symbol FROM present WHERE symbol IS NOT NULL
        """
    )
    return [row[0] for row in rows]


def same_values(one: Candle, other: Candle) -> bool:
    """Whether two candles say the same, whatever way their decimals are written."""
    if one[2:] == other[2:]:
        return True
    return one.n == other.n and [float(text) for text in one[2:7]] == [float(text) for text in other[2:7]]


# what is wrong with the form


def _form_problem(candle: Candle) -> str:
    prices = (candle.o, candle.h, candle.l, candle.c)
    if any(re.fullmatch(r"[0-9]+(\.[0-9]+)?", price, re.ASCII) is None for price in prices):
        return "bad_price"
    if any(_FORM.fullmatch(f"{price} 1 1 1 0") is None for price in prices):
        return "price_too_long"
    return "bad_volume"


# merging with rows that are already there

_Tail = tuple[str, str, int, int]
"""What all rows of a batch share: interval, origin, final and known_at."""


def _insert(connection: Connection, candles: Iterable[Candle], tail: _Tail) -> list[Candle]:
    """Insert what is new; returns the candles whose minute was there already."""
    there: list[Candle] = []

    def rows() -> Iterator[tuple[object, ...]]:
        for candle in candles:
            changes = connection.total_changes
            yield candle + tail
            if connection.total_changes == changes:  # SQLite is done with a row when it asks for the next one
                there.append(candle)

    connection.executemany(_INSERT, rows())
    return there


def _merge(connection: Connection, candles: Sequence[Candle], inserted: int, tail: _Tail) -> Written:
    interval, origin, final, _ = tail
    replacing: dict[tuple[str, int], Candle] = {}
    finishing: dict[tuple[str, int], Candle] = {}
    conflicts: list[Candle] = []
    present = _present(connection, candles, interval)
    for candle in candles:
        key = candle[:2]
        stored, is_final = present[key]
        if same_values(stored, candle):
            if final and not is_final:
                finishing[key] = candle
        elif is_final:
            if final or candle.n > stored.n:
                conflicts.append(candle)
        elif final or origin == "rollup" or candle.n >= stored.n:
            replacing[key] = candle
            finishing.pop(key, None)
            present[key] = candle, final
    connection.executemany(_REPLACE, [candle + tail for candle in replacing.values()])
    connection.executemany(_FINISH, [(origin, symbol, interval, t) for symbol, t in finishing])
    changed = len(replacing) + len(finishing)
    unchanged = len(candles) - changed - len(conflicts)
    return Written(inserted, changed, max(unchanged, 0), tuple(conflicts), tuple(replacing.values()))


def _present(
    connection: Connection, candles: Iterable[Candle], interval: str
) -> dict[tuple[str, int], tuple[Candle, int]]:
    """The stored rows of these candles' minutes, and whether each is final."""
    runs = msgspec.json.encode(_runs(candles, INTERVAL_MS[interval])).decode()
    cursor = connection.cursor()
    cursor.row_factory = None
    rows = cursor.execute(_PRESENT, {"runs": runs, "interval": interval})
    return {row[:2]: (Candle._make(row[:8]), row[8]) for row in rows}


def _runs(candles: Iterable[Candle], interval_ms: int) -> list[tuple[str, int, int]]:
    """The ranges `(symbol, from_t, to_t)` that neighbours in time make up, in the order given."""
    runs: list[tuple[str, int, int]] = []
    for candle in candles:
        symbol, t = candle[:2]
        if runs and runs[-1][0] == symbol and runs[-1][2] == t:
            runs[-1] = (symbol, runs[-1][1], t + interval_ms)
        else:
            runs.append((symbol, t, t + interval_ms))
    return runs


_INSERT = """
INSERT INTO hyperliquid_candles (symbol, t, o, h, l, c, v, n, interval, origin, final, known_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_PRESENT = """
SELECT k.symbol, k.t, k.o, k.h, k.l, k.c, k.v, k.n, k.final
FROM json_each(:runs) AS wanted CROSS JOIN hyperliquid_candles AS k
  ON k.symbol = wanted.value ->> 0 AND k.interval = :interval
  AND k.t >= wanted.value ->> 1 AND k.t < wanted.value ->> 2
"""
_REPLACE = """
UPDATE hyperliquid_candles SET o = ?3, h = ?4, l = ?5, c = ?6, v = ?7, n = ?8, origin = ?10, final = ?11, known_at = ?12
WHERE symbol = ?1 AND interval = ?9 AND t = ?2 AND final = 0
"""
_FINISH = """
UPDATE hyperliquid_candles SET final = 1, origin = ? WHERE symbol = ? AND interval = ? AND t = ? AND final = 0
"""

# What was said of a symbol's candles; the second one adds the versions that were current at :as_of.
_READ = """
SELECT symbol, t, o, h, l, c, v, n, origin, final, known_at FROM hyperliquid_candles
WHERE symbol = :symbol AND interval = :interval AND t >= :from_t AND t < :to_t
ORDER BY t
"""
_READ_AS_OF = """
SELECT symbol, t, o, h, l, c, v, n, origin, final, known_at FROM hyperliquid_candles
WHERE symbol = :symbol AND interval = :interval AND t >= :from_t AND t < :to_t AND known_at <= :as_of
UNION ALL
SELECT symbol, t, o, h, l, c, v, n, origin, 0, known_at FROM hyperliquid_candle_versions
WHERE symbol = :symbol AND interval = :interval AND t >= :from_t AND t < :to_t
  AND known_at <= :as_of AND superseded_at > :as_of
ORDER BY t
"""

# The same for a JSON list of symbols; CROSS JOIN keeps the list outermost, so that each symbol is one range of the key.
_FRAME = """
SELECT k.symbol, k.t, k.o, k.h, k.l, k.c, k.v, k.n, k.origin, k.final, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_candles AS k
  ON k.symbol = wanted.value AND k.interval = :interval AND k.t >= :from_t AND k.t < :to_t
WHERE k.final >= :final_only
ORDER BY wanted.key, k.t
"""
_FRAME_AS_OF = """
SELECT k.symbol, k.t, k.o, k.h, k.l, k.c, k.v, k.n, k.origin, k.final, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_candles AS k
  ON k.symbol = wanted.value AND k.interval = :interval AND k.t >= :from_t AND k.t < :to_t
WHERE k.known_at <= :as_of AND k.final >= :final_only
UNION ALL
SELECT k.symbol, k.t, k.o, k.h, k.l, k.c, k.v, k.n, k.origin, 0, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_candle_versions AS k
  ON k.symbol = wanted.value AND k.interval = :interval AND k.t >= :from_t AND k.t < :to_t
WHERE k.known_at <= :as_of AND k.superseded_at > :as_of AND :final_only = 0
ORDER BY 1, 2
"""
