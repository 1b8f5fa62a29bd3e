"""Candidates of a branch: open positions first, then what passes the prefilters, by volume; the rest with a reason.

The score is the stored 24 h volume in USD, larger first, symbol by name where equal (02 Candidates).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.clones.compiler import Branch, BranchAsset
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import USD


@dataclass(frozen=True)
class Choice:
    """An asset of the branch: taken when `skipped` is None."""

    asset: BranchAsset
    skipped: str | None


def choose(branch: Branch, book: Book, quotes: Mapping[str, Quote], now_ms: int) -> list[Choice]:
    """Every asset of the branch, candidates first in their order, then the skipped ones by name."""
    reasons = {asset.symbol: _reason(asset, branch, book, quotes.get(asset.symbol), now_ms) for asset in branch.assets}
    taken = [asset for asset in branch.assets if reasons[asset.symbol] is None]
    taken.sort(key=lambda asset: _order(asset.symbol, book, quotes))
    chosen = [Choice(asset, None) for asset in taken[: branch.max_candidates]]
    beyond = [Choice(asset, "beyond_candidate_cap") for asset in taken[branch.max_candidates :]]
    skipped = [Choice(asset, reasons[asset.symbol]) for asset in branch.assets if reasons[asset.symbol] is not None]
    return [*chosen, *beyond, *skipped]


def _reason(asset: BranchAsset, branch: Branch, book: Book, quote: Quote | None, now_ms: int) -> str | None:
    """Why an asset is not decided about; what is held is always decided about."""
    if asset.skipped is not None:
        return asset.skipped
    if asset.symbol in book.positions:
        return None
    listed = quote.asset if quote else None
    if quote is None or listed is None or listed.is_delisted:
        return "not_tradable"
    newest = max((reference.at for reference in quote.references), default=None)
    if newest is None or now_ms - newest > branch.max_data_age_sec * SECOND_MS:
        return "no_fresh_data"
    volume = quote.liquidity.day_volume
    if branch.min_volume_24h_usd and (volume is None or volume < branch.min_volume_24h_usd * USD):
        return "volume_unknown" if volume is None else "volume_too_low"
    return None


def _order(symbol: str, book: Book, quotes: Mapping[str, Quote]) -> tuple[bool, int, str]:
    return (
        symbol not in book.positions,
        -(quotes[symbol].liquidity.day_volume or 0) if symbol in quotes else 0,
        symbol,
    )
