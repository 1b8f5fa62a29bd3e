"""From the close of a minute to the applied decision: a code server and a daemon, as `clash up` starts them.

So many clones have a sandbox that decides each minute, and as many a race account on the common grid of a minute, which
is filled a minute later. Their market has its next minutes written down already. It runs for a fixed time; what the
processes need to start is part of it, and delays the first minute.
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import Bench, Contender
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import migrate_all
from clash_pipeline.storage.sqlite import Database

ACCOUNTS, SECONDS = 100, 110
DELAY_SEC = {"sandbox": 0, "race": 60}
"""How long after its tick a run may be applied at the earliest."""


class Live(NamedTuple):
    """A home with accounts that are due soon."""

    home: Path
    settings: Settings
    clash: Database
    seconds: int
    figures: dict[str, float]


def benches(quick: bool) -> tuple[Bench, ...]:
    """One contender: what counts are its figures."""
    accounts, seconds = (3, 60) if quick else (ACCOUNTS, SECONDS)
    prepare = partial(_prepared, accounts, seconds)
    title = f"Minute close to applied, {accounts} sandbox and {accounts} race accounts, through the daemon"
    contender = Contender("code server and daemon", "ours", prepare, run, lambda live: live.figures)
    return (Bench("latency", title, "runs", (contender,), 1, is_long=True, has_memory=False),)


def run(live: Live) -> int:
    """Let the processes work, and read what came of the runs."""
    from clash_pipeline.cli import up
    from clash_pipeline.cli.dagster import write_dagster_home
    from clash_pipeline.cli.supervise import Supervisor

    write_dagster_home(live.settings)
    with Supervisor(up.dagster_children(live.settings)[:2], lambda _: None) as supervisor:
        until = time.monotonic() + live.seconds
        while time.monotonic() < until:
            supervisor.look()
            time.sleep(1)
    ended = sum(_read(live, kind) for kind in DELAY_SEC)
    live.clash.close()
    shutil.rmtree(live.home, ignore_errors=True)
    return ended


def _read(live: Live, kind: str) -> int:
    """Note down the times of the applied runs of a kind of account, after their instant; returns how many ended."""
    with live.clash.read() as connection:
        rows = connection.execute(_APPLIED, (kind,)).fetchall()
    took = sorted((row["finished_at"] - row["tick"]) / 1_000 - DELAY_SEC[kind] for row in rows if row["is_applied"])
    found: Mapping[str, float] = {
        "ended": len(rows), "applied": len(took), "late": sum(row["reason"] == "late" for row in rows),
        "p50 s": took[len(took) // 2] if took else float("nan"),
        "p95 s": took[int(len(took) * 0.95)] if took else float("nan"),
    }  # fmt: skip
    live.figures.update({f"{kind} {name}": value for name, value in found.items()})
    return len(rows)


_APPLIED = """
SELECT r.tick, r.reason, r.finished_at,
       r.state = 'completed' AND (r.reason <> 'hold' OR r.fill_at IS NULL) AS is_applied
FROM decision_runs r JOIN prop_accounts a ON a.id = r.account_id
WHERE a.kind = ? AND r.finished_at IS NOT NULL AND r.kind = 'due'
"""


def _prepared(accounts: int, seconds: int) -> Live:
    home = Path(tempfile.mkdtemp(prefix="clash-bench-live-"))
    settings = load(
        {
            "CLASH_HOME": str(home), "CLASH_DAGSTER_GRPC_PORT": str(_free_port()), "CLASH_DECIDE_EVERY_SEC": "5",
            "CLASH_RACE_MIN_CADENCE_SEC": "60", "CLASH_MIN_CADENCE_SEC": "60",
        }
    )  # fmt: skip
    migrate_all(settings)
    return Live(home, settings, _live(settings, accounts, seconds // 60 + 1), seconds, {})


def _live(settings: Settings, count: int, minutes: int) -> Database:
    """Clones of BTC at the machine's time, beside a market whose next minutes are written down already."""
    from clash_pipeline.archive.choice import store_from
    from clash_pipeline.clock import SettableClock, minute_of
    from clash_pipeline.storage.files import open_clash, open_market
    from tests.fakes import market_rows
    from tests.fakes.world import RISING, World

    now_ms = time.time_ns() // 1_000_000
    world = World(settings, SettableClock(now_ms), open_clash(settings), open_market(settings), store_from(settings))
    market_rows.list_asset(world.market, "BTC", sz_decimals=3, max_leverage=40)
    for number in range(count):
        clone_id, _ = world.clone("BTC", name=f"Clone {number}", cadence_sec=60)
        world.race(clone_id)
    for number in range(-5, minutes + 5):
        t = minute_of(now_ms) + number * MINUTE_MS
        market_rows.candle(world.market, "BTC", t, "100", known_at=min(now_ms, t + MINUTE_MS))
        rows: dict[str, Any] = {**RISING, "macd_hist": 0.3 + number / 100}
        market_rows.indicators(world.market, "BTC", t, known_at=min(now_ms, t + MINUTE_MS), **rows)
        market_rows.context(world.market, "BTC", t, mark="100")
    world.market.close()
    return world.clash


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
