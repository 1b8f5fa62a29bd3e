"""Whole recorded answers of Polymarket and DefiLlama, served as they are beside the made-up ones."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

PROTOCOLS = ("drift-trade", "etherfuse", "jito-liquid-staking", "kamino-lend", "marginfi-lending",
             "marinade-liquid-staking")  # fmt: skip


class RecordedAnswers:
    """The recorded answers of a folder; without a folder there are none. A file that is not there is left out."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Gamma events with their markets."""
        nominee = self._read("polymarket/gamma_event_dem_nominee_2028.json", [])
        return [*nominee, *self._read("polymarket/gamma_public_search_bitcoin_above.json", {}).get("events", [])]

    @cached_property
    def markets(self) -> list[dict[str, Any]]:
        """Gamma markets with their events."""
        names = ("gamma_market_btc_updown_5m", "gamma_market_closed_binary_accepting_false",
                 "gamma_market_closed_binary_accepting_true")  # fmt: skip
        return [market for name in names if (market := self._read(f"polymarket/{name}.json", None))]

    @cached_property
    def tags(self) -> list[dict[str, Any]]:
        """Gamma tags."""
        return list(self._read("polymarket/gamma_tags.json", []))

    @cached_property
    def clob_markets(self) -> dict[str, dict[str, Any]]:
        """CLOB markets by condition id."""
        names = ("clob_market_closed_binary_accepting_false", "clob_market_closed_binary_accepting_true",
                 "clob_market_trump_2024")  # fmt: skip
        found = [market for name in names if (market := self._read(f"polymarket/{name}.json", None))]
        return {market["condition_id"]: market for market in found}

    @cached_property
    def books(self) -> dict[str, dict[str, Any]]:
        """CLOB books by token."""
        book = self._read("polymarket/clob_book.json", None)
        return {book["asset_id"]: book} if book else {}

    @cached_property
    def protocols_lite(self) -> list[dict[str, Any]]:
        """DefiLlama's protocols: names, categories, chains and TVL (missing for some) of 2025-12-19."""
        return list(self._read("defillama/protocols_lite.json", []))

    @cached_property
    def protocols(self) -> dict[str, dict[str, Any]]:
        """Whole `/protocol/{slug}` answers."""
        found = {slug: self._read(f"defillama/protocol_{slug}.json", None) for slug in PROTOCOLS}
        return {slug: protocol for slug, protocol in found.items() if protocol}

    @cached_property
    def stablecoins(self) -> dict[str, Any] | None:
        """The recorded `/stablecoins`."""
        answer: dict[str, Any] | None = self._read("defillama/stablecoins.json", None)
        return answer

    def _read(self, name: str, otherwise: Any) -> Any:
        path = self._folder / name if self._folder else None
        return json.loads(path.read_text()) if path and path.is_file() else otherwise
