"""`clash economy …`: quotes, purchases, the wei ledger, what is owed, and the audit of all of it. Readers only.

Nothing here buys, grants or pays: money enters by a deposit of the chain and leaves by a signature.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clash_pipeline.cli.ids import id_argument, id_option
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, table
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    from clash_pipeline.economy.payables import Payable
    from clash_pipeline.economy.purchases import Purchase
    from clash_pipeline.services import Services
    from clash_pipeline.storage.sqlite import Connection

app = typer.Typer(help="Real money: quotes, purchases, ledger, what is owed.", no_args_is_help=True)

StateName = Literal["quoted", "pending", "confirmed", "granted", "refund_due", "refunded", "rejected", "expired"]
OwedState = Literal["claimable", "authorised", "claimed"]
PurchaseId = Annotated[int, id_argument("Id of the purchase.")]
OneUser = Annotated[int | None, id_option("--user-id", "Only this user; without it, everybody.")]
OneRace = Annotated[int | None, id_option("--race-id", "Only this race; without it, everything.")]
Last = Annotated[int, typer.Option("--last", min=1, max=1_000, help="At most so many, newest first.")]


@app.callback()
def economy() -> None:
    """Real money: quotes, purchases, ledger, what is owed."""


@app.command()
@one_line_errors
def quotes(user_id: OneUser = None, last: Last = 50, json: AsJson = False) -> None:
    """Quotes that may still be paid, and the price list of the day."""
    from clash_pipeline.economy import prices, purchases

    with opened() as built, built.clash.read() as connection:
        found = purchases.every(connection, user_id=user_id, state="quoted", limit=last)
        listed = prices.of(built.settings)
    fees = [
        {"model_tier": model, "capacity_tier": capacity, "wei": str(wei)}
        for (model, capacity), wei in listed.fees.items()
    ]
    if json:
        quoted = [_purchase(item) for item in found]
        print_json({"quotes": quoted, "fees": fees, "ticket_wei": str(listed.ticket_wei)})
        return
    _show_purchases("Open quotes", found)
    rows = [tuple(fee.values()) for fee in fees]
    table(f"Audition fees; a ticket is {listed.ticket_wei} wei", ("model>", "capacity", "wei>"), rows)


@app.command()
@one_line_errors
def purchases(
    user_id: OneUser = None,
    state: Annotated[StateName | None, typer.Option(help="Only in this state.")] = None,
    last: Last = 50,
    json: AsJson = False,
) -> None:
    """Purchases, newest first."""
    from clash_pipeline.economy import purchases as kept

    with opened() as built, built.clash.read() as connection:
        found = kept.every(connection, user_id=user_id, state=state, limit=last)
    if json:
        print_json([_purchase(item) for item in found])
        return
    _show_purchases("Purchases", found)


@app.command()
@one_line_errors
def purchase(purchase_id: PurchaseId, json: AsJson = False) -> None:
    """One purchase: its terms, every move, its deposit, and what goes back."""
    from clash_pipeline.economy import deposits, ledger, purchases

    with opened() as built, built.clash.read() as connection:
        found = purchases.get(connection, purchase_id)
        moves = purchases.moves(connection, purchase_id)
        deposit = deposits.of_purchase(connection, purchase_id)
        held = ledger.balance(connection, ledger.held(purchase_id), found.chain_id, found.asset)
        groups = _groups_of(connection, purchase_id)
    if json:
        shown = {"purchase": _purchase(found), "moves": [asdict(move) for move in moves], "held_wei": str(held)}
        print_json(shown | {"deposit": None if deposit is None else dict(deposit), "groups": groups})
        return
    table(f"Purchase {purchase_id}", ("term", "value"), list(_purchase(found).items()))
    table("Moves", ("from", "to", "reason", "by", "at"), [
        (move.from_state, move.to_state, move.reason, move.actor, iso(move.moved_at)) for move in moves
    ])  # fmt: skip
    if deposit is not None:
        table("Deposit", ("column", "value"), list(dict(deposit).items()))
    table("Ledger groups", ("seq>", "kind", "reason", "debit", "credit", "wei>"), groups)


@app.command()
@one_line_errors
def ledger(last: Last = 50, json: AsJson = False) -> None:
    """The newest groups of the wei ledger, line by line, and every balance that is not zero."""
    with opened() as built, built.clash.read() as connection:
        lines = connection.execute(
            """
            SELECT g.seq, g.kind, g.ref_type || ' ' || g.ref_id AS ref, l.side, l.account, l.amount_wei, g.reason,
                   g.known_at, substr(g.hash, 1, 12) AS hash
            FROM (SELECT * FROM wei_ledger_groups ORDER BY seq DESC LIMIT ?) g
            JOIN wei_ledger_lines l ON l.seq = g.seq ORDER BY g.seq DESC, l.line
            """,
            (last,),
        ).fetchall()
        balances = connection.execute(
            """
            SELECT account, side, balance_wei, chain_id, asset FROM wei_balances WHERE balance_wei <> '0'
            ORDER BY account, chain_id, asset
            """
        ).fetchall()
    if json:
        print_json({"lines": [dict(row) for row in lines], "balances": [dict(row) for row in balances]})
        return
    columns = ("seq>", "kind", "of", "side", "account", "wei>", "reason", "known at>", "hash")
    table("Ledger, newest first", columns, [tuple(row) for row in lines])
    table("Balances", ("account", "side", "wei>", "chain>", "asset"), [tuple(row) for row in balances])


@app.command()
@one_line_errors
def payables(
    user_id: OneUser = None,
    race_id: OneRace = None,
    state: Annotated[OwedState | None, typer.Option(help="Only in this state.")] = None,
    last: Last = 50,
    json: AsJson = False,
) -> None:
    """Payouts, royalties and refunds that are owed or were taken, newest first."""
    from clash_pipeline.economy import payables as kept

    with opened() as built, built.clash.read() as connection:
        found = kept.every(connection, user_id=user_id, race_id=race_id, state=state, limit=last)
    if json:
        print_json([_payable(item) for item in found])
        return
    rows = [
        (item.id, item.kind, item.race_id, item.ticket_id, item.clone_id, item.purchase_id, item.recipient,
         item.amount_wei, item.state, item.reason)
        for item in found
    ]  # fmt: skip
    columns = ("id>", "kind", "race>", "ticket>", "clone>", "purchase>", "to", "wei>", "state", "reason")
    table("Payables", columns, rows)


@app.command()
@one_line_errors
def audit(json: AsJson = False) -> None:
    """Check every invariant of real money; exit 1 names each row that breaks one."""
    from clash_pipeline.economy.audit import audit as check

    with opened() as built:
        report = check(built.clash)
    seen = ", ".join(f"{getattr(report, item.name)} {item.name}" for item in fields(report)[:-1])
    if json:
        print_json(report)
    elif report.is_clean:
        typer.echo(f"clean: {seen}")
    else:
        rows = [(item.invariant, item.row, item.message) for item in report.differences]
        table(f"{len(rows)} differences in {seen}", ("invariant", "row", "what is wrong"), rows)
    if not report.is_clean:
        raise typer.Exit(Exit.UNHEALTHY)


@contextmanager
def opened() -> "Iterator[Services]":
    """The services of one command; what the economy refuses is one line."""
    from clash_pipeline import services
    from clash_pipeline.economy.refusals import EconomyError

    built = services.build()
    try:
        yield built
    except EconomyError as error:
        fail(str(error))
    finally:
        built.close()


def _groups_of(connection: "Connection", purchase_id: int) -> list[tuple[Any, ...]]:
    """The groups that moved what was held for a purchase, or gave its fee back."""
    rows = connection.execute(
        """
        SELECT g.seq, g.kind, g.reason, d.account, c.account, d.amount_wei FROM wei_ledger_groups g
        JOIN wei_ledger_lines d ON d.seq = g.seq AND d.side = 'D'
        JOIN wei_ledger_lines c ON c.seq = g.seq AND c.side = 'C'
        WHERE (g.ref_type = 'purchase' AND g.ref_id = :id)
           OR (g.ref_type = 'deposit' AND g.ref_id = (SELECT id FROM chain_deposits WHERE purchase_id = :id))
        ORDER BY g.seq
        """,
        {"id": purchase_id},
    )
    return [tuple(row) for row in rows]


def _purchase(item: "Purchase") -> dict[str, Any]:
    """A purchase as plain JSON; numbers beyond 2^53 as text."""
    return asdict(item) | {"nonce": str(item.nonce), "amount_wei": str(item.amount_wei)}


def _payable(item: "Payable") -> dict[str, Any]:
    return asdict(item) | {"amount_wei": str(item.amount_wei)}


def _show_purchases(title: str, found: "list[Purchase]") -> None:
    rows = [
        (item.id, item.state, item.purpose, item.clone_id, item.race_id, item.tickets, item.amount_wei, item.wallet,
         iso(item.expires_at), item.reason)
        for item in found
    ]  # fmt: skip
    columns = ("id>", "state", "for", "clone>", "race>", "tickets>", "wei>", "wallet", "expires at", "reason")
    table(title, columns, rows)
