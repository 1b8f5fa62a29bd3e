"""Candidates: what is held first, then by score; a documented reason for every asset that is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clones.compiler import Branch, BranchAsset
from clash_pipeline.decisions.candidates import choose, scores
from clash_pipeline.market.listing import Listed
from clash_pipeline.market.read_plan import ReadPlan
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Liquidity, Quote, Reference
from clash_pipeline.units import RATE, USD

NOW = 1_753_100_000_000


def quote(
    symbol: str,
    volume_usd: int | None = 1_000_000,
    volatility_pct: int | None = 3,
    *,
    age_ms: int = 5_000,
    delisted: bool = False,
) -> Quote:
    listed = Listed(symbol, "perp", 2, 20, (), delisted, frozenset({"ohlcv"}), "crypto_major", "layer_1")
    volume = None if volume_usd is None else volume_usd * USD
    volatility = None if volatility_pct is None else volatility_pct * RATE // 100
    liquidity = Liquidity(None, volatility, volume, 24, "context")
    return Quote(symbol, listed, (Reference("100", "mid", NOW - age_ms, NOW - age_ms),), liquidity, None, None)


def branch(*symbols: str, cap: int = 10, min_volume_usd: int = 0, skipped: str | None = None) -> Branch:
    assets = tuple(BranchAsset(symbol, "explicit", "", None, ReadPlan(symbol, ())) for symbol in sorted(symbols))
    left = (BranchAsset("OFF", "explicit", "", skipped, ReadPlan("OFF", ())),) if skipped else ()
    return Branch("prompt-1", 300, cap, min_volume_usd, 300, assets + left)


def chosen(of: Branch, *quotes: Quote, held: tuple[str, ...] = (), cap: int = 10) -> list[tuple[str, str | None]]:
    positions = {symbol: Position(symbol, "perp", 2, size=100, cost=USD) for symbol in held}
    known = {one.symbol: one for one in quotes}
    return [(one.asset.symbol, one.skipped) for one in choose(of, Book(100_000 * USD, positions), known, NOW, cap=cap)]


def test_score_counts_beaten_volumes_twice_and_beaten_volatilities_once() -> None:
    """BTC beats two volumes and no volatility, DOGE one and two, ETH nothing and one."""
    found = scores([quote("BTC", 900, 2), quote("DOGE", 500, 9), quote("ETH", 100, 5)])
    assert found == {"BTC": 2 * 2 + 0, "DOGE": 2 * 1 + 2, "ETH": 2 * 0 + 1}


def test_equal_scores_go_by_name() -> None:
    of = branch("ETH", "BTC", "DOGE")
    assert chosen(of, quote("BTC", 900, 2), quote("DOGE", 500, 9), quote("ETH", 100, 5)) == [
        ("BTC", None), ("DOGE", None), ("ETH", None),
    ]  # fmt: skip


def test_an_unknown_figure_beats_nobody() -> None:
    assert scores([quote("A", None, None), quote("B", 1, 1)]) == {"A": 0, "B": 0}


def test_what_is_held_comes_first_and_counts_towards_the_cap() -> None:
    of = branch("BTC", "ETH", "SOL", cap=2)
    quotes = (quote("BTC", 900), quote("ETH", 500), quote("SOL", 1))
    assert chosen(of, *quotes, held=("SOL",)) == [("SOL", None), ("BTC", None), ("ETH", "beyond_candidate_cap")]


def test_what_is_held_is_decided_about_beyond_every_cap_and_filter() -> None:
    of = branch("BTC", "ETH", cap=1)
    stale = (quote("BTC", age_ms=10**9), quote("ETH", delisted=True))
    assert chosen(of, *stale, held=("BTC", "ETH")) == [("BTC", None), ("ETH", None)]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (quote("BTC"), None),
        (quote("BTC", delisted=True), "not_tradable"),
        (quote("BTC", age_ms=300_000), None),
        (quote("BTC", age_ms=300_001), "no_fresh_data"),
        (quote("BTC", 999_999), "volume_too_low"),
        (quote("BTC", None), "volume_unknown"),
    ],
)
def test_prefilters_say_why(one: Quote, reason: str | None) -> None:
    assert chosen(branch("BTC", min_volume_usd=1_000_000), one) == [("BTC", reason)]


def test_a_quote_that_could_not_be_read_is_its_own_reason() -> None:
    assert chosen(branch("BTC")) == [("BTC", "quote_unreadable")]


def test_an_asset_that_its_prompt_leaves_out_keeps_that_reason() -> None:
    assert chosen(branch(skipped="no_asset_prompt"), quote("OFF")) == [("OFF", "no_asset_prompt")]


@pytest.mark.parametrize(("wanted", "granted", "taken"), [(10, 10, 10), (25, 10, 10), (25, 25, 25), (5, 25, 5)])
def test_the_cap_is_the_lower_of_what_is_asked_and_what_is_granted(wanted: int, granted: int, taken: int) -> None:
    symbols = [f"C{number:02}" for number in range(30)]
    found = chosen(branch(*symbols, cap=wanted), *(quote(symbol) for symbol in symbols), cap=granted)
    assert sum(reason is None for _, reason in found) == taken
    assert sum(reason == "beyond_candidate_cap" for _, reason in found) == 30 - taken


@given(st.permutations([quote(f"C{number}", number * 10, 40 - number) for number in range(12)]))
def test_order_does_not_depend_on_the_order_of_the_quotes(quotes: list[Quote]) -> None:
    of = branch(*(f"C{number}" for number in range(12)), cap=5)
    assert chosen(of, *quotes) == chosen(of, *sorted(quotes, key=lambda one: one.symbol))


def test_an_asset_outside_the_universe_of_the_account_is_not_decided_about_unless_it_is_held() -> None:
    """Races trade perps above a volume only; everything else there is what it is in a sandbox."""
    of, known = branch("BTC", "ETH", "SOL"), {symbol: quote(symbol) for symbol in ("BTC", "ETH", "SOL")}
    found = choose(of, Book(100_000 * USD, {}), known, NOW, universe=("ETH",))
    assert [(one.asset.symbol, one.skipped) for one in found] == [
        ("ETH", None), ("BTC", "not_in_universe"), ("SOL", "not_in_universe"),
    ]  # fmt: skip
