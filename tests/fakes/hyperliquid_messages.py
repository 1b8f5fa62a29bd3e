"""Hyperliquid's messages written by hand: the venue's own shapes, made-up values; for machines without recordings."""

from typing import Any

Raw = Any

T = 1_790_358_600_000


def candle(symbol: str = "BTC", t: int = T, **changes: Raw) -> Raw:
    """A candle as both the stream and `candleSnapshot` write it."""
    made = {
        "t": t, "T": t + 59_999, "s": symbol, "i": "1m", "o": "61000.0", "c": "61040.0", "h": "61055.0", "l": "60990.0",
        "v": "3.21", "n": 48,
    }  # fmt: skip
    return made | changes


def frames() -> list[Raw]:
    """One of everything the stream may say, most of it candles."""
    subscription = {"type": "candle", "coin": "AAVE", "interval": "1m"}
    quiet = {"o": "310.5", "c": "310.5", "h": "310.5", "l": "310.5", "v": "0.0", "n": 0}
    context = perp_context() | {"premium": None, "midPx": None, "impactPxs": None}
    lively = [candle(t=T + minute * 60_000, n=48 + minute) for minute in range(4)]
    silent = [candle("AAVE", T + minute * 60_000, **quiet) for minute in range(3)]
    return [
        *({"channel": "candle", "data": row} for row in (*lively, *silent, candle("AAVE", v="0.01", n=1))),
        {"channel": "candle", "data": [candle(), candle("AAVE")]},
        {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": subscription}},
        {
            "channel": "allMids",
            "data": {"mids": {"BTC": "61041.5", "AAVE": "310.55", "@1": "17.2", "PURR/USDC": "0.15"}},
        },
        {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": context}},
        {"channel": "l2Book", "data": {"coin": "AAVE", "time": T + 900, "levels": [[], []]}},
        {"channel": "pong"},
        {"channel": "error", "data": 'Invalid subscription {"type":"candle","coin":"NOPE","interval":"1m"}'},
    ]


def perp_context(**changes: Raw) -> Raw:
    """The state of a perp with a live book."""
    made = {
        "funding": "0.0000125", "openInterest": "1200.5", "prevDayPx": "60800.0", "dayNtlVlm": "812000.25",
        "premium": "-0.00021", "oraclePx": "61050.0", "markPx": "61041.0", "midPx": "61041.5",
        "impactPxs": ["61041.0", "61042.0"], "dayBaseVlm": "13.3",
    }  # fmt: skip
    return made | changes


def meta() -> Raw:
    """A registry of three perps, one of them delisted, and a margin table of two tiers."""
    tiers = [{"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.0", "maxLeverage": 20}]
    return {
        "universe": [
            {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56},
            {"name": "AAVE", "szDecimals": 2, "maxLeverage": 10, "marginTableId": 10},
            {"name": "GONE", "szDecimals": 1, "maxLeverage": 3, "isDelisted": True, "onlyIsolated": True},
        ],
        "marginTables": [[56, {"description": "tiered", "marginTiers": tiers}]],
    }


def perp_contexts() -> list[Raw]:
    """The states of the perps of `meta`, by position."""
    gone = perp_context(premium=None, midPx=None, impactPxs=None, dayNtlVlm="0.0", dayBaseVlm="0.0")
    return [perp_context(), perp_context(markPx="310.5", oraclePx="310.6", midPx="310.55"), gone]


def spot_meta() -> Raw:
    """Two pairs of three tokens."""
    names = ("USDC", 8), ("PURR", 0), ("HFUN", 2)
    return {
        "universe": [
            {"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True},
            {"tokens": [2, 0], "name": "@1", "index": 1, "isCanonical": False},
        ],
        "tokens": [
            {"name": name, "szDecimals": decimals, "weiDecimals": 8, "index": index, "fullName": None}
            for index, (name, decimals) in enumerate(names)
        ],
    }


def spot_contexts() -> list[Raw]:
    """The states of the pairs of `spot_meta`."""
    state = {"prevDayPx": "17.0", "dayNtlVlm": "32000.5", "markPx": "17.15", "midPx": "17.12", "dayBaseVlm": "1900.25"}
    return [state | {"coin": "PURR/USDC", "markPx": "0.148"}, state | {"coin": "@1", "midPx": None}]


def predicted_fundings() -> list[Raw]:
    """What three venues expect of one coin, and of another that one of them does not list."""
    next_t = T + 3_000_000
    own = ["HlPerp", {"fundingRate": "0.0000125", "nextFundingTime": next_t, "fundingIntervalHours": 1}]
    other = ["BinPerp", {"fundingRate": "-0.0001", "nextFundingTime": next_t}]
    third = ["BybitPerp", {"fundingRate": "0.00005"}]
    return [["BTC", [other, own, third]], ["MATIC", [other, own, ["BybitPerp", None]]]]


def funding_history() -> list[Raw]:
    """Two hours of paid rates."""
    hour = T - T % 3_600_000
    return [
        {"coin": "BTC", "fundingRate": rate, "premium": premium, "time": hour + late}
        for rate, premium, late in (("0.0000125", "-0.0002", 15), ("-0.000004", "0.0001", 3_600_042))
    ]
