"""A read as of a moment never shows what became known later, in any section, whatever was written since (09 D7)."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from clash_pipeline import canonical
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import CHANNELS, PROFILES, ReadEntry, ReadPlan, built_in
from clash_pipeline.market.reads import candles, funding, indicators, macro, markets, windows
from clash_pipeline.market.retrieval import Section
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.poison import ABSURD, AS_OF, SUBJECTS, SYMBOLS, honest, poison

pytestmark = pytest.mark.goal

READ_BY = {
    candles: {"ohlcv"},
    indicators: set(indicators.CHANNELS),
    funding: {"funding"},
    markets: {"immediate", "later", "market"},
    macro: set(macro.CHANNELS),
}


def everything(symbol: str) -> ReadPlan:
    """Every channel at every built-in depth, the longer bars of an hour, both subjects, a market and an event."""
    entries = set()
    for source, channels in CHANNELS.items():
        subjects = [(*subject, "") for subject in SUBJECTS] if source == "defillama" else [("", "", "")]
        for channel in channels:
            named = [("", "", "m-1"), ("", "", "event")] if channel == "market" else subjects
            depths = {depth for profile in PROFILES for depth in built_in(profile, source, channel)}
            entries |= {ReadEntry(symbol, symbol, source, channel, *d, "auto", *name) for d in depths for name in named}
    entries.add(ReadEntry(symbol, symbol, "hyperliquid", "ohlcv", 86_400, 14_400, 6, "auto"))
    return ReadPlan(symbol, tuple(sorted(entries)))


def sections(market: Database) -> list[Section]:
    with market.read() as connection:
        found = retrieval.retrieve(connection, [everything(symbol) for symbol in SYMBOLS], AS_OF)
    return [section for symbol in SYMBOLS for section in found[symbol].sections]


@pytest.mark.parametrize("seed", range(30))
def test_d7_what_became_known_later_changes_no_byte_of_any_section(market: Database, seed: int) -> None:
    honest(market, seed)
    before = sections(market)
    assert {section.entry.channel for section in before if section.rows} == set().union(*READ_BY.values())
    poison(market, seed)
    assert canonical.encode(sections(market)) == canonical.encode(before)


@pytest.mark.parametrize("family", READ_BY, ids=lambda family: family.__name__.rpartition(".")[2])
def test_d7_control_a_read_that_forgets_known_at_sees_the_poison(
    market: Database, monkeypatch: pytest.MonkeyPatch, family: Any
) -> None:
    """Negative control: the very statements, without their condition on when a row was known."""
    honest(market, 0)
    poison(market, 0)
    monkeypatch.setattr(family, "select", forgetful)
    seen = [section for section in sections(market) if str(ABSURD).encode() in canonical.encode(section.rows)]
    assert {section.entry.channel for section in seen} == READ_BY[family]


@pytest.mark.parametrize("family", [candles, indicators, macro, markets])
def test_d7_control_a_read_that_forgets_versions_loses_the_past(
    market: Database, monkeypatch: pytest.MonkeyPatch, family: Any
) -> None:
    """Negative control: a corrected row vanishes from a read that does not know what it said before."""
    honest(market, 0)
    before = sections(market)
    poison(market, 0)
    monkeypatch.setattr(family, "select", without_versions)
    assert canonical.encode(sections(market)) != canonical.encode(before)


def forgetful(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The newest row, whenever it became known."""
    careless = re.sub(r"(\w\.)?known_at <= :as_of", "TRUE", statement)
    return without_versions(connection, careless, parameters)


def without_versions(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return windows.select(connection, statement.replace("superseded_at > :as_of", "superseded_at < 0"), parameters)


def test_what_was_known_a_moment_ago_is_seen(market: Database) -> None:
    """The other side of the border: as of the moment it became known, a row counts."""
    poison(market, 0)
    with market.read() as connection:
        late = retrieval.retrieve(connection, [everything("BTC")], AS_OF + 1)["BTC"].sections
    assert any(str(ABSURD).encode() in canonical.encode(section.rows) for section in late)
