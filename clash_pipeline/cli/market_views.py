"""How rows of the market memory look: objects for programs, cells of tables for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from clash_pipeline.cli.output import print_json, sparkline, table
from clash_pipeline.clock import iso
from clash_pipeline.units import scaled_text

if TYPE_CHECKING:
    from clash_pipeline.market.defillama.store import Known as KnownSubject
    from clash_pipeline.market.defillama.store import Stored
    from clash_pipeline.market.hyperliquid.funding import FundingRate
    from clash_pipeline.market.hyperliquid.registry import Asset
    from clash_pipeline.market.polymarket.reading import Known, Memory, Selected


def line(name: str, values: Sequence[float]) -> None:
    """Draw the values in one line, with their lowest and highest."""
    if len(values) > 1:
        typer.echo(f"{name} {sparkline(values)} {min(values):g} to {max(values):g}")


def short(value: float | None) -> str | None:
    """A figure for a table cell."""
    return None if value is None else f"{value:.6g}"


def asset_object(asset: "Asset") -> dict[str, Any]:
    """An asset with every field of the registry."""
    return {**asdict(asset), "margin_tiers": [tier._asdict() for tier in asset.margin_tiers]}


def asset_row(asset: "Asset") -> tuple[object, ...]:
    """An asset as cells."""
    channels = "delisted" if asset.is_delisted else ", ".join(asset.channels)
    return (
        _plain(asset.symbol), _plain(asset.display_name), asset.kind, asset.sz_decimals, f"{asset.max_leverage}x",
        asset.category, asset.subcategory, channels,
    )  # fmt: skip


def funding_object(row: "FundingRate") -> dict[str, Any]:
    """A rate as decimal text, per its own interval."""
    values = row._asdict()
    rate = scaled_text(values.pop("rate_e10"), 10)
    return {**values, "rate": rate}


def funding_row(row: "FundingRate") -> tuple[object, ...]:
    """A rate per its interval, per hour and per year, as cells."""
    hourly = row.rate_e10 / row.interval_hours / 1e8
    due = None if row.next_funding_at is None else iso(row.next_funding_at)
    rate = f"{scaled_text(row.rate_e10, 8)} %"
    return (
        iso(row.t), row.kind, row.venue, rate, f"{hourly:.6f} %", f"{hourly * 8_760:.2f}", row.premium, due,
    )  # fmt: skip


def polymarket_object(found: "Memory") -> dict[str, Any]:
    """What is known of an asset's markets, and what is missing and why."""
    return {
        "symbol": found.symbol,
        "immediate": None if found.immediate is None else found.immediate._asdict(),
        "later": None if found.later is None else found.later._asdict(),
        "linked": [market._asdict() for market in found.linked],
        "missing": found.missing,
    }


def chosen_row(choice: "Selected") -> tuple[object, ...]:
    """The immediate or later market as cells."""
    prices = ", ".join(f"{name} {price}" for name, price in zip(choice.outcomes, choice.prices, strict=False))
    liquidity = None if choice.liquidity is None else f"{choice.liquidity:,.0f}"
    return choice.kind, _plain(choice.question), _plain(prices), iso(choice.end_at), liquidity


def linked_row(market: "Known") -> tuple[object, ...]:
    """A linked market as cells."""
    return (
        _plain(market.question),
        None if market.end_at is None else iso(market.end_at),
        _plain(market.matched or ""),
        _plain(market.slug),
    )


def list_subjects(known: "Sequence[KnownSubject]", as_json: bool) -> None:
    """Print the subjects that have rows."""
    if as_json:
        print_json([found._asdict() for found in known])
        return
    rows = [(found.scope, _plain(found.subject), iso(found.t)) for found in known]
    table(f"{len(rows)} subjects", ("scope", "subject", "newest hour"), rows)


def macro_object(row: "Stored") -> dict[str, Any]:
    """One hour of a subject; a missing amount is null, with its reason under `missing`."""
    return {"t": row.t, **row.values, "missing": row.missing, "known_at": row.known_at}


def macro_table(title: str, rows: "Sequence[Stored]") -> None:
    """Print the hours of one table."""
    if not rows:
        typer.echo(f"{title}: nothing known")
        return
    columns = list(rows[-1].values)
    shown = [(iso(row.t), *(_amount(row, column) for column in columns)) for row in rows]
    table(title, ("hour", *(f"{column}>" for column in columns)), shown)
    first = [value for row in rows if (value := row.values[columns[0]]) is not None]
    line(columns[0], first)


def _amount(row: "Stored", column: str) -> str:
    value = row.values[column]
    return row.missing.get(column, "–").replace("_", " ") if value is None else f"{value:,.2f}"


def _plain(text: str) -> str:
    """Text of third parties: tables read square brackets as markup."""
    from rich.markup import escape

    return escape(text)
