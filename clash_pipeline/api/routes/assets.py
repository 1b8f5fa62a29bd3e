"""The asset registry with taxonomy and capability, and what charts draw of one asset (06 assets)."""

from typing import Annotated, Literal

from fastapi import Query, Response

from clash_pipeline.api import series
from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.parts import Paging, Parts
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.api.routing import public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Cursor, Decimal, Moment, PageSize, Shown, Symbol, Text, Time
from clash_pipeline.market import candles, indicators
from clash_pipeline.market.hyperliquid import registry
from clash_pipeline.market.hyperliquid.registry import Asset
from clash_pipeline.market.taxonomy import taxonomy
from clash_pipeline.storage.sqlite import Connection

router = area("/api/v1/assets", "assets")
EVER = 2**62
MOST_POINTS = 1_500
"""A day of minutes, and an hour more."""
Kind = Literal["perp", "spot"]
Interval = Annotated[Literal["1m", "1h"], Query(description="Minutes or hours.")]
From = Annotated[Moment | None, Query(alias="from", description="First open time.")]
To = Annotated[Moment | None, Query(alias="to", description="Open times before this.")]
Points = Annotated[int, Query(ge=1, le=MOST_POINTS, description="Most points, the newest of the range.")]


class MarginTierShown(Shown):
    """From a notional in USD upwards, at most this leverage."""

    lower_bound: Decimal
    max_leverage: int


class AssetShown(Shown):
    """One asset: its grid, its limits, where it belongs, and which channels of memory can exist for it."""

    symbol: str
    display_name: str
    kind: Kind
    sz_decimals: int
    max_leverage: int
    margin_tiers: list[MarginTierShown]
    is_delisted: bool
    can_trade: bool
    channels: list[str]
    category: str
    subcategory: str


class AssetList(Shown):
    """A page of assets by symbol."""

    items: list[AssetShown]
    next_cursor: str | None


class SubcategoryShown(Shown):
    """A subcategory and how many listed assets it has."""

    name: str
    assets: int


class CategoryShown(Shown):
    """A category, what a person calls it, and its subcategories."""

    name: str
    title: str
    assets: int
    subcategories: list[SubcategoryShown]


class TaxonomyShown(Shown):
    """The groups that a strategy may select whole."""

    categories: list[CategoryShown]


class CandleShown(Shown):
    """One candle; prices and volume as the venue wrote them, `n` trades. What is final never changes."""

    t: Time
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the venue's own key
    c: Decimal
    v: Decimal
    n: int
    is_final: bool


class CandleSeries(Shown):
    """Candles, oldest first; the cursor leads to older ones."""

    symbol: str
    interval: Literal["1m", "1h"]
    items: list[CandleShown]
    next_cursor: str | None


class IndicatorsShown(Shown):
    """Indicators at a closed minute; null until an indicator is warmed up."""

    t: Time
    rsi14: float | None
    bb_upper: float | None
    bb_middle: float | None
    bb_lower: float | None
    sma20: float | None
    ema20: float | None
    macd: float | None
    macd_signal: float | None
    macd_hist: float | None


class IndicatorSeries(Shown):
    """Indicators, oldest first; the cursor leads to older ones."""

    symbol: str
    interval: Literal["1m", "1h"]
    items: list[IndicatorsShown]
    next_cursor: str | None


@router.get("", summary="List assets")
@public
def list_assets(
    parts: Parts,
    paging: Paging,
    kind: Kind | None = None,
    category: Text | None = None,
    search: Text | None = None,
    delisted: Annotated[bool, Query(description="Also assets that are no longer traded.")] = False,
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> AssetList:
    """The registry by symbol: of a kind, of a category or subcategory, with a text in symbol or name."""
    after = paging.open("assets", cursor)
    with parts.market.read() as connection:
        listed = sorted(registry.assets(connection), key=lambda asset: asset.symbol)
    found = [
        asset
        for asset in listed
        if (after is None or asset.symbol > after[0])
        and kind in (None, asset.kind)
        and category in (None, asset.category, asset.subcategory)
        and (delisted or not asset.is_delisted)
        and (search is None or search.lower() in f"{asset.symbol} {asset.display_name}".lower())
    ]
    page = paging.page("assets", found[: limit + 1], limit, lambda asset: [asset.symbol])
    return AssetList(items=[_asset(asset) for asset in page.items], next_cursor=page.next_cursor)


@router.get("/taxonomy", summary="Categories and subcategories")
@public
def asset_taxonomy(parts: Parts) -> TaxonomyShown:
    """The groups, with how many assets that are traded now each has."""
    with parts.market.read() as connection:
        listed = [asset for asset in registry.assets(connection) if not asset.is_delisted]
    known = taxonomy()
    return TaxonomyShown(
        categories=[
            CategoryShown(
                name=name,
                title=known.titles.get(name, name),
                assets=sum(asset.category == name for asset in listed),
                subcategories=[
                    SubcategoryShown(
                        name=inner,
                        assets=sum((asset.category, asset.subcategory) == (name, inner) for asset in listed),
                    )
                    for inner in known.subcategories[name]
                ],
            )
            for name in known.subcategories
        ]
    )


@router.get("/{symbol:path}/candles", summary="Candles of an asset", response_model=CandleSeries)
@public
def list_candles(
    symbol: Symbol,
    parts: Parts,
    paging: Paging,
    interval: Interval = "1m",
    from_t: From = None,
    to_t: To = None,
    limit: Points = 500,
    cursor: Cursor = None,
) -> Response:
    """The newest candles of a range that memory still holds, oldest first."""
    of = f"candles/{symbol}/{interval}"
    first, last = _range(from_t, to_t, paging.open(of, cursor))
    with parts.market.read() as connection:
        _require(connection, symbol)
        rows = candles.read(connection, symbol, interval=interval, from_t=first, to_t=last)[-limit - 1 :]
    page = paging.page(of, rows[::-1], limit, lambda row: [row.t])
    point = series.struct_of(CandleShown)
    items = [
        point(t=series.time_text(row.t), o=row.o, h=row.h, l=row.l, c=row.c, v=row.v, n=row.n, is_final=bool(row.final))
        for row in reversed(page.items)
    ]
    return series.answer(CandleSeries, symbol=symbol, interval=interval, items=items, next_cursor=page.next_cursor)


@router.get("/{symbol:path}/indicators", summary="Indicators of an asset", response_model=IndicatorSeries)
@public
def list_indicators(
    symbol: Symbol,
    parts: Parts,
    paging: Paging,
    interval: Interval = "1m",
    from_t: From = None,
    to_t: To = None,
    limit: Points = 500,
    cursor: Cursor = None,
) -> Response:
    """RSI 14, Bollinger 20/2, SMA 20, EMA 20, MACD 12/26/9, oldest first; at 1h of each hour's last closed minute."""
    of = f"indicators/{symbol}/{interval}"
    first, last = _range(from_t, to_t, paging.open(of, cursor))
    with parts.market.read() as connection:
        _require(connection, symbol)
        rows = indicators.read(connection, symbol, interval=interval, from_t=first, to_t=last)[-limit - 1 :]
    page = paging.page(of, rows[::-1], limit, lambda row: [row.t])
    point = series.struct_of(IndicatorsShown)
    items = [point(series.time_text(t), *lines) for _, t, *lines, _ in reversed(page.items)]
    return series.answer(IndicatorSeries, symbol=symbol, interval=interval, items=items, next_cursor=page.next_cursor)


@router.get("/{symbol:path}", summary="One asset")
@public
@refuses(404)
def get_asset(symbol: Symbol, parts: Parts) -> AssetShown:
    """One asset by the coin as the venue writes it; a slash in it is sent as %2F or as it is."""
    with parts.market.read() as connection:
        return _asset(_require(connection, symbol))


def _require(connection: Connection, symbol: str) -> Asset:
    found = registry.asset(connection, symbol)
    if found is None:
        raise not_found("asset")
    return found


def _range(from_t: int | None, to_t: int | None, before: list[int] | None) -> tuple[int, int]:
    """A half-open range; a cursor ends it where the page before began."""
    first, last = from_t or 0, EVER if to_t is None else to_t
    if first >= last:
        raise Problem(422, "value", "The range is empty: from lies before to.", pointer="?from")
    return first, last if before is None else min(last, before[0])


def _asset(asset: Asset) -> AssetShown:
    return AssetShown(
        symbol=asset.symbol,
        display_name=asset.display_name,
        kind=asset.kind,  # type: ignore[arg-type]  # the table's own check
        sz_decimals=asset.sz_decimals,
        max_leverage=asset.max_leverage,
        margin_tiers=[
            MarginTierShown(lower_bound=tier.lower_bound, max_leverage=tier.max_leverage) for tier in asset.margin_tiers
        ],
        is_delisted=asset.is_delisted,
        can_trade=not asset.is_delisted,
        channels=list(asset.channels),
        category=asset.category,
        subcategory=asset.subcategory,
    )
