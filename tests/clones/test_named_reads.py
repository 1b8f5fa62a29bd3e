"""What strategies name is known to those who fetch: active versions, fresh drafts, nothing of retired clones."""

from typing import Any

import pytest

from clash_pipeline.clones import clones, named_reads, retirement
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.named_reads import DRAFT_MS, Named, NamedReads
from clash_pipeline.market.listing import Listing
from clash_pipeline.storage.sqlite import Database

SLUG = {"id": "b1", "source": "polymarket", "channel": "market", "marketSlug": "will-it-rain"}
EVENT = {"id": "b1", "source": "polymarket", "channel": "market", "eventSlug": "weather"}
SMALL = {"id": "b2", "source": "defillama", "channel": "capital_flows", "scope": "protocol", "subject": "tiny-lend"}
DEFI = ("global", "defi")


def graph(*blocks: dict[str, Any]) -> dict[str, Any]:
    made = simple_graph(("BTC",)).wire()
    stream = next(node for node in made["nodes"] if node["type"] == "data_stream")
    stream["config"]["blocks"] = list(blocks)
    return made


def draft(clash: Database, listing: Listing, *blocks: dict[str, Any], at: int = 2) -> None:
    clones.save_draft(clash, 1, graph(*blocks), listing, now_ms=at)


@pytest.fixture
def reads(clash: Database) -> NamedReads:
    """Of one clone, without a graph yet."""
    clones.create(clash, "Ada", engine="rules", now_ms=1)
    return NamedReads(clash)


def test_a_published_version_names_its_market_and_its_protocol_for_as_long_as_it_is_active(
    clash: Database, listing: Listing, reads: NamedReads
) -> None:
    assert reads.at(1) == Named()
    draft(clash, listing, SLUG, SMALL)
    clones.publish(clash, 1, listing, now_ms=3)
    named = Named(frozenset({"will-it-rain"}), frozenset({DEFI, ("protocol", "tiny-lend")}))
    assert reads.at(3) == reads.at(3 + 10 * DRAFT_MS) == named
    draft(clash, listing, EVENT, at=4)
    clones.publish(clash, 1, listing, now_ms=5)
    assert reads.at(5 + 2 * DRAFT_MS) == Named(frozenset({"weather"}), frozenset({DEFI}))


def test_a_draft_names_its_blocks_for_a_day_connected_or_not(
    clash: Database, listing: Listing, reads: NamedReads
) -> None:
    alone = graph(SLUG, SMALL) | {"edges": []}
    clones.save_draft(clash, 1, alone, listing, now_ms=2)
    named = Named(frozenset({"will-it-rain"}), frozenset({("protocol", "tiny-lend")}))
    assert reads.at(2 + DRAFT_MS) == named
    assert reads.at(3 + DRAFT_MS) == Named()


def test_a_retired_clone_names_nothing(clash: Database, listing: Listing, reads: NamedReads) -> None:
    draft(clash, listing, SLUG)
    clones.publish(clash, 1, listing, now_ms=3)
    with clash.write() as connection:
        retirement.begin(connection, 1, actor="admin", reason="done", now_ms=4)
    assert reads.at(4) == Named()
    with clash.write() as connection:
        retirement.end(connection, 1, actor="admin", now_ms=5)
    assert "will-it-rain" in reads.at(5).markets


def test_a_version_is_decoded_once(
    clash: Database, listing: Listing, reads: NamedReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft(clash, listing, SLUG)
    clones.publish(clash, 1, listing, now_ms=3)
    once = reads.at(3)
    monkeypatch.setattr(named_reads, "decode", lambda _: pytest.fail("decoded again"))
    assert reads.at(4) == once


def test_a_version_that_cannot_be_read_hides_nobody_elses(clash: Database, listing: Listing, reads: NamedReads) -> None:
    draft(clash, listing, SLUG)
    clones.publish(clash, 1, listing, now_ms=3)
    second = clones.create(clash, "Bob", engine="rules", now_ms=4)
    clones.save_draft(clash, second, graph(EVENT), listing, now_ms=4)
    clones.publish(clash, second, listing, now_ms=5)
    with clash.write() as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'clone_versions'"
        ).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE clone_versions SET compiled = '{}' WHERE clone_id = 1")
    assert reads.at(5 + 2 * DRAFT_MS).markets == {"weather"}
