"""The books audited in production: changed accounts every ten minutes, everything at night (09 G5).

Books that do not close stop money: the kill switch of all accounts and that of signing are thrown, and no race is
settled, until a person has looked and released them.
"""

import time
from dataclasses import dataclass, replace

from clash_pipeline import canonical
from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.arena.audit import audit as audit_arena
from clash_pipeline.arena.race_audit import audit as audit_races
from clash_pipeline.decisions.audit import audit as audit_runs
from clash_pipeline.economy import switches
from clash_pipeline.economy.audit import EconomyReport
from clash_pipeline.economy.audit import audit as audit_money
from clash_pipeline.prop import accounts
from clash_pipeline.prop import audit as prop_audit
from clash_pipeline.prop.accounts import AUDITOR
from clash_pipeline.prop.audit import Report
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.parts import Clocked
from clash_pipeline.storage.sqlite import Connection, Database


@dataclass(frozen=True)
class Checked:
    """What an audit looked at and found; `has_stopped` when it threw the kill switches just now."""

    is_full: bool
    accounts: int
    differences: tuple[Difference, ...]
    has_stopped: bool


def everything(clash: Database, store: ArtifactStore | None = None) -> tuple[Report, EconomyReport]:
    """Every invariant of accounts, runs, money and the Arena; with a store, artifacts too. The first has all of it."""
    report, money = audit_runs(clash, store), audit_money(clash)
    found = (*report.differences, *money.differences, *audit_arena(clash), *audit_races(clash))
    return replace(report, differences=found), money


def check(parts: Clocked, *, is_full: bool) -> Checked:
    """Audit the changed accounts or everything, write down what came of it, and stop money over a difference."""
    began, now_ms = time.monotonic(), parts.wall.now_ms()
    changed = _changed(parts.clash)
    if is_full:
        report, _ = everything(parts.clash)
        count, found = report.accounts, report.differences
    else:
        count, found = len(changed), _of_accounts(parts.clash, list(changed))
    took_ms = int((time.monotonic() - began) * 1_000)
    with parts.clash.write() as connection:
        _write(connection, is_full, count, found, now_ms, took_ms)
        _remember(connection, changed)
        has_stopped = bool(found) and _stop(connection, found, parts.clock.now_ms())
    return Checked(is_full, count, tuple(found), has_stopped)


def _changed(clash: Database) -> dict[int, int]:
    """The revision of every account that changed since it was audited."""
    with clash.read() as connection:
        rows = connection.execute(
            """
            SELECT a.id, a.revision FROM prop_accounts a LEFT JOIN book_audit_marks m ON m.account_id = a.id
            WHERE m.revision IS NOT a.revision ORDER BY a.id
            """
        )
        return {row["id"]: row["revision"] for row in rows}


def _of_accounts(clash: Database, account_ids: list[int]) -> tuple[Difference, ...]:
    """The differences of some accounts, each on a snapshot of its own, so that no reader holds the log for long."""
    found: list[Difference] = []
    for account_id in account_ids:
        with clash.read() as connection:
            found += prop_audit.of_account(connection, account_id)
    return tuple(found)


def _write(
    connection: Connection, is_full: bool, count: int, found: tuple[Difference, ...], now_ms: int, took_ms: int
) -> None:
    listed = canonical.text([[one.invariant, one.row, one.message] for one in found])
    connection.execute(
        "INSERT INTO book_audits (is_full, accounts, differences, audited_at, took_ms) VALUES (?, ?, ?, ?, ?)",
        (int(is_full), count, listed, now_ms, took_ms),
    )


def _remember(connection: Connection, changed: dict[int, int]) -> None:
    """The revision that was there before the look: a change meanwhile is looked at next time."""
    connection.executemany(
        """
        INSERT INTO book_audit_marks (account_id, revision) VALUES (?, ?)
        ON CONFLICT (account_id) DO UPDATE SET revision = excluded.revision
        """,
        list(changed.items()),
    )


def _stop(connection: Connection, found: tuple[Difference, ...], now_ms: int) -> bool:
    """Throw both switches; False when they were thrown before."""
    first = found[0]
    reason = f"{len(found)} differences in the books, the first: {first.invariant} {first.row}"
    halted = accounts.throw(connection, actor=AUDITOR, reason=reason, now_ms=now_ms, account_id=None)
    return switches.throw(connection, actor=AUDITOR, reason=reason, now_ms=now_ms) or halted
