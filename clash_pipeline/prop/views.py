"""What a person or a program sees of an account: plain objects with amounts as decimal text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import intake
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.room import room
from clash_pipeline.prop.snapshots import series
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import RATE, Grid, scaled_text, usd_text

RATE_DECIMALS = len(str(RATE)) - 1
NEWEST = 2**62
"""Above every id: where a list begins that is read from its newest row on."""


@dataclass(frozen=True)
class Seen:
    """What memory says beside the books: the quotes of everything held, read at one moment."""

    quotes: Mapping[str, Quote]
    now_ms: int

    @property
    def listing(self) -> Listing:
        """What the registry says of it."""
        return {symbol: quote.asset for symbol, quote in self.quotes.items() if quote.asset}


def account_view(
    connection: Connection, account_id: int, *, tail: int = 20, seen: Seen | None = None
) -> dict[str, Any]:
    """An account as it stands, the newest fills, actions and ledger groups, and the equity series.

    Raises:
        AccountUnknown: no such account.
    """
    return {
        **account_now(connection, account_id, seen=seen),
        "fills": fills_view(connection, account_id, limit=tail),
        "actions": actions_view(connection, account_id, limit=tail),
        "ledger": ledger_view(connection, account_id, limit=tail),
        "equity_series": [
            {"t": snapshot.t, "equity": usd_text(snapshot.equity)} for snapshot in series(connection, account_id)
        ],
    }


def account_now(connection: Connection, account_id: int, *, seen: Seen | None = None) -> dict[str, Any]:
    """State, balance, equity at the last marks, and positions: nothing that grows with an account's age.

    Liquidation prices and room need `seen`, for margin tiers are market memory; without it they are None.

    Raises:
        AccountUnknown: no such account.
    """
    looked = intake.look(connection, account_id, now_ms=seen.now_ms if seen else 0)
    account, held, book = looked.account, looked.positions, looked.book
    listing = seen.listing if seen else {}
    newest = series(connection, account_id, limit=1)
    return {
        **account_summary(account),
        "equity": usd_text(book.equity),
        "unrealized": usd_text(book.unrealized),
        "gross": usd_text(book.gross),
        "margin": usd_text(book.margin),
        "return_pct": scaled_text((book.equity - account.start_balance) * 10**8 // account.start_balance, 6),
        "drawdown_pct": scaled_text(newest[-1].drawdown, RATE_DECIMALS - 2) if newest else "0",
        "realized": usd_text(sum(position.realized for position in held.values())),
        "fees": usd_text(sum(position.fees for position in held.values())),
        "funding": usd_text(sum(position.funding for position in held.values())),
        "room": room(account, book, opened_last_hour=looked.opened_last_hour) if seen else None,
        "positions": [
            position_view(position, book.liquidation_price(position.symbol, listing))
            for position in book.positions.values()
        ],
    }


def account_summary(account: Account) -> dict[str, Any]:
    """The account's own row."""
    return {
        "id": account.id,
        "clone_id": account.clone_id,
        "kind": account.kind,
        "state": account.state,
        "halted": account.halted,
        "start_balance": usd_text(account.start_balance),
        "balance": usd_text(account.balance),
        "high_water_mark": usd_text(account.high_water_mark),
        "policy_hash": account.policy_hash,
        "ledger_seq": account.head.seq,
        "ledger_hash": account.head.hash,
        "funded_through": account.funded_through,
        "created_at": account.created_at,
    }


def position_view(position: Position, liquidation_price: int | None = None) -> dict[str, Any]:
    """An open position; prices as text, None where there is none or it is not known."""

    def text(price: int | None) -> str | None:
        return None if price is None else position.grid.price_text(price)

    return {
        "symbol": position.symbol,
        "side": "long" if position.size > 0 else "short",
        "size": position.grid.size_text(position.size),
        "entry": position.entry_text,
        "mark": text(position.mark),
        "mark_source": position.mark_source,
        "mark_at": position.mark_at,
        "notional": usd_text(position.value),
        "leverage": position.leverage,
        "stop": text(position.stop),
        "target": text(position.target),
        "liquidation_price": text(liquidation_price),
        "unrealized": usd_text(position.unrealized),
        "realized": usd_text(position.realized),
        "fees": usd_text(position.fees),
        "opened_at": position.opened_at,
    }


def fills_view(connection: Connection, account_id: int, *, limit: int, before: int = NEWEST) -> list[dict[str, Any]]:
    """The newest fills with an id below `before`, newest first."""
    rows = connection.execute(
        """
        SELECT f.*, o.origin, o.leg, a.run_id, a.action, p.kind FROM prop_fills f
        JOIN prop_orders o ON o.id = f.order_id
        JOIN prop_positions p ON p.account_id = f.account_id AND p.symbol = f.symbol
        LEFT JOIN prop_decision_actions a ON a.id = o.action_id
        WHERE f.account_id = ? AND f.id < ? ORDER BY f.id DESC LIMIT ?
        """,
        (account_id, before, limit),
    )
    found = []
    for row in rows:
        grid = Grid(row["kind"], row["sz_decimals"])
        found.append(
            {
                "id": row["id"],
                "filled_at": row["filled_at"],
                "symbol": row["symbol"],
                "action": row["action"],
                "origin": row["origin"],
                "leg": row["leg"],
                "side": row["side"],
                "size": grid.size_text(row["size"]),
                "price": grid.price_text(row["price"]),
                "notional": usd_text(row["notional"]),
                "fee": usd_text(row["fee"]),
                "slippage": usd_text(row["slippage"]),
                "realized": usd_text(row["realized"]),
                "price_source": row["price_source"],
                "price_age_ms": row["price_age_ms"],
                "reference_price": row["reference_price"],
                "run_id": row["run_id"],
            }
        )
    return found


def positions_view(
    connection: Connection, account_id: int, *, limit: int, before: int = NEWEST
) -> list[dict[str, Any]]:
    """The same, each fill with the signed size that the account held after it."""
    found = fills_view(connection, account_id, limit=limit, before=before)
    rows = connection.execute(
        """
        SELECT f.id, p.kind, f.sz_decimals, sum(iif(f.side = 'buy', f.size, -f.size))
               OVER (PARTITION BY f.symbol ORDER BY f.id) AS held
        FROM prop_fills f JOIN prop_positions p ON p.account_id = f.account_id AND p.symbol = f.symbol
        WHERE f.account_id = ? AND f.id < ?
        """,
        (account_id, before),
    )
    held = {row["id"]: Grid(row["kind"], row["sz_decimals"]).size_text(row["held"]) for row in rows}
    return [{**fill, "position_size": held[fill["id"]]} for fill in found]


def actions_view(connection: Connection, account_id: int, *, limit: int) -> list[dict[str, Any]]:
    """The newest actions and what the gates said, newest first."""
    rows = connection.execute(
        """
        SELECT id, run_id, action_index, symbol, action, status, reject_code, figures, created_at
        FROM prop_decision_actions WHERE account_id = ? ORDER BY id DESC LIMIT ?
        """,
        (account_id, limit),
    )
    return [{**dict(row), "figures": json.loads(row["figures"])} for row in rows]


def ledger_view(connection: Connection, account_id: int, *, limit: int, before: int = NEWEST) -> list[dict[str, Any]]:
    """The newest ledger groups below the sequence number `before` with their lines, newest first."""
    rows = connection.execute(
        """
        SELECT g.seq, g.kind, g.ref_type, g.ref_id, g.actor, g.reason, g.known_at, g.hash,
               (SELECT json_group_array(json_object('kind', l.kind, 'symbol', l.symbol, 'amount', l.amount)
                                        ORDER BY l.line)
                FROM prop_ledger l WHERE l.account_id = g.account_id AND l.seq = g.seq) AS lines
        FROM prop_ledger_groups g WHERE g.account_id = ? AND g.seq < ? ORDER BY g.seq DESC LIMIT ?
        """,
        (account_id, before, limit),
    )
    return [{**dict(row), "lines": _line_texts(row["lines"])} for row in rows]


def _line_texts(text: str) -> list[dict[str, str]]:
    return [{**line, "amount": usd_text(line["amount"])} for line in json.loads(text)]
