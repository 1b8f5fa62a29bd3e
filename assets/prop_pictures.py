"""What a person sees of the accounts after a mark tick: a table of the newest marks, and equity over time.

Here and not with the books, because a picture is made of floats and money is not."""

from collections.abc import Sequence

from clash_pipeline.clones import clones
from clash_pipeline.market import plots
from clash_pipeline.prop import accounts, snapshots
from clash_pipeline.prop.snapshots import Snapshot
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import RATE, USD

MARK_COLUMNS = ("account", "equity, USD", "unrealized", "drawdown, %", "positions", "carried marks")
PLOTTED_ACCOUNTS = 8
PLOTTED_MINUTES = 6 * 60


def marks(found: Sequence[Snapshot]) -> str:
    """The snapshots of one tick as a Markdown table."""
    rows = [
        (
            s.account_id, f"{s.equity / USD:,.2f}", f"{s.unrealized / USD:,.2f}", f"{100 * s.drawdown / RATE:.2f}",
            s.positions, s.carried,
        )
        for s in found
    ]  # fmt: skip
    return plots.table(MARK_COLUMNS, rows)


def equity(connection: Connection, account_ids: Sequence[int]) -> str | None:
    """The last six hours of equity of the first accounts, a line each, as a Markdown image; None without a snapshot."""
    shown = account_ids[:PLOTTED_ACCOUNTS]
    lines = []
    for account_id in shown:
        points = snapshots.series(connection, account_id, limit=PLOTTED_MINUTES)
        if points:
            lines.append((_name(connection, account_id), [(point.t, point.equity / USD) for point in points]))
    return plots.lines("equity, USD", lines) if lines else None


def _name(connection: Connection, account_id: int) -> str:
    clone = clones.get(connection, accounts.get(connection, account_id).clone_id)
    return f"account {account_id}: {clone.name}, by {clone.engine}"
