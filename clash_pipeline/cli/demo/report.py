"""What the demo tells at its end: what came in, what was repaired, who traded, whether it all holds, where to look."""

import time
from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.demo import accounts, arena_report
from clash_pipeline.cli.output import table
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    from clash_pipeline.cli.demo.story import Story
    from clash_pipeline.storage.sqlite import Connection

COMPARED = 20
KEPT = """
SELECT '1-minute candles' AS what, count(*), min(t), max(t) FROM hyperliquid_candles WHERE interval = '1m'
UNION ALL SELECT '1-hour candles', count(*), min(t), max(t) FROM hyperliquid_candles WHERE interval = '1h'
UNION ALL SELECT 'indicators', count(*), min(t), max(t) FROM hyperliquid_technical_indicators
UNION ALL SELECT 'funding rates', count(*), min(t), max(t) FROM hyperliquid_funding_rates
UNION ALL SELECT 'asset contexts', count(*), min(t), max(t) FROM hyperliquid_asset_ctxs
UNION ALL SELECT 'Polymarket markets', count(*), min(known_at), max(known_at) FROM polymarket_markets
UNION ALL SELECT 'DefiLlama capital base', count(*), min(t), max(t) FROM defillama_capital_base
UNION ALL SELECT 'DefiLlama capital flows', count(*), min(t), max(t) FROM defillama_capital_flows
UNION ALL SELECT 'DefiLlama throughput', count(*), min(t), max(t) FROM defillama_economic_throughput
"""


def show(story: "Story") -> bool:
    """Print the report; whether everything in it holds."""
    typer.echo("")
    with story.services.market.read() as connection:
        _memory(connection)
        _repairs(story, connection)
        _health(story, connection)
    is_equal = _compare_with_venue(story)
    _dagster(story)
    accounts.show(story)
    if story.play.is_over:
        arena_report.show(story)
    is_clean = _books(story)
    _where_next(story)
    return is_equal and is_clean


def _memory(connection: "Connection") -> None:
    rows = []
    for what, count, first, last in connection.execute(KEPT):
        span = None if first is None else f"{iso(first)[:16]} to {iso(last)[:16]}"
        rows.append((what, f"{count:,}", span))
    table("In market memory", ("what", "rows>", "from, to (UTC)"), rows)


def _repairs(story: "Story", connection: "Connection") -> None:
    gaps = connection.execute(
        """
        SELECT reason, state, count(*) AS gaps, sum((to_t - from_t) / 60000) AS minutes
        FROM candle_gaps GROUP BY reason, state ORDER BY reason, state
        """
    ).fetchall()
    typer.echo(f"\nFaults of the venue: {'; '.join(story.faults) or 'none'}")
    table("What was missed, and what became of it", ("reason", "state", "gaps>", "minutes>"), [tuple(g) for g in gaps])


def _health(story: "Story", connection: "Connection") -> None:
    from clash_pipeline.market import health

    channels = health.read(connection, story.settings, story.services.clock.now_ms())
    rows = [(c.name, c.status, c.age_sec, c.rows_per_hour, _share(c.coverage), c.lag_p50_ms) for c in channels]
    typer.echo("")
    table("Health", ("channel", "status", "age s>", "rows/h>", "coverage>", "lag p50 ms>"), rows)


def _compare_with_venue(story: "Story") -> bool:
    """Ask the venue for its own history of the last hours and compare every final minute with it."""
    import asyncio

    compared, different = asyncio.run(_differences(story))
    verdict = "all equal" if not different else f"{different} differ"
    typer.echo(f"\n{compared:,} final minutes of up to {COMPARED} assets against the venue's own history: {verdict}")
    return different == 0 and compared > 0


async def _differences(story: "Story") -> tuple[int, int]:
    import httpx
    import msgspec

    from clash_pipeline.market import candles
    from clash_pipeline.market.hyperliquid.wire import decode_candles

    now_ms = story.services.clock.now_ms()
    with story.services.market.read() as connection:
        stored = {
            symbol: {row.t: row for row in candles.read(connection, symbol, interval="1m", from_t=0, to_t=now_ms)}
            for symbol in candles.followed(connection)
        }
    compared = different = 0
    async with httpx.AsyncClient(timeout=30) as client:
        for symbol, mine in sorted(stored.items())[:COMPARED]:
            request = {"coin": symbol, "interval": "1m", "startTime": min(mine), "endTime": now_ms}
            body = msgspec.json.encode({"type": "candleSnapshot", "req": request})
            story.driver.controls.advance(story.driver.controls.now_ms() + 10_000)
            answer = await client.post(f"{story.driver.controls.base_url}/info", content=body)
            for candle in decode_candles(answer.content):
                row = mine.get(candle.t)
                if row is not None and row.final:
                    compared += 1
                    different += not candles.same_values(row.candle, candle)
    return compared, different


def _dagster(story: "Story") -> None:
    by: dict[str, list[int]] = {}
    for where, runs in story.waves:
        by.setdefault(where, []).append(runs)
    typer.echo("")
    rows: list[tuple[object, ...]] = [(title, took) for title, took in story.backfills]
    rows += [(f"{len(runs)} decision waves by {where}", f"{sum(runs)} runs") for where, runs in sorted(by.items())]
    with story.services.market.read() as connection:
        for row in connection.execute(_ARCHIVED):
            rows.append((f"archive of {row['table_name']} {row['day']}", f"{row['row_count']:,} rows, {row['state']}"))
    table("Through Dagster and the worker", ("what", "how much>"), rows)


def _books(story: "Story") -> bool:
    """Every invariant, as `clash audit` checks them."""
    from clash_pipeline.cli.demo.story import run

    done = run(story, "audit")
    typer.secho(f"\nAudit: {done.stdout.strip()}", bold=True)
    return done.returncode == 0


def _where_next(story: "Story") -> None:
    clash = f"CLASH_HOME={story.settings.home} .venv/bin/clash"
    typer.echo(
        f"""
Where to look next (it took {time.monotonic() - story.started:.0f} s):
  {clash} ui                   Dagster's pages of all this, at http://127.0.0.1:3000
      /asset-groups lineage   /runs every wave and materialization   /runs?view=backfills the backfill
      /assets/prop_accounts the accounts, with their equity as a picture
  {clash} prop account 1       an account, its fills and its ledger
  {clash} decisions list       every decision; `decisions show N` what it read and what the gates said
  {clash} model spending       what models took of each budget
  {clash} serve                the pages: the Arena, races, the Hall of Fame, at http://127.0.0.1:8787
  {clash} market candles BTC   the market memory
  {clash} archive list         what left SQLite"""
    )


def _share(part: float | None) -> str | None:
    return None if part is None else f"{part:.0%}"


_ARCHIVED = """
SELECT table_name, strftime('%Y-%m-%d', day / 1000, 'unixepoch') AS day, row_count,
       CASE WHEN pruned_at IS NOT NULL THEN 'pruned'
            WHEN verified_at IS NOT NULL THEN 'verified' ELSE 'written' END AS state
FROM archived_partitions ORDER BY table_name, day
"""
