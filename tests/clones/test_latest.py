"""Latest data: what each stream, block and asset of a graph would read now, drafts included."""

from typing import Any

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.clones import latest as memory
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.latest import Latest, Read
from clash_pipeline.market import listing
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

AS_OF = 1_753_100_400_000  # 2025-07-21T12:20:00Z


@pytest.fixture
def listed(market: Database) -> Database:
    """SOL and ETH as perps, a spot pair, and candles of both perps."""
    for symbol in ("SOL", "ETH"):
        market_rows.list_asset(market, symbol)
    market_rows.list_asset(market, "@107", kind="spot")
    market_rows.closes(market, "SOL", AS_OF, [str(100 + number) for number in range(60)])
    market_rows.closes(market, "ETH", AS_OF - 5 * MINUTE_MS, ["2000", "2001"])
    return market


def graph(blocks: list[dict[str, Any]], *symbols: str, profile: str = "fast", prompt: bool = False) -> Graph:
    """One stream with blocks, an asset selection where symbols are given, a prompt only if asked for."""
    nodes: list[dict[str, Any]] = [
        {"id": "stream", "type": "data_stream", "config": {"profile": profile, "blocks": blocks}}
    ]
    edges = []
    if symbols:
        config = {"explicitlyEnabledSymbols": list(symbols)}
        nodes.append({"id": "assets", "type": "asset_selection", "config": config})
        edges.append({"id": "e1", "source": "stream", "target": "assets"})
    if prompt:
        nodes.append({"id": "prompt", "type": "trading_prompt"})
        edges.append({"id": "e2", "source": "assets", "target": "prompt"})
    return Graph.model_validate({"version": 1, "nodes": nodes, "edges": edges})


def look(market: Database, of: Graph, **only: str) -> Latest:
    with market.read() as connection:
        return memory.latest(connection, of, listing.read(connection), AS_OF, **only)


def named(found: Latest, channel: str, context: str = "SOL") -> Read:
    (read,) = [each for each in found.reads if (each.entry.channel, each.entry.context_symbol) == (channel, context)]
    return read


def test_each_channel_of_each_selected_asset_with_points_age_and_newest_row(listed: Database) -> None:
    read = named(look(listed, graph([], "SOL")), "ohlcv")
    assert (read.node, read.block, read.symbol, read.found, read.expected) == ("stream", "", "SOL", 60, 60)
    assert (read.age_ms, read.problem) == (0, None)
    assert read.newest == {"t": "2025-07-21T12:19:00Z", "o": "159", "h": "159", "l": "159", "c": "159", "v": "10"}


def test_a_cross_asset_block_says_that_it_is_stale_and_how_little_there_is(listed: Database) -> None:
    block = {"id": "b1", "source": "hyperliquid", "channel": "ohlcv", "contextSymbol": "ETH"}
    read = named(look(listed, graph([block], "SOL"), block="b1"), "ohlcv", "ETH")
    assert (read.block, read.symbol, read.found, read.problem) == ("b1", "SOL", 2, "stale")
    assert read.age_ms == 5 * MINUTE_MS


def test_what_cannot_be_read_is_listed_with_its_reason(listed: Database) -> None:
    block = {"id": "b1", "source": "hyperliquid", "channel": "funding", "contextSymbol": "@107"}
    found = look(listed, graph([block], "SOL"), block="b1")
    assert found.reads == ()
    assert [(left.node, left.dropped.block, left.dropped.reason) for left in found.dropped] == [
        ("stream", "b1", "channel_unsupported")
    ]


def test_a_stream_without_assets_shows_what_its_blocks_name_themselves(listed: Database) -> None:
    """The canvas is reviewed while it is built: a block waits for an asset, or shows its own subject."""
    blocks = [
        {"id": "b1", "source": "hyperliquid", "channel": "ohlcv", "contextSymbol": "SOL"},
        {"id": "b2", "source": "hyperliquid", "channel": "rsi"},
        {"id": "b3", "source": "defillama", "channel": "capital_flows", "scope": "chain", "subject": "Solana"},
        {"id": "b4", "source": "polymarket", "channel": "market", "marketSlug": "btc-up"},
    ]
    found = look(listed, graph(blocks))
    assert [(read.block, read.symbol, read.found, read.problem) for read in found.reads] == [
        ("b3", "", 0, "missing"), ("b4", "", 0, "missing"), ("b1", "", 60, None),
    ]  # fmt: skip
    assert [(left.dropped.block, left.dropped.reason) for left in found.dropped] == [("b2", "no_asset_selected")]


def test_a_prompt_more_or_less_changes_nothing(listed: Database) -> None:
    assert look(listed, graph([], "SOL", "ETH")) == look(listed, graph([], "SOL", "ETH", prompt=True))


def test_only_the_node_that_was_asked_for(listed: Database) -> None:
    assert look(listed, graph([], "SOL"), node="stream") == look(listed, graph([], "SOL"))
    assert look(listed, graph([], "SOL"), node="other").reads == ()


def test_texts_of_strangers_come_out_clean_and_values_readable(listed: Database) -> None:
    with listed.write() as connection:
        connection.execute(
            "INSERT INTO polymarket_immediate_markets VALUES ('SOL', ?, 'm', ?, ?, ?, ?, 1200.5, ?)",
            (
                AS_OF - MINUTE_MS, "Up?\u202e\u200b\n Ignore", '["Up\u200b","Down"]', '["0.6","0.4"]', AS_OF + HOUR_MS,
                AS_OF - MINUTE_MS,
            ),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO hyperliquid_funding_rates VALUES ('SOL', 'current', 'HlPerp', ?, 125, 1, NULL, NULL, ?)",
            (AS_OF - MINUTE_MS, AS_OF - MINUTE_MS),
        )
    found = look(listed, graph([], "SOL"))
    newest = named(found, "immediate").newest or {}
    assert (newest["question"], newest["outcomes"]) == ("Up? Ignore", {"Up": "0.6", "Down": "0.4"})
    assert newest["end_at"] == "2025-07-21T13:20:00Z"
    assert (named(found, "funding").newest or {})["rate"] == "0.0000000125"


def test_a_named_market_is_missing_for_the_reason_its_refresh_gave(listed: Database) -> None:
    block = {"id": "b1", "source": "polymarket", "channel": "market", "marketSlug": "btc-up"}
    with listed.write() as connection:
        connection.execute(
            "INSERT INTO polymarket_targets (slug, wanted_until, problem) VALUES ('btc-up', ?, 'not_found')", (AS_OF,)
        )
    (read,) = look(listed, graph([block], "SOL"), block="b1").reads
    assert (read.problem, read.reason) == ("missing", "not_found")


def test_two_looks_at_the_same_memory_are_the_same_bytes(listed: Database) -> None:
    from clash_pipeline import canonical

    one = graph([{"id": "b1", "source": "hyperliquid", "channel": "rsi"}], "SOL", "ETH", profile="deep")
    assert canonical.encode(look(listed, one)) == canonical.encode(look(listed, one))
