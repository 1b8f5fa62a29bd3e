"""Strikes, retirement and the Hall of Fame: what a race costs and clears, who goes when, and what is kept of them."""

import json
from collections.abc import Mapping

import pytest

from clash_pipeline import canonical
from clash_pipeline.arena import acts, admin, entry, hall_of_fame, product_states, queue, requests, retirement, strikes
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.arena.strikes import Sold
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.clones import holds, public_profiles
from clash_pipeline.clones import retirement as retirements
from clash_pipeline.clones.refusals import CloneUnknown
from clash_pipeline.economy import pools
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.storage.sqlite import IntegrityError, one
from tests.fakes.till import TICKET
from tests.fakes.troupe import ADMIN, Troupe


def open_pool(troupe: Troupe, race_id: int, clones: list[int]) -> None:
    with troupe.clash.write() as connection:
        pools.open_pool(
            connection, race_id, [PoolClone(clone_id, None) for clone_id in clones], price_wei=TICKET,
            opens_at=troupe.now, closes_at=troupe.now + HOUR_MS, hidden_from=troupe.now + HOUR_MS, now_ms=troupe.now,
        )  # fmt: skip


def race(
    troupe: Troupe, race_id: int, sold: Mapping[int, int], *, own: Mapping[int, int] | None = None,
    is_queued: bool = False, limit: int = 8, off_sale: int = 0,
) -> list[tuple[int, str]]:  # fmt: skip
    """Settle a race of which others bought so many tickets on each clone, and its owner `own`; the strikes it gave."""
    open_pool(troupe, race_id, list(sold))
    bought = own or {}
    demand = [
        Sold(clone_id, count + bought.get(clone_id, 0), count, clone_id != off_sale) for clone_id, count in sold.items()
    ]
    with troupe.clash.write() as connection:
        strikes.count(connection, race_id, demand, limit=limit, is_queued=is_queued, now_ms=troupe.now)
    with troupe.clash.write() as connection:  # a second count is the first
        given = strikes.count(connection, race_id, [], limit=limit, is_queued=True, now_ms=troupe.now + 1)
    return [(strike.clone_id, strike.kind) for strike in given]


def standing(troupe: Troupe, clone_id: int) -> int:
    with troupe.clash.read() as connection:
        return len(strikes.of(connection, clone_id))


# strikes


def test_a_clone_that_nobody_else_buys_takes_a_strike_and_one_sale_clears_them_all(troupe: Troupe) -> None:
    wanted, unwanted = troupe.house(), troupe.house()
    for number in (1, 2, 3):
        assert race(troupe, number, {wanted: 2, unwanted: 0}) == [(unwanted, "unsold")]
    assert standing(troupe, unwanted) == 3
    assert race(troupe, 4, {wanted: 0, unwanted: 1}) == [(wanted, "unsold")]
    assert standing(troupe, unwanted) == 0
    with troupe.clash.read() as connection:
        cleared = connection.execute("SELECT DISTINCT cleared_by FROM clone_strikes WHERE clone_id = ?", (unwanted,))
        assert [row[0] for row in cleared] == [4]


def test_an_owners_own_ticket_neither_saves_nor_clears(troupe: Troupe) -> None:
    one_clone, other = troupe.house(), troupe.house()
    assert race(troupe, 1, {one_clone: 0, other: 3}, own={one_clone: 5}) == [(one_clone, "unsold")]
    assert standing(troupe, one_clone) == 1


def test_a_race_that_nobody_bought_a_ticket_of_gives_no_strike(troupe: Troupe) -> None:
    clones = [troupe.house(), troupe.house()]
    assert race(troupe, 1, dict.fromkeys(clones, 0)) == []


def test_a_clone_that_was_not_on_sale_for_the_whole_window_takes_none(troupe: Troupe) -> None:
    left, stayed = troupe.house(), troupe.house()
    assert race(troupe, 1, {left: 0, stayed: 1}, off_sale=left) == []


def test_while_somebody_waits_the_least_demanded_slot_takes_one_more(troupe: Troupe) -> None:
    clones = [troupe.house() for _ in range(3)]
    assert race(troupe, 1, dict(zip(clones, (3, 1, 2), strict=True)), is_queued=True) == [(clones[1], "least_demand")]
    assert race(troupe, 2, dict(zip(clones, (0, 5, 1), strict=True)), is_queued=True) == [
        (clones[0], "least_demand"), (clones[0], "unsold"),
    ]  # fmt: skip
    assert standing(troupe, clones[0]) == 2
    assert standing(troupe, clones[1]) == 0
    assert race(troupe, 3, dict(zip(clones, (1, 1, 1), strict=True))) == []


def test_demand_is_that_of_the_last_twelve_races(troupe: Troupe) -> None:
    early, late = troupe.house(), troupe.house()
    race(troupe, 1, {early: 50, late: 1})
    for number in range(2, 14):
        race(troupe, number, {early: 1, late: 2})
    with troupe.clash.read() as connection:
        assert (strikes.demand(connection, early), strikes.demand(connection, late)) == (12, 24)
    assert race(troupe, 14, {early: 2, late: 1}, is_queued=True) == [(early, "least_demand")]


def test_of_equals_the_one_that_is_longest_in_its_slot(troupe: Troupe) -> None:
    first = troupe.house()
    troupe.clock.advance(1)
    second = troupe.house()
    assert race(troupe, 1, {second: 1, first: 1}, is_queued=True) == [(first, "least_demand")]


def test_a_queue_counts_while_somebody_in_it_could_enter(troupe: Troupe) -> None:
    with troupe.clash.read() as connection:
        assert not entry.is_wanted(connection, troupe.now)
    troupe.passed(face="submitted")
    with troupe.clash.read() as connection:
        assert not entry.is_wanted(connection, troupe.now)  # its gate is closed
    troupe.passed()
    with troupe.clash.read() as connection:
        assert entry.is_wanted(connection, troupe.now)


def test_the_demand_of_a_race_is_that_of_its_pool(troupe: Troupe) -> None:
    owned = [troupe.clone() for _ in range(2)]
    creators = [troupe.owner_of(clone_id) for clone_id in owned]
    with troupe.clash.write() as connection:
        pools.open_pool(
            connection, 7, [PoolClone(*pair) for pair in zip(owned, creators, strict=True)], price_wei=TICKET,
            opens_at=troupe.now - 1, closes_at=troupe.now + HOUR_MS, hidden_from=troupe.now + HOUR_MS,
            now_ms=troupe.now,
        )  # fmt: skip
    troupe.till.bet(creators[0], owned[0], 3)  # their own
    troupe.till.bet(creators[0], owned[1], 2)
    with troupe.clash.write() as connection:
        given = strikes.record(connection, 7, troupe.now, limit=8)
    assert [(strike.clone_id, strike.kind) for strike in given] == [(owned[0], "unsold")]


# eight in a row


def strike_out(troupe: Troupe, clone_id: int, other: int, *, first: int = 1, races: int = 8) -> None:
    for number in range(first, first + races):
        race(troupe, number, {clone_id: 0, other: 1})


def test_eight_in_a_row_retire_and_seven_do_not(troupe: Troupe) -> None:
    loser, other = troupe.house(), troupe.house()
    strike_out(troupe, loser, other, races=7)
    assert retirement.carry_out_due(troupe.clash, troupe.now) == []
    strike_out(troupe, loser, other, first=8, races=1)
    assert retirement.carry_out_due(troupe.clash, troupe.now) == [loser]
    assert retirement.carry_out_due(troupe.clash, troupe.now) == []
    assert [occupant.clone_id for occupant in troupe.occupants()] == [other]
    with troupe.clash.read() as connection:
        assert retirements.is_retired(connection, loser)
        assert public_profiles.shown(connection, loser) is not None  # kept
        assert product_states.of(connection, loser) == "retired"
        (found,) = hall_of_fame.every(connection)
    assert found.clone_id == loser
    assert found.reason == "8 strikes in a row, 8 retire a clone"


def test_the_eighth_waits_for_the_races_that_hold_the_clone(troupe: Troupe) -> None:
    loser, other = troupe.house(), troupe.house()
    with troupe.clash.write() as connection:
        holds.place(connection, loser, "race", "9", now_ms=troupe.now)
    strike_out(troupe, loser, other)
    assert retirement.carry_out_due(troupe.clash, troupe.now) == []
    with troupe.clash.write() as connection:
        assert retirement.waits(connection, loser)
        holds.release(connection, loser, "race", "9", now_ms=troupe.now)
    assert retirement.carry_out_due(troupe.clash, troupe.now) == [loser]


def test_control_a_sale_in_between_keeps_the_clone(troupe: Troupe) -> None:
    loser, other = troupe.house(), troupe.house()
    strike_out(troupe, loser, other, races=7)
    race(troupe, 8, {loser: 1, other: 1})
    strike_out(troupe, loser, other, first=9, races=7)
    assert retirement.carry_out_due(troupe.clash, troupe.now) == []


# by an admin


def retire(troupe: Troupe, clone_id: int, reason: str = "it misleads people") -> str:
    return admin.retire(troupe.clash, clone_id, actor=ADMIN, reason=reason, now_ms=troupe.now)


def test_an_admin_retires_a_clone_wherever_it_is(troupe: Troupe) -> None:
    racing, queued, idle = troupe.house(), troupe.passed(), troupe.clone()
    assert [retire(troupe, clone_id) for clone_id in (racing, queued, idle)] == ["done"] * 3
    assert [retire(troupe, clone_id) for clone_id in (racing, queued, idle)] == ["unchanged"] * 3
    with troupe.clash.read() as connection:
        assert queue.waiting(connection) == []
        assert [found.clone_id for found in hall_of_fame.every(connection)] == [racing]  # only it was in the Arena
        outcomes = [act.outcome for act in acts.newest(connection)]
    assert outcomes == ["unchanged"] * 3 + ["done"] * 3 + ["done"]


def test_a_retirement_of_a_held_clone_waits_and_may_be_taken_back(troupe: Troupe) -> None:
    clone_id = troupe.house()
    with troupe.clash.write() as connection:
        holds.place(connection, clone_id, "race", "9", now_ms=troupe.now)
    assert [retire(troupe, clone_id), retire(troupe, clone_id)] == ["waits", "waits"]
    assert admin.reinstate(troupe.clash, clone_id, actor=ADMIN, reason="a mistake", now_ms=troupe.now)
    assert not admin.reinstate(troupe.clash, clone_id, actor=ADMIN, reason="a mistake", now_ms=troupe.now)
    with troupe.clash.read() as connection:
        assert requests.every_open(connection) == []
        assert not retirements.is_retired(connection, clone_id)


def test_a_reinstated_clone_begins_without_strikes_and_without_a_slot(troupe: Troupe) -> None:
    loser, other = troupe.house(), troupe.house()
    strike_out(troupe, loser, other)
    retirement.carry_out_due(troupe.clash, troupe.now)
    assert admin.reinstate(troupe.clash, loser, actor=ADMIN, reason="one more chance", now_ms=troupe.now)
    assert standing(troupe, loser) == 0
    with troupe.clash.read() as connection:
        assert product_states.of(connection, loser) == "configured"
    assert admin.admit(troupe.clash, troupe.settings, loser, actor=ADMIN, reason="again", now_ms=troupe.now)


def test_control_an_act_needs_a_reason_and_a_clone(troupe: Troupe) -> None:
    with pytest.raises(ArenaConflict, match="needs an actor and a reason"):
        retire(troupe, troupe.house(), " ")
    with pytest.raises(CloneUnknown, match="no clone 99"):
        retire(troupe, 99)


# careers


def test_a_career_counts_stays_and_tickets(troupe: Troupe) -> None:
    clone_id, other = troupe.house(), troupe.house()
    race(troupe, 1, {clone_id: 3, other: 1}, own={clone_id: 2})
    race(troupe, 2, {clone_id: 1, other: 1})
    troupe.clock.advance(3 * DAY_MS + HOUR_MS)
    retire(troupe, clone_id)
    with troupe.clash.read() as connection:
        (found,) = hall_of_fame.of(connection, clone_id)
    career = found.career
    assert (career.tickets, career.tickets_by_others, career.tickets_wei) == (6, 4, str(6 * TICKET))
    assert (career.races, career.best_return, career.royalties_wei) == (0, None, "0")
    assert (career.days, career.in_arena_ms) == (3, 3 * DAY_MS + HOUR_MS)
    assert (career.engine, career.model_tier) == ("rules", None)
    assert found.name == "Player 1"


def test_an_entry_is_sealed_and_never_changes(troupe: Troupe) -> None:
    clone_id = troupe.house()
    retire(troupe, clone_id)
    with troupe.clash.read() as connection:
        row = dict(connection.execute("SELECT * FROM hall_of_fame").fetchone())
        assert row["hash"] == hall_of_fame.seal(row)
        assert canonical.text(json.loads(row["career"])) == row["career"]
    for statement in ("UPDATE hall_of_fame SET reason = 'x'", "DELETE FROM hall_of_fame"):
        with pytest.raises(IntegrityError, match="append-only"), troupe.clash.write() as connection:
            connection.execute(statement)


def test_a_second_career_is_an_entry_of_its_own(troupe: Troupe) -> None:
    clone_id = troupe.house()
    retire(troupe, clone_id)
    admin.reinstate(troupe.clash, clone_id, actor=ADMIN, reason="again", now_ms=troupe.now)
    admin.admit(troupe.clash, troupe.settings, clone_id, actor=ADMIN, reason="again", now_ms=troupe.now)
    troupe.clock.advance(DAY_MS)
    retire(troupe, clone_id, "enough now")
    with troupe.clash.read() as connection:
        assert [found.reason for found in hall_of_fame.of(connection, clone_id)] == ["enough now", "it misleads people"]
        assert one(connection, "SELECT count(*) FROM clone_retirements") == 2
