"""The audit of settlements: computed again from their frozen inputs, and compared with every row (I3, I7)."""

from collections.abc import Iterator

from clash_pipeline import canonical
from clash_pipeline.economy import ledger, pools, settling, tickets
from clash_pipeline.economy.settling import Settled
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Row


def pools_are_empty(connection: Connection) -> Iterator[Difference]:
    """I3: a pool that is over holds nothing; one that is not holds the price of each of its tickets."""
    rows = connection.execute(
        """
        SELECT p.race_id, p.state, p.price_wei, count(t.id) AS sold, s.outcome FROM economy_pools p
        LEFT JOIN tickets t ON t.race_id = p.race_id LEFT JOIN settlements s ON s.race_id = p.race_id
        GROUP BY p.race_id ORDER BY p.race_id
        """
    )
    for row in rows:
        where, is_over = f"economy_pools({row['race_id']})", row["state"] in {"settled", "refunded"}
        expected = 0 if is_over else int(row["price_wei"]) * row["sold"]
        held = ledger.wei_sum(
            balance["balance_wei"]
            for balance in connection.execute(
                "SELECT balance_wei FROM wei_balances WHERE account = ?", (ledger.pool(row["race_id"]),)
            )
        )
        if held != expected:
            yield Difference("I3", where, f"is {row['state']} and holds {held} wei, not {expected}")
        if (row["outcome"] or "") != (row["state"] if is_over else ""):
            yield Difference("I7", where, f"is {row['state']}, its settlement {row['outcome'] or 'absent'}")


def tickets_are_numbered(connection: Connection) -> Iterator[Difference]:
    """The tickets of a race are numbered from 1 without a hole, each bought at the pool's price, in time."""
    rows = connection.execute(
        """
        SELECT t.id, t.ticket_no, t.block_time, p.closes_at, p.price_wei, b.amount_wei, b.tickets,
               row_number() OVER (PARTITION BY t.race_id ORDER BY t.ticket_no) AS expected
        FROM tickets t LEFT JOIN economy_pools p ON p.race_id = t.race_id
        LEFT JOIN purchases b ON b.id = t.purchase_id ORDER BY t.id
        """
    )
    for row in rows:
        where = f"tickets({row['id']})"
        if row["ticket_no"] != row["expected"]:
            yield Difference("I7", where, f"is number {row['ticket_no']}, should be {row['expected']}")
        if row["price_wei"] is None or row["amount_wei"] is None:
            yield Difference("I5", where, "has no pool or no purchase")
        elif int(row["amount_wei"]) != int(row["price_wei"]) * (row["tickets"] or 0):
            yield Difference("I5", where, f"its purchase of {row['amount_wei']} wei is not at the pool's price")
        elif row["block_time"] > row["closes_at"]:
            yield Difference("I5", where, "its deposit is later than the close of sales")


def settlements_add_up(connection: Connection) -> Iterator[Difference]:
    """I7: every amount is what the frozen inputs make, the inputs are the tickets that were sold, the hashes agree."""
    for row in connection.execute("SELECT * FROM settlements ORDER BY race_id").fetchall():
        where = f"settlements({row['race_id']})"
        try:
            settled = settling.settlement_of(connection, row["race_id"])
        except (ValueError, KeyError, TypeError) as error:  # whatever was written over the inputs
            yield Difference("I7", where, f"its inputs cannot be read: {error}")
            continue
        assert settled is not None
        yield from _figures(row, settled, where)
        yield from _inputs(connection, settled, where)
        yield from _rows(connection, settled)


def orphans(connection: Connection) -> Iterator[Difference]:
    """Rows of races that were never settled."""
    rows = connection.execute(
        """
        SELECT 'payables(' || o.id || ')' AS place FROM payables o LEFT JOIN settlements s ON s.race_id = o.race_id
        WHERE o.race_id IS NOT NULL AND s.race_id IS NULL
        UNION ALL
        SELECT 'rakes(' || r.race_id || ')' FROM rakes r LEFT JOIN settlements s ON s.race_id = r.race_id
        WHERE s.race_id IS NULL
        """
    )
    for row in rows:
        yield Difference("I7", row["place"], "is of a race that was not settled")


CHECKS = (pools_are_empty, tickets_are_numbered, settlements_add_up, orphans)


def _figures(row: Row, settled: Settled, where: str) -> Iterator[Difference]:
    if canonical.digest(settled.inputs) != row["inputs_hash"] or canonical.text(settled.inputs) != row["inputs"]:
        yield Difference("I7", where, "its inputs are not those that were frozen")
    figures, result_hash = settling.recomputed(settled.inputs)
    if figures != (settled.pool_wei, settled.rake_wei, settled.dust_wei):
        yield Difference("I7", where, f"pool, rake and dust are not {figures}")
    if result_hash != row["result_hash"]:
        yield Difference("I7", where, "the result is not what its inputs make")
    tickets_get = ledger.wei_sum(item.wei for item in (*settled.payouts, *settled.refunds))
    paid = tickets_get + ledger.wei_sum(item.wei for item in settled.royalties) + settled.rake_wei
    whole = int(settled.inputs["priceWei"]) * len(settled.inputs["tickets"])
    if paid != whole:
        yield Difference("I7", where, f"pays {paid} wei of {whole}")


def _inputs(connection: Connection, settled: Settled, where: str) -> Iterator[Difference]:
    """The frozen tickets, price and creators are those of the race."""
    sold = [settling.frozen_ticket(ticket) for ticket in tickets.of_race(connection, settled.race_id)]
    if settled.inputs["tickets"] != sold:
        yield Difference("I7", where, "its tickets are not those that were sold")
    field = pools.field(connection, settled.race_id, with_left=False)
    creators = {clone.clone_id: settling.person(clone.creator) for clone in field}
    if any(creators.get(starter["cloneId"]) != starter["creator"] for starter in settled.inputs["starters"]):
        yield Difference("I7", where, "its starters and creators are not those of the field")
    price = connection.execute("SELECT price_wei FROM economy_pools WHERE race_id = ?", (settled.race_id,)).fetchone()
    if price is None or price["price_wei"] != settled.inputs["priceWei"]:
        yield Difference("I7", where, "its price is not that of the pool")


def _rows(connection: Connection, settled: Settled) -> Iterator[Difference]:
    """One payout row for each ticket that won, one royalty row a creator, one rake row; nothing more, nothing else."""
    expected: set[tuple[str, int | None, int, str]] = {
        ("payout", item.ticket_no, item.clone_id, item.wei) for item in settled.payouts
    }
    expected |= {("refund", item.ticket_no, item.clone_id, item.wei) for item in settled.refunds}
    expected |= {
        ("royalty", None, item.clone_id, item.wei) for item in settled.royalties if item.creator != settling.HOUSE
    }
    rows = connection.execute(
        """
        SELECT o.kind, t.ticket_no, o.clone_id, o.amount_wei FROM payables o LEFT JOIN tickets t ON t.id = o.ticket_id
        WHERE o.race_id = ? ORDER BY o.id
        """,
        (settled.race_id,),
    ).fetchall()
    found = [tuple(row) for row in rows]
    if len(found) != len(expected) or set(found) != expected:
        odd = sorted(map(str, set(found) ^ expected))[:1]
        yield Difference("I7", f"payables(race {settled.race_id})", f"are not those of the settlement: {odd}")
    rake = connection.execute("SELECT amount_wei, dust_wei FROM rakes WHERE race_id = ?", (settled.race_id,)).fetchall()
    wanted = [(str(settled.rake_wei), str(settled.dust_wei))] if settled.outcome == "settled" else []
    if [tuple(row) for row in rake] != wanted:
        yield Difference("I7", f"rakes({settled.race_id})", f"is not {wanted}")
