"""One wave: what is due → prepare → reserve → decide → record → apply, each stage a function over plain objects.

What passes between them can be pickled. The command, the worker and the Dagster jobs call these same functions;
correctness rests on the rows, not on who calls.

    found = due(services, clone_id=None, account_id=None, force=False)
    prepared, ended = prepare(services, found, worker="wave-1", dagster_run_id=None)
    prepared = reserve(services, prepared)                # what models may spend
    decided = await decide_all(services, prepared)        # needs no database, may run anywhere
    record(services, decided)                             # on the box of record
    ended += apply(services, decided)                     # account by account, in order

    decided = undelivered(services, worker="fill-1")      # have a response, lack an apply: fill_prop_orders
    report = run_once(services, clone_id=42, force=True)  # all of it
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from clash_pipeline.clones import clones
from clash_pipeline.clones.clones import Clone, Version
from clash_pipeline.decisions import budgets, runs
from clash_pipeline.decisions.apply import apply
from clash_pipeline.decisions.budgets import reserve
from clash_pipeline.decisions.decide import decide, decide_all
from clash_pipeline.decisions.prepare import prepare
from clash_pipeline.decisions.runs import Decided, Due, Ended, Services
from clash_pipeline.prop import accounts
from clash_pipeline.prop.accounts import Account
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.sqlite import Connection

__all__ = [
    "WaveReport", "apply", "decide", "decide_all", "due", "prepare", "record", "reserve", "run_once", "undelivered",
]  # fmt: skip


@dataclass(frozen=True)
class WaveReport:
    """What a wave did: how many runs were due, and how each one ended; `interrupted` ones are taken up again later."""

    due: int
    ended: tuple[Ended, ...]
    interrupted: int

    def count(self, state: str) -> int:
        """How many runs ended in a state."""
        return sum(ended.state == state for ended in self.ended)


def due(
    services: Services, *, clone_id: int | None = None, account_id: int | None = None, force: bool = False
) -> list[Due]:
    """The runs that should happen now, in the order (account, branch, symbol), after those that were left behind.

    Without `force` only trading clones and active accounts are looked at. A forced run exists for every open account of
    the clone, so that the reason why it may not run is written down.

    Raises:
        CloneError: a clone is named and there is none.
        AccountUnknown: an account is named and there is none.
    """
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        if account_id is not None:
            accounts.get(connection, account_id)
        found = [] if force else runs.left_behind(connection, now_ms=now_ms, clone_id=clone_id, account_id=account_id)
        chosen = [clones.get(connection, clone_id)] if clone_id is not None else clones.every(connection)
        for clone in chosen:
            found += _due_of(connection, clone, account_id, force, now_ms)
    return sorted(found, key=lambda item: (item.run_id is None, item.account_id, item.branch, item.symbol, item.tick))


def record(services: Services, decided: Sequence[Decided]) -> int:
    """Write down which runs have a response, and what models took; returns how many have one.

    A run that passed to another worker is left to it.
    """
    now_ms, written = services.clock.now_ms(), 0
    budgets.settle(services, decided)
    for item in decided:
        if item.response is None and item.trace is None:
            continue
        try:
            with services.clash.write() as connection:
                runs.answered(connection, item, now_ms=now_ms)
            written += item.response is not None
        except LeaseLost:
            continue
    return written


def undelivered(services: Services, *, worker: str, dagster_run_id: str | None = None) -> list[Decided]:
    """Claim every run that has a response and no apply, and that no living worker holds."""
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        wanted = runs.undelivered_ids(connection, now_ms=now_ms)
        left = runs.left_behind(connection, now_ms=now_ms, clone_id=None, account_id=None)
    prepared, _ = prepare(
        services, [item for item in left if item.run_id in wanted], worker=worker, dagster_run_id=dagster_run_id
    )
    return [Decided(item.claim, item.response) for item in prepared if item.response is not None]


def run_once(
    services: Services,
    *,
    clone_id: int | None = None,
    account_id: int | None = None,
    force: bool = False,
    worker: str = "run-once",
    dagster_run_id: str | None = None,
) -> WaveReport:
    """One whole wave.

    Raises:
        CloneError: a clone is named and there is none.
    """
    found = due(services, clone_id=clone_id, account_id=account_id, force=force)
    prepared, ended = prepare(services, found, worker=worker, dagster_run_id=dagster_run_id)
    decided = asyncio.run(decide_all(services, reserve(services, prepared)))
    record(services, decided)
    ended += apply(services, decided)
    return WaveReport(len(found), tuple(ended), len(found) - len(ended))


def _due_of(connection: Connection, clone: Clone, account_id: int | None, force: bool, now_ms: int) -> list[Due]:
    version = clones.active_version(connection, clone.id)
    if version is None or not (clone.is_trading or force):
        return []
    found: list[Due] = []
    for account in accounts.of_clone(connection, clone.id):
        is_wanted = account_id is None or account.id == account_id
        if is_wanted and (account.state == "active" or force):
            found += _due_of_account(connection, clone, version, account, force, now_ms)
    return found


def _due_of_account(
    connection: Connection, clone: Clone, version: Version, account: Account, force: bool, now_ms: int
) -> list[Due]:
    found = []
    for branch in version.compiled.branches:
        phase = runs.phase_of(account.id, account.kind, branch.cadence_sec)
        tick = now_ms if force else runs.tick_of(now_ms, branch.cadence_sec, phase)
        if tick < account.created_at:
            continue  # the account did not exist at this tick
        found += [
            Due(
                account_id=account.id,
                clone_id=clone.id,
                version_id=version.id,
                branch=branch.id,
                symbol=asset.symbol,
                tick=tick,
                kind="forced" if force else "due",
                cadence_sec=branch.cadence_sec,
                engine=clone.engine,
            )
            for asset in branch.assets
            if not runs.exists(connection, account.id, branch.id, asset.symbol, tick)
        ]
    return found
