"""What the venue says of the present: mids, asset contexts, books, and the answers that list them for all assets."""

from typing import Any

import msgspec

from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.replay import funding
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import key_of, text, unit
from clash_pipeline.replay.truth import Asset

BOOK_LEVELS = 20
PREDICTED_ON = (("BinPerp", 8), ("HlPerp", 1), ("BybitPerp", 8))
ONLY_HERE = frozenset({"HYPE", "FTT", "VVV"})
"""Coins whose funding no other venue predicts."""
WITHOUT_INTERVAL = frozenset({"MATIC", "OM", "NEIROETH"})
"""Coins for which Binance's interval is left out (sources 1.6)."""


def mids_frame(mids: dict[str, str]) -> str:
    """An `allMids` message."""
    return msgspec.json.encode({"channel": "allMids", "data": {"mids": mids}}).decode()


def context_frame(market: LiveMarket, asset: Asset, now_ms: int) -> str:
    """An `activeAssetCtx` message; spot has its own channel name."""
    channel = "activeAssetCtx" if asset.kind == "perp" else "activeSpotAssetCtx"
    context = perp_context(market, asset, now_ms) if asset.kind == "perp" else spot_context(market, asset, now_ms)
    return msgspec.json.encode({"channel": channel, "data": {"coin": asset.symbol, "ctx": context}}).decode()


def bbo_frame(asset: Asset, price: float, now_ms: int) -> str:
    """A `bbo` message around the last price."""
    bid, ask = _best(asset, price)
    levels = [{"px": text(px), "sz": text(_size(asset, px, 0, now_ms)), "n": 3} for px in (bid, ask)]
    return msgspec.json.encode(
        {"channel": "bbo", "data": {"coin": asset.symbol, "time": now_ms, "bbo": levels}}
    ).decode()


def perp_context(market: LiveMarket, asset: Asset, now_ms: int) -> dict[str, Any]:
    """The context of a perp; without a book premium, mid and impact prices are null (sources 1.5)."""
    price, day = market.price(asset.symbol, now_ms), market.day(asset.symbol, now_ms)
    recorded = market.truth.recorded_context(asset.symbol) or {}
    if price is None or day is None:
        mark = recorded.get("markPx", "1.0")
        return {
            "funding": "0.0", "openInterest": "0.0", "prevDayPx": mark, "dayNtlVlm": "0.0", "premium": None,
            "oraclePx": recorded.get("oraclePx", mark), "markPx": mark, "midPx": None, "impactPxs": None,
            "dayBaseVlm": "0.0",
        }  # fmt: skip
    bid, ask = _best(asset, price)
    premium = (unit(key_of(market.truth.seed, "premium", asset.symbol, now_ms // 5_000)) - 0.55) * 0.0008
    decimals = 6 - asset.sz_decimals
    return {
        "funding": text(current_funding(market, asset.symbol, now_ms)),
        "openInterest": text(_open_interest(market, asset, now_ms, day.base_volume)),
        "prevDayPx": text(day.previous_price),
        "dayNtlVlm": text(round(day.usd_volume, 10)),
        "premium": text(round(premium, 10)),
        "oraclePx": text(max(round(price * (1 - premium), decimals), 10.0**-decimals)),
        "markPx": text(price),
        "midPx": text(price),
        "impactPxs": [text(bid), text(ask)],
        "dayBaseVlm": text(round(day.base_volume, asset.sz_decimals)),
    }


def spot_context(market: LiveMarket, asset: Asset, now_ms: int) -> dict[str, Any]:
    """The context of a spot pair."""
    price, day = market.price(asset.symbol, now_ms), market.day(asset.symbol, now_ms)
    recorded = market.truth.recorded_context(asset.symbol) or {}
    supply = {name: recorded.get(name, "1000000000.0") for name in ("circulatingSupply", "totalSupply")}
    if price is None or day is None:
        mark = recorded.get("markPx", "1.0")
        shown = {"prevDayPx": mark, "dayNtlVlm": "0.0", "markPx": mark, "midPx": None, "dayBaseVlm": "0.0"}
    else:
        shown = {
            "prevDayPx": text(day.previous_price),
            "dayNtlVlm": text(round(day.usd_volume, 10)),
            "markPx": text(price),
            "midPx": text(price),
            "dayBaseVlm": text(round(day.base_volume, asset.sz_decimals)),
        }
    order = ("prevDayPx", "dayNtlVlm", "markPx", "midPx", "circulatingSupply", "coin", "totalSupply", "dayBaseVlm")
    whole = shown | supply | {"coin": asset.symbol}
    return {name: whole[name] for name in order}


def meta_and_contexts(market: LiveMarket, now_ms: int) -> list[Any]:
    """The answer of `metaAndAssetCtxs`: contexts in the order of the universe, without names."""
    perps = [asset for asset in market.truth.assets if asset.kind == "perp"]
    return [market.truth.meta(), [perp_context(market, asset, now_ms) for asset in perps]]


def spot_meta_and_contexts(market: LiveMarket, now_ms: int) -> list[Any]:
    """The answer of `spotMetaAndAssetCtxs`: the contexts do not pair with the universe by position (sources 1.7)."""
    spots = [asset for asset in market.truth.assets if asset.kind == "spot"]
    shown = [spot_context(market, asset, now_ms) for asset in sorted(spots)]
    stale = {"prevDayPx": "1.0", "dayNtlVlm": "0.0", "markPx": "1.0", "midPx": None, "circulatingSupply": "0.0",
             "coin": "@9999", "totalSupply": "0.0", "dayBaseVlm": "0.0"}  # fmt: skip
    return [market.truth.spot_meta(), [stale, *shown]]


def predicted_fundings(market: LiveMarket, now_ms: int) -> list[Any]:
    """The answer of `predictedFundings`: every perp, three venues, rates per the venue's own interval."""
    perps = sorted(asset.symbol for asset in market.truth.assets if asset.kind == "perp")
    return [[symbol, [_predicted(market, symbol, *venue, now_ms) for venue in PREDICTED_ON]] for symbol in perps]


def current_funding(market: LiveMarket, symbol: str, now_ms: int) -> float:
    """The running estimate of the present hour: what will be paid, seen through a little noise."""
    hour = hour_of(now_ms)
    paid = market.truth.funding(symbol, hour + HOUR_MS, hour + 2 * HOUR_MS)
    rate = paid[0][1] if paid else funding.rate(market.truth.seed, symbol, hour + HOUR_MS)
    if rate == funding.RESTING_RATE:
        return rate
    noise = unit(key_of(market.truth.seed, "estimate", symbol, now_ms // 60_000)) - 0.5
    return round(rate + noise * 4e-6, 10)


def funding_history(market: LiveMarket, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> list[dict[str, Any]]:
    """At most 500 payments from `start_ms` on, oldest first."""
    paid = market.truth.funding(symbol, start_ms, min(end_ms, now_ms) + 1)[:500]
    return [
        {
            "coin": symbol,
            "fundingRate": text(rate),
            "premium": text(round((unit(key_of(market.truth.seed, symbol, at)) - 0.5) * 0.0006, 10)),
            "time": at,
        }
        for at, rate in paid
    ]


def book(market: LiveMarket, asset: Asset, now_ms: int) -> dict[str, Any]:
    """The answer of `l2Book`: twenty levels a side, none where there is no book."""
    price = market.price(asset.symbol, now_ms)
    if price is None:
        return {"coin": asset.symbol, "time": now_ms, "levels": [[], []]}
    bid, ask = _best(asset, price)
    tick = _tick(asset, price)
    sides = [[bid - tick * depth for depth in range(BOOK_LEVELS)], [ask + tick * depth for depth in range(BOOK_LEVELS)]]
    levels = [
        [
            {"px": text(round(px, 8)), "sz": text(_size(asset, px, depth, now_ms)), "n": 1 + depth % 7}
            for depth, px in enumerate(side)
            if px > tick / 2
        ]
        for side in sides
    ]
    return {"coin": asset.symbol, "time": now_ms, "levels": levels, "spread": text(round(ask - bid, 8))}


def _predicted(market: LiveMarket, symbol: str, venue: str, hours: int, now_ms: int) -> list[Any]:
    if venue == "HlPerp":
        has_book = market.by_symbol[symbol].has_candles
        rate = current_funding(market, symbol, now_ms) if has_book else 0.0
        passed = hour_of(now_ms)
        return [venue, {"fundingRate": text(rate), "nextFundingTime": passed, "fundingIntervalHours": 1}]
    if symbol in ONLY_HERE:
        return [venue, None]
    base = funding.rate(market.truth.seed, f"{venue}:{symbol}", hour_of(now_ms)) * hours
    boundary = now_ms - now_ms % (hours * HOUR_MS) + hours * HOUR_MS
    shown = {"fundingRate": text(round(base, 8)), "nextFundingTime": boundary, "fundingIntervalHours": hours}
    if venue == "BinPerp" and symbol in WITHOUT_INTERVAL:
        del shown["fundingIntervalHours"]
    return [venue, shown]


def _tick(asset: Asset, price: float) -> float:
    """The step of the price grid at a price."""
    most = (6 if asset.kind == "perp" else 8) - asset.sz_decimals
    whole_digits = len(str(int(price))) if price >= 1 else 0
    leading_zeros = 0
    if price < 1:
        shown = f"{price:.10f}".partition(".")[2]
        leading_zeros = len(shown) - len(shown.lstrip("0"))
    places = min(max(5 - whole_digits + leading_zeros, 0), max(most, 0))
    return float(10.0**-places)


def _best(asset: Asset, price: float) -> tuple[float, float]:
    """Best bid and ask: one step of the grid either side of the last price."""
    tick = _tick(asset, price)
    return max(round(price - tick, 8), tick), round(price + tick, 8)


def _size(asset: Asset, px: float, depth: int, now_ms: int) -> float:
    usd = 4_000 * (1 + depth) * (0.3 + unit(key_of(0, asset.symbol, depth, now_ms // 60_000)))
    return max(round(usd / px, asset.sz_decimals), 10.0**-asset.sz_decimals)


def _open_interest(market: LiveMarket, asset: Asset, now_ms: int, day_volume: float) -> float:
    share = 0.4 + 0.1 * unit(key_of(market.truth.seed, "oi", asset.symbol, hour_of(now_ms)))
    return round(day_volume * share, asset.sz_decimals)
