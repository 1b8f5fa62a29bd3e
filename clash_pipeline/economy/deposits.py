"""Deposits of the chain, each used once: what one buys, or why it goes back (09 §4.4, §4.6 step 8, §6.3).

Whoever verified a deposit hands it over here. Its row, the move of its purchase, the ledger and the effect are one
transaction of the caller. Nothing that is valid on the chain is dropped: what buys nothing is refunded.
"""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.economy import grants, ledger, purchases, refunds
from clash_pipeline.economy.ledger import Entry
from clash_pipeline.economy.purchases import GRACE_MS, WATCHER, Purchase
from clash_pipeline.economy.refusals import DepositUsed
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

Outcome = Literal["granted", "refund_due", "stray", "foreign"]
DEPOSIT_KEPT = point("economy.deposit_kept")
_CLOSED = {"rejected": "purchase_rejected"}
"""Why a deposit for a purchase that is over is refunded by itself; otherwise the purchase has its deposit."""


@dataclass(frozen=True)
class VerifiedDeposit:
    """A deposit that is final and said alike by every endpoint; addresses and hashes in lower case, time in ms."""

    chain_id: int
    contract: str
    depositor: str
    resolver: str
    asset: str
    nonce: int
    amount_wei: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_time_ms: int
    evidence_hash: str
    evidence_key: str


@dataclass(frozen=True)
class Recorded:
    """What became of a deposit. `foreign` brought nothing and nothing was written; `stray` is refunded by itself."""

    outcome: Outcome
    code: str | None
    purchase_id: int | None
    deposit_id: int | None
    is_new: bool


@dataclass(frozen=True)
class _Judgement:
    """Which purchase a deposit is for, what follows, and the code why it buys nothing."""

    outcome: Outcome
    purchase: Purchase | None = None
    code: str | None = None


def record(connection: Connection, found: VerifiedDeposit, *, now_ms: int, grace_ms: int = GRACE_MS) -> Recorded:
    """Use a deposit, once: grant its purchase, or make it refundable with the code; the same one again changes nothing.

    It lies in our vault, to our resolver: that is for the caller to know. One that somebody else made with the nonce of
    a purchase, or that is of another vault than was quoted, never touches the purchase: it goes back to who made it.

    Raises:
        DepositUsed: one of its two keys belongs to another deposit.
    """
    known = _known(connection, found)
    if known is not None:
        return Recorded(known["outcome"], known["code"], known["purchase_id"], known["id"], is_new=False)
    judged = judge(connection, found, grace_ms=grace_ms)
    if judged.outcome == "foreign":
        return Recorded("foreign", judged.code, judged.purchase.id if judged.purchase else None, None, is_new=False)
    deposit_id = _keep(connection, found, judged, now_ms)
    fault(DEPOSIT_KEPT)
    if judged.purchase is None:
        refunds.owe_stray(
            connection, deposit_id, found.depositor, judged.code or "", amount_wei=found.amount_wei,
            chain_id=found.chain_id, asset=found.asset, now_ms=now_ms,
        )  # fmt: skip
        return Recorded("stray", judged.code, None, deposit_id, is_new=True)
    _hold(connection, found, judged.purchase, deposit_id, now_ms)
    _finish(connection, found, judged, now_ms)
    return Recorded(judged.outcome, judged.code, judged.purchase.id, deposit_id, is_new=True)


def judge(connection: Connection, found: VerifiedDeposit, *, grace_ms: int = GRACE_MS) -> _Judgement:
    """What a deposit is worth, from what was quoted and from where things stand; writes nothing."""
    purchase = purchases.of_nonce(connection, found.nonce)
    if found.amount_wei == 0:
        return _Judgement("foreign", purchase, "nothing_paid")
    if purchase is None:
        return _Judgement("stray", code="unknown_nonce")
    foreign = _foreign(found, purchase)
    if foreign is not None:
        return _Judgement("stray", code=foreign)
    if not refunds.is_of(connection, found.depositor, purchase.user_id):
        return _Judgement("stray", code="depositor_mismatch")
    if purchase.state not in {"quoted", "pending", "expired"}:
        return _Judgement("stray", code=_CLOSED.get(purchase.state, "deposit_already_used"))
    code = _mismatch(found, purchase, grace_ms) or grants.obstacle(connection, purchase, found.block_time_ms)
    return _Judgement("refund_due" if code else "granted", purchase, code)


def of_purchase(connection: Connection, purchase_id: int) -> Row | None:
    """The deposit that was used for a purchase."""
    found: Row | None = connection.execute(
        "SELECT * FROM chain_deposits WHERE purchase_id = ?", (purchase_id,)
    ).fetchone()
    return found


# what it is worth


def _foreign(found: VerifiedDeposit, purchase: Purchase) -> str | None:
    """Another vault than was quoted: a nonce of an earlier one, or chosen by somebody else."""
    if (found.chain_id, found.contract) != (purchase.chain_id, purchase.contract):
        return "contract_mismatch"
    return "resolver_mismatch" if found.resolver != purchase.resolver else None


def _mismatch(found: VerifiedDeposit, purchase: Purchase, grace_ms: int) -> str | None:
    if found.asset != purchase.asset:
        return "asset_mismatch"
    if found.amount_wei != purchase.amount_wei:
        return "amount_mismatch"
    if found.block_time_ms > purchase.expires_at + grace_ms:
        return "late"
    return "quote_expired" if purchase.state == "expired" else None


# what follows


def _finish(connection: Connection, found: VerifiedDeposit, judged: _Judgement, now_ms: int) -> None:
    """Take the arrows from where the purchase is to granted or refundable, with the effect at the end."""
    purchase, code = judged.purchase, judged.code
    assert purchase is not None
    moves = {"actor": WATCHER, "now_ms": now_ms}
    if purchase.state == "quoted":
        purchases.move(connection, purchase.id, "pending", reason="found", **moves)  # type: ignore[arg-type]
    if code is None:
        purchases.move(connection, purchase.id, "confirmed", reason=None, **moves)  # type: ignore[arg-type]
        grants.give(connection, purchase, found.block_time_ms, now_ms=now_ms)
        purchases.move(connection, purchase.id, "granted", reason=None, **moves)  # type: ignore[arg-type]
        return
    purchases.move(connection, purchase.id, "refund_due", reason=code, **moves)  # type: ignore[arg-type]
    refunds.owe(connection, purchase, code, amount_wei=found.amount_wei, asset=found.asset, now_ms=now_ms)


def _hold(connection: Connection, found: VerifiedDeposit, purchase: Purchase, deposit_id: int, now_ms: int) -> None:
    entry = Entry("deposit", found.chain_id, found.asset, "deposit", deposit_id, WATCHER, purchase.purpose)
    ledger.move(connection, entry, ledger.VAULT, ledger.held(purchase.id), found.amount_wei, now_ms=now_ms)


def _known(connection: Connection, found: VerifiedDeposit) -> Row | None:
    """The row of this very deposit, if it was used before."""
    key = (found.chain_id, found.contract, found.depositor, found.resolver, found.asset, str(found.nonce))
    place = (found.chain_id, found.tx_hash, found.log_index)
    rows: list[Row] = connection.execute(
        """
        SELECT * FROM chain_deposits
        WHERE (chain_id, contract, depositor, resolver, asset, nonce) = (?, ?, ?, ?, ?, ?)
           OR (chain_id, tx_hash, log_index) = (?, ?, ?)
        """,
        (*key, *place),
    ).fetchall()
    if not rows:
        return None
    (row, *others) = rows
    same_key = (row["chain_id"], row["contract"], row["depositor"], row["resolver"], row["asset"], row["nonce"]) == key
    same_place = (row["chain_id"], row["tx_hash"], row["log_index"]) == place
    if others or not same_key or not same_place or row["amount_wei"] != str(found.amount_wei):
        raise DepositUsed(f"the deposit of {found.tx_hash[:12]}… log {found.log_index} was used for something else")
    return row


def _keep(connection: Connection, found: VerifiedDeposit, judged: _Judgement, now_ms: int) -> int:
    deposit_id: int = 1 + one(connection, "SELECT coalesce(max(id), 0) FROM chain_deposits")
    values = {
        "id": deposit_id,
        **vars(found),
        "nonce": str(found.nonce),
        "amount_wei": str(found.amount_wei),
        "block_time": found.block_time_ms,
        "purchase_id": judged.purchase.id if judged.purchase else None,
        "user_id": refunds.user_of(connection, found.depositor),
        "outcome": judged.outcome,
        "code": judged.code,
        "known_at": now_ms,
    }
    values.pop("block_time_ms")
    connection.execute(
        """
        INSERT INTO chain_deposits
          (id, chain_id, contract, depositor, resolver, asset, nonce, amount_wei, tx_hash, log_index, block_number,
           block_hash, block_time, evidence_hash, evidence_key, purchase_id, user_id, outcome, code, known_at, row_hash)
        VALUES
          (:id, :chain_id, :contract, :depositor, :resolver, :asset, :nonce, :amount_wei, :tx_hash, :log_index,
           :block_number, :block_hash, :block_time, :evidence_hash, :evidence_key, :purchase_id, :user_id, :outcome,
           :code, :known_at, :row_hash)
        """,
        sealed(values),
    )
    return deposit_id
