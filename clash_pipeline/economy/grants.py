"""What a confirmed purchase gives: an entitlement, an audition, tickets; each with its ledger group (09 §4.5, I5)."""

from typing import cast

from clash_pipeline.clones import entitlements, retirement
from clash_pipeline.clones.entitlements import CapacityName, Purchased, purchased
from clash_pipeline.economy import ledger, tickets
from clash_pipeline.economy.credits import give as give_audition
from clash_pipeline.economy.credits import unused as unused_audition
from clash_pipeline.economy.ledger import Entry
from clash_pipeline.economy.purchases import WATCHER, Purchase
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection

EFFECT_GIVEN = point("economy.effect_given")
ACTOR = "economy"


def obstacle(connection: Connection, purchase: Purchase, block_time: int) -> str | None:
    """The code why a paid purchase cannot be granted and must be refunded; None when it can."""
    if purchase.purpose == "ticket":
        return tickets.obstacle(connection, purchase, block_time)
    if retirement.is_retired(connection, purchase.clone_id):
        return "clone_retired"
    if purchased(connection, purchase.clone_id) != _base(purchase):
        return "already_bought"  # what its price rests on was bought meanwhile
    if purchase.purpose == "retry" and unused_audition(connection, purchase.clone_id) is not None:
        return "already_bought"
    return None


def give(connection: Connection, purchase: Purchase, block_time: int, *, now_ms: int) -> None:
    """The effect of a purchase and the group that books it; inside the transaction that records the deposit."""
    if purchase.purpose == "ticket":
        tickets.give(connection, purchase, block_time, now_ms=now_ms)
        earner = ledger.pool(purchase.race_id or 0)
    else:
        _entitle(connection, purchase, now_ms=now_ms)
        earner = ledger.FEES
    fault(EFFECT_GIVEN)
    entry = Entry("grant", purchase.chain_id, purchase.asset, "purchase", purchase.id, WATCHER, purchase.purpose)
    ledger.move(connection, entry, ledger.held(purchase.id), earner, purchase.amount_wei, now_ms=now_ms)


def _entitle(connection: Connection, purchase: Purchase, *, now_ms: int) -> None:
    entitlements.grant(
        connection,
        purchase.clone_id,
        cast("CapacityName", purchase.capacity_tier),
        purchase.model_tier or 1,
        source="purchase",
        ref=str(purchase.id),
        purpose=purchase.purpose,
        actor=ACTOR,
        now_ms=now_ms,
    )
    if purchase.purpose in {"audition", "retry"}:
        give_audition(connection, purchase.id, purchase.clone_id, now_ms=now_ms)


def _base(purchase: Purchase) -> Purchased | None:
    """What the clone had when the price was fixed."""
    if purchase.base_capacity is None or purchase.base_model is None:
        return None
    return Purchased(purchase.base_capacity, purchase.base_model)
