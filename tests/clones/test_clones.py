"""The clone service: drafts that may be incomplete, versions that never change, at most one active, entitlements."""

import threading
from typing import Any

import pytest

from clash_pipeline.clones import clones, drafts, entitlements, versions
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import CloneError, CloneUnknown, DraftChanged, NameTaken, TierExceeded
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.faults import InjectedFault, arm
from clash_pipeline.market.listing import Listed
from clash_pipeline.storage.sqlite import Database, IntegrityError, one


def graph(*symbols: str, prompt: str = "") -> dict[str, Any]:
    return simple_graph(symbols, prompt=prompt).wire()


def published(clash: Database, listing: dict[str, Listed], *symbols: str) -> int:
    clone_id = clones.create(clash, "Ada", engine="rules", now_ms=1)
    clones.save_draft(clash, clone_id, graph(*symbols), listing, now_ms=2)
    clones.publish(clash, clone_id, listing, now_ms=3)
    return clone_id


def test_names_are_unique_for_an_owner(clash: Database) -> None:
    clones.create(clash, "Ada", engine="hold", now_ms=1)
    clones.create(clash, "Ada", engine="hold", now_ms=1, owner="bob")
    with pytest.raises(CloneError, match="operator already has a clone named Ada"):
        clones.create(clash, "Ada", engine="hold", now_ms=1)
    with pytest.raises(CloneError, match="1 to 64 characters"):
        clones.create(clash, "", engine="hold", now_ms=1)


def test_a_draft_may_be_incomplete_but_never_invalid(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Ada", engine="hold", now_ms=1)
    unfinished = {"version": 1, "nodes": [], "edges": []}
    clones.save_draft(clash, clone_id, unfinished, listing, now_ms=2)
    with pytest.raises(GraphInvalid, match="lists no asset NOPE"):
        clones.save_draft(clash, clone_id, graph("NOPE"), listing, now_ms=3)
    with clash.read() as connection:
        assert clones.draft_graph(connection, clone_id) == unfinished
    with pytest.raises(GraphInvalid, match="no enabled trading prompt"):
        clones.publish(clash, clone_id, listing, now_ms=4)


def test_layout_is_kept_with_the_draft(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Ada", engine="hold", now_ms=1)
    content = graph("BTC") | {"layout": {"nodes": {"stream-1": {"x": 1.5, "y": -2.0}}}}
    clones.save_draft(clash, clone_id, content, listing, now_ms=2)
    with clash.read() as connection:
        assert clones.draft_graph(connection, clone_id) == content


def test_publishing_replaces_the_active_version(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    clones.save_draft(clash, clone_id, graph("BTC", "ETH"), listing, now_ms=4)
    second = clones.publish(clash, clone_id, listing, now_ms=5)
    again = clones.publish(clash, clone_id, listing, now_ms=6)
    assert (second.number, again.id, second.compiled.symbols) == (2, second.id, ("BTC", "ETH"))
    with clash.read() as connection:
        assert one(connection, "SELECT group_concat(is_active) FROM clone_versions") == "0,1"
        assert clones.get(connection, clone_id).version == 2


@pytest.mark.parametrize("place", [versions.PUBLISH_AFTER_RETIRED, versions.PUBLISH_AFTER_INSERTED])
def test_a_failed_publication_leaves_the_old_version(clash: Database, listing: dict[str, Listed], place: str) -> None:
    clone_id = published(clash, listing, "BTC")
    clones.save_draft(clash, clone_id, graph("ETH"), listing, now_ms=4)
    arm(f"{place}:raise")
    try:
        with pytest.raises(InjectedFault):
            clones.publish(clash, clone_id, listing, now_ms=5)
    finally:
        arm("")
    with clash.read() as connection:
        active = clones.active_version(connection, clone_id)
    assert active is not None
    assert active.compiled.symbols == ("BTC",)


def test_eight_threads_publish_one_active_version(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    clones.save_draft(clash, clone_id, graph("ETH"), listing, now_ms=4)
    threads = [
        threading.Thread(target=clones.publish, args=(clash, clone_id, listing), kwargs={"now_ms": 5}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM clone_versions") == 2
        assert one(connection, "SELECT count(*) FROM clone_versions WHERE is_active = 1") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clone_versions SET compiled = '{}'",
        "UPDATE clone_versions SET graph = '{}'",
        "DELETE FROM clone_versions",
        "INSERT INTO clone_versions SELECT 9, clone_id, 9, '', '', printf('%064d', 1), 1, 0, '' FROM clone_versions",
    ],
)
def test_published_versions_never_change(clash: Database, listing: dict[str, Listed], statement: str) -> None:
    published(clash, listing, "BTC")
    with pytest.raises(IntegrityError), clash.write() as connection:
        connection.execute(statement)


def test_toggles_of_a_clone_that_is_not_there(clash: Database, listing: dict[str, Listed]) -> None:
    for act in (
        lambda: clones.set_trading(clash, 9, True, now_ms=1),
        lambda: clones.set_engine(clash, 9, "rules", now_ms=1),
        lambda: clones.save_draft(clash, 9, graph("BTC"), listing, now_ms=1),
    ):
        with pytest.raises(CloneError, match="no clone 9"):
            act()
    with pytest.raises(CloneError, match="no draft"):
        clones.publish(clash, 9, listing, now_ms=1)


def test_the_effective_entitlement_is_the_maximum_of_the_grants(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    with clash.read() as connection:
        assert entitlements.effective(connection, clone_id) == entitlements.MOCK_STARTER
    with clash.write() as connection:
        for tier, model, ref in (("pro", 1, "a"), ("builder", 3, "b"), ("pro", 1, "a")):
            entitlements.grant(connection, clone_id, tier, model, source="debug", ref=ref, now_ms=1)  # type: ignore[arg-type]
        best = entitlements.effective(connection, clone_id)
    assert (best.capacity.name, best.model_tier, best.is_mock) == ("pro", 3, True)


def test_a_starter_cannot_save_four_assets(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Ada", engine="hold", now_ms=1)
    with pytest.raises(GraphInvalid, match="allows 3 active assets"):
        clones.save_draft(clash, clone_id, graph("BTC", "ETH", "SOL", "DOGE"), listing, now_ms=2)


# names, models, drafts and versions


def test_a_clone_is_renamed_within_its_owners_names(clash: Database) -> None:
    for name, owner in (("Ada", "ann"), ("Bob", "ann"), ("Cleo", "bea")):
        clones.create(clash, name, engine="hold", now_ms=1, owner=owner)
    assert clones.rename(clash, 1, " Cleo\n", now_ms=2) == "Cleo"
    assert clones.rename(clash, 1, "Cleo", now_ms=2) == "Cleo"
    with pytest.raises(NameTaken, match="ann already has a clone named Bob"):
        clones.rename(clash, 1, "Bob", now_ms=3)
    with pytest.raises(CloneError, match="1 to 64 characters, not 0"):
        clones.rename(clash, 1, "\u200b", now_ms=3)
    with pytest.raises(CloneUnknown):
        clones.rename(clash, 9, "Dot", now_ms=3)


def test_an_owner_sees_its_own_clones_alone(clash: Database) -> None:
    for name, owner in (("Ada", "ann"), ("Bob", "bea"), ("Cleo", "ann")):
        clones.create(clash, name, engine="hold", now_ms=1, owner=owner)
    with clash.read() as connection:
        assert [clone.name for clone in clones.every(connection, owner="ann")] == ["Ada", "Cleo"]
        assert len(clones.every(connection)) == 3
        assert clones.owned(connection, 1, "ann").name == "Ada"
        for clone_id in (2, 9):
            with pytest.raises(CloneUnknown, match=f"there is no clone {clone_id}"):
                clones.owned(connection, clone_id, "ann")


def test_the_model_stays_within_the_entitlement_when_it_is_chosen_and_when_it_is_published(
    clash: Database, listing: dict[str, Listed]
) -> None:
    clone_id = published(clash, listing, "BTC")
    with pytest.raises(TierExceeded, match="may use models up to tier 1, not 2"):
        clones.set_model_tier(clash, clone_id, 2, now_ms=4)
    with pytest.raises(CloneError, match="1 to 3, not 4"):
        clones.set_model_tier(clash, clone_id, 4, now_ms=4)
    with clash.write() as connection:
        granted = entitlements.grant(connection, clone_id, "starter", 2, source="debug", ref="d", now_ms=4)
    clones.set_model_tier(clash, clone_id, 2, now_ms=5)
    with clash.write() as connection:
        entitlements.revoke(connection, granted, actor="root", reason="over", now_ms=6)
    for act in (
        lambda: clones.publish(clash, clone_id, listing, now_ms=7),
        lambda: clones.set_engine(clash, clone_id, "model", now_ms=7),
    ):
        with pytest.raises(TierExceeded):
            act()
    clones.set_model_tier(clash, clone_id, 1, now_ms=8)
    clones.set_engine(clash, clone_id, "model", now_ms=8)
    assert clones.publish(clash, clone_id, listing, now_ms=8).number == 1


def test_capacity_is_checked_again_at_publication(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    with clash.write() as connection:
        granted = entitlements.grant(connection, clone_id, "builder", 1, source="debug", ref="d", now_ms=4)
    clones.save_draft(clash, clone_id, graph("BTC", "ETH", "SOL", "DOGE"), listing, now_ms=5)
    with clash.write() as connection:
        entitlements.revoke(connection, granted, actor="root", reason="over", now_ms=6)
    with pytest.raises(GraphInvalid, match="allows 3 active assets"):
        clones.publish(clash, clone_id, listing, now_ms=7)


def test_another_layout_alone_is_saved_and_is_no_new_version(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    with clash.read() as connection:
        before = clones.active_version(connection, clone_id)
    moved = graph("BTC") | {"layout": {"nodes": {"stream-1": {"x": 40.0, "y": 2.0}}}}
    clones.save_draft(clash, clone_id, moved, listing, now_ms=4)
    assert clones.publish(clash, clone_id, listing, now_ms=5) == before
    with clash.read() as connection:
        assert clones.draft_graph(connection, clone_id) == moved
        assert versions.graph_of(connection, 1) == graph("BTC")


def test_a_version_is_read_back_as_it_was_published(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = published(clash, listing, "BTC")
    laid_out = graph("ETH") | {"layout": {"nodes": {"prompt-1": {"x": 1.0, "y": 2.0}}}}
    clones.save_draft(clash, clone_id, laid_out, listing, now_ms=4)
    clones.publish(clash, clone_id, listing, now_ms=5, actor="ada")
    with clash.read() as connection:
        listed_versions = versions.of_clone(connection, clone_id)
        second = versions.numbered(connection, clone_id, 2)
        assert versions.graph_of(connection, second.id) == laid_out
        with pytest.raises(CloneUnknown, match="clone 1 has no version 3"):
            versions.numbered(connection, clone_id, 3)
        with pytest.raises(CloneUnknown, match="no clone version 9"):
            versions.graph_of(connection, 9)
    assert [(item.number, item.is_active, item.published_by) for item in listed_versions] == [
        (2, True, "ada"),
        (1, False, "operator"),
    ]


def test_nobodys_edit_of_a_draft_is_lost(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Ada", engine="hold", now_ms=1)
    clones.save_draft(clash, clone_id, graph("BTC"), listing, now_ms=2)
    with clash.read() as connection:
        seen = drafts.of(connection, clone_id)
    assert seen is not None
    clones.save_draft(clash, clone_id, graph("ETH"), listing, now_ms=3, if_digest=seen.digest)
    with pytest.raises(DraftChanged, match="read it again"):
        clones.save_draft(clash, clone_id, graph("SOL"), listing, now_ms=4, if_digest=seen.digest)
    with clash.read() as connection:
        assert clones.draft_graph(connection, clone_id) == graph("ETH")
