"""Dry run of a draft: what would happen now, by the very stages of a wave, against a scratch account.

The draft is compiled and published in a scratch database, where a fresh sandbox account trades it once; market memory
is the real one. No prop account is read or written. What a model may spend is reserved and booked in the real budgets.
The outcome is kept in the clone-scoped tables `clone_dry_run_*`, for workflow debugging (03).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from clash_pipeline import canonical
from clash_pipeline.archive.stores import ArtifactStore, MemoryStore
from clash_pipeline.clock import Clock
from clash_pipeline.clones import clones, drafts, entitlements, versions
from clash_pipeline.clones.clones import Clone, EngineName
from clash_pipeline.clones.compiler import Compiled, compile_graph
from clash_pipeline.clones.entitlements import CANDIDATE_CAP, CapacityName, Entitlement
from clash_pipeline.clones.graph import Graph
from clash_pipeline.decisions import budgets, views, waves
from clash_pipeline.decisions.runs import Decided, Ended, Prepared, Services
from clash_pipeline.decisions.scratch import scratch_database
from clash_pipeline.market import listing
from clash_pipeline.prop import accounts, policy
from clash_pipeline.prop.proposal import ActionResult
from clash_pipeline.prop.views import ledger_view
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database, one
from clash_pipeline.units import usd_text

WORKER = "dry-run"


@dataclass(frozen=True)
class DryRunRun:
    """What would have happened with one asset of one branch: packet, prompt, answer, and what the gates said."""

    branch: str
    symbol: str
    state: str
    reason: str
    effective: str | None
    packet_hash: str | None
    packet: Any
    prompt: Any
    response: Any
    actions: tuple[ActionResult, ...]


@dataclass(frozen=True)
class DryRun:
    """Everything that would have been done; amounts in USD. `id` is its row in `clone_dry_runs`."""

    id: int
    clone_id: int
    engine: str
    compiled_hash: str
    ran_at: int
    start_balance: str
    balance: str
    runs: tuple[DryRunRun, ...]
    ledger: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Scratch:
    """The services of a dry run: the real market and time, everything else of its own."""

    settings: Settings
    clock: Clock
    wall: Clock
    clash: Database
    market: Database
    store: ArtifactStore


def dry_run(
    services: Services, clone_id: int, *, graph: Graph | None = None, engine: EngineName | None = None
) -> DryRun:
    """Run a clone's draft, or another graph, once; with its own engine or another one.

    Raises:
        CloneError: no such clone, or it has no draft.
        GraphInvalid: with every problem of the graph.
    """
    now_ms = services.clock.now_ms()
    with services.market.read() as connection:
        listed = listing.read(connection)
    with services.clash.read() as connection:
        clone = clones.get(connection, clone_id)
        entitlement = entitlements.effective(connection, clone_id, now_ms)
        if graph is None:
            graph, _ = drafts.publishable(connection, clone_id, listed, now_ms=now_ms)
        else:
            drafts.refuse(drafts.problems(graph, listed, entitlement))
    compiled = compile_graph(graph, listed)
    clone = replace(clone, engine=engine or clone.engine)
    with scratch_database() as database:
        scratch = _Scratch(services.settings, services.clock, services.wall, database, services.market, MemoryStore())
        account_id = _set_up(scratch, clone, entitlement, graph, compiled, now_ms)
        ended = _wave(services, scratch, clone_id)
        found = _outcome(scratch, clone, compiled, account_id, ended, now_ms)
        return replace(found, id=_keep(services.clash, database, found, account_id))


def latest(connection: Connection, clone_id: int, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest dry runs of a clone with what each ordered, newest first."""
    rows = connection.execute(
        """
        SELECT d.id, d.engine, d.compiled_hash, d.start_balance, d.balance, d.runs, d.ran_at,
               (SELECT json_group_array(json_object('branch', o.branch, 'symbol', o.symbol, 'action', o.action,
                                                    'status', o.status, 'reject_code', o.reject_code)
                                        ORDER BY o.number)
                FROM clone_dry_run_orders o WHERE o.dry_run_id = d.id) AS orders
        FROM clone_dry_runs d WHERE d.clone_id = ? ORDER BY d.id DESC LIMIT ?
        """,
        (clone_id, limit),
    )
    return [dict(row) for row in rows]


def _set_up(
    scratch: _Scratch, clone: Clone, entitlement: Entitlement, graph: Graph, compiled: Compiled, now_ms: int
) -> int:
    """The clone with what it may use, the draft as its active version, and a fresh sandbox; returns the account."""
    with scratch.clash.write() as connection:
        connection.execute(
            """
            INSERT INTO clones (id, owner, name, engine, model_tier, is_trading, created_at, updated_at)
            VALUES (?, ?, ?, ?, ?, 1, ?, ?)
            """,
            (clone.id, clone.owner, clone.name, clone.engine, clone.model_tier, clone.created_at, now_ms),
        )
        capacity = cast(CapacityName, entitlement.capacity.name)
        entitlements.grant(
            connection, clone.id, capacity, entitlement.model_tier, source="debug", ref=WORKER, now_ms=now_ms
        )
        if entitlement.candidates > CANDIDATE_CAP:
            entitlements.grant_candidates(connection, clone.id, entitlement.candidates, ref=WORKER, now_ms=now_ms)
        versions.activate(connection, clone.id, canonical.text(graph.wire()), compiled, now_ms=now_ms, actor=WORKER)
    settings = scratch.settings
    return accounts.open_sandbox(
        scratch.clash, clone.id, policy.sandbox(settings), start_balance_usd=settings.start_balance_usd, now_ms=now_ms
    )


def _wave(services: Services, scratch: _Scratch, clone_id: int) -> list[Ended]:
    """The stages of a wave; only the budgets are the real ones."""
    found = waves.due(scratch, clone_id=clone_id, force=True)
    prepared, ended = waves.prepare(scratch, found, worker=WORKER)
    decided = asyncio.run(waves.decide_all(scratch, _reserved(services, prepared)))
    budgets.settle(services, decided)
    waves.record(scratch, [_unpaid(item) for item in decided])
    return ended + waves.apply(scratch, decided)


def _reserved(services: Services, prepared: Sequence[Prepared]) -> list[Prepared]:
    """Allowances from the real budgets; a dry run has no decision run there, so each asks as run 0."""
    found = []
    for item in prepared:
        (given,) = budgets.reserve(services, [replace(item, claim=replace(item.claim, run_id=0, token=0))])
        found.append(replace(given, claim=item.claim))
    return found


def _unpaid(item: Decided) -> Decided:
    """The scratch database knows no calls."""
    return replace(item, call_id=None)


def _outcome(
    scratch: _Scratch, clone: Clone, compiled: Compiled, account_id: int, ended: Sequence[Ended], now_ms: int
) -> DryRun:
    made = []
    for run in sorted(ended, key=lambda run: run.run_id):
        view = views.run_view(scratch.clash, scratch.store, run.run_id)
        made.append(
            DryRunRun(
                run.branch, run.symbol, run.state, run.reason, run.effective, view["run"]["packet_hash"],
                view["packet"], view["prompt"], view["response"], tuple(view["actions"]),
            )
        )  # fmt: skip
    with scratch.clash.read() as connection:
        account = accounts.get(connection, account_id)
        groups = ledger_view(connection, account_id, limit=1_000)
    return DryRun(
        id=0,
        clone_id=clone.id,
        engine=clone.engine,
        compiled_hash=compiled.digest,
        ran_at=now_ms,
        start_balance=usd_text(account.start_balance),
        balance=usd_text(account.balance),
        runs=tuple(made),
        ledger=tuple(group for group in reversed(groups) if group["lines"]),
    )


def _keep(clash: Database, scratch: Database, found: DryRun, account_id: int) -> int:
    """Write the dry run down, apart from every prop account; returns its id."""
    with scratch.read() as connection:
        account = accounts.get(connection, account_id)
        lines = connection.execute(
            "SELECT seq, line, kind, symbol, amount FROM prop_ledger WHERE account_id = ? ORDER BY seq, line",
            (account_id,),
        ).fetchall()
    orders = [(run, action) for run in found.runs for action in run.actions]
    with clash.write() as connection:
        identifier = int(
            one(
                connection,
                """
                INSERT INTO clone_dry_runs (clone_id, engine, compiled_hash, start_balance, balance, runs, ran_at)
                VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id
                """,
                (
                    found.clone_id, found.engine, found.compiled_hash, account.start_balance, account.balance,
                    len(found.runs), found.ran_at,
                ),
            )
        )  # fmt: skip
        connection.executemany(
            """
            INSERT INTO clone_dry_run_orders
              (dry_run_id, number, branch, symbol, action, status, reject_code, figures, fills, packet_hash)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                (
                    identifier, number, run.branch, run.symbol, action.action, action.status, action.reject_code,
                    canonical.text(action.figures), canonical.text(action.fills), run.packet_hash,
                )
                for number, (run, action) in enumerate(orders)
            ],
        )  # fmt: skip
        connection.executemany(
            """
            INSERT INTO clone_dry_run_ledger (dry_run_id, seq, line, kind, symbol, amount) VALUES (?, ?, ?, ?, ?, ?)
            """,
            [(identifier, *line) for line in lines],
        )
    return identifier
