"""The asset registry: every perp and spot pair the venue lists, what it supports and where it belongs (01 Rules).

The registry is truth: a new listing appears with the next refresh, a delisted asset stays and loses its channels.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import msgspec

from clash_pipeline.clock import Clock
from clash_pipeline.market import ingestion
from clash_pipeline.market.hyperliquid import answers, wire
from clash_pipeline.market.hyperliquid.rest import SOURCE, HyperliquidRest
from clash_pipeline.market.taxonomy import UNCATEGORISED, Place, Taxonomy, taxonomy
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database, Row
from clash_pipeline.units import Grid

CHANNEL: Final = "registry"
CANDLE_CHANNELS: Final = ("ohlcv", "rsi", "bollinger", "sma_ema", "macd")
PERP_CHANNELS: Final = (*CANDLE_CHANNELS, "funding")
USUAL_QUOTE: Final = "USDC"


class MarginTier(NamedTuple):
    """From `lower_bound` USD of notional upwards, at most this leverage."""

    lower_bound: str
    max_leverage: int


@dataclass(frozen=True)
class Asset:
    """One asset of the registry. `symbol` is the coin of the wire, `venue_index` its asset id there."""

    symbol: str
    display_name: str
    kind: str
    venue_index: int
    sz_decimals: int
    max_leverage: int
    margin_tiers: tuple[MarginTier, ...]
    is_only_isolated: bool
    is_delisted: bool
    base_token: str
    quote_token: str
    channels: tuple[str, ...]
    category: str
    subcategory: str
    search_terms: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The asset's price and size grid."""
        return Grid(self.kind, self.sz_decimals)

    def supports(self, channel: str) -> bool:
        """Whether memory of this channel can exist for the asset at all."""
        return channel in self.channels


@dataclass(frozen=True)
class RegistryReport:
    """What a refresh changed, as symbols. `uncategorised` are all listed assets the taxonomy does not know."""

    assets: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    delisted: tuple[str, ...]
    uncategorised: tuple[str, ...]
    rejected: int

    @property
    def rows(self) -> int:
        """Rows written."""
        return len(self.added) + len(self.changed)


async def refresh(
    market: Database, rest: HyperliquidRest, *, now_ms: int, clock: Clock, settings: Settings
) -> RegistryReport:
    """Ask for both registries and write what is new or different, recording the cycle.

    Coverage is of the followed symbols: one that the venue does not list is missing.

    Raises:
        VenueError: the venue did not answer usably; nothing was written but the failed cycle.
    """
    with ingestion.run(market, SOURCE, CHANNEL, clock) as cycle:
        rejected: wire.Rejections = []
        perps = await rest.meta(rejected=rejected)
        spots = await rest.spot_meta(rejected=rejected)
        listed = from_wire(perps, spots)
        report = store(market, listed, now_ms=now_ms, rejected=rejected)
        cycle.rows, cycle.rejected = report.rows, report.rejected
        wanted = settings.followed_symbols or {asset.symbol for asset in listed}
        cycle.covered, cycle.expected = len(wanted & {asset.symbol for asset in listed}), len(wanted)
        cycle.through_t = now_ms
    return report


def from_wire(perps: answers.PerpMeta, spots: answers.SpotMeta, places: Taxonomy | None = None) -> list[Asset]:
    """The venue's registries as assets, perps first, each in the venue's order."""
    known = places or taxonomy()
    bases = {spots.tokens[pair.tokens[0]].name for pair in spots.pairs}
    return [
        *(_perp(perps, perp, known) for perp in perps.perps),
        *(_spot(spots, pair, known, bases) for pair in spots.pairs),
    ]


def store(
    market: Database, listed: Iterable[Asset], *, now_ms: int, rejected: Iterable[wire.WireRejection] = ()
) -> RegistryReport:
    """Write the assets that are new or differ; the others are not touched, so that `known_at` tells of a change."""
    current = list(listed)
    refused = list(rejected)
    with market.write() as connection:
        before = {asset.symbol: asset for asset in assets(connection)}
        added = [asset for asset in current if asset.symbol not in before]
        changed = [asset for asset in current if asset.symbol in before and before[asset.symbol] != asset]
        connection.executemany(_UPSERT, (_row(asset, now_ms) for asset in (*added, *changed)))
        for refusal in refused:
            ingestion.reject(connection, SOURCE, CHANNEL, refusal.reason, refusal.sample, now_ms)
    delisted = [a for a in changed if a.is_delisted and not before[a.symbol].is_delisted]
    unknown = [asset for asset in current if asset.category == UNCATEGORISED and not asset.is_delisted]
    return RegistryReport(
        len(current), _symbols(added), _symbols(changed), _symbols(delisted), _symbols(unknown), len(refused)
    )


def assets(connection: Connection) -> list[Asset]:
    """Every known asset, delisted ones included, by kind and venue index."""
    return [_asset(row) for row in connection.execute("SELECT * FROM hyperliquid_assets ORDER BY kind, venue_index")]


def asset(connection: Connection, symbol: str) -> Asset | None:
    """One asset by the coin of the wire, or None where the venue lists no such thing."""
    row = connection.execute("SELECT * FROM hyperliquid_assets WHERE symbol = ?", (symbol,)).fetchone()
    return None if row is None else _asset(row)


def followed(connection: Connection, settings: Settings) -> list[Asset]:
    """The listed assets whose candles are followed: all of them, or those named in the settings."""
    wanted = settings.followed_symbols
    return [a for a in assets(connection) if not a.is_delisted and (wanted is None or a.symbol in wanted)]


def near_matches(connection: Connection, text: str, most: int = 5) -> list[str]:
    """Symbols a person may have meant: same letters in another case, a name or search term, then similar spelling."""
    from difflib import get_close_matches

    names: dict[str, list[str]] = {}
    for listed in assets(connection):
        for name in (listed.symbol, listed.base_token, listed.display_name, *listed.search_terms):
            names.setdefault(name.lower(), []).append(listed.symbol)
    close = get_close_matches(text.lower(), names, n=most, cutoff=0.6)
    exact = [text.lower()] if text.lower() in names else []
    found = dict.fromkeys(symbol for name in (*exact, *close) for symbol in names[name])
    return list(found)[:most]


def _perp(meta: answers.PerpMeta, perp: answers.Perp, known: Taxonomy) -> Asset:
    place = known.perp(perp.name)
    return Asset(
        symbol=perp.name,
        display_name=perp.name,
        kind="perp",
        venue_index=perp.position,
        sz_decimals=perp.szDecimals,
        max_leverage=perp.maxLeverage,
        margin_tiers=tuple(MarginTier(tier.lowerBound, tier.maxLeverage) for tier in meta.tiers(perp)),
        is_only_isolated=perp.onlyIsolated,
        is_delisted=perp.isDelisted,
        base_token=perp.name,
        quote_token=USUAL_QUOTE,
        channels=() if perp.isDelisted else PERP_CHANNELS,
        **_placed(place),
    )


def _spot(meta: answers.SpotMeta, pair: answers.SpotPair, known: Taxonomy, bases: set[str]) -> Asset:
    base, quote = (meta.tokens[index] for index in pair.tokens)
    return Asset(
        symbol=pair.symbol,
        display_name=_spot_name(_plain_name(base.name, known, bases), quote.name),
        kind="spot",
        venue_index=answers.SPOT_ID_BASE + pair.index,
        sz_decimals=base.szDecimals,
        max_leverage=1,
        margin_tiers=(MarginTier("0.0", 1),),
        is_only_isolated=False,
        is_delisted=False,
        base_token=base.name,
        quote_token=quote.name,
        channels=CANDLE_CHANNELS,
        **_placed(known.spot_token(base.name)),
    )


def _plain_name(token: str, known: Taxonomy, bases: set[str]) -> str:
    """UBTC is shown as BTC, unless another token of the spot market already has that name (as PUMP does)."""
    coin = known.same_as.get(token, token).removeprefix("k")
    return token if coin in bases else coin


def _spot_name(base: str, quote: str) -> str:
    return f"{base} (spot)" if quote == USUAL_QUOTE else f"{base}/{quote} (spot)"


def _placed(place: Place) -> dict[str, Any]:
    return {"category": place.category, "subcategory": place.subcategory, "search_terms": place.search_terms}


def _symbols(listed: Iterable[Asset]) -> tuple[str, ...]:
    return tuple(asset.symbol for asset in listed)


_UPSERT: Final = """
    INSERT INTO hyperliquid_assets (symbol, display_name, kind, venue_index, sz_decimals, max_leverage, margin_tiers,
                                    is_only_isolated, is_delisted, base_token, quote_token, channels, category,
                                    subcategory, search_terms, first_seen_at, known_at)
    VALUES (:symbol, :display_name, :kind, :venue_index, :sz_decimals, :max_leverage, :margin_tiers,
            :is_only_isolated, :is_delisted, :base_token, :quote_token, :channels, :category,
            :subcategory, :search_terms, :now, :now)
    ON CONFLICT (symbol) DO UPDATE SET
      display_name = excluded.display_name, kind = excluded.kind, venue_index = excluded.venue_index,
      sz_decimals = excluded.sz_decimals, max_leverage = excluded.max_leverage, margin_tiers = excluded.margin_tiers,
      is_only_isolated = excluded.is_only_isolated, is_delisted = excluded.is_delisted,
      base_token = excluded.base_token, quote_token = excluded.quote_token, channels = excluded.channels,
      category = excluded.category, subcategory = excluded.subcategory, search_terms = excluded.search_terms,
      known_at = excluded.known_at
"""


def _row(asset: Asset, now_ms: int) -> dict[str, Any]:
    tiers = [{"lowerBound": tier.lower_bound, "maxLeverage": tier.max_leverage} for tier in asset.margin_tiers]
    return {
        **asdict(asset),
        "margin_tiers": _json(tiers),
        "channels": _json(asset.channels),
        "search_terms": _json(asset.search_terms),
        "now": now_ms,
    }


def _asset(row: Row) -> Asset:
    values = {key: row[key] for key in Asset.__dataclass_fields__}
    tiers = msgspec.json.decode(row["margin_tiers"], type=list[answers.MarginTier])
    return Asset(
        **{
            **values,
            "margin_tiers": tuple(MarginTier(tier.lowerBound, tier.maxLeverage) for tier in tiers),
            "is_only_isolated": bool(row["is_only_isolated"]),
            "is_delisted": bool(row["is_delisted"]),
            "channels": tuple(msgspec.json.decode(row["channels"], type=list[str])),
            "search_terms": tuple(msgspec.json.decode(row["search_terms"], type=list[str])),
        }
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
