"""A market made of recordings: the venue's own candles of July 2025 and its recorded registry and contexts.

The registry was recorded in February 2026: coins that traded in the replayed days but were delisted since are shown
as listed again, and coins without candles stay listed without a book. Trade counts were not recorded; they are invented
here and excluded from any claim of "unchanged".
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from clash_pipeline.clock import HOUR_MS
from clash_pipeline.replay import funding
from clash_pipeline.replay.numerals import key_of
from clash_pipeline.replay.synthetic import DEFAULT_START_MS
from clash_pipeline.replay.truth import Asset, Integers, Minutes, least_trades, nothing

CANDLES = (
    "candles_1m_perp_top40_2025-07.parquet",
    "candles_1m_perp_other133_2025-07.parquet",
    "candles_1m_spot_2025-07.parquet",
)
FUNDING = "funding_history_2023-05_2025-07.parquet"


class RecordingsIncomplete(ValueError):
    """The folder does not hold what a replay needs; names the file or the coin."""


class RecordedMarket:
    """The recorded days, from a folder laid out as its README says."""

    def __init__(
        self, folder: Path, *, seed: int = 0, start_ms: int = DEFAULT_START_MS, symbols: int | None = None
    ) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.folder = folder
        venue = folder / "hyperliquid"
        self._meta, contexts = _json(venue / "meta_and_asset_ctxs.json")
        self._spot_meta = _json(venue / "spot_meta.json")
        _, spot_contexts = _json(venue / "spot_meta_and_asset_ctxs.json")
        pairs = zip(self._meta["universe"], contexts, strict=True)
        self._contexts = {entry["name"]: context for entry, context in pairs}
        self._contexts |= {context["coin"]: context for context in spot_contexts}
        self._minutes = self._candles(venue)
        if symbols is not None:
            self._keep_busiest(symbols)
        self._funding = _recorded_funding(venue / FUNDING)
        for entry in self._meta["universe"]:
            if entry["name"] in self._minutes:
                entry.pop("isDelisted", None)
        self.assets = tuple(self._assets())

    @property
    def span(self) -> tuple[int, int]:
        """From the first recorded minute to the end of the last, half-open."""
        kept = self._minutes.values()
        return min(minutes.t0 for minutes in kept), max(minutes.end_t for minutes in kept)

    def meta(self) -> dict[str, Any]:
        """The recorded `meta`, with the delistings after the replayed days taken back."""
        return self._meta  # type: ignore[no-any-return]

    def spot_meta(self) -> dict[str, Any]:
        """The recorded `spotMeta`."""
        return self._spot_meta  # type: ignore[no-any-return]

    def minutes(self, symbol: str, from_t: int, to_t: int) -> Minutes:
        """The recorded minutes that start in [from_t, to_t)."""
        return self._minutes[symbol].between(from_t, to_t) if symbol in self._minutes else nothing(from_t)

    def funding(self, symbol: str, from_ms: int, to_ms: int) -> list[tuple[int, float]]:
        """Recorded payments where there are some, otherwise invented ones within the recorded candles."""
        recorded = self._funding.get(symbol)
        if recorded is not None:
            times, rates = recorded
            chosen = slice(*np.searchsorted(times, (from_ms, to_ms)).tolist())
            return list(zip(times[chosen].tolist(), rates[chosen].tolist(), strict=True))
        minutes = self._minutes.get(symbol)
        if minutes is None or "@" in symbol or "/" in symbol:
            return []
        within = (max(from_ms, minutes.t0), min(to_ms, minutes.end_t + HOUR_MS))
        return funding.payments(self.seed, symbol, *within)

    def recorded_context(self, symbol: str) -> dict[str, Any] | None:
        """The recorded context of any listed asset."""
        return self._contexts.get(symbol)

    def _assets(self) -> list[Asset]:
        sizes = {token["index"]: token["szDecimals"] for token in self._spot_meta["tokens"]}
        perps = [
            Asset(entry["name"], "perp", entry["szDecimals"], entry["name"] in self._minutes)
            for entry in self._meta["universe"]
        ]
        spots = [
            Asset(pair["name"], "spot", sizes[pair["tokens"][0]], pair["name"] in self._minutes)
            for pair in self._spot_meta["universe"]
        ]
        return perps + spots

    def _candles(self, venue: Path) -> dict[str, Minutes]:
        import polars as pl

        frame = pl.concat([pl.read_parquet(_present(venue / name)) for name in CANDLES]).sort("market", "coin", "t")
        spot_names = _spot_names(self._spot_meta)
        found: dict[str, Minutes] = {}
        for (market, coin), rows in frame.group_by("market", "coin", maintain_order=True):
            symbol = spot_names[str(coin)] if market == "spot" else str(coin)
            found[symbol] = _columns(self.seed, symbol, rows)
        return found

    def _keep_busiest(self, count: int) -> None:
        """Keep the perps with the most turnover, in the order of the universe, and no spot without candles."""
        turnover = {symbol: float((minutes.c * minutes.v).sum()) for symbol, minutes in self._minutes.items()}
        perps = [entry["name"] for entry in self._meta["universe"] if entry["name"] in self._minutes]
        kept = set(sorted(perps, key=lambda symbol: -turnover[symbol])[:count])
        kept |= {symbol for symbol in self._minutes if symbol.startswith("@") or "/" in symbol}
        self._minutes = {symbol: minutes for symbol, minutes in self._minutes.items() if symbol in kept}
        self._meta["universe"] = [entry for entry in self._meta["universe"] if entry["name"] in kept]
        self._spot_meta["universe"] = [pair for pair in self._spot_meta["universe"] if pair["name"] in kept]


def _columns(seed: int, symbol: str, rows: Any) -> Minutes:
    """A coin's rows as columns, with an invented trade count; the recordings promise that no minute is missing."""
    times = rows["t"].to_numpy()
    if len(times) and int(times[-1] - times[0]) != (len(times) - 1) * 60_000:
        raise RecordingsIncomplete(f"{symbol}: the recorded minutes are not consecutive")
    o, h, l, c, v = (rows[name].to_numpy().astype(np.float64) for name in "ohlcv")  # noqa: E741
    count = _invented_counts(key_of(seed, "n", symbol), times)
    n = np.where(v > 0, least_trades(o, h, l, c) + count, 0)
    return Minutes(int(times[0]), o, h, l, c, v, n)


def _invented_counts(key: int, times: Integers) -> Integers:
    """Extra trades of each minute, 0 to 63, decided by seed, coin and minute."""
    mixed = (times.astype(np.uint64) // np.uint64(60_000) + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(40)) & np.uint64(63), dtype=np.int64)


def _spot_names(spot_meta: dict[str, Any]) -> dict[str, str]:
    """Wire name of each base coin that is quoted in USDC (token 0)."""
    coins = {token["index"]: token["name"] for token in spot_meta["tokens"]}
    return {coins[pair["tokens"][0]]: pair["name"] for pair in spot_meta["universe"] if pair["tokens"][1] == 0}


def _recorded_funding(path: Path) -> dict[str, tuple[Any, Any]]:
    import polars as pl

    frame = pl.read_parquet(_present(path)).sort("coin", "time")
    return {
        str(coin): (rows["time"].to_numpy(), rows["fundingRate"].to_numpy())
        for (coin,), rows in frame.group_by("coin", maintain_order=True)
    }


def _json(path: Path) -> Any:
    return json.loads(_present(path).read_text())


def _present(path: Path) -> Path:
    if not path.is_file():
        raise RecordingsIncomplete(f"{path} is missing: a replay needs the recorded candles, registry and contexts")
    return path
