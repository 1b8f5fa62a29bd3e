"""Waves: everything that is due, from the look to the ledger, stage by stage, and how it grows with the accounts.

`python -m bench decisions` measures 100 and 1,000 accounts of ten assets, `python -m bench.decisions 10000` another
number of them; above 1,000 only with the rules, for the packets of 100,000 runs fill the memory that stores them.
"""

import argparse
import asyncio
import logging
import resource
import shutil
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from bench.harness import Bench, Contender
from bench.market_memory import AS_OF
from bench.packet import Box, _box
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import claims, waves
from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.engines.engine import Decision, Engine
from clash_pipeline.decisions.engines.rules import RulesEngine
from clash_pipeline.decisions.packet import Packet
from clash_pipeline.market import listing
from clash_pipeline.prop import accounts, policy
from clash_pipeline.storage.sqlite import one

TRADED, DAYS = 10, 2
SIZES = (100, 1_000)
STAGES = ("due", "prepare", "decide", "record", "apply")


class Orders:
    """An engine that asks for a small order whatever it reads: the heaviest apply there is."""

    name = "rules"
    slots = 8

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """One per cent, long."""
        return Decision(Answer("open_long", Decimal(1)))


def benches(quick: bool) -> tuple[Bench, ...]:
    """Whole waves by size, with the rules and with an order for every asset; and the look alone."""
    sizes = (5,) if quick else SIZES
    whole = tuple(
        _wave(count, name, engine, store)
        for count in sizes
        for name, engine, store in (
            ("rules", RulesEngine(), "files"), ("rules", RulesEngine(), "memory"), ("all orders", Orders(), "memory"),
        )
    )  # fmt: skip
    look = tuple(contender for count in sizes for contender in _look(count))
    return (
        Bench(
            "decisions",
            f"A wave of accounts with {TRADED} assets, stage by stage",
            "runs",
            whole,
            1,
            is_long=True,
            has_memory=False,
        ),
        Bench("decisions, due", "Looking for what is due", "looks", look, 5),
    )


def _wave(count: int, name: str, engine: Engine, store: str) -> Contender:
    spent: Counter[str] = Counter()

    def run(box: Box) -> int:
        with _clocked(spent, "due"):
            due = waves.due(box)
        with _clocked(spent, "prepare"):
            prepared, _ = waves.prepare(box, due, worker="bench")
        with _clocked(spent, "decide"):
            decided = asyncio.run(waves.decide(box.store, prepared, engines={"rules": engine}))
        with _clocked(spent, "record"):
            waves.record(box, decided)
        with _clocked(spent, "apply"):
            ended = waves.apply(box, decided)
        spent["filled"] = sum(run.reason == "filled" for run in ended)
        if len(ended) != count * TRADED:
            raise RuntimeError(f"{len(ended)} of {count * TRADED} runs ended")
        return len(ended)

    def figures(_: Box) -> Mapping[str, float]:
        per_run = {f"{stage} ms": spent[stage] * 1e3 / (count * TRADED) for stage in STAGES}
        return {**per_run, "filled": spent["filled"]}

    return Contender(f"{count:,} accounts, {name}, {store}", "ours", partial(_traders, count, store), run, figures)


def _look(count: int) -> Iterator[Contender]:
    """All due, none due, and only counted, beside a bare join of the same rows."""

    def every(box: Box) -> int:
        return 1 if len(waves.due(box)) == count * TRADED else 0

    def none(box: Box) -> int:
        return 1 if not waves.waiting(box) else 0

    def counted(box: Box) -> int:
        return len(waves.waiting(box))

    def bare(box: Box) -> int:
        with box.clash.read() as connection:
            return int(bool(one(connection, _BARE)))

    def claimed() -> Box:
        box = _traders(count, "memory")
        due = waves.due(box)
        with box.clash.write() as connection:
            claims.claim_all(connection, due, worker="bench", now_ms=AS_OF, ttl_ms=60_000, dagster_run_id=None)
        return box

    made = partial(_traders, count, "memory")
    yield Contender(f"{count:,} accounts: bare join", "floor", made, bare)
    yield Contender(f"{count:,} accounts: all due, as runs", "ours", made, every)
    yield Contender(f"{count:,} accounts: all due, counted", "ours", made, counted)
    yield Contender(f"{count:,} accounts: nothing due", "ours", claimed, none)


_BARE = """
SELECT count(*) FROM prop_accounts a
JOIN clones c ON c.id = a.clone_id AND c.is_trading = 1
JOIN clone_versions v ON v.clone_id = a.clone_id AND v.is_active = 1
JOIN decision_targets t ON t.version_id = v.id
WHERE a.state = 'active'
"""


def _traders(count: int, store: str) -> Box:
    """So many clones with a sandbox each, all trading the same ten assets, an hour old and due now.

    One is made by the service, the others are its copies.
    """
    box = _box(TRADED, DAYS)
    if store == "files":
        home = tempfile.mkdtemp(prefix="clash-bench-store-")
        weakref.finalize(box.clash, shutil.rmtree, home, ignore_errors=True)
        box = replace(box, store=FileStore(Path(home)))
    else:
        box = replace(box, store=MemoryStore())
    began = AS_OF - HOUR_MS
    with box.market.write() as connection:
        connection.execute(_RISING, {"from": AS_OF - 3 * MINUTE_MS, "newest": AS_OF - 2 * MINUTE_MS})
        connection.execute(_MARKED)
    with box.market.read() as connection:
        listed = listing.read(connection)
    first = clones.create(box.clash, "Clone 0", engine="rules", now_ms=began)
    with box.clash.write() as connection:
        entitlements.grant(connection, first, "pro", 1, source="debug", ref="0", now_ms=began)
    clones.save_draft(box.clash, first, simple_graph(tuple(sorted(listed)[:TRADED])).wire(), listed, now_ms=began)
    clones.publish(box.clash, first, listed, now_ms=began)
    clones.set_trading(box.clash, first, True, now_ms=began)
    with box.clash.write() as connection:
        for number in range(1, count):
            _copy(connection, first, first + number)
        terms = policy.sandbox(box.settings)
        for number in range(count):
            accounts.open_account(
                connection, first + number, "sandbox", terms, start_balance=10**13, now_ms=began, actor="bench"
            )
    return box


_RISING = """
UPDATE hyperliquid_technical_indicators AS i
SET rsi14 = 60, bb_upper = c.c * 1.03, bb_middle = c.c * 0.99, bb_lower = c.c * 0.95, sma20 = c.c * 0.99,
    ema20 = c.c * 0.995, macd = 1, macd_signal = 0.5, macd_hist = iif(i.t >= :newest, 0.5, 0.3)
FROM hyperliquid_candles c
WHERE c.symbol = i.symbol AND c.interval = '1m' AND c.t = i.t AND i.t >= :from
"""
"""The last minutes of every asset show the trend that the rules follow."""


_MARKED = """
UPDATE hyperliquid_asset_ctxs AS x
SET oracle_px = c.c, mark_px = c.c, mid_px = c.c, impact_bid = c.c, impact_ask = c.c, day_ntl_volume = '500000000'
FROM hyperliquid_candles c
WHERE c.symbol = x.symbol AND c.interval = '1m'
  AND c.t = (SELECT max(t) FROM hyperliquid_candles WHERE symbol = x.symbol AND interval = '1m')
"""
"""The venue's mark stands at the last close."""


def _copy(connection: Any, first: int, clone_id: int) -> None:
    names = {"first": first, "clone": clone_id, "name": f"Clone {clone_id}", "ref": str(clone_id)}
    for statement in _COPIES:
        connection.execute(statement, names)


_COPIES = (
    """
    INSERT INTO clones (id, owner, name, engine, model_tier, is_trading, created_at, updated_at)
    SELECT :clone, owner, :name, engine, model_tier, is_trading, created_at, updated_at FROM clones WHERE id = :first
    """,
    """
    INSERT INTO clone_versions (clone_id, number, graph, compiled, compiled_hash, is_active, published_at, published_by)
    SELECT :clone, number, graph, compiled, compiled_hash, is_active, published_at, published_by
    FROM clone_versions WHERE clone_id = :first
    """,
    """
    INSERT INTO clone_entitlements
      (clone_id, source, ref, purpose, capacity_tier, model_tier, granted_at, granted_by, reason)
    SELECT :clone, source, :ref, purpose, capacity_tier, model_tier, granted_at, granted_by, reason
    FROM clone_entitlements WHERE clone_id = :first
    """,
)


@contextmanager
def _clocked(spent: "Counter[str]", stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    spent[stage] += time.perf_counter() - started  # type: ignore[assignment]


def main() -> None:
    """Another size."""
    parser = argparse.ArgumentParser(prog="python -m bench.decisions", description=__doc__)
    parser.add_argument("accounts", nargs="?", type=int, default=1_000, help="how many accounts")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    engines: tuple[tuple[str, Engine], ...] = (("rules", RulesEngine()), ("all orders", Orders()))
    for name, engine in engines if asked.accounts <= max(SIZES) else engines[:1]:
        contender = _wave(asked.accounts, name, engine, "memory")
        box = contender.prepare()
        before = _resident_mib()
        started, busy = time.perf_counter(), time.process_time()
        runs = contender.run(box)
        took, busy = time.perf_counter() - started, time.process_time() - busy
        shown = ", ".join(f"{what} {value:,.3f}" for what, value in contender.figures(box).items())
        print(f"{contender.name}: {runs:,} runs in {took:,.1f} s, {runs / took:,.0f} a second; each {shown}")
        kept = sum(map(len, box.store._objects.values())) / 2**20 if isinstance(box.store, MemoryStore) else 0
        print(
            f"  {busy / runs * 1e3:.2f} ms of CPU a run; {_resident_mib() - before:,.0f} MiB added, {kept:,.0f} stored"
        )


def _resident_mib() -> float:
    """The most that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
