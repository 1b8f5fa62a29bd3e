"""A small registry, as values."""

from collections.abc import Iterable

import pytest

from clash_pipeline.market.listing import Listed, Tier

CHANNELS = frozenset({"ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding"})


def listed(symbol: str, *, kind: str = "perp", category: str = "crypto_major", delisted: bool = False) -> Listed:
    """One asset."""
    channels: Iterable[str] = CHANNELS if kind == "perp" else CHANNELS - {"funding"}
    return Listed(symbol, kind, 2, 20, (Tier(0, 20),), delisted, frozenset(channels), category, "layer_1")


@pytest.fixture
def listing() -> dict[str, Listed]:
    """Majors, memes, a spot pair and a delisted perp."""
    assets = [
        listed("BTC"),
        listed("ETH"),
        listed("SOL", category="layer_1"),
        listed("DOGE", category="meme"),
        listed("kPEPE", category="meme"),
        listed("PURR/USDC", kind="spot", category="meme"),
        listed("OLD", category="meme", delisted=True),
        *(listed(f"A{number}", category="many") for number in range(12)),
    ]
    return {asset.symbol: asset for asset in assets}
