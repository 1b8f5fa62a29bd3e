"""The requests DefiLlama answers without a key, one a second (sources 3.1 to 3.3)."""

from typing import Any, Literal
from urllib.parse import quote

import httpx

from clash_pipeline.market.decoding import Decoded, Refused
from clash_pipeline.market.defillama import wire
from clash_pipeline.market.http import VenueHttp
from clash_pipeline.market.pacing import PacedHttp
from clash_pipeline.settings import Settings

Metric = Literal["dex_volume", "fees", "revenue", "open_interest"]
METRICS: tuple[Metric, ...] = ("dex_volume", "fees", "revenue", "open_interest")
WITHOUT_CHARTS = {"excludeTotalDataChart": "true", "excludeTotalDataChartBreakdown": "true"}
"""The answers are many times larger with their charts."""
OVERVIEWS: dict[Metric, tuple[str, dict[str, str]]] = {
    "dex_volume": ("dexs", {}),
    "fees": ("fees", {"dataType": "dailyFees"}),
    "revenue": ("fees", {"dataType": "dailyRevenue"}),
    "open_interest": ("open-interest", {}),
}


class DefiLlamaClient:
    """Reads DefiLlama; every method raises the `VenueError`s of its transport."""

    def __init__(self, http: PacedHttp, *, base_url: str, stablecoins_url: str) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._stablecoins = stablecoins_url.rstrip("/")

    @classmethod
    def from_settings(cls, settings: Settings, connections: httpx.AsyncClient) -> "DefiLlamaClient":
        """The client of the addresses in the settings; `connections` stays the caller's to close."""
        http = VenueHttp(
            wire.SOURCE, connections, timeout_sec=settings.http_timeout_sec, max_bytes=settings.defillama_max_bytes
        )
        return cls(
            PacedHttp(http, pause_sec=settings.defillama_pause_sec),
            base_url=str(settings.defillama_url),
            stablecoins_url=str(settings.defillama_stablecoins_url),
        )

    async def chains(self) -> Decoded[wire.Chain]:
        """TVL of every chain."""
        return wire.chains(await self._get("/v2/chains"))

    async def protocols(self) -> Decoded[wire.Protocol]:
        """TVL and changes of every protocol."""
        return wire.protocols(await self._get("/protocols"))

    async def stablecoins(self) -> tuple[wire.Stablecoins, tuple[Refused, ...]]:
        """Supply of every stablecoin, and on every chain."""
        raw = await self._http.get_json(f"{self._stablecoins}/stablecoins", {"includePrices": "true"})
        return wire.stablecoins(raw)

    async def history(self, chain: str | None = None) -> Decoded[wire.Point]:
        """Daily TVL of a chain, or of all."""
        return wire.history(
            await self._get("/v2/historicalChainTvl" + (f"/{quote(chain, safe='')}" if chain is not None else ""))
        )

    async def overview(self, metric: Metric, chain: str | None = None) -> tuple[wire.Overview, tuple[Refused, ...]]:
        """One metric over all protocols, or of one chain (not open interest)."""
        path, params = OVERVIEWS[metric]
        of_chain = "" if chain is None else f"/{quote(chain, safe='')}"
        raw = await self._get(f"/overview/{path}{of_chain}", WITHOUT_CHARTS | params)
        return wire.overview(raw, may_be_negative=metric == "revenue")

    async def _get(self, path: str, params: dict[str, str] | None = None) -> Any:
        return await self._http.get_json(f"{self._base}{path}", params)
