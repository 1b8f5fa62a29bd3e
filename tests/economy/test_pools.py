"""Pools: what is on sale, what a buyer is shown, and when every ticket is known (11, 11 to 15)."""

import pytest

from clash_pipeline.economy import pools, tickets
from clash_pipeline.economy.pools import Demand, PoolClone
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from tests.fakes.till import CLOSES, HIDDEN, OPENS, RACE, START, TICKET, Till


def opened(till: Till, field: list[PoolClone], **other: int) -> bool:
    terms = {"price_wei": TICKET, "opens_at": OPENS, "closes_at": CLOSES, "hidden_from": HIDDEN, **other}
    with till.clash.write() as connection:
        return pools.open_pool(connection, RACE, field, now_ms=START, **terms)


def test_a_pool_opens_once_with_its_terms(till: Till) -> None:
    field = [PoolClone(till.clone(name), None) for name in ("Ada", "Bea")]
    assert opened(till, field)
    assert not opened(till, list(reversed(field)))
    for other in ({"price_wei": 1}, {"closes_at": CLOSES + 1}):
        with pytest.raises(EconomyConflict):
            opened(till, field, **other)
    with pytest.raises(EconomyConflict):
        opened(till, field[:1])


def test_demand_tells_the_owners_own_tickets_apart(till: Till) -> None:
    owner = till.person(1)
    field = till.race([owner, None, None, None])
    till.bet(owner, field[0], 2)
    till.bet(till.person(2), field[0], 3)
    till.bet(owner, field[1])
    with till.clash.read() as connection:
        found = pools.demand(connection, RACE)
    assert found == {field[0]: Demand(5, 3), field[1]: Demand(1, 1), field[2]: Demand(0, 0), field[3]: Demand(0, 0)}


def test_the_payout_shown_is_what_a_race_of_that_kind_pays(till: Till) -> None:
    """Four starters pay one place: the projection is exact."""
    field = till.race([till.person(number) for number in range(1, 5)])
    till.bet(till.person(9), field[1], 3)
    with till.clash.read() as connection:
        first, *rest = pools.multiples(connection, RACE, field[0], count=2)
    assert rest == [None, None]
    till.bet(till.person(9), field[0], 2)
    assert {paid.wei for paid in till.settle(field).payouts} == {str(first)}


@pytest.mark.parametrize(("starters", "paying"), [(3, 0), (4, 1), (5, 2), (7, 2), (8, 3), (20, 3)])
def test_only_places_that_pay_have_a_projection(starters: int, paying: int) -> None:
    shown = pools.projected(TICKET, 1, 30, starters)
    assert [wei is not None for wei in shown] == [place < paying for place in range(3)]
    assert list(shown[:paying]) == sorted(shown[:paying], reverse=True)  # type: ignore[type-var]


def test_counts_and_payouts_stand_still_in_the_last_half_hour(till: Till) -> None:
    user = till.person(1)
    field = till.race([None] * 5)
    till.bet(user, field[0], 2)
    with till.clash.read() as connection:
        before = tickets.offers(connection, RACE, now_ms=HIDDEN - 1)
    asked = till.quote(bet_on(user, field[0]), now_ms=HIDDEN)
    till.record(till.deposit(asked), now_ms=HIDDEN + 60_000)
    with till.clash.read() as connection:
        hidden = tickets.offers(connection, RACE, now_ms=HIDDEN)
        after = tickets.offers(connection, RACE, now_ms=CLOSES)
    assert [(offer.tickets, offer.payouts) for offer in hidden] == [(offer.tickets, offer.payouts) for offer in before]
    assert {offer.is_hidden for offer in hidden} == {True}
    assert (before[0].tickets, after[0].tickets) == (2, 5)


def test_control_without_a_time_nothing_is_hidden(till: Till) -> None:
    user = till.person(1)
    field = till.race([None] * 5)
    till.bet(user, field[1])
    asked = till.quote(bet_on(user, field[0]), now_ms=HIDDEN)
    till.record(till.deposit(asked), now_ms=HIDDEN + 60_000)
    with till.clash.read() as connection:
        shown = pools.multiples(connection, RACE, field[0], now_ms=HIDDEN + 70_000)
        whole = pools.multiples(connection, RACE, field[0])
    assert shown != whole


def bet_on(user: int, clone_id: int) -> Wanted:
    return Wanted(user, "ticket", clone_id, race_id=RACE, count=3)


def test_a_pool_is_known_when_the_watcher_passed_its_close(till: Till) -> None:
    user = till.person(1)
    field = till.race([None] * 4)
    grace = pools.WATCH_GRACE_MS
    assert [watched(till, now) for now in (CLOSES, CLOSES + grace - 1, CLOSES + grace)] == [False, False, True]
    till.bet(user, field[0])
    see(till, CLOSES)
    assert not watched(till, CLOSES + 100 * grace), "the block at the close may be followed by another of its time"
    see(till, CLOSES + 1)
    see(till, CLOSES - 5)
    assert watched(till, CLOSES + 2)


def watched(till: Till, now_ms: int) -> bool:
    with till.clash.read() as connection:
        return pools.is_watched(connection, RACE, now_ms=now_ms)


def see(till: Till, block_ms: int) -> None:
    with till.clash.write() as connection:
        pools.watched(connection, block_ms, now_ms=block_ms)


def test_what_a_pool_does_not_have_is_unknown(till: Till) -> None:
    field = till.race([None] * 4)
    with till.clash.write() as connection:
        with pytest.raises(EconomyUnknown):
            pools.close_pool(connection, 99, now_ms=1)
        with pytest.raises(EconomyUnknown):
            pools.leave(connection, RACE, 999, now_ms=1)
        with pytest.raises(EconomyUnknown):
            pools.multiples(connection, RACE, 999)
        pools.close_pool(connection, RACE, now_ms=1)
        with pytest.raises(EconomyConflict, match="before launch only"):
            pools.leave(connection, RACE, field[0], now_ms=2)
