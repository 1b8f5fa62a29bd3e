"""Payouts: what is owed becomes an authorisation that its recipient can take to the vault (09 §4.8).

An authorisation is prepared in one transaction, signed outside of any, and kept in a second. A payable has one contract
nonce for ever, so of all that was ever signed for it at most one can succeed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from clash_pipeline.clock import DAY_MS, HOUR_MS, SECOND_MS
from clash_pipeline.economy import freezing, incidents, ledger, payables, switches
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain import looks
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.contract import Vault, Withdrawal
from clash_pipeline.economy.chain.endpoints import TooFewEndpoints, circle
from clash_pipeline.economy.chain.rpc import EndpointTrouble
from clash_pipeline.economy.payables import Payable
from clash_pipeline.economy.refusals import EconomyConflict, EconomyError
from clash_pipeline.economy.signing import AuthorisationRow, Signer, SignerBroken, signed
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Row

PAUSED = "payout_paused"
PREPARED = point("payouts.prepared")
SIGNED = point("payouts.signed")
KEPT = point("payouts.kept")


class PayoutPaused(EconomyError):
    """Nothing is authorised now; `cause` says which rule holds it back. Nothing was lost, asking later can help."""

    code: ClassVar[str] = "payout_paused"

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Limits:
    """How much may be authorised in an hour and in a day, in wei, and how long an authorisation may be used."""

    hour_wei: int
    day_wei: int
    valid_ms: int


@dataclass(frozen=True)
class Authorisation:
    """What its recipient needs to take it; `deadline` in seconds."""

    payable_id: int
    vault: Vault
    allowed: Withdrawal
    signature: str


@dataclass(frozen=True)
class Case:
    """All that the gates look at, in wei; `open_wei` is authorised and not taken, `kept_wei` that of this account."""

    payable: Payable
    why_stopped: str | None
    is_frozen: bool
    is_spent: bool
    is_ours: bool
    account_wei: int
    kept_wei: int
    open_wei: int
    vault_wei: int
    hour_wei: int
    day_wei: int
    limits: Limits


Gate = Callable[[Case], str | None]


def authorise(
    parts: Parts, signer: Signer, limits: Limits, payable_id: int, *, actor: str, now_ms: int
) -> Authorisation:
    """The authorisation of a payable: the one that stands, a renewed one after its deadline, or the first.

    Raises:
        EconomyUnknown: no such payable.
        EconomyConflict: it was taken already.
        PayoutPaused: a gate holds it back; an incident says so.
    """
    with parts.clash.read() as connection:
        payable = payables.get(connection, payable_id)
        standing = _standing(connection, parts.chain.vault, payable_id, now_ms)
    if payable.state == "claimed":
        raise EconomyConflict(f"payable {payable_id} was taken already")
    if standing is not None and payable.state == "authorised":
        return standing
    try:
        row = _prepare(parts, limits, payable, now_ms)
        fault(PREPARED)
        signature = _signature(signer, row)
    except PayoutPaused as error:
        with parts.clash.write() as connection:
            incidents.raise_incident(connection, PAUSED, error.cause, str(error), now_ms=now_ms)
        raise
    fault(SIGNED)
    with parts.clash.write() as connection:
        _keep(connection, row.digest, signature, now_ms)
        payables.authorise(connection, payable_id, actor=actor, now_ms=now_ms)
        fault(KEPT)
    return Authorisation(payable_id, row.vault, row.allowed, signature)


def limits_from(settings: Settings) -> Limits:
    """The limits of the settings."""
    return Limits(settings.payout_hour_most_wei, settings.payout_day_most_wei, settings.payout_valid_sec * SECOND_MS)


def wire(made: Authorisation) -> dict[str, object]:
    """What its recipient sends to the vault, amounts and nonce as text."""
    allowed = made.allowed
    return {
        "payableId": made.payable_id,
        "chainId": made.vault.chain_id,
        "contract": made.vault.address,
        "resolver": made.vault.resolver,
        "recipient": allowed.recipient,
        "asset": allowed.asset,
        "amountWei": str(allowed.amount_wei),
        "nonce": str(allowed.nonce),
        "deadline": allowed.deadline,
        "signature": made.signature,
    }


def contract_nonce(vault: Vault, payable: Payable) -> int:
    """The nonce of a payable: the digest of its natural key, so that a restored database gives the same one."""
    key = (
        vault.chain_id, vault.address, payable.kind, payable.race_id, payable.ticket_id,
        payable.clone_id if payable.kind == "royalty" else None,
        payable.purchase_id if payable.ticket_id is None else None, payable.deposit_id,
    )  # fmt: skip
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode("ascii")).digest())


def of_payable(connection: Connection, vault: Vault, payable_id: int) -> Authorisation | None:
    """The newest signed authorisation of a payable."""
    row = connection.execute(
        "SELECT * FROM payout_authorisations WHERE payable_id = ? AND signature IS NOT NULL ORDER BY id DESC LIMIT 1",
        (payable_id,),
    ).fetchone()
    return None if row is None else _authorisation(vault, row)


# the gates


def signing_is_on(case: Case) -> str | None:
    """Nobody has thrown the switch."""
    return f"signing is stopped: {case.why_stopped}" if case.why_stopped is not None else None


def is_of_this_vault(case: Case) -> str | None:
    """What is owed lies in the vault that we sign for."""
    return None if case.is_ours else "it is owed on another chain or in another asset"


def rests_on_a_deposit(case: Case) -> str | None:
    """The deposit behind it is still there."""
    return "the deposit behind it is gone from the chain" if case.is_frozen else None


def was_not_taken(case: Case) -> str | None:
    """The vault has not seen its nonce."""
    return "the vault has paid it; the watcher will say so" if case.is_spent else None


def stands_in_the_books(case: Case) -> str | None:
    """The account that owes it holds it, beside what else of it was authorised."""
    if case.account_wei >= case.kept_wei + case.payable.amount_wei:
        return None
    return f"{case.payable.account} holds {case.account_wei} wei, {case.kept_wei} of it authorised"


def lies_in_the_vault(case: Case) -> str | None:
    """The vault holds everything that was authorised, and this."""
    if case.vault_wei >= case.open_wei + case.payable.amount_wei:
        return None
    return f"the vault holds {case.vault_wei} wei, {case.open_wei} of it authorised"


def within_the_hour(case: Case) -> str | None:
    """The cap of an hour."""
    if case.hour_wei + case.payable.amount_wei <= case.limits.hour_wei:
        return None
    return f"{case.hour_wei} wei were authorised in the last hour, the cap is {case.limits.hour_wei}"


def within_the_day(case: Case) -> str | None:
    """The cap of a day."""
    if case.day_wei + case.payable.amount_wei <= case.limits.day_wei:
        return None
    return f"{case.day_wei} wei were authorised in the last day, the cap is {case.limits.day_wei}"


GATES: tuple[Gate, ...] = (
    signing_is_on,
    is_of_this_vault,
    rests_on_a_deposit,
    was_not_taken,
    stands_in_the_books,
    lies_in_the_vault,
    within_the_hour,
    within_the_day,
)
"""The first that refuses decides."""


# how it is prepared


def _prepare(parts: Parts, limits: Limits, payable: Payable, now_ms: int) -> AuthorisationRow:
    """The row to sign: a prepared one that a crash left, or a new one that passed every gate."""
    vault = parts.chain.vault
    nonce = contract_nonce(vault, payable)
    vault_wei, is_spent = _vault_facts(parts, nonce, now_ms)
    with parts.clash.write() as connection:
        case = _case(connection, parts, limits, payable.id, vault_wei, is_spent, now_ms)
        for gate in GATES:
            if (why := gate(case)) is not None:
                raise PayoutPaused(gate.__name__, f"payable {payable.id}: {why}")
        left = _left_unsigned(connection, payable.id, now_ms)
        if left is not None:
            return AuthorisationRow(vault, _allowed(left), left["digest"])
        return _insert(connection, vault, case.payable, nonce, limits, now_ms)


def _signature(signer: Signer, row: AuthorisationRow) -> str:
    try:
        return "0x" + signed(signer, row).hex()
    except EndpointTrouble as trouble:
        raise PayoutPaused("signer_silent", str(trouble)) from None
    except SignerBroken as broken:
        raise PayoutPaused("signer_broken", str(broken)) from None


def _vault_facts(parts: Parts, nonce: int, now_ms: int) -> tuple[int, bool]:
    """What the vault holds for us, and whether it has seen a nonce; at the newest final block, said alike."""
    vault = parts.chain.vault
    try:
        around = circle(parts.clash, parts.chain, now_ms)
    except TooFewEndpoints as error:
        raise PayoutPaused("chain_silent", str(error)) from None
    held = looks.amounts(parts, around, words.resolver_balance_of(vault.resolver, vault.native), now_ms)
    spent = looks.amounts(parts, around, words.is_spent(vault.resolver, nonce), now_ms)
    if len(held) < len(around.endpoints) or len(spent) < len(around.endpoints):
        raise PayoutPaused("chain_silent", "an endpoint did not say what the vault holds")
    if len(set(held)) > 1 or len(set(spent)) > 1:
        raise PayoutPaused("endpoints_disagree", "the endpoints differ on what the vault holds")
    return held[0], bool(spent[0])


def _case(
    connection: Connection, parts: Parts, limits: Limits, payable_id: int, vault_wei: int, is_spent: bool, now_ms: int
) -> Case:
    vault, payable = parts.chain.vault, payables.get(connection, payable_id)
    if payable.state == "claimed":
        raise EconomyConflict(f"payable {payable_id} was taken already")
    others = [row for row in _open(connection, payable) if row["id"] != payable_id]
    return Case(
        payable,
        why_stopped=switches.is_thrown(connection),
        is_frozen=freezing.holds_back(connection, payable_id),
        is_spent=is_spent,
        is_ours=(payable.chain_id, payable.asset) == (vault.chain_id, vault.native),
        account_wei=ledger.balance(connection, payable.account, payable.chain_id, payable.asset),
        kept_wei=sum(int(row["amount_wei"]) for row in others if row["account"] == payable.account),
        open_wei=sum(int(row["amount_wei"]) for row in others),
        vault_wei=vault_wei,
        hour_wei=_since(connection, payable_id, now_ms - HOUR_MS),
        day_wei=_since(connection, payable_id, now_ms - DAY_MS),
        limits=limits,
    )


def _open(connection: Connection, payable: Payable) -> list[Row]:
    """What was prepared or signed and not taken: it may leave the vault of the payable's chain at any time."""
    rows: list[Row] = connection.execute(
        """
        SELECT p.id, p.account, p.amount_wei FROM payables p JOIN payout_nonces n ON n.payable_id = p.id
        WHERE p.state <> 'claimed' AND p.chain_id = ? AND p.asset = ?
        """,
        (payable.chain_id, payable.asset),
    ).fetchall()
    return rows


def _since(connection: Connection, payable_id: int, since_ms: int) -> int:
    """What was authorised for the first time since then; a renewal adds nothing."""
    rows = connection.execute(
        """
        SELECT amount_wei FROM payout_authorisations WHERE payable_id <> ?
        GROUP BY payable_id HAVING min(prepared_at) > ?
        """,
        (payable_id, since_ms),
    )
    return sum(int(row["amount_wei"]) for row in rows)


def _insert(
    connection: Connection, vault: Vault, payable: Payable, nonce: int, limits: Limits, now_ms: int
) -> AuthorisationRow:
    deadline = (now_ms + limits.valid_ms) // SECOND_MS
    allowed = Withdrawal(payable.recipient, payable.asset, payable.amount_wei, nonce, deadline)
    name = "0x" + words.digest(vault, allowed).hex()
    connection.execute(
        "INSERT INTO payout_nonces (payable_id, contract_nonce) VALUES (?, ?) ON CONFLICT (payable_id) DO NOTHING",
        (payable.id, str(nonce)),
    )
    connection.execute(
        """
        INSERT INTO payout_authorisations
          (payable_id, contract_nonce, recipient, asset, amount_wei, deadline, digest, prepared_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (payable.id, str(nonce), payable.recipient, payable.asset, str(payable.amount_wei), deadline, name, now_ms),
    )
    return AuthorisationRow(vault, allowed, name)


def _left_unsigned(connection: Connection, payable_id: int, now_ms: int) -> Row | None:
    row: Row | None = connection.execute(
        "SELECT * FROM payout_authorisations WHERE payable_id = ? AND signature IS NULL AND deadline > ? "
        "ORDER BY id DESC LIMIT 1",
        (payable_id, now_ms // SECOND_MS),
    ).fetchone()
    return row


def _keep(connection: Connection, digest: str, signature: str, now_ms: int) -> None:
    """Add the signature, once; another process that was faster has the same bytes."""
    connection.execute(
        "UPDATE payout_authorisations SET signature = ?, signed_at = ? WHERE digest = ? AND signature IS NULL",
        (signature, now_ms, digest),
    )


def _standing(connection: Connection, vault: Vault, payable_id: int, now_ms: int) -> Authorisation | None:
    found = of_payable(connection, vault, payable_id)
    return found if found is not None and found.allowed.deadline * SECOND_MS > now_ms else None


def _authorisation(vault: Vault, row: Row) -> Authorisation:
    return Authorisation(row["payable_id"], vault, _allowed(row), row["signature"])


def _allowed(row: Row) -> Withdrawal:
    return Withdrawal(
        row["recipient"], row["asset"], int(row["amount_wei"]), int(row["contract_nonce"]), row["deadline"]
    )
