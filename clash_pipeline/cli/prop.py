"""`clash prop …`: accounts, marks, kill switches, and the audit of the books."""

from operator import itemgetter
from typing import Any

import typer

from clash_pipeline.cli import prop_admin
from clash_pipeline.cli.ids import AccountId, MarkedAccount
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import one_line_errors, print_json, print_rows, sparkline, table
from clash_pipeline.cli.prop_admin import prop_services

app = typer.Typer(help="Prop accounts: state, positions, fills, ledger.", no_args_is_help=True)


@app.command()
@one_line_errors
def account(account_id: AccountId, json: AsJson = False) -> None:
    """State, balance, equity, positions, fills and the tail of the ledger."""
    from clash_pipeline.prop import accounts as stored
    from clash_pipeline.prop import views
    from clash_pipeline.prop.venue import PaperVenue

    with prop_services() as built:
        now_ms = built.clock.now_ms()
        with built.clash.read() as connection:
            held = [symbol for symbol, position in stored.positions(connection, account_id).items() if position.size]
        seen = views.Seen(PaperVenue(built.market).quotes(held, now_ms), now_ms)
        with built.clash.read() as connection:
            view = views.account_view(connection, account_id, seen=seen)
    print_json(view) if json else _show(view)


@app.command()
@one_line_errors
def accounts(json: AsJson = False) -> None:
    """Every account, by id."""
    from clash_pipeline.prop import accounts as stored
    from clash_pipeline.prop import views

    with prop_services() as built, built.clash.read() as connection:
        ids = [row["id"] for row in connection.execute("SELECT id FROM prop_accounts ORDER BY id")]
        found = [views.account_summary(stored.get(connection, account_id)) for account_id in ids]
    columns = ("id>", "clone>", "kind", "state", "balance>", "ledger>")
    keys = ("id", "clone_id", "kind", "state", "balance", "ledger_seq")
    print_rows(found, "Prop accounts", columns, itemgetter(*keys), as_json=json)


@app.command()
@one_line_errors
def mark(account_id: MarkedAccount = None) -> None:
    """Let this minute pass: funding, marks, stops, liquidation, the snapshot; freeze what has reached its end."""
    from clash_pipeline.prop import accounts as stored
    from clash_pipeline.prop.marks import mark as mark_account
    from clash_pipeline.units import usd_text

    with prop_services() as built:
        with built.clash.read() as connection:
            ids = stored.open_ids(connection) if account_id is None else [account_id]
        for identifier in ids:
            snapshot = mark_account(built.clash, built.market, identifier, built.clock.now_ms())
            with built.clash.read() as connection:
                has_ended = stored.get(connection, identifier).is_final
            silent = "has ended" if has_ended else "waits for its fixing"
            said = silent if snapshot is None else f"equity {usd_text(snapshot.equity)} USD"
            typer.echo(f"account {identifier}: {said}")


@app.command()
@one_line_errors
def audit(json: AsJson = False) -> None:
    """Check every invariant of accounts and ledger; exit 1 names each row that breaks one."""
    from clash_pipeline.cli.audit import show
    from clash_pipeline.prop.audit import audit as check

    with prop_services() as built:
        show(check(built.clash), json=json)


prop_admin.register(app)


def _show(view: dict[str, Any]) -> None:
    from clash_pipeline.clock import iso

    halted = f"  HALTED ({view['halted']})" if view["halted"] else ""
    typer.echo(f"account {view['id']} of clone {view['clone_id']}: {view['kind']}, {view['state']}{halted}")
    typer.echo(
        f"equity {view['equity']} USD ({view['return_pct']} %)  balance {view['balance']}  "
        f"unrealized {view['unrealized']}  drawdown {view['drawdown_pct']} %"
    )
    typer.echo(f"realized {view['realized']}  fees {view['fees']}  funding {view['funding']}  margin {view['margin']}")
    if view["room"]:
        typer.echo("room left  " + "  ".join(f"{name} {left}" for name, left in view["room"].items()))
    series = [float(point["equity"]) for point in view["equity_series"]]
    if len(series) > 1:
        typer.echo(f"equity  {sparkline(series)}  {min(series):.2f} to {max(series):.2f}")
    table(
        "Positions",
        (
            "symbol", "side", "size>", "entry>", "mark>", "marked", "stop>", "target>", "liquidation>", "notional>",
            "unrealized>",
        ),
        [
            (
                held["symbol"], held["side"], held["size"], held["entry"], held["mark"], held["mark_source"],
                held["stop"], held["target"], held["liquidation_price"], held["notional"], held["unrealized"],
            )
            for held in view["positions"]
        ],
    )  # fmt: skip
    table(
        "Newest fills",
        ("at", "symbol", "action", "side", "size>", "price>", "fee>", "realized>", "price from", "age ms>"),
        [
            (
                iso(fill["filled_at"]), fill["symbol"], fill["action"], fill["side"], fill["size"], fill["price"],
                fill["fee"], fill["realized"], fill["price_source"], fill["price_age_ms"],
            )
            for fill in view["fills"]
        ],
    )  # fmt: skip
    refused = [item for item in view["actions"] if item["status"] == "rejected"]
    if refused:
        columns = ("at", "symbol", "action", "code", "figures")
        rows = [
            (iso(item["created_at"]), item["symbol"], item["action"], item["reject_code"], item["figures"])
            for item in refused
        ]
        table("Refused by the gates", columns, rows)
    table(
        "Ledger",
        ("seq>", "at", "kind", "lines", "hash"),
        [
            (
                group["seq"], iso(group["known_at"]), group["kind"] if group["lines"] else group["ref_type"],
                ", ".join(f"{line['kind']} {line['amount']}" for line in group["lines"]), group["hash"][:12],
            )
            for group in view["ledger"]
        ],
    )  # fmt: skip
