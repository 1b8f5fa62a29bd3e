"""From a transaction to the books: look with every endpoint, settle, keep the evidence, record what is ours.

No network is asked inside a transaction; each deposit is recorded in one of its own, and a repeat changes nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy import deposits, incidents, purchases
from clash_pipeline.economy.chain import endpoints, evidence
from clash_pipeline.economy.chain.endpoints import Chain, Circle
from clash_pipeline.economy.chain.rpc import EndpointWrong
from clash_pipeline.economy.chain.verification import (
    Found,
    Mismatch,
    Pending,
    Settled,
    Terms,
    judge,
    ours,
    settle,
    sighted,
)
from clash_pipeline.economy.deposits import Recorded, VerifiedDeposit
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.refusals import DepositUsed
from clash_pipeline.faults import fault, point
from clash_pipeline.identity import users
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

if TYPE_CHECKING:
    from clash_pipeline.archive.artifacts import Artifact
    from clash_pipeline.economy.chain.verification import Sight

DISAGREE = "endpoints_disagree"
USED = "deposit_conflict"
DOUBLED = "ambiguous_deposit"
EVIDENCE_KEPT = point("chain.evidence_kept")
DEPOSIT_RECORDED = point("chain.deposit_recorded")


@dataclass(frozen=True)
class Parts:
    """What the watcher works with."""

    clash: Database
    store: ArtifactStore
    chain: Chain
    grace_ms: int = purchases.GRACE_MS
    pending_ms: int = purchases.PENDING_MS

    @property
    def terms(self) -> dict[str, int]:
        """How long a purchase waits."""
        return {"grace_ms": self.grace_ms, "pending_ms": self.pending_ms}


def parts_from(settings: Settings, clash: Database, store: ArtifactStore, chain: Chain) -> Parts:
    """The parts, with the times of the settings."""
    return Parts(clash, store, chain, settings.quote_grace_sec * SECOND_MS, settings.pending_sec * SECOND_MS)


@dataclass(frozen=True)
class Confirmed:
    """What became of the deposits of a transaction; `outcome` is what the endpoints said of it."""

    outcome: Settled | Pending | Mismatch
    recorded: tuple[Recorded, ...] = ()


def confirm(parts: Parts, circle: Circle, tx_hash: str, *, now_ms: int) -> Confirmed:
    """Record every deposit of ours in a transaction, once it is final and said alike."""
    sights, troubles = sighted(circle.seen, parts.chain.vault, tx_hash)
    for trouble in troubles:
        if isinstance(trouble, EndpointWrong):
            endpoints.disable(parts.clash, trouble.endpoint, str(trouble), now_ms)
    outcome = Pending("endpoint_down") if troubles else settle(parts.chain.vault, sights, parts.chain.finality)
    _tell(parts, tx_hash, outcome, now_ms)
    if not isinstance(outcome, Settled):
        return Confirmed(outcome)
    found = ours(outcome, parts.chain.vault)
    return Confirmed(outcome, _record(parts, outcome, sights, found, now_ms) if found else ())


def retry(parts: Parts, circle: Circle, purchase: Purchase, *, now_ms: int) -> bool:
    """Look up the hint of a purchase that waits; whether it waits no more."""
    assert purchase.tx_hash is not None
    confirmed = confirm(parts, circle, purchase.tx_hash, now_ms=now_ms)
    with parts.clash.write() as connection:
        stands = purchases.get(connection, purchase.id)
        if stands.state != purchase.state:
            return True
        if isinstance(confirmed.outcome, Pending):
            purchases.put_off(connection, purchase.id, confirmed.outcome.reason, now_ms=now_ms)
            return False
        wallets = frozenset(users.wallets(connection, purchase.user_id))
        code = _why_not(parts, confirmed.outcome, purchase, wallets)
        if purchase.state == "pending":
            purchases.reject(connection, purchase.id, code, now_ms=now_ms)
        else:
            purchases.give_up(connection, purchase.id, code)
        return True


def _why_not(parts: Parts, outcome: Settled | Mismatch, purchase: Purchase, wallets: frozenset[str]) -> str:
    """The code of a final transaction that did not pay a purchase (09 §6.3)."""
    if isinstance(outcome, Mismatch):
        return outcome.code
    terms = Terms(wallets, purchase.nonce, purchase.amount_wei, purchase.expires_at + parts.grace_ms)
    judged = judge(outcome, terms, parts.chain.vault)
    return judged.code if isinstance(judged, Mismatch) else "deposit_already_used"


def _record(
    parts: Parts, settled: Settled, sights: "list[Sight]", found: tuple[Found, ...], now_ms: int
) -> tuple[Recorded, ...]:
    kept = evidence.put(parts.store, parts.chain.vault, settled, sights)
    fault(EVIDENCE_KEPT)
    recorded = []
    for each in found:
        try:
            with parts.clash.write() as connection:
                recorded.append(_one(parts, connection, each, kept, now_ms))
        except DepositUsed as error:
            with parts.clash.write() as connection:
                incidents.raise_incident(connection, USED, each.tx_hash, str(error), now_ms=now_ms)
        fault(DEPOSIT_RECORDED)
    return tuple(recorded)


def _one(parts: Parts, connection: Connection, found: Found, kept: "Artifact", now_ms: int) -> Recorded:
    return deposits.record(connection, verified(parts, found, kept), now_ms=now_ms, grace_ms=parts.grace_ms)


def verified(parts: Parts, found: Found, kept: "Artifact") -> VerifiedDeposit:
    """A deposit as the books take it."""
    vault, event, block = parts.chain.vault, found.event, found.block
    return VerifiedDeposit(
        vault.chain_id, vault.address, event.party, event.resolver, event.asset, event.nonce, event.amount_wei,
        found.tx_hash, found.log_index, block.number, block.hash, block.time_ms, kept.sha256, kept.key,
    )  # fmt: skip


def _tell(parts: Parts, tx_hash: str, outcome: Settled | Pending | Mismatch, now_ms: int) -> None:
    """Raise what a person has to look at."""
    if isinstance(outcome, Pending) and outcome.is_alarming:
        with parts.clash.write() as connection:
            incidents.raise_incident(connection, DISAGREE, tx_hash, outcome.reason, now_ms=now_ms)
    if isinstance(outcome, Settled) and outcome.doubled:
        with parts.clash.write() as connection:
            detail = "the vault told of one deposit twice"
            incidents.raise_incident(connection, DOUBLED, tx_hash, detail, now_ms=now_ms)
