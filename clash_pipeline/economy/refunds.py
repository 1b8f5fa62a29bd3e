"""Money that goes back outside a settlement: of purchases that buy nothing, of stray deposits, of void auditions."""

from clash_pipeline.economy import ledger, payables, purchases
from clash_pipeline.economy.ledger import Entry
from clash_pipeline.economy.payables import Owed
from clash_pipeline.economy.purchases import WATCHER, Purchase
from clash_pipeline.economy.refusals import EconomyConflict
from clash_pipeline.identity import users
from clash_pipeline.storage.sqlite import Connection, one

REFUNDABLE_WHEN_GRANTED = frozenset({"audition", "retry"})
"""Tickets go back through the settlement of their race; an upgrade was had from the moment it was granted."""


def owe(connection: Connection, purchase: Purchase, code: str, *, amount_wei: int, asset: str, now_ms: int) -> int:
    """What was deposited for a purchase that cannot be granted becomes claimable; returns the payable."""
    account = ledger.claimable(purchase.user_id, purchase.wallet)
    entry = Entry("refund", purchase.chain_id, asset, "purchase", purchase.id, WATCHER, code)
    ledger.move(connection, entry, ledger.held(purchase.id), account, amount_wei, now_ms=now_ms)
    owed = Owed(
        "refund", purchase.wallet, account, purchase.chain_id, asset, amount_wei, code,
        user_id=purchase.user_id, clone_id=purchase.clone_id, purchase_id=purchase.id,
    )  # fmt: skip
    return payables.write(connection, [owed], now_ms=now_ms)[0]


def owe_stray(
    connection: Connection,
    deposit_id: int,
    depositor: str,
    code: str,
    *,
    amount_wei: int,
    chain_id: int,
    asset: str,
    now_ms: int,
) -> int:
    """A deposit that no purchase takes goes back to who made it; returns the payable."""
    user_id = user_of(connection, depositor)
    account = ledger.claimable(user_id, depositor)
    entry = Entry("deposit", chain_id, asset, "deposit", deposit_id, WATCHER, code)
    ledger.move(connection, entry, ledger.VAULT, account, amount_wei, now_ms=now_ms)
    owed = Owed("refund", depositor, account, chain_id, asset, amount_wei, code, user_id=user_id, deposit_id=deposit_id)
    return payables.write(connection, [owed], now_ms=now_ms)[0]


def refund_granted(connection: Connection, purchase_id: int, *, actor: str, reason: str, now_ms: int) -> int:
    """Give the fee of a void audition back, once; returns the payable. The purchase stays granted.

    Raises:
        EconomyUnknown: no such purchase.
        EconomyConflict: it is not a granted audition or retry.
    """
    known: int | None = one(
        connection, "SELECT id FROM payables WHERE kind = 'refund' AND purchase_id = ?", (purchase_id,)
    )
    purchase = purchases.get(connection, purchase_id)
    if purchase.state != "granted" or purchase.purpose not in REFUNDABLE_WHEN_GRANTED:
        what = f"purchase {purchase_id} is a {purchase.purpose} and {purchase.state}"
        raise EconomyConflict(f"{what}: only a granted audition or retry is refunded")
    if known is not None:
        return known
    account = ledger.claimable(purchase.user_id, purchase.wallet)
    entry = Entry("refund", purchase.chain_id, purchase.asset, "purchase", purchase.id, actor, reason)
    ledger.move(connection, entry, ledger.FEES, account, purchase.amount_wei, now_ms=now_ms)
    owed = Owed(
        "refund", purchase.wallet, account, purchase.chain_id, purchase.asset, purchase.amount_wei, reason,
        user_id=purchase.user_id, clone_id=purchase.clone_id, purchase_id=purchase.id,
    )  # fmt: skip
    return payables.write(connection, [owed], now_ms=now_ms)[0]


def user_of(connection: Connection, wallet: str) -> int | None:
    """Whose wallet it is, where we know."""
    found: int | None = one(connection, "SELECT user_id FROM wallets WHERE address = ?", (wallet,))
    return found


def is_of(connection: Connection, wallet: str, user_id: int) -> bool:
    """Whether a wallet is one of a user's."""
    return wallet in users.wallets(connection, user_id)
