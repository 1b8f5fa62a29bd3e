"""What the registry says of an asset, as readers of market memory need it: grid, leverage, tiers, channels, group."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import Grid, grid_of, parse_usd


@dataclass(frozen=True)
class Tier:
    """From `lower_bound` (1e-8 USD of notional) upwards the asset's leverage is at most `max_leverage`."""

    lower_bound: int
    max_leverage: int


@dataclass(frozen=True)
class Listed:
    """One asset of the venue as last known."""

    symbol: str
    kind: str
    sz_decimals: int
    max_leverage: int
    tiers: tuple[Tier, ...]
    is_delisted: bool
    channels: frozenset[str]
    category: str
    subcategory: str
    display_name: str = ""

    @property
    def grid(self) -> Grid:
        """The asset's price and size grid."""
        return grid_of(self.kind, self.sz_decimals)


Listing = Mapping[str, Listed]


def read(connection: Connection, symbols: Iterable[str] | None = None) -> dict[str, Listed]:
    """The registry by symbol: all of it, or the wanted symbols that it knows."""
    wanted = None if symbols is None else json.dumps(sorted(set(symbols)))
    rows = connection.execute(
        """
        SELECT symbol, kind, sz_decimals, max_leverage, margin_tiers, is_delisted, channels, category, subcategory,
               display_name
        FROM hyperliquid_assets
        WHERE :wanted IS NULL OR symbol IN (SELECT value FROM json_each(:wanted))
        ORDER BY symbol
        """,
        {"wanted": wanted},
    )
    return {row["symbol"]: _listed(row) for row in rows}


def _listed(row: Row) -> Listed:
    return Listed(
        symbol=row["symbol"],
        kind=row["kind"],
        sz_decimals=row["sz_decimals"],
        max_leverage=row["max_leverage"],
        tiers=_tiers(row["margin_tiers"], row["max_leverage"]),
        is_delisted=bool(row["is_delisted"]),
        channels=frozenset(json.loads(row["channels"])),
        category=row["category"],
        subcategory=row["subcategory"],
        display_name=row["display_name"],
    )


def _tiers(text: str, max_leverage: int) -> tuple[Tier, ...]:
    found = tuple(
        Tier(parse_usd(tier["lowerBound"], name="lowerBound"), tier["maxLeverage"]) for tier in json.loads(text)
    )
    return found or (Tier(0, max_leverage),)
