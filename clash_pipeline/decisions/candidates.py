"""Candidates of a branch: open positions first, then what passes the prefilters, by score; the rest with a reason.

The score of an asset is 2·V + M: V is how many of the others that passed have a smaller 24 h volume, M how many have a
smaller daily volatility. Liquidity counts twice, because slippage is certain and movement is not. An unknown figure
beats nobody. Larger first, symbol by name where equal (02 Candidates).
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.clones.compiler import Branch, BranchAsset
from clash_pipeline.clones.entitlements import CANDIDATE_CAP
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import USD


@dataclass(frozen=True)
class Choice:
    """An asset of the branch: taken when `skipped` is None, then with its place from 1; what is held has no score."""

    asset: BranchAsset
    skipped: str | None
    rank: int | None = None
    score: int | None = None


def choose(
    branch: Branch, book: Book, quotes: Mapping[str, Quote], now_ms: int, *, cap: int = CANDIDATE_CAP,
    universe: Collection[str] | None = None,
) -> list[Choice]:  # fmt: skip
    """Every asset of the branch: candidates in their order, those beyond the cap, then the others by name.

    What is held is always decided about and counts towards the cap; `cap` is what the entitlement allows, `universe`
    what the account's terms allow to trade, None everything.
    """
    held: list[BranchAsset] = []
    free: list[BranchAsset] = []
    choices: list[Choice] = []
    for asset in branch.assets:
        why = _reason(asset, branch, book, quotes.get(asset.symbol), now_ms)
        if why is None and universe is not None and asset.symbol not in {*universe, *book.positions}:
            why = "not_in_universe"
        if why is not None:
            choices.append(Choice(asset, why))
        else:
            (held if asset.symbol in book.positions else free).append(asset)
    points = scores([quotes[asset.symbol] for asset in free])
    free.sort(key=lambda asset: (-points[asset.symbol], asset.symbol))
    room = max(min(branch.max_candidates, cap) - len(held), 0)
    ranked = [*held, *free[:room]]
    taken = [Choice(asset, None, rank, points.get(asset.symbol)) for rank, asset in enumerate(ranked, start=1)]
    beyond = [Choice(asset, "beyond_candidate_cap", score=points[asset.symbol]) for asset in free[room:]]
    return [*taken, *beyond, *choices]


def scores(quotes: Sequence[Quote]) -> dict[str, int]:
    """The score of each asset among these, by symbol."""
    volume = _beaten([quote.liquidity.day_volume for quote in quotes])
    movement = _beaten([quote.liquidity.day_volatility for quote in quotes])
    return {quote.symbol: 2 * above + moved for quote, above, moved in zip(quotes, volume, movement, strict=True)}


def _beaten(values: Sequence[int | None]) -> list[int]:
    """How many of the known values each one exceeds; an unknown one exceeds none."""
    known = sorted(value for value in values if value is not None)
    return [0 if value is None else bisect_left(known, value) for value in values]


def _reason(asset: BranchAsset, branch: Branch, book: Book, quote: Quote | None, now_ms: int) -> str | None:
    """Why an asset is not decided about; what is held is always decided about."""
    if asset.skipped is not None:
        return asset.skipped
    if asset.symbol in book.positions:
        return None
    if quote is None:
        return "quote_unreadable"
    if quote.asset is None or quote.asset.is_delisted:
        return "not_tradable"
    newest = max((reference.at for reference in quote.references), default=None)
    if newest is None or now_ms - newest > branch.max_data_age_sec * SECOND_MS:
        return "no_fresh_data"
    volume = quote.liquidity.day_volume
    if branch.min_volume_24h_usd and (volume is None or volume < branch.min_volume_24h_usd * USD):
        return "volume_unknown" if volume is None else "volume_too_low"
    return None
