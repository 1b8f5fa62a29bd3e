"""Settling a race in the store: the pure settlement over frozen inputs, and every row that follows from it (09 §4.7).

One transaction writes settlement, rake, payables, ledger and the state of the pool; a second call finds the settlement
and returns it. What was frozen is enough to compute everything again by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from clash_pipeline import canonical
from clash_pipeline.economy import ledger, payables, pools, tickets
from clash_pipeline.economy.ledger import Entry, Line
from clash_pipeline.economy.payables import Owed
from clash_pipeline.economy.pools import Pool
from clash_pipeline.economy.refusals import EconomyConflict
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.economy.settlement import (
    CREATOR_BP,
    RAKE_BP,
    RULE_SET,
    WEIGHTS,
    WHOLE_BP,
    Royalty,
    Settlement,
    Starter,
    Tickets,
    places_of,
    settle,
)
from clash_pipeline.economy.tickets import Ticket
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection

HOUSE = "house"
"""The creator of a house clone; its royalties are the platform's."""
ACTOR = "economy"
INPUTS_FROZEN = point("economy.inputs_frozen")
SETTLEMENT_BOOKED = point("economy.settlement_booked")


class TicketPaid(msgspec.Struct, frozen=True, rename="camel"):
    """One ticket that gets something, and what."""

    ticket_no: int
    clone_id: int
    holder: str
    wei: str


class RoyaltyPaid(msgspec.Struct, frozen=True, rename="camel"):
    """What the creator of a paying clone gets."""

    clone_id: int
    creator: str
    wei: str


@dataclass(frozen=True)
class Settled:
    """A settlement that a person can add up again: what was frozen, and every amount that follows. Amounts in wei."""

    race_id: int
    outcome: str
    rule_set: int
    inputs: dict[str, Any]
    inputs_hash: str
    pool_wei: int
    rake_wei: int
    dust_wei: int
    payouts: tuple[TicketPaid, ...]
    royalties: tuple[RoyaltyPaid, ...]
    refunds: tuple[TicketPaid, ...]
    result_hash: str
    settled_at: int


def settle_race(
    connection: Connection, race_id: int, starters: Sequence[int], *, is_cancelled: bool, now_ms: int
) -> Settled:
    """Settle a race by its order of finish, once; a second call returns the first settlement.

    Tickets on clones that did not start are refunded outside the pool. A cancelled race refunds every ticket, and may
    never have been launched.

    Raises:
        EconomyUnknown: the race has no pool.
        EconomyConflict: it is still on sale and not cancelled, or a starter is not in its field.
        SettlementInvalid: a clone that starts twice.
    """
    known = settlement_of(connection, race_id)
    if known is not None:
        return known
    pool = pools.get(connection, race_id)
    if pool.state == "open" and not is_cancelled:
        raise EconomyConflict(f"the pool of race {race_id} is open: it settles after launch, or is cancelled")
    pools.close_pool(connection, race_id, now_ms=now_ms)
    inputs = _frozen(connection, pool, starters, is_cancelled=is_cancelled)
    fault(INPUTS_FROZEN)
    result = _computed(inputs)
    outcome = _outcome(result, is_cancelled=is_cancelled)
    sold = tickets.of_race(connection, race_id)
    owed = _owed(connection, pool, sold, result)
    _keep(connection, pool, inputs, result, outcome, now_ms)
    payables.write(connection, owed, now_ms=now_ms)
    _book(connection, pool, sold, result, owed, now_ms)
    fault(SETTLEMENT_BOOKED)
    pools.end(connection, race_id, outcome, now_ms=now_ms)
    settled = settlement_of(connection, race_id)
    assert settled is not None
    return settled


def settlement_of(connection: Connection, race_id: int) -> Settled | None:
    """The settlement of a race, computed again from its frozen inputs; None before it is settled."""
    row = connection.execute("SELECT * FROM settlements WHERE race_id = ?", (race_id,)).fetchone()
    if row is None:
        return None
    inputs = msgspec.json.decode(row["inputs"])
    result = _computed(inputs)
    return Settled(
        race_id=race_id,
        outcome=row["outcome"],
        rule_set=row["rule_set"],
        inputs=inputs,
        inputs_hash=row["inputs_hash"],
        pool_wei=int(row["pool_wei"]),
        rake_wei=int(row["rake_wei"]),
        dust_wei=int(row["dust_wei"]),
        result_hash=row["result_hash"],
        settled_at=row["settled_at"],
        **_amounts(inputs, result),
    )


def report(settled: Settled) -> dict[str, Any]:
    """The public report: plain JSON, amounts as decimal text, everything that is needed to compute it again."""
    return {
        "raceId": settled.race_id,
        "outcome": settled.outcome,
        "inputs": settled.inputs,
        "inputsHash": settled.inputs_hash,
        **amounts(settled.inputs),
        "resultHash": settled.result_hash,
    }


def amounts(inputs: dict[str, Any]) -> dict[str, Any]:
    """Every amount that frozen inputs make, as plain JSON: what the result hash is of, after the inputs' own."""
    return _wire(inputs, _computed(inputs))


# inputs and result


def _frozen(connection: Connection, pool: Pool, starters: Sequence[int], *, is_cancelled: bool) -> dict[str, Any]:
    """Everything the settlement rests on, as it is hashed and stored."""
    creators = {clone.clone_id: clone.creator for clone in pools.field(connection, pool.race_id, with_left=False)}
    strangers = [clone_id for clone_id in starters if clone_id not in creators]
    if strangers:
        raise EconomyConflict(f"clone {strangers[0]} is not in the field of race {pool.race_id}, or left it")
    return {
        "raceId": pool.race_id,
        "ruleSet": RULE_SET,
        "priceWei": str(pool.price_wei),
        "isCancelled": is_cancelled,
        "shares": {"rakeBp": RAKE_BP, "creatorBp": CREATOR_BP, "wholeBp": WHOLE_BP},
        "places": places_of(len(starters)),
        "weights": list(WEIGHTS[: places_of(len(starters))]),
        "starters": [
            {"cloneId": clone_id, "creator": person(creators[clone_id]), "rank": rank}
            for rank, clone_id in enumerate(starters, start=1)
        ],
        "tickets": [frozen_ticket(ticket) for ticket in tickets.of_race(connection, pool.race_id)],
    }


def frozen_ticket(ticket: Ticket) -> dict[str, Any]:
    """A ticket as a settlement's inputs hold it."""
    return {
        "ticketNo": ticket.ticket_no,
        "cloneId": ticket.clone_id,
        "holder": person(ticket.user_id),
        "purchaseId": ticket.purchase_id,
    }


def recomputed(inputs: dict[str, Any]) -> tuple[tuple[int, int, int], str]:
    """Pool, rake and dust that frozen inputs make, in wei, and the hash of the whole result."""
    result = _computed(inputs)
    return (result.pool, result.rake, result.dust), _result_hash(inputs, result)


def _computed(inputs: dict[str, Any]) -> Settlement:
    return settle(
        int(inputs["priceWei"]),
        [Starter(starter["cloneId"], starter["creator"]) for starter in inputs["starters"]],
        [Tickets(ticket["cloneId"], ticket["holder"], 1) for ticket in inputs["tickets"]],
        is_cancelled=inputs["isCancelled"],
    )


def _outcome(result: Settlement, *, is_cancelled: bool) -> str:
    """Refunded where the pool went back; a race on which nobody bet is settled too."""
    went_back = result.pool > 0 and not result.payouts
    return "refunded" if is_cancelled or went_back else "settled"


def _amounts(inputs: dict[str, Any], result: Settlement) -> dict[str, Any]:
    """What each ticket and each creator gets, ticket by ticket."""
    paid = {(item.clone, item.holder): item.per_ticket for item in result.payouts}
    back = {(item.clone, item.holder): item.per_ticket for item in result.refunds}
    return {
        "payouts": _tickets_paid(inputs, paid),
        "refunds": _tickets_paid(inputs, back),
        "royalties": tuple(RoyaltyPaid(item.clone, item.creator, str(item.wei)) for item in result.royalties),
    }


def _tickets_paid(inputs: dict[str, Any], each: dict[tuple[int, str], int]) -> tuple[TicketPaid, ...]:
    return tuple(
        TicketPaid(ticket["ticketNo"], ticket["cloneId"], ticket["holder"], str(each[key]))
        for ticket in inputs["tickets"]
        if (key := (ticket["cloneId"], ticket["holder"])) in each
    )


def _result_hash(inputs: dict[str, Any], result: Settlement) -> str:
    return canonical.digest({"inputsHash": canonical.digest(inputs), **_wire(inputs, result)})


def _wire(inputs: dict[str, Any], result: Settlement) -> dict[str, Any]:
    figures = {"poolWei": str(result.pool), "rakeWei": str(result.rake), "dustWei": str(result.dust)}
    return figures | {name: msgspec.to_builtins(rows) for name, rows in _amounts(inputs, result).items()}


def person(user_id: int | None) -> str:
    """How a settlement names a person."""
    return HOUSE if user_id is None else f"user:{user_id}"


# rows


def _owed(connection: Connection, pool: Pool, sold: Sequence[Ticket], result: Settlement) -> list[Owed]:
    """Payouts and refunds ticket by ticket, then the royalties of people."""
    money = tickets.money_of(connection, pool.race_id)
    if money is None:
        return []
    paid = {(item.clone, item.holder): item.per_ticket for item in result.payouts}
    back = {(item.clone, item.holder): item.per_ticket for item in result.refunds}
    owed = []
    for ticket in sold:
        key = (ticket.clone_id, person(ticket.user_id))
        if key in paid:
            owed.append(_of_ticket("payout", ticket, paid[key], money, "won"))
        elif key in back:
            owed.append(_of_ticket("refund", ticket, back[key], money, "race_refunded"))
    people = [royalty for royalty in result.royalties if royalty.creator != HOUSE]
    return owed + [_of_creator(connection, pool.race_id, royalty, money) for royalty in people]


def _of_ticket(kind: payables.Kind, ticket: Ticket, wei: int, money: tuple[int, str], reason: str) -> Owed:
    account = ledger.claimable(ticket.user_id, ticket.wallet)
    return Owed(
        kind, ticket.wallet, account, *money, wei, reason,
        user_id=ticket.user_id, race_id=ticket.race_id, ticket_id=ticket.id, clone_id=ticket.clone_id,
    )  # fmt: skip


def _of_creator(connection: Connection, race_id: int, royalty: Royalty, money: tuple[int, str]) -> Owed:
    user_id = int(royalty.creator.removeprefix("user:"))
    recipient, account = payables.to_user(connection, user_id), ledger.royalty(user_id)
    return Owed(
        "royalty", recipient, account, *money, royalty.wei, "royalty",
        user_id=user_id, race_id=race_id, clone_id=royalty.clone,
    )  # fmt: skip


def _keep(
    connection: Connection, pool: Pool, inputs: dict[str, Any], result: Settlement, outcome: str, now_ms: int
) -> None:
    row = {
        "race_id": pool.race_id,
        "rule_set": RULE_SET,
        "is_cancelled": int(inputs["isCancelled"]),
        "outcome": outcome,
        "inputs": canonical.text(inputs),
        "inputs_hash": canonical.digest(inputs),
        "pool_wei": str(result.pool),
        "rake_wei": str(result.rake),
        "dust_wei": str(result.dust),
        "result_hash": _result_hash(inputs, result),
        "settled_at": now_ms,
    }
    connection.execute(
        """
        INSERT INTO settlements
          (race_id, rule_set, is_cancelled, outcome, inputs, inputs_hash, pool_wei, rake_wei, dust_wei, result_hash,
           settled_at, row_hash)
        VALUES (:race_id, :rule_set, :is_cancelled, :outcome, :inputs, :inputs_hash, :pool_wei, :rake_wei, :dust_wei,
                :result_hash, :settled_at, :row_hash)
        """,
        sealed(row),
    )
    if outcome == "settled":
        rake = {"race_id": pool.race_id, "amount_wei": str(result.rake), "dust_wei": str(result.dust)}
        connection.execute(
            """
            INSERT INTO rakes (race_id, amount_wei, dust_wei, booked_at, row_hash)
            VALUES (:race_id, :amount_wei, :dust_wei, :booked_at, :row_hash)
            """,
            sealed({**rake, "booked_at": now_ms}),
        )


def _book(
    connection: Connection, pool: Pool, sold: Sequence[Ticket], result: Settlement, owed: Sequence[Owed], now_ms: int
) -> None:
    """One group empties the pool: every ticket's price in, every amount out, nothing left over."""
    money = tickets.money_of(connection, pool.race_id)
    if money is None:
        return
    house = sum(royalty.wei for royalty in result.royalties if royalty.creator == HOUSE)
    lines = [
        Line(ledger.pool(pool.race_id), "D", pool.price_wei * len(sold)),
        *payables.merged(owed),
        *(Line(account, "C", wei) for account, wei in ((ledger.FEES, house), (ledger.RAKE, result.rake)) if wei),
    ]
    entry = Entry("settlement", *money, "race", pool.race_id, ACTOR, f"rule set {RULE_SET}")
    ledger.post(connection, entry, lines, now_ms=now_ms)
