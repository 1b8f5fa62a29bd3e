"""Pages of what happened to accounts, newest first: accounts of a clone, orders, snapshots.

Fills and ledger groups are in `views`.
"""

from typing import Any

from clash_pipeline.prop.accounts import Account, get
from clash_pipeline.prop.views import NEWEST
from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import scaled_text


def of_clone(connection: Connection, clone_id: int, *, limit: int, before: int = NEWEST) -> list[Account]:
    """Every account a clone ever had, newest first."""
    rows = connection.execute(
        "SELECT id FROM prop_accounts WHERE clone_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        (clone_id, before, limit),
    ).fetchall()
    return [get(connection, row["id"]) for row in rows]


def orders(connection: Connection, account_id: int, *, limit: int, before: int = NEWEST) -> list[dict[str, Any]]:
    """The newest orders with the fill each one had, newest first; sizes as decimal text."""
    rows = connection.execute(
        """
        SELECT o.id, o.origin, o.leg, o.symbol, o.side, o.size, o.sz_decimals, o.leverage, o.is_opening, o.created_at,
               a.run_id, f.id AS fill_id
        FROM prop_orders o
        LEFT JOIN prop_decision_actions a ON a.id = o.action_id
        LEFT JOIN prop_fills f ON f.order_id = o.id
        WHERE o.account_id = ? AND o.id < ? ORDER BY o.id DESC LIMIT ?
        """,
        (account_id, before, limit),
    )
    return [_order(row) for row in rows]


def snapshots(connection: Connection, account_id: int, *, limit: int, before: int = NEWEST) -> list[Row]:
    """The newest snapshots before a time, newest first: what a chart of the account draws."""
    return connection.execute(
        """
        SELECT t, equity, balance, unrealized, gross, margin, drawdown, high_water_mark, positions, carried
        FROM prop_snapshots WHERE account_id = ? AND t < ? ORDER BY t DESC LIMIT ?
        """,
        (account_id, before, limit),
    ).fetchall()


def fills_after(connection: Connection, clone_id: int, after: int, *, limit: int) -> list[tuple[int, int]]:
    """(fill id, account id) of a clone's fills with an id above `after`, oldest first."""
    rows = connection.execute(
        """
        SELECT f.id, f.account_id FROM prop_fills f JOIN prop_accounts a ON a.id = f.account_id
        WHERE a.clone_id = ? AND f.id > ? ORDER BY f.id LIMIT ?
        """,
        (clone_id, after, limit),
    )
    return [(row["id"], row["account_id"]) for row in rows]


def _order(row: Row) -> dict[str, Any]:
    size = scaled_text(row["size"], row["sz_decimals"])
    return {**dict(row), "size": size, "is_opening": bool(row["is_opening"])}
