"""Mark-to-market: every open account at the newest prices, once a minute."""

from typing import TYPE_CHECKING

import dagster as dg

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.services import Services
from jobs.labels import labels
from resources.beta import TRADING

if TYPE_CHECKING:
    from clash_pipeline.prop.marks import Tick

DRAWN_EVERY_MS = 5 * MINUTE_MS
"""How often the accounts are drawn: a picture a minute would fill most of Dagster's event log."""

SHOWN_ACCOUNTS = 10
"""How many accounts in trouble a run names; Dagster keeps every line."""


@dg.op(description="Marks the open positions of every account and writes its snapshot.", code_version="2")
def mark_accounts(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Mark all accounts that have not ended; the same minute again changes nothing."""
    from clash_pipeline.prop import accounts, marks
    from clash_pipeline.prop.venue import PaperVenue

    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        open_ids = accounts.open_ids(connection)
    venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
    tick = marks.mark_all(services.clash, venue, open_ids, now_ms)
    figures = {
        "accounts": len(tick.snapshots),
        "carried_marks": sum(found.carried for found in tick.snapshots),
        "ended": len(tick.ended),
        "left_for_next_tick": len(tick.left),
    }
    context.add_output_metadata({**figures, **({"left": _left(tick)} if tick.left else {})})
    if tick.snapshots and minute_of(now_ms) % DRAWN_EVERY_MS == 0:
        context.log_event(dg.AssetMaterialization("prop_accounts", metadata={**figures, **_drawn(services, tick)}))


def _left(tick: "Tick") -> dg.MetadataValue:
    """Which accounts wait for the next tick, and the kind of their trouble; the log of the process has every word."""
    from clash_pipeline.market.plots import table

    rows = [(account_id, type(error).__name__) for account_id, error in sorted(tick.left.items())[:SHOWN_ACCOUNTS]]
    return dg.MetadataValue.md(table(("account", "trouble"), rows))


def _drawn(services: Services, tick: "Tick") -> dict[str, dg.MetadataValue]:
    """The accounts as a table and their equity as a plot, for the page of the asset."""
    from assets import prop_pictures as pictures

    with services.clash.read() as connection:
        equity = pictures.equity(connection, [found.account_id for found in tick.snapshots])
    plot = {"equity": dg.MetadataValue.md(equity)} if equity else {}
    return {"marks": dg.MetadataValue.md(pictures.marks(tick.snapshots)), **plot}


@dg.job(
    description="Marks every open account at the newest prices and writes equity snapshots.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("prop", "minute", alone="mark_to_market"),
)
def mark_to_market() -> None:
    """Mark the accounts."""
    mark_accounts()
