"""Who is listed on the synthetic venue: real names and limits, levels and liveliness as of July 2025."""

from typing import Any, NamedTuple


class Listed(NamedTuple):
    """An asset of the synthetic market."""

    symbol: str
    sz_decimals: int
    max_leverage: int
    margin_table: int
    price: float
    """Level around which the walk moves, USD."""
    volume: float
    """Median base volume of a minute that traded."""
    traded: float
    """Share of minutes with a trade."""
    sigma: float
    """Typical move of a minute, in basis points."""
    is_delisted: bool = False


PERPS = (
    Listed("BTC", 5, 40, 56, 118_000, 11, 1.0, 5),
    Listed("ETH", 4, 25, 55, 3_690, 457, 1.0, 9),
    Listed("SOL", 2, 20, 54, 191, 2_813, 1.0, 11),
    Listed("XRP", 0, 20, 53, 3.318, 45_558, 1.0, 12),
    Listed("DOGE", 0, 10, 52, 0.25, 288_684, 1.0, 14),
    Listed("HYPE", 2, 10, 52, 43.9, 2_934, 1.0, 12),
    Listed("kPEPE", 0, 10, 52, 0.01317, 2_023_341, 1.0, 15),
    Listed("SUI", 1, 10, 52, 3.848, 6_873, 1.0, 13),
    Listed("BNB", 3, 10, 51, 773, 10.6, 0.99, 7),
    Listed("FTT", 1, 3, 3, 1.006, 32, 0.19, 12),
    Listed("MATIC", 1, 20, 20, 0.3754, 0, 0.0, 0, True),
    Listed("AVAX", 2, 10, 52, 24.54, 153, 0.96, 11),
    Listed("LINK", 1, 10, 52, 18.67, 278, 0.98, 12),
    Listed("AAVE", 2, 10, 52, 300.8, 29, 0.99, 11),
    Listed("ARB", 1, 10, 51, 0.4537, 4_965, 0.94, 14),
    Listed("OP", 1, 10, 51, 0.7374, 778, 0.87, 14),
    Listed("LTC", 2, 10, 52, 114.7, 41, 0.98, 11),
    Listed("ADA", 0, 10, 52, 0.8428, 5_859, 0.98, 12),
    Listed("WIF", 0, 5, 5, 1.1496, 13_949, 1.0, 18),
    Listed("ENA", 0, 10, 52, 0.5041, 116_980, 1.0, 20),
    Listed("INJ", 1, 10, 51, 14.28, 36, 0.9, 14),
    Listed("PENDLE", 0, 5, 5, 4.516, 254, 0.96, 14),
    Listed("VVV", 2, 3, 3, 3.058, 5.6, 0.19, 12),
    Listed("COMP", 2, 5, 5, 50.5, 0.72, 0.68, 12),
)
SPOTS = (
    Listed("PURR/USDC", 0, 1, 0, 0.1863, 4_508, 0.92, 12),
    Listed("@107", 2, 1, 0, 43.9, 1_200, 1.0, 12),
    Listed("@142", 5, 1, 0, 117_990, 0.17, 0.97, 5),
    Listed("@151", 4, 1, 0, 3_690, 5.2, 0.97, 9),
)
FOLLOWS = {"@107": "HYPE", "@142": "BTC", "@151": "ETH"}
"""Spot pairs whose price walks with the perp of the same coin."""


def perps(count: int | None) -> tuple[Listed, ...]:
    """The first `count` perps; beyond the named ones, made-up listings named `SYN25`, `SYN26` and so on."""
    wanted = len(PERPS) if count is None else count
    made_up = (
        Listed(f"SYN{place}", place % 4, 5, 5, 10.0 ** (place % 5 - 1) * 1.7, 400, 0.4 + place % 6 / 10, 8 + place % 9)
        for place in range(len(PERPS) + 1, wanted + 1)
    )
    return (*PERPS[:wanted], *made_up)


MARGIN_TABLES: list[list[Any]] = [
    [table, {"description": description, "marginTiers": [
        {"lowerBound": bound, "maxLeverage": leverage} for bound, leverage in tiers]}]
    for table, description, tiers in (
        (50, "", [("0.0", 50)]),
        (51, "tiered 10x", [("0.0", 10), ("3000000.0", 5)]),
        (52, "tiered 10x (2)", [("0.0", 10), ("20000000.0", 5)]),
        (53, "tiered 20x", [("0.0", 20), ("40000000.0", 10)]),
        (54, "tiered 20x (2)", [("0.0", 20), ("70000000.0", 10)]),
        (55, "tiered 25x", [("0.0", 25), ("100000000.0", 15)]),
        (56, "tiered 40x", [("0.0", 40), ("150000000.0", 20)]),
    )
]  # fmt: skip


def meta(listed: tuple[Listed, ...]) -> dict[str, Any]:
    """The answer of `meta` for some perps."""
    return {"universe": [_perp(asset) for asset in listed], "marginTables": MARGIN_TABLES, "collateralToken": 0}


def spot_meta() -> dict[str, Any]:
    """The answer of `spotMeta`: four pairs whose indexes are not their positions."""
    pairs = (("PURR/USDC", 0, 1, True), ("@107", 107, 150, False), ("@142", 142, 197, False), ("@151", 151, 221, False))
    return {
        "universe": [
            {"tokens": [token, 0], "name": name, "index": index, "isCanonical": canonical}
            for name, index, token, canonical in pairs
        ],
        "tokens": [
            _token("USDC", 8, 8, 0, "0x6d1e7cde53ba9467b783cb7c530ce054", True, None),
            _token("PURR", 0, 5, 1, "0xc1fb593aeffbeb02f85e0308e9956a90", True, None),
            _token("HYPE", 2, 8, 150, "0x0d01dc56dcaaca66ad901c959b4011ec", False, "Hyperliquid"),
            _token("UBTC", 5, 10, 197, "0x8f254b963e8468305d409b33aa137c67", False, "Unit Bitcoin"),
            _token("UETH", 4, 9, 221, "0xe1edd30daaf5caac3fe63569e24748da", False, "Unit Ethereum"),
        ],
    }


def _perp(asset: Listed) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "szDecimals": asset.sz_decimals,
        "name": asset.symbol,
        "maxLeverage": asset.max_leverage,
        "marginTableId": asset.margin_table,
    }
    return entry | {"isDelisted": True} if asset.is_delisted else entry


def _token(
    name: str, size: int, wei: int, index: int, token_id: str, is_canonical: bool, full_name: str | None
) -> dict[str, Any]:
    return {
        "name": name,
        "szDecimals": size,
        "weiDecimals": wei,
        "index": index,
        "tokenId": token_id,
        "isCanonical": is_canonical,
        "evmContract": None,
        "fullName": full_name,
        "deployerTradingFeeShare": "0.0",
    }
