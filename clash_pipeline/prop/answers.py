"""What an account answers to an action: as it is carried out, and the same again from the rows it left."""

import msgspec

from clash_pipeline.prop.case import Case, Figures
from clash_pipeline.prop.desk import Filled
from clash_pipeline.prop.pricing import Reference
from clash_pipeline.prop.proposal import ActionResult, FillResult
from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import Grid, usd_text


def reference_of(case: Case) -> Reference:
    """The price that an accepted action is filled at."""
    if case.reference is None:
        raise RuntimeError(f"{case.proposal.symbol} passed the gates without a price")
    return case.reference


def figures_of(case: Case) -> Figures:
    """The figures of an accepted action: equity, price and its age, what it arms."""
    reference, grid = reference_of(case), case.position.grid
    figures: Figures = {
        "equity": usd_text(case.book.equity),
        "price": reference.text,
        "price_source": reference.source,
        "price_age_ms": reference.age_ms(case.now_ms),
    }
    armed = {name: grid.price_text(price) for name, price in case.armed._asdict().items() if price is not None}
    return figures | armed | ({} if case.fill_minute is None else {"fill_minute": case.fill_minute})


def fill_result(filled: Filled, case: Case) -> FillResult:
    """A fill as it was just made."""
    leg, grid = filled.leg, filled.effect.position.grid
    return FillResult(
        order_id=filled.order_id,
        fill_id=filled.fill_id,
        leg=leg.number,
        side=leg.side,
        size=grid.size_text(leg.size),
        price=grid.price_text(leg.price),
        notional=usd_text(leg.notional),
        fee=usd_text(leg.fee),
        realized=usd_text(filled.effect.realized),
        price_source=filled.reference.source,
        price_age_ms=filled.reference.age_ms(case.now_ms),
    )


def results_of(connection: Connection, account_id: int, run_id: int) -> list[ActionResult]:
    """What became of the actions of a run, as first answered."""
    rows = connection.execute(
        """
        SELECT id, account_id, run_id, action_index, symbol, action, payload_hash, status, reject_code, figures
        FROM prop_decision_actions WHERE account_id = ? AND run_id = ? ORDER BY action_index
        """,
        (account_id, run_id),
    )
    return [_result(connection, row) for row in rows.fetchall()]


def _result(connection: Connection, row: Row) -> ActionResult:
    fills = connection.execute(
        """
        SELECT f.*, o.leg, p.kind FROM prop_orders o JOIN prop_fills f ON f.order_id = o.id
        JOIN prop_positions p ON p.account_id = f.account_id AND p.symbol = f.symbol
        WHERE o.action_id = ? ORDER BY o.leg
        """,
        (row["id"],),
    ).fetchall()
    return ActionResult(
        action_id=row["id"],
        action_index=row["action_index"],
        symbol=row["symbol"],
        action=row["action"],
        status=row["status"],
        reject_code=row["reject_code"],
        figures=msgspec.json.decode(row["figures"]),
        fills=tuple(_stored_fill(fill) for fill in fills),
    )


def _stored_fill(row: Row) -> FillResult:
    grid = Grid(row["kind"], row["sz_decimals"])
    return FillResult(
        order_id=row["order_id"],
        fill_id=row["id"],
        leg=row["leg"],
        side=row["side"],
        size=grid.size_text(row["size"]),
        price=grid.price_text(row["price"]),
        notional=usd_text(row["notional"]),
        fee=usd_text(row["fee"]),
        realized=usd_text(row["realized"]),
        price_source=row["price_source"],
        price_age_ms=row["price_age_ms"],
    )
