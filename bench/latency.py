"""From the close of a minute to the applied decision: a code server and a daemon, as `clash up` starts them.

So many clones have a sandbox that decides each minute, and as many a race account on the common grid of a minute, which
is filled a minute later. Their accounts open when the processes are ready, which one clone of its own shows: its
decision was applied. Then a fixed number of minutes counts, and the bench ends when all their runs have.
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import Bench, Contender
from clash_pipeline.clock import MINUTE_MS, SettableClock, minute_of
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import one

ACCOUNTS, TICKS = 100, 2
READY_WITHIN_SEC, ENDED_WITHIN_SEC = 120, 110
"""What starting may take, and the runs of the last minute after it."""
DELAY_SEC = {"sandbox": 0, "race": 60}
"""How long after its tick a run may be applied at the earliest."""
MINUTES_AHEAD = 10


class Live(NamedTuple):
    """A home whose market goes on by itself, and one clone that is due; `accounts` more of each kind come later."""

    home: Path
    settings: Settings
    accounts: int
    ticks: int
    figures: dict[str, float]


def benches(quick: bool) -> tuple[Bench, ...]:
    """One contender: what counts are its figures."""
    accounts, ticks = (3, 1) if quick else (ACCOUNTS, TICKS)
    title = f"Minute close to applied, {accounts} sandbox and {accounts} race accounts, through the daemon"
    contender = Contender(
        "code server and daemon", "ours", partial(_prepared, accounts, ticks), run, lambda live: live.figures
    )
    return (Bench("latency", title, "runs", (contender,), 1, is_long=True, has_memory=False),)


def run(live: Live) -> int:
    """Let the processes work on some minutes, and read what came of their runs.

    Raises:
        RuntimeError: the first decision was not applied in time: the processes do not work here.
    """
    from clash_pipeline.cli import up
    from clash_pipeline.cli.supervise import Supervisor

    try:
        with Supervisor(up.dagster_children(live.settings)[:2], lambda _: None) as supervisor:
            started = time.monotonic()
            if not _waited(supervisor.look, lambda: _ended(live.settings, 0) > 0, READY_WITHIN_SEC):
                raise RuntimeError(f"nothing was decided within {READY_WITHIN_SEC} s of the start")
            live.figures["first decision s"] = time.monotonic() - started
            _waited(supervisor.look, lambda: _now_ms() % MINUTE_MS < MINUTE_MS // 6, 60)  # early in a minute
            first = _open(live.settings, live.accounts)
            expected = (2 * live.accounts + 1) * live.ticks  # the clone that was there first decides as well
            patience = ENDED_WITHIN_SEC + live.ticks * 60
            _waited(supervisor.look, lambda: _ended(live.settings, first, live.ticks) >= expected, patience)
        live.figures["expected"] = 2 * live.accounts * live.ticks
        return sum(_read(live, kind, first) for kind in DELAY_SEC)
    finally:
        shutil.rmtree(live.home, ignore_errors=True)


def _waited(look: Callable[[], None], is_done: Callable[[], bool], within_sec: float) -> bool:
    """Whether it was done in time, looked for each second."""
    until = time.monotonic() + within_sec
    while not is_done():
        if time.monotonic() > until:
            return False
        look()
        time.sleep(1)
    return True


def _ended(settings: Settings, first: int, ticks: int = MINUTES_AHEAD) -> int:
    """How many runs of some ticks have ended, from the first on."""
    clash = open_clash(settings)
    with clash.read() as connection:
        found = one(connection, _ENDED, (first, first + ticks * MINUTE_MS if first else 2**62))
    clash.close()
    return int(found)


_ENDED = "SELECT count(*) FROM decision_runs WHERE finished_at IS NOT NULL AND tick >= ? AND tick < ?"


def _read(live: Live, kind: str, first: int) -> int:
    """Note down the times of the applied runs of a kind of account, after their instant; returns how many ended."""
    clash = open_clash(live.settings)
    with clash.read() as connection:
        rows = connection.execute(_APPLIED, (kind, first, first + live.ticks * MINUTE_MS)).fetchall()
    clash.close()
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
WHERE a.kind = ? AND a.clone_id > 1 AND r.finished_at IS NOT NULL AND r.tick >= ? AND r.tick < ?
"""


def _prepared(accounts: int, ticks: int) -> Live:
    home = Path(tempfile.mkdtemp(prefix="clash-bench-live-"))
    settings = load(
        {
            "CLASH_HOME": str(home), "CLASH_DAGSTER_GRPC_PORT": str(_free_port()), "CLASH_DECIDE_EVERY_SEC": "5",
            "CLASH_RACE_MIN_CADENCE_SEC": "60", "CLASH_MIN_CADENCE_SEC": "60",
        }
    )  # fmt: skip
    migrate_all(settings)
    _market(settings)
    _clones(settings, 1, "Probe", races=False)
    return Live(home, settings, accounts, ticks, {})


def _open(settings: Settings, count: int) -> int:
    """The accounts that are measured; returns their first tick that has not come yet."""
    _clones(settings, count, "Clone", races=True)
    return minute_of(_now_ms()) + MINUTE_MS


def _clones(settings: Settings, count: int, name: str, *, races: bool) -> None:
    """Clones of BTC that decide each minute in a sandbox, and in a race."""
    from clash_pipeline.archive.choice import store_from
    from tests.fakes.world import World

    clash, market = open_clash(settings), open_market(settings)
    world = World(settings, SettableClock(_now_ms()), clash, market, store_from(settings))
    for number in range(count):
        clone_id, _ = world.clone("BTC", name=f"{name} {number}", cadence_sec=60)
        if races:
            world.race(clone_id)
    clash.close()
    market.close()


def _market(settings: Settings) -> None:
    """BTC at one price with a trend of its own; its next minutes are written down already."""
    from tests.fakes import market_rows
    from tests.fakes.world import RISING

    market, now_ms = open_market(settings), _now_ms()
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    for number in range(-5, MINUTES_AHEAD):
        t = minute_of(now_ms) + number * MINUTE_MS
        market_rows.candle(market, "BTC", t, "100", known_at=min(now_ms, t + MINUTE_MS))
        rows: dict[str, Any] = {**RISING, "macd_hist": 0.3 + number / 100}
        market_rows.indicators(market, "BTC", t, known_at=min(now_ms, t + MINUTE_MS), **rows)
        market_rows.context(market, "BTC", t, mark="100")
    market.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
