"""DefiLlama by hand: whole answers by path, in the venue's own shapes, any of which can be an exception."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from clash_pipeline.clock import DAY_MS
from clash_pipeline.market.defillama.client import DefiLlamaClient
from clash_pipeline.market.http import VenueRefused
from tests.conftest import NOW

Raw = dict[str, Any]
MIDNIGHT_SEC = (NOW - NOW % DAY_MS) // 1_000


def raw_overview(total: float | None, *protocols: Raw, **changes: Any) -> Raw:
    """An overview without its charts."""
    made: Raw = {
        "totalDataChart": [], "totalDataChartBreakdown": [], "breakdown24h": None, "chain": None,
        "allChains": ["Ethereum", "Solana", "OP Mainnet"], "total24h": total, "total48hto24h": None, "change_1d": 1.5,
        "protocols": list(protocols),
    }  # fmt: skip
    return made | changes


def raw_turnover(name: str, total: float | None, **changes: Any) -> Raw:
    """One protocol of an overview."""
    made = {
        "name": name, "slug": name.lower().replace(" ", "-"), "total24h": total, "total48hto24h": 80, "change_1d": 25,
        "breakdown24h": {"ethereum": {name: total}},
    }  # fmt: skip
    return made | changes


def daily(now: float, day_ago: float, week_ago: float) -> list[Raw]:
    """A history whose newest midnight, the one before and the one a week before are these."""
    values = {0: now, 1: day_ago, 7: week_ago}
    return [{"date": MIDNIGHT_SEC - ago * 86_400, "tvl": values.get(ago, 1.0)} for ago in range(8, -1, -1)]


def raw_answers() -> dict[str, Any]:
    """A small market: three chains, three protocols, two stablecoins."""
    return {
        "/v2/chains": [
            {"name": "Ethereum", "tvl": 600, "tokenSymbol": "ETH", "chainId": 1},
            {"name": "Solana", "tvl": 300.5},
            {"name": "Optimism", "tvl": None},
        ],
        "/protocols": [
            {"name": "Aave V3", "slug": "aave-v3", "category": "Lending", "tvl": 500.0, "mcap": 50,
             "change_1h": 0.1, "change_1d": 25.0, "change_7d": -50},
            {"name": "Binance CEX", "slug": "binance-cex", "category": "CEX", "tvl": 9_000, "mcap": None,
             "change_1h": None, "change_1d": -100, "change_7d": None},
            {"name": "No Slug", "slug": "", "tvl": None},
        ],
        "/stablecoins": {
            "peggedAssets": [
                {"id": "1", "name": "Tether", "symbol": "USDT", "pegType": "peggedUSD", "price": 0.5,
                 "circulating": {"peggedUSD": 110}, "circulatingPrevDay": {"peggedUSD": 100},
                 "circulatingPrevWeek": {"peggedUSD": 0}},
                {"id": "7", "name": "Euro", "symbol": "EURX", "pegType": "peggedEUR", "price": 2,
                 "circulating": {"peggedEUR": 30}, "circulatingPrevDay": {"peggedEUR": 20},
                 "circulatingPrevWeek": None},
            ],
            "chains": [
                {"name": "Ethereum", "totalCirculatingUSD": {"peggedUSD": 90, "peggedEUR": 60}},
                {"name": "Tron", "totalCirculatingUSD": {"peggedUSD": 20}},
            ],
        },
        "/v2/historicalChainTvl": daily(1_000, 800, 2_000),
        "/v2/historicalChainTvl/Ethereum": daily(600, 500, 0),
        "/v2/historicalChainTvl/Solana": daily(300, 400, 150),
        "/overview/dexs": raw_overview(
            1_000, raw_turnover("Uniswap V3", 700, breakdown24h={"ethereum": {"a": 600}, "optimism": {"b": 100}}),
            raw_turnover("Raydium", 300, breakdown24h={"solana": {"c": 300}}),
        ),
        "/overview/dexs/Ethereum": raw_overview(650, total48hto24h=500, change_1d=30),
        "/overview/fees?dailyFees": raw_overview(50, raw_turnover("Aave V3", 100), change_1d=None),
        "/overview/fees?dailyRevenue": raw_overview(-5, raw_turnover("Aave V3", -20)),
        "/overview/open-interest": raw_overview(7_000),
    }  # fmt: skip


class FakeLlama:
    """Answers `get_json` from prepared answers; an exception among them is raised, an unknown path is HTTP 400."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers: dict[str, Any] = dict(raw_answers() if answers is None else answers)
        self.asked: list[str] = []

    def client(self) -> DefiLlamaClient:
        """A product client that asks this venue."""
        return DefiLlamaClient(self, base_url="llama:", stablecoins_url="stable:")  # type: ignore[arg-type]

    async def get_json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        query = dict(params or {})
        kind = f"?{query['dataType']}" if "dataType" in query else ""
        path = unquote(url.split(":", 1)[1]) + kind
        self.asked.append(path)
        answer = self.answers.get(path, VenueRefused("defillama", f"{path} answered 400", 400))
        if isinstance(answer, Exception):
            raise answer
        if path.startswith("/overview"):
            assert query["excludeTotalDataChart"] == query["excludeTotalDataChartBreakdown"] == "true"
        return answer
