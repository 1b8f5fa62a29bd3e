"""Tickets: granted by the deposit's block time, numbered within their race, and what a buyer sees before buying."""

from dataclasses import dataclass

from clash_pipeline.economy import pools
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.storage.sqlite import Connection, one


@dataclass(frozen=True)
class Ticket:
    """One ticket as stored; `block_time` is that of the deposit which bought it."""

    id: int
    race_id: int
    ticket_no: int
    purchase_id: int
    clone_id: int
    user_id: int
    wallet: str
    block_time: int
    granted_at: int


@dataclass(frozen=True)
class Offer:
    """What is shown of a clone on sale: `tickets` stand still while counts are hidden, and so do the payouts.

    `payouts` are for 1st, 2nd and 3rd place, of each ticket if `count` were bought now; None where a place is unpaid.
    """

    clone_id: int
    price_wei: int
    tickets: int
    is_hidden: bool
    payouts: tuple[int | None, ...]


def obstacle(connection: Connection, purchase: Purchase, block_time: int) -> str | None:
    """The code why tickets of a purchase cannot be granted; None when they can."""
    race_id = purchase.race_id or 0
    pool = pools.get(connection, race_id)
    if pool.state != "open":
        return "race_launched"
    if block_time > pool.closes_at:
        return "sales_closed"
    if purchase.clone_id not in {clone.clone_id for clone in pools.field(connection, race_id, with_left=False)}:
        return "clone_left"
    money = money_of(connection, race_id)
    return "asset_mismatch" if money not in {None, (purchase.chain_id, purchase.asset)} else None


def give(connection: Connection, purchase: Purchase, block_time: int, *, now_ms: int) -> None:
    """The tickets of a purchase, with the next numbers of their race."""
    last: int = one(
        connection, "SELECT coalesce(max(ticket_no), 0) FROM tickets WHERE race_id = ?", (purchase.race_id,)
    )
    first_id: int = 1 + one(connection, "SELECT coalesce(max(id), 0) FROM tickets")
    shared = {
        "race_id": purchase.race_id,
        "purchase_id": purchase.id,
        "clone_id": purchase.clone_id,
        "user_id": purchase.user_id,
        "wallet": purchase.wallet,
        "block_time": block_time,
        "granted_at": now_ms,
    }
    connection.executemany(
        """
        INSERT INTO tickets
          (id, race_id, ticket_no, purchase_id, ordinal, clone_id, user_id, wallet, block_time, granted_at, row_hash)
        VALUES (:id, :race_id, :ticket_no, :purchase_id, :ordinal, :clone_id, :user_id, :wallet, :block_time,
                :granted_at, :row_hash)
        """,
        [
            sealed({"id": first_id + step, "ticket_no": last + 1 + step, "ordinal": 1 + step, **shared})
            for step in range(purchase.tickets or 0)
        ],
    )


def money_of(connection: Connection, race_id: int) -> tuple[int, str] | None:
    """Chain and asset of a pool: those of its first ticket, and the same for all of them."""
    row = connection.execute(
        """
        SELECT p.chain_id, p.asset FROM tickets t JOIN purchases p ON p.id = t.purchase_id
        WHERE t.race_id = ? ORDER BY t.ticket_no LIMIT 1
        """,
        (race_id,),
    ).fetchone()
    return None if row is None else (row["chain_id"], row["asset"])


def of_race(connection: Connection, race_id: int) -> list[Ticket]:
    """Every ticket of a race by its number."""
    rows = connection.execute(
        """
        SELECT id, race_id, ticket_no, purchase_id, clone_id, user_id, wallet, block_time, granted_at
        FROM tickets WHERE race_id = ? ORDER BY ticket_no
        """,
        (race_id,),
    )
    return [Ticket(*row) for row in rows]


def of_user(connection: Connection, user_id: int, *, before_id: int | None = None, limit: int = 50) -> list[Ticket]:
    """The tickets of a user, newest first."""
    rows = connection.execute(
        """
        SELECT id, race_id, ticket_no, purchase_id, clone_id, user_id, wallet, block_time, granted_at
        FROM tickets WHERE user_id = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?
        """,
        (user_id, before_id, before_id, limit),
    )
    return [Ticket(*row) for row in rows]


def offers(connection: Connection, race_id: int, *, count: int = 1, now_ms: int) -> list[Offer]:
    """Every clone on sale in a race, as a buyer of `count` tickets may see it now.

    Raises:
        EconomyUnknown: the race has no pool.
    """
    pool = pools.get(connection, race_id)
    is_hidden = pool.hides_counts(now_ms)
    before = pool.hidden_from if is_hidden else None
    running = [clone.clone_id for clone in pools.field(connection, race_id, with_left=False)]
    sold = {key: value.tickets for key, value in pools.demand(connection, race_id, before_ms=before).items()}
    total = sum(sold[clone_id] for clone_id in running)
    return [
        Offer(
            clone_id,
            pool.price_wei,
            sold[clone_id],
            is_hidden,
            pools.projected(pool.price_wei, sold[clone_id] + count, total - sold[clone_id], len(running)),
        )
        for clone_id in running
    ]
