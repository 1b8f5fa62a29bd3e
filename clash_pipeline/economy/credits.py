"""Audition credits: each paid audition may be submitted once; a credit is never given back."""

from clash_pipeline.economy.freezing import is_frozen
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.economy.sealing import resealed, sealed
from clash_pipeline.storage.sqlite import Connection, one


def unused(connection: Connection, clone_id: int) -> int | None:
    """The oldest purchase of a clone whose audition was not submitted yet."""
    found: int | None = one(
        connection,
        """
        SELECT c.purchase_id FROM audition_credits c WHERE c.clone_id = ? AND c.used_by IS NULL
          AND NOT EXISTS (SELECT 1 FROM payables p WHERE p.purchase_id = c.purchase_id AND p.kind = 'refund')
          AND NOT EXISTS (SELECT 1 FROM frozen_deposits f WHERE f.purchase_id = c.purchase_id)
        ORDER BY c.purchase_id LIMIT 1
        """,
        (clone_id,),
    )
    return found


def use(connection: Connection, purchase_id: int, audition_id: int, *, now_ms: int) -> bool:
    """Spend a credit on an audition; False when this audition has it already.

    Raises:
        EconomyUnknown: the purchase gave none.
        EconomyConflict: another audition used it, or its money was refunded.
    """
    row = connection.execute("SELECT * FROM audition_credits WHERE purchase_id = ?", (purchase_id,)).fetchone()
    if row is None:
        raise EconomyUnknown(f"purchase {purchase_id} gave no audition")
    if row["used_by"] is not None:
        if row["used_by"] != audition_id:
            raise EconomyConflict(f"the audition of purchase {purchase_id} was used by {row['used_by']}")
        return False
    if is_refunded(connection, purchase_id):
        raise EconomyConflict(f"purchase {purchase_id} was refunded")
    if is_frozen(connection, purchase_id):
        raise EconomyConflict(f"the deposit of purchase {purchase_id} is gone from the chain")
    changed = connection.execute(
        """
        UPDATE audition_credits SET used_by = :used_by, used_at = :used_at, row_hash = :row_hash
        WHERE purchase_id = :purchase_id AND used_by IS NULL
        """,
        resealed(dict(row), {"used_by": audition_id, "used_at": now_ms}),
    )
    if changed.rowcount != 1:
        raise EconomyConflict(f"the audition of purchase {purchase_id} is being used")
    return True


def is_refunded(connection: Connection, purchase_id: int) -> bool:
    """Whether the money of a purchase went back, or is about to."""
    statement = "SELECT 1 FROM payables WHERE kind = 'refund' AND purchase_id = ?"
    return one(connection, statement, (purchase_id,)) is not None


def give(connection: Connection, purchase_id: int, clone_id: int, *, now_ms: int) -> None:
    """One audition for a purchase; the key is the purchase."""
    given = {"purchase_id": purchase_id, "clone_id": clone_id, "granted_at": now_ms}
    connection.execute(
        """
        INSERT INTO audition_credits (purchase_id, clone_id, granted_at, used_by, used_at, row_hash)
        VALUES (:purchase_id, :clone_id, :granted_at, :used_by, :used_at, :row_hash)
        """,
        sealed({**given, "used_by": None, "used_at": None}),
    )
