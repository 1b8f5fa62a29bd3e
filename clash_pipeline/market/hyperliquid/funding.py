"""Funding of perps: the running estimate, what three venues predict, and what was paid (sources 1.6).

Rates are exact integers of 1e-10 per `interval_hours`; compare venues only after dividing by that.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from clash_pipeline.clock import HOUR_MS, Clock, hour_of, minute_of
from clash_pipeline.market import ingestion
from clash_pipeline.market.hyperliquid import answers, wire
from clash_pipeline.market.hyperliquid.numbers import BadNumber, rate_e10, signed
from clash_pipeline.market.hyperliquid.rest import SOURCE, HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database, Row

CHANNEL: Final = "funding"
OWN_VENUE: Final = "HlPerp"
HOURLY_SINCE: Final = 1_686_186_000_000
"""2023-06-08 01:00 UTC: the venue's first hourly payment; before it, every eight hours (rec)."""
LONGEST_INTERVAL_HOURS: Final = 24


class FundingRate(NamedTuple):
    """A rate as it is kept. `t` is the minute of the sample, or the hour of the payment for `paid`."""

    symbol: str
    kind: str
    venue: str
    t: int
    rate_e10: int
    interval_hours: int
    premium: str | None
    next_funding_at: int | None
    known_at: int


async def refresh(market: Database, rest: HyperliquidRest, *, now_ms: int, clock: Clock, settings: Settings) -> int:
    """Sample the current and the predicted rates of every listed perp; returns the rows written.

    Raises:
        VenueError: the venue did not answer usably; nothing was written but the failed cycle.
    """
    with ingestion.run(market, SOURCE, CHANNEL, clock) as cycle:
        rejected: wire.Rejections = []
        meta, contexts = await rest.meta_and_asset_ctxs(rejected=rejected)
        predictions = await rest.predicted_fundings(rejected=rejected)
        known_at = clock.now_ms()
        symbols = _wanted(meta, settings)
        rows = [
            *current(contexts, symbols, now_ms, known_at, rejected),
            *predicted(predictions, symbols, {perp.name for perp in meta.perps}, now_ms, known_at, rejected),
        ]
        with market.write() as connection:
            cycle.rows = store(connection, rows)
            _count(connection, rejected, known_at)
        cycle.rejected = len(rejected)
        cycle.covered = sum(row.kind == "current" for row in rows)
        cycle.expected = len(symbols)
        cycle.through_t = minute_of(now_ms)
        cycle.lags_ms.append(known_at - now_ms)
    return cycle.rows


async def backfill_paid(
    market: Database, rest: HyperliquidRest, symbols: Iterable[str], from_t: int, to_t: int, *, clock: Clock
) -> int:
    """Fetch the rates paid at the hours of `[from_t, to_t)`; returns the rows written. Safe to repeat.

    Raises:
        VenueError: the venue did not answer usably; the symbols before are kept.
    """
    written = 0
    for symbol in symbols:
        rejected: wire.Rejections = []
        history = await rest.funding_history(symbol, from_t, to_t, rejected=rejected)
        known_at = clock.now_ms()
        with market.write() as connection:
            written += store(connection, paid(symbol, history or [], known_at, rejected))
            _count(connection, rejected, known_at)
    return written


def current(
    contexts: dict[str, answers.PerpContext],
    symbols: frozenset[str],
    now_ms: int,
    known_at: int,
    rejected: wire.Rejections,
) -> list[FundingRate]:
    """The venue's running estimate of the present hour, due at the next full hour of the clock."""
    t, due = minute_of(now_ms), hour_of(now_ms) + HOUR_MS

    def row(symbol: str, context: answers.PerpContext) -> FundingRate:
        premium = None if context.premium is None else signed(context.premium)
        return FundingRate(symbol, "current", OWN_VENUE, t, rate_e10(context.funding), 1, premium, due, known_at)

    wanted = ((symbol, context) for symbol, context in contexts.items() if symbol in symbols)
    return _kept(row, wanted, rejected)


def predicted(
    predictions: Iterable[answers.Prediction],
    symbols: frozenset[str],
    listed: set[str],
    now_ms: int,
    known_at: int,
    rejected: wire.Rejections,
) -> list[FundingRate]:
    """What each venue predicts for our perps.

    A venue that no longer trades the coin sends no interval: its rate has no meaning and is left out. The due time of
    the own venue is computed, as the one it sends has passed; of others, one that has passed is unknown.
    """

    def row(prediction: answers.Prediction, hours: int) -> FundingRate:
        symbol, venue, funding = prediction
        if symbol not in listed:
            raise BadNumber("unknown_coin")
        if hours > LONGEST_INTERVAL_HOURS:
            raise BadNumber("bad_interval")
        due: int | None = hour_of(now_ms) + HOUR_MS if venue == OWN_VENUE else funding.nextFundingTime
        if due is not None and due <= now_ms:
            due = None
        rate = rate_e10(funding.fundingRate)
        return FundingRate(symbol, "predicted", venue, minute_of(now_ms), rate, hours, None, due, known_at)

    wanted = (
        (prediction, hours)
        for prediction in predictions
        if (prediction.coin in symbols or prediction.coin not in listed) and (hours := _hours(prediction))
    )
    return _kept(row, wanted, rejected)


def paid(
    symbol: str, history: Iterable[answers.PaidFunding], known_at: int, rejected: wire.Rejections
) -> list[FundingRate]:
    """Paid rates by the hour they were paid at; the venue's time lies some ms behind it."""

    def row(entry: answers.PaidFunding) -> FundingRate:
        if entry.coin != symbol:
            raise BadNumber("wrong_symbol")
        t = hour_of(entry.time)
        premium = None if entry.premium is None else signed(entry.premium)
        hours = 1 if t >= HOURLY_SINCE else 8
        return FundingRate(symbol, "paid", OWN_VENUE, t, rate_e10(entry.fundingRate), hours, premium, None, known_at)

    return _kept(row, ((entry,) for entry in history), rejected)


def store(connection: Connection, rates: Iterable[FundingRate]) -> int:
    """Write samples that are not there yet: what was known at a minute is never rewritten. Returns the new rows."""
    before = connection.total_changes
    connection.executemany(
        """
        INSERT INTO hyperliquid_funding_rates
          (symbol, kind, venue, t, rate_e10, interval_hours, premium, next_funding_at, known_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """,
        rates,
    )
    return connection.total_changes - before


def read(
    connection: Connection, symbol: str, *, from_t: int, to_t: int, as_of: int | None = None, kind: str | None = None
) -> list[FundingRate]:
    """The rates of a symbol in `[from_t, to_t)`, by time, kind and venue; none that was learnt after `as_of`."""
    rows = connection.execute(
        """
        SELECT symbol, kind, venue, t, rate_e10, interval_hours, premium, next_funding_at, known_at
        FROM hyperliquid_funding_rates
        WHERE symbol = :symbol AND t >= :from_t AND t < :to_t
          AND (:as_of IS NULL OR known_at <= :as_of) AND (:kind IS NULL OR kind = :kind)
        ORDER BY t, kind, venue
        """,
        {"symbol": symbol, "from_t": from_t, "to_t": to_t, "as_of": as_of, "kind": kind},
    )
    return [_rate(row) for row in rows]


def _rate(row: Row) -> FundingRate:
    return FundingRate(*row)


def _wanted(meta: answers.PerpMeta, settings: Settings) -> frozenset[str]:
    followed = settings.followed_symbols
    return frozenset(
        perp.name for perp in meta.perps if not perp.isDelisted and (followed is None or perp.name in followed)
    )


def _hours(prediction: answers.Prediction) -> int:
    hours = prediction.funding.fundingIntervalHours
    return hours or (1 if prediction.venue == OWN_VENUE else 0)


def _kept(
    build: Callable[..., FundingRate], entries: Iterable[tuple[Any, ...]], rejected: wire.Rejections
) -> list[FundingRate]:
    rows = []
    for entry in entries:
        try:
            rows.append(build(*entry))
        except BadNumber as problem:
            rejected.append(wire.WireRejection(str(problem), msgspec.json.encode(entry)))
    return rows


def _count(connection: Connection, rejected: wire.Rejections, now_ms: int) -> None:
    for refusal in rejected:
        ingestion.reject(connection, SOURCE, CHANNEL, refusal.reason, refusal.sample, now_ms)
