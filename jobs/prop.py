"""Mark-to-market: every open account at the newest prices, once a minute."""

import dagster as dg

from clash_pipeline.clock import MINUTE_MS, hour_of
from clash_pipeline.services import Services
from clash_pipeline.units import USD
from jobs.labels import labels
from resources.beta import TRADING

MARK_COLUMNS = ("account", "equity, USD", "unrealized", "drawdown, %", "positions", "carried marks")
PLOTTED_ACCOUNTS = 8


@dg.op(description="Marks the open positions of every account and writes its snapshot.", code_version="1")
def mark_accounts(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Mark all accounts that have not ended; the same minute again changes nothing."""
    from clash_pipeline.market.plots import lines, table
    from clash_pipeline.prop import accounts, marks, snapshots
    from clash_pipeline.prop.venue import PaperVenue

    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        open_ids = accounts.open_ids(connection)
    venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
    tick = marks.mark_all(services.clash, venue, open_ids, now_ms)
    thinned = snapshots.thin_all(services.clash, now_ms) if now_ms - hour_of(now_ms) < MINUTE_MS else 0
    with services.clash.read() as connection:
        series = [(f"account {one}", snapshots.series(connection, one)) for one in open_ids[:PLOTTED_ACCOUNTS]]
    shown = [
        (s.account_id, s.equity / USD, s.unrealized / USD, s.drawdown / 1_000_000, s.positions, s.carried)
        for s in tick.snapshots
    ]
    metadata: dict[str, object] = {
        "accounts": len(tick.snapshots),
        "carried_marks": sum(s.carried for s in tick.snapshots),
        "ended": len(tick.ended),
        "left_for_next_tick": len(tick.left),
        "snapshots_thinned": thinned,
    }
    if tick.snapshots:
        points = [(name, [(s.t, s.equity / USD) for s in found]) for name, found in series if found]
        metadata["marks"] = dg.MetadataValue.md(table(MARK_COLUMNS, shown))
        metadata["equity"] = dg.MetadataValue.md(lines("equity, USD", points))
    context.add_output_metadata(metadata)


@dg.job(
    description="Marks every open account at the newest prices and writes equity snapshots.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("prop", "minute", alone="mark_to_market"),
)
def mark_to_market() -> None:
    """Mark the accounts."""
    mark_accounts()
