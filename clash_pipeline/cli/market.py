"""`clash market`: read the market memory, newest rows first to mind, as it is or as it was known at some time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, NoReturn

import typer

from clash_pipeline.cli import market_taxonomy
from clash_pipeline.cli import market_views as views
from clash_pipeline.cli.output import fail, one_line_errors, print_json, table
from clash_pipeline.clock import iso, parse_time

if TYPE_CHECKING:
    from clash_pipeline.market.defillama.rows import Table
    from clash_pipeline.market.hyperliquid.registry import Asset
    from clash_pipeline.storage.sqlite import Connection

app = typer.Typer(
    no_args_is_help=True,
    help="Read the market memory. Symbols are the venue's own, letter case included: BTC, kPEPE, PURR/USDC, @107. "
    "Times are `2025-07-21`, `2025-07-21T12:10Z` or epoch milliseconds; ranges leave their end out.",
)
app.command("taxonomy")(market_taxonomy.taxonomy)

NEWEST_ROWS = 60
EVER = 2**62
INDICATORS = (
    "rsi14", "bb_upper", "bb_middle", "bb_lower", "sma20", "ema20", "macd", "macd_signal", "macd_hist",
)  # fmt: skip

MACRO_TABLES: "tuple[Table, ...]" = ("capital_base", "capital_flows", "economic_throughput")

Interval = Literal["1m", "1h"]
Scope = Literal["global", "chain", "protocol", "stablecoin"]
SymbolArgument = Annotated[str, typer.Argument(metavar="SYMBOL", help="The coin as on the wire: BTC, kPEPE, @107.")]
IntervalOption = Annotated[Interval, typer.Option("--interval", help="One-minute rows, or one-hour rows.")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="TIME", help="First open time; default: the newest.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Open times before this; default: all.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="Only what was known then, with the values of then.")
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"At most so many rows, the newest; {NEWEST_ROWS} when no --from is given."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@app.command()
@one_line_errors
def assets(
    kind: Annotated[Literal["perp", "spot"] | None, typer.Option("--kind", help="Only perps, or only spot.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="Only this category or subcategory.")] = None,
    delisted: Annotated[bool, typer.Option("--delisted", help="Show delisted perps too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the registry: what the venue trades, which channels each asset supports, where it belongs."""
    from clash_pipeline.market.hyperliquid import registry

    with _memory() as connection:
        listed = registry.assets(connection)
    groups = {asset.category for asset in listed} | {asset.subcategory for asset in listed}
    if category is not None and category not in groups:
        fail(f"no category {category!r}; there are {', '.join(sorted(groups)) or 'no assets yet'}")
    shown = [
        asset
        for asset in listed
        if (kind in (None, asset.kind))
        and category in (None, asset.category, asset.subcategory)
        and (delisted or not asset.is_delisted)
    ]
    if as_json:
        print_json([views.asset_object(asset) for asset in shown])
        return
    columns = ("symbol", "name", "kind", "size decimals>", "max leverage>", "category", "subcategory", "channels")
    table(f"{len(shown)} assets", columns, [views.asset_row(asset) for asset in shown])


@app.command()
@one_line_errors
def candles(
    symbol: SymbolArgument,
    interval: IntervalOption = "1m",
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show candles of an asset, oldest first; in JSON objects of t, o, h, l, c, v, n with prices as text.

    `final` rows never change again; the others are closed but not yet confirmed.
    """
    from clash_pipeline.market import candles as memory

    from_t, to_t, at, most = _range(start, end, as_of, limit)
    with _memory() as connection:
        _require(connection, symbol)
        rows = memory.read(connection, symbol, interval=interval, from_t=from_t, to_t=to_t, as_of=at)[-most:]
    if as_json:
        print_json([dict(zip("tohlcvn", row[1:8], strict=True)) for row in rows])
        return
    columns = ("open time", "open>", "high>", "low>", "close>", "volume>", "trades>", "origin", "final")
    shown = [(iso(row.t), *row[2:8], row.origin, "yes" if row.final else "no") for row in rows]
    table(f"{symbol} {interval}, {len(rows)} candles", columns, shown)
    views.line("close", [float(row.c) for row in rows])


@app.command()
@one_line_errors
def indicators(
    symbol: SymbolArgument,
    interval: IntervalOption = "1m",
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show RSI 14, Bollinger 20/2, SMA 20, EMA 20 and MACD 12/26/9; at 1h, the last closed minute of each hour."""
    from clash_pipeline.market import indicators as memory

    from_t, to_t, at, most = _range(start, end, as_of, limit)
    with _memory() as connection:
        _require(connection, symbol)
        rows = memory.read(connection, symbol, interval=interval, from_t=from_t, to_t=to_t, as_of=at)[-most:]
    if as_json:
        print_json([{key: getattr(row, key) for key in ("t", *INDICATORS)} for row in rows])
        return
    shown = [(iso(row.t), *(views.short(getattr(row, key)) for key in INDICATORS)) for row in rows]
    table(f"{symbol} {interval} indicators", ("open time", *(f"{key}>" for key in INDICATORS)), shown)
    views.line("rsi14", [row.rsi14 for row in rows if row.rsi14 is not None])


@app.command()
@one_line_errors
def funding(
    symbol: SymbolArgument,
    kind: Annotated[
        Literal["current", "predicted", "paid"] | None, typer.Option("--kind", help="Only rows of this kind.")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show funding of a perp: the running estimate, what three venues predict, and what was paid."""
    from clash_pipeline.market.hyperliquid import funding as memory

    from_t, to_t, at, most = _range(start, end, as_of, limit)
    with _memory() as connection:
        asset = _require(connection, symbol)
        if asset.kind == "spot":
            fail(f"{symbol} is a spot pair; only perps have funding")
        rows = memory.read(connection, symbol, from_t=from_t, to_t=to_t, as_of=at, kind=kind)[-most:]
    if as_json:
        print_json([views.funding_object(row) for row in rows])
        return
    columns = ("time", "kind", "venue", "rate>", "per h>", "% a year>", "premium>", "next payment")
    table(f"{symbol} funding", columns, [views.funding_row(row) for row in rows])


@app.command()
@one_line_errors
def polymarket(symbol: SymbolArgument, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """Show the immediate and the later market of an asset, and the open markets linked to it."""
    from clash_pipeline.market.polymarket import reading

    at = _time(as_of, "--as-of")
    with _memory() as connection:
        _require(connection, symbol)
        found = reading.read(connection, symbol, as_of=at)
    if as_json:
        print_json(views.polymarket_object(found))
        return
    chosen = [views.chosen_row(choice) for choice in (found.immediate, found.later) if choice is not None]
    table(f"{symbol}: chosen markets", ("kind", "question", "prices", "ends", "liquidity USD>"), chosen)
    linked = [views.linked_row(market) for market in found.linked]
    table(f"{symbol}: {len(linked)} linked markets", ("question", "ends", "linked by", "slug"), linked)
    for what, reason in found.missing.items():
        typer.echo(f"no {what} market: {reason.replace('_', ' ')}")


@app.command()
@one_line_errors
def defillama(
    scope: Annotated[
        Scope | None, typer.Argument(metavar="[SCOPE]", help="global, chain, protocol or stablecoin.")
    ] = None,
    subject: Annotated[str | None, typer.Argument(metavar="[SUBJECT]", help="defi, Solana, aave-v3, USDT ...")] = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the hours of a subject: TVL and capital, its flows, what it turns over. Without one, list the subjects."""
    from clash_pipeline.market.defillama import store as memory

    wanted = _range(start, end, as_of, limit)
    with _memory() as connection:
        known = memory.subjects(connection, scope)
        if scope is None or subject is None:
            if known or as_json:
                views.list_subjects(known, as_json)
            else:
                typer.echo(f"no {scope or 'macro'} subjects are known yet: clash ingest asks for them every hour")
            return
        if subject not in {found.subject for found in known}:
            _fail_unknown(f"{scope} {subject!r}", subject, [found.subject for found in known])
        tables = {
            name: memory.read(connection, name, scope, subject, wanted.from_t, wanted.to_t, wanted.as_of)
            for name in MACRO_TABLES
        }
    if as_json:
        print_json({name: [views.macro_object(row) for row in rows[-wanted.most :]] for name, rows in tables.items()})
        return
    for name, rows in tables.items():
        views.macro_table(f"{scope} {subject}: {name.replace('_', ' ')}", rows[-wanted.most :])


# --- arguments ------------------------------------------------------------------------------------------------------


@contextmanager
def _memory() -> "Iterator[Connection]":
    from clash_pipeline import services

    with services.build().market.read() as connection:
        yield connection


def _require(connection: "Connection", symbol: str) -> "Asset":
    from clash_pipeline.market.hyperliquid import registry

    asset = registry.asset(connection, symbol)
    if asset is None:
        near = registry.near_matches(connection, symbol)
        fail(f"no asset {symbol!r}; " + (f"did you mean {', '.join(near)}?" if near else "see clash market assets"))
    return asset


def _fail_unknown(what: str, text: str, names: Sequence[str]) -> NoReturn:
    from difflib import get_close_matches

    by_letters = {name.lower(): name for name in names}
    near = [by_letters[name] for name in get_close_matches(text.lower(), by_letters, n=5)]
    fail(f"no {what}; " + (f"did you mean {', '.join(near)}?" if near else "see clash market defillama"))


class _Range(NamedTuple):
    """A half-open range, the knowledge time, and how many of the newest rows are wanted."""

    from_t: int
    to_t: int
    as_of: int | None
    most: int


def _range(start: str | None, end: str | None, as_of: str | None, limit: int | None) -> _Range:
    from_t, to_t, at = (_time(text, name) for text, name in ((start, "--from"), (end, "--to"), (as_of, "--as-of")))
    if from_t is not None and to_t is not None and from_t >= to_t:
        fail(f"--from {start} does not lie before --to {end}")
    newest = NEWEST_ROWS if from_t is None else EVER
    return _Range(from_t or 0, EVER if to_t is None else to_t, at, newest if limit is None else limit)


def _time(text: str | None, name: str) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        fail(f"{name}: {error}")
