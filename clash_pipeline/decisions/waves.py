"""One wave: what is due → prepare → reserve → decide → record → apply, each stage a function over picklable objects.

The command, the worker and the Dagster jobs call these same functions; correctness rests on the rows, not on who calls.

    ended = parked(services)                              # what was tried too often
    found = due(services, clone_id=None, account_id=None, force=False)
    prepared, more = prepare(services, found, worker="wave-1", dagster_run_id=None)
    prepared = reserve(services, prepared)                # what models may spend
    decided = await decide_held(services, prepared)       # needs no database, may run anywhere
    record(services, decided)                             # on the box of record
    ended += more + apply(services, decided)              # account by account, in order

    decided = undelivered(services, worker="fill-1")      # have a response, lack an apply: fill_prop_orders
    report = run_once(services, clone_id=42, force=True)  # all of it
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.clones import clones
from clash_pipeline.decisions import budgets, claims, grid, looking, runs
from clash_pipeline.decisions.apply import apply, is_settled
from clash_pipeline.decisions.budgets import reserve
from clash_pipeline.decisions.decide import decide, decide_all
from clash_pipeline.decisions.grid import Waiting
from clash_pipeline.decisions.prepare import prepare
from clash_pipeline.decisions.runs import EXPIRES_AFTER_CADENCES, Decided, Due, Ended, Prepared, Services
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts
from clash_pipeline.storage.errors import LeaseLost

__all__ = [
    "WaveReport", "apply", "decide", "decide_all", "decide_held", "deliverable", "due", "parked", "prepare", "record",
    "reserve", "run_once", "undelivered", "waiting",
]  # fmt: skip

RECORDED_AT_ONCE = 500
BEFORE_RECORD = point("decisions.record.before")
AFTER_RECORD = point("decisions.record.after")


class ForcedRefused(ValueError):
    """A forced run was asked of a race or audition account, which no act of a user reaches (11, 2)."""


@dataclass(frozen=True)
class WaveReport:
    """What a wave did: how many runs were due, and how each one ended.

    `interrupted` ones wait for their fill instant, or are taken up again later.
    """

    due: int
    ended: tuple[Ended, ...]
    interrupted: int

    def count(self, state: str) -> int:
        """How many runs ended in a state."""
        return sum(ended.state == state for ended in self.ended)


def due(
    services: Services,
    *,
    clone_id: int | None = None,
    account_id: int | None = None,
    force: bool = False,
    engine: str | None = None,
    shard: int = 0,
    shards: int = 1,
) -> list[Due]:
    """The runs that should happen now, in the order (account, branch, symbol), after those that were left behind.

    Without `force` only trading clones and active accounts are looked at, of one engine and one remainder of account
    ids where these are given. A forced run exists for every open sandbox, so that the reason why it may not run is
    written down.

    Raises:
        CloneError: a clone is named and there is none.
        AccountUnknown: an account is named and there is none.
        ForcedRefused: a forced run of accounts that may not be forced.
    """
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        named = None if account_id is None else accounts.get(connection, account_id)
        if clone_id is not None:
            clones.get(connection, clone_id)
        if force:
            if named is not None and named.kind != "sandbox":
                raise ForcedRefused(f"account {named.id} is a {named.kind} account: no forced run reaches it")
            return grid.forced(connection, now_ms=now_ms, clone_id=clone_id, account_id=account_id)
        which = {"clone_id": clone_id, "account_id": account_id, "engine": engine, "shard": shard, "shards": shards}
        left = claims.left_behind(connection, now_ms=now_ms, **which)  # type: ignore[arg-type]  # one set for both
        return left + grid.due(connection, now_ms=now_ms, **which)  # type: ignore[arg-type]


def waiting(services: Services, *, shards: int = 1) -> list[Waiting]:
    """What is due or left behind, counted by engine and shard, with the newest tick of each: what sensors ask."""
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        found = {(each.engine, each.shard): each for each in grid.waiting(connection, now_ms=now_ms, shards=shards)}
        for left in claims.left_waiting(connection, now_ms=now_ms, shards=shards):
            fresh = found.get((left.engine, left.shard))
            found[left.engine, left.shard] = left.plus(fresh) if fresh else left
    return [found[wave] for wave in sorted(found)]


def parked(services: Services) -> list[Ended]:
    """End the runs that were taken up too often and never ended, so that nothing waits for them."""
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        if not claims.has_parked(connection, now_ms=now_ms):
            return []
    with services.clash.write() as connection:
        return claims.park(connection, now_ms=now_ms)


async def decide_held(services: Services, prepared: Sequence[Prepared]) -> list[Decided]:
    """Decide on the box of record, and keep the claims for as long as it takes."""
    deciding = asyncio.ensure_future(decide_all(services, prepared))
    while not (await asyncio.wait({deciding}, timeout=services.settings.lease_ttl_sec / 3))[0]:
        await asyncio.to_thread(_renew, services, prepared)
    return await deciding


def record(services: Services, decided: Sequence[Decided]) -> int:
    """Write down which runs have a response, and what models took; returns how many have one.

    A run that passed to another worker is left to it.
    """
    fault(BEFORE_RECORD)
    now_ms, written = services.clock.now_ms(), 0
    budgets.settle(services, decided)
    answered = [item for item in decided if item.response is not None or item.trace is not None]
    for start in range(0, len(answered), RECORDED_AT_ONCE):
        with services.clash.write() as connection:
            for item in answered[start : start + RECORDED_AT_ONCE]:
                try:
                    runs.answered(connection, item, now_ms=now_ms)
                except LeaseLost:
                    continue
                written += item.response is not None
    fault(AFTER_RECORD)
    return written


def deliverable(services: Services, *, clone_id: int | None = None, account_id: int | None = None) -> list[Due]:
    """Runs that have a response and can be applied now: no worker holds them, and their common minute is settled.

    One whose minute never settles is in it once it has expired, so that it ends.
    """
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        found = claims.undelivered(connection, now_ms=now_ms, clone_id=clone_id, account_id=account_id)
    settled: set[tuple[str, int | None]] = set()
    for fill_at in {item.fill_at for item in found}:
        minute = None if fill_at is None else fill_at - MINUTE_MS
        symbols = {item.symbol for item in found if item.fill_at == fill_at}
        if minute is not None:
            quotes = looking.quotes(services, symbols, now_ms, fill_minute=minute)
            symbols = {symbol for symbol, quote in quotes.items() if is_settled(quote, minute)}
        settled |= {(symbol, fill_at) for symbol in symbols}
    return [item for item in found if (item.symbol, item.fill_at) in settled or now_ms >= _expires_at(item)]


def undelivered(
    services: Services,
    *,
    worker: str,
    dagster_run_id: str | None = None,
    clone_id: int | None = None,
    account_id: int | None = None,
) -> list[Decided]:
    """Claim every run that is deliverable, with its response."""
    found = deliverable(services, clone_id=clone_id, account_id=account_id)
    if not found:
        return []
    now_ms, ttl_ms = services.clock.now_ms(), services.settings.lease_ttl_sec * SECOND_MS
    with services.clash.write() as connection:
        taken = claims.claim_all(
            connection, found, worker=worker, now_ms=now_ms, ttl_ms=ttl_ms, dagster_run_id=dagster_run_id
        )
    with services.clash.read() as connection:
        responses = runs.responses_of(connection, [claim.run_id for claim in taken])
    return [Decided(claim, responses[claim.run_id]) for claim in taken if claim.run_id in responses]


def run_once(
    services: Services,
    *,
    clone_id: int | None = None,
    account_id: int | None = None,
    force: bool = False,
    engine: str | None = None,
    worker: str = "run-once",
    dagster_run_id: str | None = None,
) -> WaveReport:
    """One whole wave, and the delivery of what an earlier one left decided.

    Raises:
        CloneError: a clone is named and there is none.
        ForcedRefused: a forced run of accounts that may not be forced.
    """
    ended = parked(services)
    found = due(services, clone_id=clone_id, account_id=account_id, force=force, engine=engine)
    prepared, over = prepare(services, found, worker=worker, dagster_run_id=dagster_run_id)
    decided = asyncio.run(decide_held(services, reserve(services, prepared)))
    record(services, decided)
    late = undelivered(services, worker=worker, dagster_run_id=dagster_run_id, clone_id=clone_id, account_id=account_id)
    ended += over + apply(services, decided) + apply(services, late)
    total = len(found) + len(late)
    return WaveReport(total, tuple(ended), max(total - len(ended), 0))


def _renew(services: Services, prepared: Sequence[Prepared]) -> None:
    ttl_ms = services.settings.lease_ttl_sec * SECOND_MS
    with services.clash.write() as connection:
        claims.renew(connection, [item.claim for item in prepared], now_ms=services.clock.now_ms(), ttl_ms=ttl_ms)


def _expires_at(item: Due) -> int:
    return item.tick + EXPIRES_AFTER_CADENCES * item.cadence_sec * SECOND_MS
