"""Trades on candles: the bars of one asset, with every fill of a clone at the bar in which it happened."""

from typing import Any, Literal, NamedTuple

from clash_pipeline.api.pages.charts import Bar, Chart, Mark
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market import candles
from clash_pipeline.market.candles import INTERVAL_MS
from clash_pipeline.storage.sqlite import Database

Span = Literal["6h", "24h", "7d", "30d"]


class Window(NamedTuple):
    """How far back a chart goes, and what its bars are."""

    name: str
    span_ms: int
    interval: str


SPANS: dict[str, Window] = {
    "6h": Window("six hours", 6 * HOUR_MS, "1m"),
    "24h": Window("24 hours", DAY_MS, "1m"),
    "7d": Window("seven days", 7 * DAY_MS, "1h"),
    "30d": Window("30 days", 30 * DAY_MS, "1h"),
}


def trades_chart(market: Database, symbol: str, fills: list[dict[str, Any]], span: Span, now_ms: int) -> Chart:
    """The candles of a window and the fills in it."""
    window = SPANS[span]
    step = INTERVAL_MS[window.interval]
    first = (now_ms - window.span_ms) // step * step
    with market.read() as connection:
        stored = candles.read(connection, symbol, interval=window.interval, from_t=first, to_t=now_ms + MINUTE_MS)
    bars = [Bar(one.t, *(float(price) for price in (one.o, one.h, one.l, one.c))) for one in stored]
    seen = [fill for fill in fills if fill["symbol"] == symbol and fill["filled_at"] >= first]
    marks = [_mark(fill, step) for fill in sorted(seen, key=lambda fill: fill["id"])]
    drawn = f"{len(bars):,} candles of {window.interval}"
    traded = "one trade" if len(marks) == 1 else f"{len(marks):,} trades"
    says = f"{symbol} over {window.name}: {drawn} and {traded} of this clone."
    return Chart("trades", f"{symbol} and trades", says, "price", bars=bars, marks=marks)


def _mark(fill: dict[str, Any], step: int) -> Mark:
    at = fill["filled_at"] // step * step
    return Mark(at, fill["side"], f"{fill['side']} {fill['size']} at {fill['price']}")
