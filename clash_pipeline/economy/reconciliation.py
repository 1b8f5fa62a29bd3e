"""Reconciliation: every ten minutes, and whole once a day, the books are compared with the chain (09 §4.11).

E2 to E4 are the invariants of the audit, read on one snapshot; E1, E5 and E6 need the chain. Each difference becomes an
incident that ends when the difference does. E1 or E5 broken stops signing, which only a person takes back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from clash_pipeline import canonical
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy import equations, incidents, purchases_audit, settlements_audit, switches
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain import progress
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.endpoints import Circle, TooFewEndpoints, circle
from clash_pipeline.economy.chain.rpc import Block, Endpoint, Log
from clash_pipeline.economy.chain.watcher import Standstill, events, same
from clash_pipeline.economy.equations import STOPPING, ChainSide, Moved
from clash_pipeline.faults import fault, point
from clash_pipeline.prop.differences import Difference
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database, Row, one

Kind = Literal["incremental", "full"]
INCIDENT = "reconciliation"
BLIND = "reconciliation_without_chain"
KEPT = point("reconciliation.kept")
FULL_BLOCKS = 1_200_000
"""Nodes forget events older than about 1.3 million blocks; deposits before that are asked from the vault's state."""
OVERLAP_BLOCKS = 2_000

INSIDE: Mapping[str, tuple[Callable[[Connection], Iterator[Difference]], ...]] = {
    "E2": (purchases_audit.paid_once, purchases_audit.deposits_are_booked, purchases_audit.refunds_are_owed),
    "E3": (purchases_audit.granted_has_its_effect, purchases_audit.effects_have_purchases),
    "E4": settlements_audit.CHECKS,
}
"""The equations that need no chain, as the audit has them."""


@dataclass(frozen=True)
class Report:
    """What was compared and how it differs; `through` is the block up to which the chain was, None for not at all."""

    kind: Kind
    at: int
    through: int | None
    differences: tuple[Difference, ...]
    why_blind: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether everything that was looked at agrees."""
        return not self.differences


def reconcile(clash: Database, parts: Parts | None, kind: Kind, now_ms: int) -> Report:
    """Compare once, keep the report, raise and end incidents; without a chain only the books are compared."""
    side, why_blind = _chain_side(parts, kind, now_ms) if parts else (None, None)
    with clash.write() as connection:
        found = list(_inside(connection))
        if side is not None and parts is not None:
            found += equations.differences(side, equations.books(connection, parts.chain.vault, side.number))
        report = Report(kind, now_ms, None if side is None else side.number, tuple(found), why_blind)
        _keep(connection, report)
        fault(KEPT)
        _tell(connection, report, now_ms)
    return report


def due(connection: Connection, settings: Settings, now_ms: int) -> Kind | None:
    """Which comparison is due, if any; the full one comes first."""
    for kind, every_sec in (
        ("full", settings.reconcile_full_every_sec),
        ("incremental", settings.reconcile_every_sec),
    ):
        last: int | None = one(
            connection, "SELECT max(at) FROM reconciliations WHERE kind = ? OR kind = 'full'", (kind,)
        )
        if last is None or now_ms - last >= every_sec * SECOND_MS:
            return "full" if kind == "full" else "incremental"
    return None


def wire(report: Report) -> dict[str, object]:
    """The report as it is stored and printed."""
    return {
        "kind": report.kind,
        "at": report.at,
        "throughBlock": report.through,
        "isClean": report.is_clean,
        "chain": report.why_blind or ("compared" if report.through is not None else "not set"),
        "differences": [asdict(difference) for difference in report.differences],
    }


# our side


def _inside(connection: Connection) -> Iterator[Difference]:
    for name, checks in INSIDE.items():
        for check in checks:
            for difference in check(connection):
                yield Difference(name, difference.row, difference.message)


# the chain's side


def _chain_side(parts: Parts, kind: Kind, now_ms: int) -> tuple[ChainSide | None, str | None]:
    """The chain at the block that the watcher has read, or why it could not be asked."""
    with parts.clash.read() as connection:
        watched = progress.get(connection, parts.chain.vault)
        rows = equations.books(connection, parts.chain.vault, 0 if watched is None else watched[0]).deposits
    if watched is None:
        return None, "the watcher has read nothing yet"
    try:
        around = circle(parts.clash, parts.chain, now_ms)
        end = same(parts, around, f"block {watched[0]}", lambda endpoint: endpoint.block(watched[0]), now_ms)
        if end is None or end.hash != watched[1]:
            return None, f"block {watched[0]} is another one now"
        return _asked(parts, around, end, rows, kind, now_ms), None
    except (TooFewEndpoints, Standstill) as error:
        return None, str(error)


def _asked(parts: Parts, around: Circle, end: Block, rows: Iterable[Row], kind: Kind, now_ms: int) -> ChainSide:
    vault = parts.chain.vault
    back = FULL_BLOCKS if kind == "full" else OVERLAP_BLOCKS
    first = max(parts.chain.first_block, end.number - back)
    content = words.resolver_balance_of(vault.resolver, vault.native)
    balance = same(parts, around, "balance", lambda e: e.word(vault.address, content, end.hash), now_ms)
    old = [row for row in rows if row["block_number"] < first] if kind == "full" else []
    states = {row["id"]: _state(parts, around, row, end, now_ms) for row in old}
    deposits = _moved(parts, around, words.DEPOSIT_TEXT, first, end.number, now_ms)
    withdrawals = _moved(parts, around, words.WITHDRAWAL_TEXT, first, end.number, now_ms)
    return ChainSide(end.number, first, deposits, withdrawals, balance, states)


def _state(parts: Parts, around: Circle, row: Row, end: Block, now_ms: int) -> int:
    vault = parts.chain.vault
    content = words.get_deposit(row["depositor"], row["asset"], row["resolver"], int(row["nonce"]))
    return same(parts, around, "deposit", lambda e: e.word(vault.address, content, end.hash), now_ms)


def _moved(parts: Parts, around: Circle, text: str, first: int, last: int, now_ms: int) -> tuple[Moved, ...]:
    found: list[Log] = []
    for start in range(first, last + 1, parts.chain.log_blocks):
        stop = min(start + parts.chain.log_blocks - 1, last)
        found += same(parts, around, "events", partial(_events, parts, text, start, stop), now_ms)
    told = [(log, words.event(log)) for log in found]
    return tuple(Moved(e.party, e.nonce, e.amount_wei, log.tx_hash, log.log_index) for log, e in told)


def _events(parts: Parts, text: str, first: int, last: int, endpoint: Endpoint) -> tuple[Log, ...]:
    return events(endpoint, parts, text, first, last)


# what follows


def _keep(connection: Connection, report: Report) -> None:
    text = canonical.text(wire(report))
    connection.execute(
        "INSERT INTO reconciliations (kind, at, through_number, is_clean, report, report_hash) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (report.kind, report.at, report.through, int(report.is_clean), text, canonical.sha256(text.encode())),
    )


def _tell(connection: Connection, report: Report, now_ms: int) -> None:
    """Raise what differs, end what no longer does, and stop signing where the chain and the books differ in money."""
    now_open = {f"{difference.invariant} {difference.row}": difference.message for difference in report.differences}
    for ref, message in now_open.items():
        incidents.raise_incident(connection, INCIDENT, ref, message, now_ms=now_ms)
    looked_at = set(INSIDE) | ({"E1", "E5", "E6"} if report.through is not None and report.kind == "full" else set())
    for incident in incidents.open_ones(connection):
        if incident.kind == INCIDENT and incident.ref not in now_open and incident.ref[:2] in looked_at:
            incidents.close(connection, INCIDENT, incident.ref, actor=INCIDENT, now_ms=now_ms)
    if report.why_blind:
        incidents.raise_incident(connection, BLIND, "chain", report.why_blind, now_ms=now_ms)
    elif report.through is not None:
        incidents.close(connection, BLIND, "chain", actor=INCIDENT, now_ms=now_ms)
    broken = sorted({d.invariant for d in report.differences} & STOPPING)
    if broken:
        reason = f"{' and '.join(broken)} do not hold"
        switches.throw(connection, actor=switches.RECONCILIATION, reason=reason, now_ms=now_ms)
