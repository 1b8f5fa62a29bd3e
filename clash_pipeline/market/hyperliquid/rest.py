"""Hyperliquid's REST `/info`: one method a question, each paid for from the shared weight budget before it is asked."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from clash_pipeline.clock import Clock
from clash_pipeline.market.candles import INTERVAL_MS, Candle
from clash_pipeline.market.http import VenueHttp, VenueMalformed, VenueUnavailable
from clash_pipeline.market.hyperliquid import answers, wire
from clash_pipeline.market.weights import WeightBudget

SOURCE: Final = "hyperliquid"

BASE_WEIGHT = 20
"""Of every question asked here but the mids (sources 1.10)."""
MIDS_WEIGHT = 2
CANDLES_PER_WEIGHT = 60
FUNDINGS_PER_WEIGHT = 20
MOST_CANDLES = 5_000
"""Rows the venue still has of an interval, and so the largest snapshot."""
FUNDING_PAGE = 500
HOLD_AFTER_429_MS = 10_000
"""Everybody waits this long after a 429 that names no time of its own."""

T = TypeVar("T")


def snapshot_weight(rows: int) -> int:
    """What a `candleSnapshot` of so many rows costs."""
    return BASE_WEIGHT + -(-rows // CANDLES_PER_WEIGHT)


def funding_weight(rows: int) -> int:
    """What a page of `fundingHistory` of so many rows costs."""
    return BASE_WEIGHT + -(-rows // FUNDINGS_PER_WEIGHT)


class HyperliquidRest:
    """The questions we ask. Every method raises the `VenueError` family and waits for its weight first.

    Rows that are not as documented go to `rejected` where the caller gives such a list; without one they make the
    answer malformed.
    """

    def __init__(self, http: VenueHttp, budget: WeightBudget, base_url: str, clock: Clock) -> None:
        self._http = http
        self._budget = budget
        self._url = f"{base_url.rstrip('/')}/info"
        self._clock = clock

    async def candle_snapshot(
        self,
        coin: str,
        interval: wire.Interval,
        from_t: int,
        to_t: int,
        *,
        rejected: wire.Rejections | None = None,
    ) -> list[Candle]:
        """The candles that open in `[from_t, to_t)`, ascending; one of them may still be forming.

        Fewer rows than minutes is no error: the venue forgets after about 5,000 candles, and recent minutes without
        trades may be missing.
        """
        length = INTERVAL_MS[interval]
        expected = min(max(-(-(to_t - from_t // length * length) // length), 0), MOST_CANDLES)
        request = {"coin": coin, "interval": interval, "startTime": from_t, "endTime": to_t - 1}
        async with self._budget.reserve(snapshot_weight(expected)) as reservation:
            body = await self._ask({"type": "candleSnapshot", "req": request})
            refused: wire.Rejections = []
            rows = _decoded(wire.decode_candles, body, symbol=coin, interval=interval, rejected=refused)
            reservation.weight = snapshot_weight(min(len(rows) + len(refused), expected))
        _hand_over(refused, rejected)
        # the first row is the candle that contains startTime, so it may open before it
        wanted = {candle.t: candle for candle in rows if from_t <= candle.t < to_t}
        return [wanted[t] for t in sorted(wanted)]

    async def meta(self, *, rejected: wire.Rejections | None = None) -> answers.PerpMeta:
        """The perp registry."""
        return _decoded(answers.decode_meta, await self._paid("meta"), rejected=rejected)

    async def spot_meta(self, *, rejected: wire.Rejections | None = None) -> answers.SpotMeta:
        """The spot registry."""
        return _decoded(answers.decode_spot_meta, await self._paid("spotMeta"), rejected=rejected)

    async def meta_and_asset_ctxs(
        self, *, rejected: wire.Rejections | None = None
    ) -> tuple[answers.PerpMeta, dict[str, answers.PerpContext]]:
        """The perp registry and each perp's context by symbol."""
        return _decoded(answers.decode_meta_and_asset_ctxs, await self._paid("metaAndAssetCtxs"), rejected=rejected)

    async def spot_meta_and_asset_ctxs(
        self, *, rejected: wire.Rejections | None = None
    ) -> tuple[answers.SpotMeta, dict[str, answers.SpotContext]]:
        """The spot registry and each pair's context by symbol."""
        body = await self._paid("spotMetaAndAssetCtxs")
        return _decoded(answers.decode_spot_meta_and_asset_ctxs, body, rejected=rejected)

    async def predicted_fundings(self, *, rejected: wire.Rejections | None = None) -> list[answers.Prediction]:
        """What each venue predicts for each coin."""
        return _decoded(answers.decode_predicted_fundings, await self._paid("predictedFundings"), rejected=rejected)

    async def all_mids(self) -> dict[str, str]:
        """Mids by coin; stale marks of coins without a book included."""
        return _decoded(answers.decode_all_mids, await self._paid("allMids", MIDS_WEIGHT))

    async def funding_history(
        self, coin: str, from_t: int, to_t: int, *, rejected: wire.Rejections | None = None
    ) -> list[answers.PaidFunding] | None:
        """The rates paid in `[from_t, to_t)`, page by page, ascending; None for a coin that is not listed."""
        paid: list[answers.PaidFunding] = []
        start = from_t
        while start < to_t:
            page = await self._funding_page(coin, start, to_t, rejected)
            if page is None:
                return None
            fresh = [row for row in page.rows if start <= row.time < to_t]
            paid += fresh
            if not page.is_full or not fresh:
                break
            start = max(row.time for row in fresh) + 1
        return paid

    async def _funding_page(
        self, coin: str, from_t: int, to_t: int, rejected: wire.Rejections | None
    ) -> "_FundingPage | None":
        request = {"type": "fundingHistory", "coin": coin, "startTime": from_t, "endTime": to_t - 1}
        async with self._budget.reserve(funding_weight(FUNDING_PAGE)) as reservation:
            body = await self._ask(request)
            refused: wire.Rejections = []
            rows = _decoded(answers.decode_funding_history, body, rejected=refused)
            sent = len(rows or ()) + len(refused)
            reservation.weight = funding_weight(min(sent, FUNDING_PAGE))
        _hand_over(refused, rejected)
        return None if rows is None else _FundingPage(rows, sent >= FUNDING_PAGE)

    async def _paid(self, kind: str, weight: int = BASE_WEIGHT) -> bytes:
        async with self._budget.reserve(weight):
            return await self._ask({"type": kind})

    async def _ask(self, question: dict[str, Any]) -> bytes:
        try:
            return await self._http.post_bytes(self._url, question)
        except VenueUnavailable as refusal:
            if refusal.status == 429:
                self._budget.hold(refusal.retry_after_ms or HOLD_AFTER_429_MS)
            raise


class _FundingPage(NamedTuple):
    rows: list[answers.PaidFunding]
    is_full: bool


def _decoded(decode: Callable[..., T], body: bytes, **how: Any) -> T:
    """An answer of another shape than documented belongs to the venue's errors."""
    try:
        return decode(body, **how)
    except wire.WireRejection as rejection:
        raise VenueMalformed(SOURCE, str(rejection)) from rejection


def _hand_over(refused: wire.Rejections, rejected: wire.Rejections | None) -> None:
    if rejected is not None:
        rejected += refused
    elif refused:
        raise VenueMalformed(SOURCE, str(refused[0])) from refused[0]
