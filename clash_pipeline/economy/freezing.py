"""What follows when a deposit that was final is gone from the chain (M10): its effect is frozen, nobody else's."""

from clash_pipeline.clones import entitlements
from clash_pipeline.economy import incidents
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, one

GONE = "deposit_gone"
ACTOR = "watcher"
FROZEN = point("economy.deposit_frozen")


def freeze(connection: Connection, deposit_id: int, purchase_id: int | None, reason: str, *, now_ms: int) -> bool:
    """Freeze what a deposit gave and raise an incident; False when it was frozen before.

    The entitlement ends and an unused audition cannot be submitted. Tickets stay in their pool, so that what others
    are paid does not change; what the tickets themselves win is not paid out.
    """
    made = connection.execute(
        """
        INSERT INTO frozen_deposits (deposit_id, purchase_id, reason, frozen_at, row_hash)
        VALUES (:deposit_id, :purchase_id, :reason, :frozen_at, :row_hash) ON CONFLICT (deposit_id) DO NOTHING
        """,
        sealed({"deposit_id": deposit_id, "purchase_id": purchase_id, "reason": reason, "frozen_at": now_ms}),
    )
    if not made.rowcount:
        return False
    if purchase_id is not None:
        entitlements.freeze_purchased(connection, str(purchase_id), actor=ACTOR, reason=reason, now_ms=now_ms)
    fault(FROZEN)
    what = "no purchase" if purchase_id is None else f"purchase {purchase_id}"
    incidents.raise_incident(connection, GONE, f"deposit {deposit_id}", f"{reason}; it paid {what}", now_ms=now_ms)
    return True


def is_frozen(connection: Connection, purchase_id: int) -> bool:
    """Whether the deposit of a purchase is gone."""
    return one(connection, "SELECT 1 FROM frozen_deposits WHERE purchase_id = ?", (purchase_id,)) is not None


def holds_back(connection: Connection, payable_id: int) -> bool:
    """Whether a payable rests on a deposit that is gone: by itself, by its purchase, or by the ticket's purchase."""
    found = one(
        connection,
        """
        SELECT 1 FROM payables p LEFT JOIN tickets t ON t.id = p.ticket_id
        JOIN frozen_deposits f ON f.deposit_id = p.deposit_id OR f.purchase_id = coalesce(p.purchase_id, t.purchase_id)
        WHERE p.id = ?
        """,
        (payable_id,),
    )
    return found is not None
