"""Days of market memory written straight into the tables: small, seeded, and looking like the venues' own rows."""

import random
from collections.abc import Iterable

from clash_pipeline.archive.catalogue import table_named
from clash_pipeline.archive.tables import Kind
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.storage.sqlite import Database

DAY = 1_753_056_000_000
"""2025-07-21, UTC."""
SYMBOLS = ("@107", "BTC", "PURR/USDC", "kPEPE")


def fill_minutes(
    market: Database,
    day: int = DAY,
    symbols: Iterable[str] = SYMBOLS,
    *,
    minutes: range = range(1_440),
    final: int = 1,
    seed: int = 1,
) -> None:
    """Gapless one-minute candles."""
    _fill_candles(market, "1m", symbols, [day + minute * MINUTE_MS for minute in minutes], final, seed)


def fill_hours(market: Database, day: int = DAY, symbols: Iterable[str] = SYMBOLS, *, final: int = 1) -> None:
    """One-hour candles of a day."""
    _fill_candles(market, "1h", symbols, [day + hour * HOUR_MS for hour in range(24)], final, seed=2)


def fill_any(market: Database, table: str, day: int = DAY, *, rows: int = 60, seed: int = 1) -> None:
    """Rows of any archived table, with NULLs where the table allows them."""
    spec, rng = table_named(table), random.Random(f"{table}{seed}")
    choices = {
        "interval": ["1h" if spec.interval == "1h" else "1m"], "scope": ["global", "chain", "protocol"],
        "kind": ["current", "predicted"], "book": ["gamma"], "origin": ["rest"], "final": [1], "is_flagged": [0, 1],
        "interval_hours": [1, 8],
    }  # fmt: skip
    with market.write() as connection:
        info = {row["name"]: row for row in connection.execute(f"PRAGMA table_info({spec.table})")}
        for number in range(rows):
            cells: dict[str, object] = {}
            for name, kind in {**spec.columns, **({"interval": Kind.TEXT} if spec.interval else {})}.items():
                cells[name] = _cell(rng, name, kind, bool(info[name]["notnull"]), choices)
            cells["t"] = day + (number * 7 * MINUTE_MS) % DAY_MS
            names = ", ".join(cells)
            places = ", ".join(f":{name}" for name in cells)
            connection.execute(f"INSERT OR REPLACE INTO {spec.table} ({names}) VALUES ({places})", cells)


def all_rows(market: Database, table: str) -> list[tuple[object, ...]]:
    """Every row of an archived table, whatever its day, in key order."""
    spec = table_named(table)
    with market.read() as connection:
        cursor = connection.cursor()
        cursor.row_factory = None
        return cursor.execute(spec.select_day, {"from_t": 0, "to_t": 2**60}).fetchall()


def _fill_candles(
    market: Database, interval: str, symbols: Iterable[str], times: list[int], final: int, seed: int
) -> None:
    with market.write() as connection:
        for symbol in symbols:
            rng = random.Random(f"{symbol}{seed}")
            decimals = rng.choice((1, 2, 5, 8))
            price, rows = rng.randint(10_000, 99_999), []
            for t in times:
                opened, price = price, max(price + rng.randint(-9, 9), 100)
                high, low = max(opened, price) + rng.randint(0, 5), min(opened, price) - rng.randint(0, 5)
                volume = _decimal(rng.randint(0, 10**7), 3)
                prices = [_decimal(value, decimals) for value in (opened, high, low, price)]
                rows.append((symbol, interval, t, *prices, volume, rng.randint(0, 50), "stream", final, t + 65_123))
            connection.executemany("INSERT INTO hyperliquid_candles VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)


def _decimal(number: int, decimals: int) -> str:
    """As Hyperliquid writes it: no trailing zeros but one after the point."""
    whole, fraction = divmod(number, 10**decimals)
    return f"{whole}.{str(fraction).zfill(decimals).rstrip('0') or '0'}"


def _cell(rng: random.Random, name: str, kind: Kind, is_needed: bool, choices: dict[str, list[object]]) -> object:
    if name in choices:
        return rng.choice(choices[name])
    if not is_needed and rng.random() < 0.3:
        return None
    if name in {"known_at", "superseded_at", "end_at", "next_funding_at"}:
        return DAY + rng.randint(0, DAY_MS)
    if kind is Kind.INT:
        return rng.randint(-(10**12), 10**12)
    if kind is Kind.REAL:
        return rng.choice((0.0, -1.5, 1e-9, 1e300, rng.random() * 1e9))
    if name in {"symbol", "subject", "market_id", "venue"}:
        return f"{name}-{rng.randint(0, 9)}"
    return rng.choice(
        (_decimal(rng.randint(0, 10**9), 4), '["0.5", "0.5"]', "", "naïve – 试 \U0001f680", "-0.0", "1e-9")
    )
