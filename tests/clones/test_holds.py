"""Holds: what an audition freezes, that a race freezes nothing of the clone, and that several are one by one."""

from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline.clones import clones, entitlements, holds
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.holds import Hold
from clash_pipeline.clones.refusals import CloneConflict, CloneHeld, CloneUnknown
from clash_pipeline.market.listing import Listed
from clash_pipeline.storage.sqlite import Database, IntegrityError

FROZEN: dict[str, Callable[..., Any]] = {
    "publication": lambda clash, listing: clones.publish(clash, 1, listing, now_ms=9),
    "its trading toggle": lambda clash, _: clones.set_trading(clash, 1, True, now_ms=9),
    "its engine": lambda clash, _: clones.set_engine(clash, 1, "hold", now_ms=9),
    "its model": lambda clash, _: clones.set_model_tier(clash, 1, 2, now_ms=9),
}


@pytest.fixture
def held(clash: Database, listing: dict[str, Listed]) -> Database:
    """A published clone 1 that may use model tier 2, with another draft, in audition 7."""
    clones.create(clash, "Ada", engine="rules", now_ms=1)
    clones.save_draft(clash, 1, simple_graph(("BTC",)).wire(), listing, now_ms=2)
    clones.publish(clash, 1, listing, now_ms=3)
    clones.save_draft(clash, 1, simple_graph(("ETH",)).wire(), listing, now_ms=4)
    with clash.write() as connection:
        entitlements.grant(connection, 1, "starter", 2, source="purchase", ref="p1", now_ms=4)
        holds.place(connection, 1, "audition", "7", now_ms=5)
    return clash


@pytest.mark.parametrize("what", FROZEN)
def test_a_held_clone_keeps_what_competes_until_it_is_released(
    held: Database, listing: dict[str, Listed], what: str
) -> None:
    with pytest.raises(CloneHeld, match=f"held by audition 7 since 1970-01-01.*: {what} waits"):
        FROZEN[what](held, listing)
    with held.write() as connection:
        holds.release(connection, 1, "audition", "7", now_ms=8)
    FROZEN[what](held, listing)


@pytest.mark.parametrize("what", FROZEN)
def test_a_clone_in_a_race_may_change_because_the_race_runs_what_was_frozen_for_it(
    held: Database, listing: dict[str, Listed], what: str
) -> None:
    with held.write() as connection:
        holds.place(connection, 1, "race", "8", now_ms=6)
        holds.release(connection, 1, "audition", "7", now_ms=8)
    FROZEN[what](held, listing)


def test_a_held_clones_draft_and_name_may_change(held: Database, listing: dict[str, Listed]) -> None:
    clones.save_draft(held, 1, simple_graph(("SOL",)).wire(), listing, now_ms=9)
    assert clones.rename(held, 1, "Lovelace", now_ms=9) == "Lovelace"


def test_asking_for_what_is_so_already_is_no_change(held: Database) -> None:
    clones.set_trading(held, 1, False, now_ms=9)
    clones.set_engine(held, 1, "rules", now_ms=9)
    clones.set_model_tier(held, 1, 1, now_ms=9)


def test_two_holds_are_released_one_by_one(held: Database) -> None:
    with held.write() as connection:
        assert holds.place(connection, 1, "race", "7", now_ms=6)
        assert not holds.place(connection, 1, "audition", "7", now_ms=7)
        assert holds.of(connection, 1) == [Hold("audition", "7", 5), Hold("race", "7", 6)]
        assert holds.release(connection, 1, "audition", "7", now_ms=8)
        assert not holds.release(connection, 1, "audition", "7", now_ms=9)
        assert not holds.release(connection, 1, "audition", "8", now_ms=9)
        assert holds.of(connection, 1) == [Hold("race", "7", 6)]
        with pytest.raises(CloneConflict, match="audition 7 already released clone 1"):
            holds.place(connection, 1, "audition", "7", now_ms=10)
        with pytest.raises(CloneUnknown):
            holds.place(connection, 9, "race", "7", now_ms=10)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clones SET is_trading = 1",
        "UPDATE clones SET engine = 'hold'",
        "UPDATE clones SET model_tier = 3",
        "INSERT INTO clone_versions SELECT 9, 1, 9, '', '', printf('%064d', 1), 0, 0, ''",
        "UPDATE clone_holds SET ref = '8'",
        "DELETE FROM clone_holds",
    ],
)
def test_the_database_itself_keeps_a_held_clone(held: Database, statement: str) -> None:
    with pytest.raises(IntegrityError), held.write() as connection:
        connection.execute(statement)


def test_control_without_the_hold_the_same_statement_passes(held: Database) -> None:
    with held.write() as connection:
        holds.release(connection, 1, "audition", "7", now_ms=8)
        connection.execute("UPDATE clones SET is_trading = 1")
