"""The audit of what was bought: purchases, their deposits, what they gave, and what goes back (I3, I5)."""

from collections.abc import Iterator

from clash_pipeline.economy import ledger
from clash_pipeline.economy.purchases import ARROWS, TERMINAL
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Row

PAID = frozenset({"granted", "refund_due", "refunded"})


def moves_lead_there(connection: Connection) -> Iterator[Difference]:
    """The moves of a purchase are arrows of the machine, and the last one is where it stands."""
    made: dict[int, list[Row]] = {}
    for move in connection.execute("SELECT * FROM purchase_moves ORDER BY purchase_id, seq"):
        made.setdefault(move["purchase_id"], []).append(move)
    for row in connection.execute("SELECT id, state, moved_at FROM purchases ORDER BY id"):
        where, state, moves = f"purchases({row['id']})", None, made.get(row["id"], [])
        for number, move in enumerate(moves, start=1):
            legal = move["to_state"] == "quoted" if state is None else move["to_state"] in ARROWS[state]
            if move["seq"] != number or move["from_state"] != state or not legal:
                what = f"{move['from_state']} to {move['to_state']} does not follow from {state}"
                yield Difference("I5", f"purchase_moves({row['id']}, {move['seq']})", what)
            state = move["to_state"] if move["to_state"] in ARROWS else state
        if not moves or (moves[-1]["to_state"], moves[-1]["moved_at"]) != (row["state"], row["moved_at"]):
            yield Difference("I5", where, f"is {row['state']}, its moves lead elsewhere")


def held_is_empty(connection: Connection) -> Iterator[Difference]:
    """I3: nothing is held for a purchase that is over, nor for one that nobody has paid."""
    resting = TERMINAL | {"quoted", "pending", "refund_due"}
    for row in connection.execute("SELECT id, state FROM purchases ORDER BY id"):
        for balance in connection.execute(
            "SELECT balance_wei FROM wei_balances WHERE account = ?", (ledger.held(row["id"]),)
        ):
            if balance["balance_wei"] != "0" and row["state"] in resting:
                what = f"is {row['state']} and {balance['balance_wei']} wei are still held for it"
                yield Difference("I3", f"purchases({row['id']})", what)


def paid_once(connection: Connection) -> Iterator[Difference]:
    """I5: a purchase that was paid has exactly one deposit, with its outcome; one that was not has none."""
    rows = connection.execute(
        """
        SELECT p.*, d.id AS deposit, d.outcome, d.code, d.nonce AS paid_nonce, d.amount_wei AS paid_wei,
               d.chain_id AS paid_chain, d.contract AS paid_contract, d.resolver AS paid_resolver,
               d.asset AS paid_asset
        FROM purchases p LEFT JOIN chain_deposits d ON d.purchase_id = p.id ORDER BY p.id
        """
    )
    for row in rows:
        where = f"purchases({row['id']})"
        if (row["deposit"] is not None) != (row["state"] in PAID):
            yield Difference(
                "I5", where, f"is {row['state']} and has {'no' if row['deposit'] is None else 'a'} deposit"
            )
        elif row["deposit"] is not None:
            yield from _as_quoted(row, where)


def deposits_are_booked(connection: Connection) -> Iterator[Difference]:
    """Each deposit is one group of its amount into the vault."""
    rows = connection.execute(
        """
        SELECT d.id, d.amount_wei, count(l.seq) AS groups, max(l.amount_wei) AS booked
        FROM chain_deposits d
        LEFT JOIN wei_ledger_groups g ON g.kind = 'deposit' AND g.ref_type = 'deposit' AND g.ref_id = d.id
        LEFT JOIN wei_ledger_lines l ON l.seq = g.seq AND l.account = 'chain:vault' AND l.side = 'D'
        GROUP BY d.id ORDER BY d.id
        """
    )
    for row in rows:
        if (row["groups"], row["booked"]) != (1, row["amount_wei"]):
            what = f"{row['amount_wei']} wei came in, {row['groups']} groups book {row['booked']}"
            yield Difference("I4", f"chain_deposits({row['id']})", what)


def granted_has_its_effect(connection: Connection) -> Iterator[Difference]:
    """I5: each granted purchase gave exactly what it was for, and no other gave anything; one group books it."""
    rows = connection.execute(
        """
        SELECT p.id, p.purpose, p.state, p.tickets, p.amount_wei,
          (SELECT count(*) FROM clone_entitlements e WHERE e.source = 'purchase' AND e.ref = CAST(p.id AS TEXT)
             AND (e.purpose, e.clone_id, e.capacity_tier, e.model_tier)
               IS (p.purpose, p.clone_id, p.capacity_tier, p.model_tier)) AS entitlements,
          (SELECT count(*) FROM audition_credits c WHERE c.purchase_id = p.id AND c.clone_id = p.clone_id) AS credits,
          (SELECT count(*) FROM tickets t JOIN chain_deposits d ON d.purchase_id = p.id AND d.block_time = t.block_time
             WHERE t.purchase_id = p.id AND (t.race_id, t.clone_id, t.user_id, t.wallet)
               IS (p.race_id, p.clone_id, p.user_id, p.wallet)) AS given,
          (SELECT max(t.ordinal) FROM tickets t WHERE t.purchase_id = p.id) AS last,
          (SELECT count(*) FROM wei_ledger_groups g JOIN wei_ledger_lines l ON l.seq = g.seq AND l.side = 'D'
             WHERE g.kind = 'grant' AND g.ref_type = 'purchase' AND g.ref_id = p.id
               AND l.amount_wei = p.amount_wei) AS booked
        FROM purchases p ORDER BY p.id
        """
    )
    for row in rows:
        found = (row["entitlements"], row["credits"], row["given"], row["last"], row["booked"])
        if found != _expected(row):
            what = f"is {row['state']}: entitlements, auditions, tickets, last ticket and groups are {found}"
            yield Difference("I5", f"purchases({row['id']})", f"{what}, not {_expected(row)}")


def effects_have_purchases(connection: Connection) -> Iterator[Difference]:
    """I5: every entitlement that was bought, every audition and every ticket points to a granted purchase."""
    rows = connection.execute(
        """
        SELECT 'clone_entitlements(' || e.id || ')' AS place FROM clone_entitlements e
        WHERE e.source = 'purchase' AND NOT EXISTS (SELECT 1 FROM purchases p WHERE CAST(p.id AS TEXT) = e.ref
          AND p.state = 'granted' AND p.purpose = e.purpose AND p.clone_id = e.clone_id)
        UNION ALL
        SELECT 'audition_credits(' || c.purchase_id || ')' FROM audition_credits c
        LEFT JOIN purchases p ON p.id = c.purchase_id AND p.state = 'granted' WHERE p.id IS NULL
        UNION ALL
        SELECT 'tickets(' || t.id || ')' FROM tickets t
        LEFT JOIN purchases p ON p.id = t.purchase_id AND p.state = 'granted' WHERE p.id IS NULL
        """
    )
    for row in rows:
        yield Difference("I5", row["place"], "has no granted purchase")


def refunds_are_owed(connection: Connection) -> Iterator[Difference]:
    """What bought nothing is owed to its payer, once and whole; a purchase is refunded when that was authorised."""
    rows = connection.execute(
        """
        SELECT d.id, d.outcome, d.depositor, d.asset, d.amount_wei, p.state, p.wallet, o.state AS owed,
               o.amount_wei AS owed_wei, o.recipient, o.asset AS owed_asset
        FROM chain_deposits d LEFT JOIN purchases p ON p.id = d.purchase_id
        LEFT JOIN payables o ON o.kind = 'refund' AND o.ticket_id IS NULL
          AND iif(d.purchase_id IS NULL, o.deposit_id = d.id, o.purchase_id = d.purchase_id)
        WHERE d.outcome <> 'granted' ORDER BY d.id
        """
    )
    for row in rows:
        where = f"chain_deposits({row['id']})"
        payer = row["depositor"] if row["outcome"] == "stray" else row["wallet"]
        if (row["owed_wei"], row["recipient"], row["owed_asset"]) != (row["amount_wei"], payer, row["asset"]):
            yield Difference("I5", where, f"{row['amount_wei']} wei are not owed to {payer}, once")
        elif row["outcome"] == "refund_due" and (row["state"] == "refund_due") != (row["owed"] == "claimable"):
            yield Difference("I5", where, f"its purchase is {row['state']}, its refund {row['owed']}")


def owed_is_booked(connection: Connection) -> Iterator[Difference]:
    """What payables that were not taken add up to is what their accounts hold; each that was taken has its group."""
    owed: dict[tuple[str, int, str], int] = {}
    for row in connection.execute("SELECT account, chain_id, asset, amount_wei FROM payables WHERE state <> 'claimed'"):
        key = (row["account"], row["chain_id"], row["asset"])
        owed[key] = owed.get(key, 0) + int(row["amount_wei"])
    held = {
        (row["account"], row["chain_id"], row["asset"]): int(row["balance_wei"])
        for row in connection.execute(
            "SELECT * FROM wei_balances WHERE account GLOB '*:claimable' OR account GLOB 'creator:*:royalty'"
        )
    }
    for key in sorted(owed.keys() | held.keys()):
        if owed.get(key, 0) != held.get(key, 0):
            what = f"holds {held.get(key, 0)} wei, its payables add up to {owed.get(key, 0)}"
            yield Difference("I2", f"wei_balances({', '.join(map(str, key))})", what)
    yield from _claims(connection)


CHECKS = (
    moves_lead_there,
    held_is_empty,
    paid_once,
    deposits_are_booked,
    granted_has_its_effect,
    effects_have_purchases,
    refunds_are_owed,
    owed_is_booked,
)


def _as_quoted(row: Row, where: str) -> Iterator[Difference]:
    """A deposit that bought something is what was quoted, to the wei."""
    paid = (row["paid_nonce"], row["paid_chain"], row["paid_contract"], row["paid_resolver"])
    if paid != (row["nonce"], row["chain_id"], row["contract"], row["resolver"]):
        yield Difference("I5", where, f"deposit {row['deposit']} is for another nonce, contract or resolver")
    is_exact = (row["paid_wei"], row["paid_asset"]) == (row["amount_wei"], row["asset"])
    if row["state"] == "granted" and (row["outcome"] != "granted" or not is_exact):
        yield Difference("I5", where, f"was granted for a deposit of {row['paid_wei']} wei that is {row['outcome']}")
    if row["state"] != "granted" and row["outcome"] != "refund_due":
        yield Difference("I5", where, f"is {row['state']}, its deposit {row['outcome']}")


def _expected(row: Row) -> tuple[int, int, int, int | None, int]:
    """Entitlements, auditions, tickets, the last ordinal and groups of a purchase."""
    if row["state"] != "granted":
        return (0, 0, 0, None, 0)
    if row["purpose"] == "ticket":
        return (0, 0, row["tickets"], row["tickets"], 1)
    return (1, int(row["purpose"] != "upgrade"), 0, None, 1)


def _claims(connection: Connection) -> Iterator[Difference]:
    rows = connection.execute(
        """
        SELECT o.id, o.state, o.amount_wei, count(l.seq) AS groups, max(l.amount_wei) AS booked
        FROM payables o
        LEFT JOIN wei_ledger_groups g ON g.kind = 'claim' AND g.ref_type = 'payable' AND g.ref_id = o.id
        LEFT JOIN wei_ledger_lines l ON l.seq = g.seq AND l.account = o.account AND l.side = 'D'
        GROUP BY o.id HAVING groups <> (o.state = 'claimed') OR (groups = 1 AND booked <> o.amount_wei) ORDER BY o.id
        """
    )
    for row in rows:
        what = f"is {row['state']}, {row['groups']} groups book {row['booked']} of {row['amount_wei']} wei as taken"
        yield Difference("I6", f"payables({row['id']})", what)
