"""Races end to end in virtual time: opened, launched, run, settled to the wei, archived, or called off and refunded."""

import pytest

from clash_pipeline.arena import acts, course, race_admin, race_audit, races, strikes
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.clones import clones, holds
from clash_pipeline.economy import pools, settling
from clash_pipeline.economy.audit import audit as audit_money
from clash_pipeline.economy.settling import Settled
from clash_pipeline.prop import accounts
from clash_pipeline.prop import audit as audit_books
from clash_pipeline.storage.sqlite import IntegrityError, one
from tests.fakes.circuit import Circuit
from tests.fakes.till import TICKET

LENGTH = 6 * HOUR_MS


def settlement(circuit: Circuit, race_id: int) -> Settled:
    with circuit.clash.read() as connection:
        found = settling.settlement_of(connection, race_id)
    assert found is not None
    return found


def held(circuit: Circuit, clone_id: int) -> list[str]:
    with circuit.clash.read() as connection:
        return [hold.ref for hold in holds.of(connection, clone_id)]


def is_clean(circuit: Circuit) -> bool:
    assert race_audit.audit(circuit.clash) == []
    assert audit_money(circuit.clash).differences == ()
    assert audit_books.audit(circuit.clash).is_clean
    return True


def refunds(circuit: Circuit, race_id: int) -> int:
    """How many tickets went back; the pool must have gone back whole."""
    found = settlement(circuit, race_id)
    assert (found.outcome, found.rake_wei, found.payouts) == ("refunded", 0, ())
    assert {paid.wei for paid in found.refunds} <= {str(TICKET)}
    return len(found.refunds)


# opening


def test_the_first_race_opens_for_a_start_on_the_grid_that_leaves_time_to_buy(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    assert circuit.advance() == [("race", 1, "accumulating")]
    race = circuit.race()
    assert race.starts_at % LENGTH == 0
    assert race.ends_at - race.starts_at == LENGTH
    assert (race.sales_open_at, race.sales_close_at) == (circuit.now, race.starts_at - 600 * SECOND_MS)
    assert race.sales_close_at - circuit.now >= 30 * MINUTE_MS
    assert race.universe == ("BTC",) == race.rules.policy.symbols
    assert circuit.advance() == []
    assert is_clean(circuit)


def test_a_start_too_close_is_passed_over(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    next_start = -(-circuit.now // LENGTH) * LENGTH
    circuit.go(next_start - 39 * MINUTE_MS)
    assert circuit.race().starts_at == next_start + LENGTH


def test_no_race_is_sold_that_could_not_start(circuit: Circuit) -> None:
    circuit.enter(houses=3)
    assert circuit.advance() == []
    circuit.enter(people=1)
    assert circuit.advance() == [("race", 1, "accumulating")]


def test_no_race_opens_without_a_liquid_perp(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    with circuit.market.write() as connection:
        connection.execute("UPDATE hyperliquid_assets SET is_delisted = 1")
    assert circuit.advance() == []


def test_the_field_is_one_clone_an_owner_and_a_graph_and_only_who_trades(circuit: Circuit) -> None:
    """House clones share an owner; what sits out does so with its reason."""
    houses = circuit.enter(houses=4)
    paused = circuit.enter(people=1)[0]
    clones.set_trading(circuit.clash, paused, False, now_ms=circuit.now)
    copy = circuit.enter(houses=1)[0]
    circuit.troupe.publish(copy, 360)  # the cadence, and so the graph, of the first one
    circuit.advance()
    race = circuit.race()
    assert sorted(one.clone_id for one in circuit.entrants(1)) == houses
    assert {one.clone_id: one.code for one in race.passed_over} == {paused: "not_trading", copy: "graph_races"}


def test_what_an_owner_does_after_the_freeze_is_for_the_race_after_the_next(circuit: Circuit) -> None:
    """Race 1 is live and race 2 frozen when the owner publishes, changes the engine and pauses: only race 3 sees it."""
    a, *_ = circuit.enter(houses=5)
    circuit.advance()
    frozen = next(one for one in circuit.entrants(1) if one.clone_id == a)
    first = circuit.launch(circuit.race())
    circuit.troupe.publish(a, 1_200)
    clones.set_engine(circuit.clash, a, "hold", now_ms=circuit.now)
    clones.set_trading(circuit.clash, a, False, now_ms=circuit.now)
    for race_id in (1, 2):
        with circuit.clash.read() as connection:
            account = accounts.get(connection, circuit.account(race_id, a))
            paces = connection.execute(
                "SELECT DISTINCT version_id, engine FROM decision_paces WHERE account_id = ?", (account.id,)
            ).fetchall()
        assert account.pinned == (frozen.version_id, "rules", 1)
        assert [tuple(pace) for pace in paces] == [(frozen.version_id, "rules")]
        circuit.finish(circuit.race(race_id))
    assert first.id == 1
    assert {one.clone_id: one.code for one in circuit.race(3).passed_over} == {a: "not_trading"}
    assert held(circuit, a) == []
    assert is_clean(circuit)


def test_the_schema_keeps_what_was_frozen_for_an_account(circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    account_id = circuit.account(race.id, a)
    for statement in (
        "UPDATE prop_accounts SET engine = 'hold' WHERE id = ?",
        "UPDATE prop_accounts SET version_id = NULL WHERE id = ?",
    ):
        with pytest.raises(IntegrityError), circuit.clash.write() as connection:
            connection.execute(statement, (account_id,))


# a whole race


def test_a_whole_race(circuit: Circuit) -> None:
    a, b, c, d, idle = circuit.enter(houses=2, people=3)
    circuit.advance()
    race = circuit.race()
    for number, clone_id, count in ((1, a, 3), (2, b, 2), (3, idle, 5)):
        circuit.bet(number, clone_id, race.id, count)
    race = circuit.launch(race)
    assert race.state == "live"
    assert circuit.race().id == 2  # the next one sells from the launch of this one
    assert circuit.race().starts_at == race.ends_at
    with circuit.clash.read() as connection:
        account = accounts.get(connection, circuit.account(race.id, a))
    assert (account.kind, account.parent_id, account.starts_at, account.ends_at) == (
        "race", race.id, race.starts_at, race.ends_at,
    )  # fmt: skip
    circuit.run(race, [(a, "90"), (b, "60"), (c, "40"), (d, "20")])
    race = circuit.race(race.id)
    assert race.state == "settled"
    assert circuit.ranks(race.id) == [
        (a, "active"), (b, "active"), (c, "active"), (d, "active"), (idle, "inactive"),
    ]  # fmt: skip
    found = settlement(circuit, race.id)
    each = {paid.clone_id: int(paid.wei) for paid in found.payouts}
    assert each == {a: 21_428_571_428_571_428, b: 12_857_142_857_142_857}  # the second golden vector of 11
    assert (found.rake_wei, found.dust_wei) == (5_000_000_000_000_002, 2)
    assert [int(paid.wei) for paid in found.royalties] == [3_125_000_000_000_000, 1_875_000_000_000_000]
    assert held(circuit, a) == ["2", "3"]  # the next one was launched meanwhile, and the one after it is on sale
    with circuit.clash.read() as connection:
        struck = [(strike.clone_id, strike.kind) for strike in strikes.of_race(connection, race.id)]
    assert struck == [(c, "unsold"), (d, "unsold")]
    assert is_clean(circuit)
    circuit.go(circuit.now + HOUR_MS)
    assert circuit.race(race.id).state == "archived"
    assert is_clean(circuit)


def test_the_way_of_a_race_is_written_down(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    circuit.finish(race)
    with circuit.clash.read() as connection:
        assert [move.state for move in races.moves(connection, race.id)] == list(races.ORDER[:5])


def test_a_race_without_a_ticket_settles_without_money_and_without_a_strike(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    circuit.finish(race)
    found = settlement(circuit, race.id)
    assert (found.outcome, found.pool_wei, found.rake_wei) == ("settled", 0, 0)
    with circuit.clash.read() as connection:
        assert strikes.of_race(connection, race.id) == []


def test_settling_waits_for_every_result_and_says_which_is_missing(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    circuit.go(race.ends_at + course.RESULTS_DUE_MS - 1)
    assert circuit.race(race.id).state == "live"
    circuit.go(race.ends_at + course.RESULTS_DUE_MS)
    assert circuit.race(race.id).state == "settling"
    with circuit.clash.read() as connection:
        assert one(connection, "SELECT code FROM race_incidents WHERE cleared_at IS NULL") == "result_missing"
    circuit.mark(race.id)
    circuit.advance()
    assert circuit.race(race.id).state == "settled"
    with circuit.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM race_incidents WHERE cleared_at IS NULL") == 0


def test_an_altered_result_pays_nobody(circuit: Circuit) -> None:
    """I9: what is ranked must hash to what was sealed."""
    clone_id = circuit.enter(houses=4)[0]
    circuit.advance()
    race = circuit.launch(circuit.race())
    circuit.clock.set(race.ends_at + MINUTE_MS)
    circuit.mark(race.id)
    with circuit.clash.write() as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'prop_results'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            "UPDATE prop_results SET final_equity = final_equity + 1 WHERE account_id = ?",
            (circuit.account(race.id, clone_id),),
        )
    circuit.advance()
    assert circuit.race(race.id).state == "settling"
    with circuit.clash.read() as connection:
        assert one(connection, "SELECT code FROM race_incidents") == "result_altered"
        assert settling.settlement_of(connection, race.id) is None


# called off


def test_a_field_that_became_too_small_is_called_off(circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1, 2)
    race_admin.remove(circuit.clash, 1, a, actor="root", reason="asked for", now_ms=circuit.now)
    assert held(circuit, a) == []
    circuit.advance()
    assert (circuit.race(1).state, circuit.race(1).cause) == ("cancelled", "few_starters")
    assert refunds(circuit, 1) == 2
    assert is_clean(circuit)


def test_the_race_after_one_that_was_called_off_opens_at_its_start(circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=5)
    circuit.advance()
    first = race_admin.cancel(circuit.clash, 1, actor="root", reason="maintenance", now_ms=circuit.now)
    assert circuit.go(first.starts_at - 1) == []
    assert circuit.go(first.starts_at) == [("race", 2, "accumulating")]
    assert circuit.race().starts_at == first.ends_at
    assert held(circuit, a) == ["2"]


def test_a_late_launch_is_called_off(circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1)
    race = circuit.race()
    circuit.go(race.starts_at + 30 * MINUTE_MS)
    assert (circuit.race(1).state, circuit.race(1).cause) == ("cancelled", "launch_late")
    assert refunds(circuit, 1) == 1
    with circuit.clash.read() as connection:
        assert strikes.of_race(connection, 1) == []
    assert circuit.race().id == 2


def test_a_launch_just_in_time_is_none(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    circuit.go(circuit.race().starts_at + 30 * MINUTE_MS - 1)
    assert circuit.race(1).state == "live"


def test_a_launch_waits_for_the_watcher(circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1)
    race = circuit.race()
    with circuit.clash.write() as connection:
        pools.watched(connection, race.sales_close_at, now_ms=circuit.now)
    circuit.go(race.starts_at)
    assert circuit.race(1).state == "launching"
    with circuit.clash.write() as connection:
        pools.watched(connection, race.sales_close_at + 1, now_ms=circuit.now)
    circuit.advance()
    assert circuit.race(1).state == "live"


def test_a_silent_market_does_not_start(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.race()
    circuit.go(race.starts_at - 30 * MINUTE_MS)
    circuit.is_heard = False
    circuit.go(race.starts_at)
    assert (circuit.race(1).state, circuit.race(1).cause) == ("cancelled", "market_halted")
    assert refunds(circuit, 1) == 0


def test_a_kill_switch_keeps_a_launch_waiting_until_it_is_late(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.race()
    circuit.go(race.sales_close_at)
    accounts.halt(circuit.clash, actor="root", reason="a rumour", now_ms=circuit.now)
    circuit.go(race.starts_at + 29 * MINUTE_MS)
    assert circuit.race(1).state == "launching"
    circuit.go(race.starts_at + 30 * MINUTE_MS)
    assert (circuit.race(1).state, circuit.race(1).cause) == ("cancelled", "market_halted")
    assert "a rumour" in (circuit.race(1).reason or "")


@pytest.mark.parametrize("halted", ["silence", "kill switch"])
def test_half_an_hour_without_a_market_ends_a_live_race(circuit: Circuit, halted: str) -> None:
    a, b, *_ = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1, 2)
    circuit.bet(2, b, 1)
    race = circuit.launch(circuit.race())
    circuit.go(race.starts_at + 2 * HOUR_MS)
    since = circuit.now
    if halted == "silence":
        circuit.is_heard = False
    else:
        accounts.halt(circuit.clash, actor="root", reason="a rumour", now_ms=since)
    circuit.go(since + 30 * MINUTE_MS - 1)
    assert circuit.race(1).state == "live"
    circuit.go(since + 30 * MINUTE_MS)
    assert (circuit.race(1).state, circuit.race(1).cause) == ("cancelled", "market_halted")
    assert refunds(circuit, 1) == 3
    with circuit.clash.read() as connection:
        assert accounts.get(connection, circuit.account(1, a)).state == "locked"
        assert strikes.of_race(connection, 1) == []
    assert is_clean(circuit)


def test_silence_over_the_end_calls_a_race_off_before_the_fixing_gives_up(circuit: Circuit) -> None:
    """Prices stop 10 min before the end and never come back: off at the end + 20 min, with every ticket refunded."""
    a, *_ = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1)
    race = circuit.launch(circuit.race())
    circuit.go(race.ends_at - 10 * MINUTE_MS)
    circuit.is_heard = False
    circuit.go(race.ends_at + 20 * MINUTE_MS - 1)
    assert circuit.race(1).state == "live"
    circuit.go(race.ends_at + 20 * MINUTE_MS)
    assert circuit.race(1).state == "cancelled"
    assert refunds(circuit, 1) == 1


def test_an_admin_calls_a_race_off_until_its_end_has_begun(circuit: Circuit) -> None:
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    circuit.finish(race)
    with pytest.raises(ArenaConflict, match="race 1 is settled and cannot be cancelled"):
        race_admin.cancel(circuit.clash, 1, actor="root", reason="too late", now_ms=circuit.now)
    with pytest.raises(ArenaConflict, match="cancel needs an actor and a reason"):
        race_admin.cancel(circuit.clash, 2, actor="root", reason=" ", now_ms=circuit.now)
    once = race_admin.cancel(circuit.clash, 2, actor="root", reason="maintenance", now_ms=circuit.now)
    assert race_admin.cancel(circuit.clash, 2, actor="root", reason="again", now_ms=circuit.now + 1) == once
    with pytest.raises(ArenaUnknown):
        race_admin.cancel(circuit.clash, 9, actor="root", reason="which", now_ms=circuit.now)
    with circuit.clash.read() as connection:
        written = [(one.act, one.race_id, one.outcome, one.reason, one.detail) for one in acts.newest(connection)]
    assert written == [
        ("cancel", 2, "unchanged", "again", ""), ("cancel", 2, "done", "maintenance", "live"),
        ("cancel", 1, "refused", "too late", "race 1 is settled and cannot be cancelled"),
    ]  # fmt: skip


# removed


def test_a_clone_removed_while_live_ranks_last_and_its_tickets_stay(circuit: Circuit) -> None:
    a, b, c, d = circuit.enter(houses=4)
    circuit.advance()
    circuit.bet(1, a, 1, 2)
    circuit.bet(2, b, 1, 1)
    race = circuit.launch(circuit.race())
    circuit.clock.set(race.starts_at + HOUR_MS)
    assert race_admin.remove(circuit.clash, 1, a, actor="root", reason="a cheat", now_ms=circuit.now)
    assert not race_admin.remove(circuit.clash, 1, a, actor="root", reason="a cheat", now_ms=circuit.now)
    assert held(circuit, a) == ["1", "2"]
    circuit.run(race, [(b, "50"), (c, "30"), (d, "20")])
    assert circuit.ranks(1) == [(b, "active"), (c, "active"), (d, "active"), (a, "removed")]
    found = settlement(circuit, 1)
    assert found.pool_wei == 3 * TICKET
    assert {paid.clone_id for paid in found.payouts} == {b}
    assert is_clean(circuit)


def test_a_clone_removed_before_launch_does_not_start_and_its_tickets_go_back(circuit: Circuit) -> None:
    a, b, *rest = circuit.enter(houses=5)
    circuit.advance()
    circuit.bet(1, a, 1, 2)
    circuit.bet(2, b, 1, 1)
    race_admin.remove(circuit.clash, 1, a, actor="root", reason="a cheat", now_ms=circuit.now)
    race = circuit.launch(circuit.race())
    circuit.run(race, [(b, "50"), (rest[0], "30")])
    found = settlement(circuit, 1)
    assert [(paid.clone_id, paid.wei) for paid in found.refunds] == [(a, str(TICKET))] * 2
    assert a not in [clone_id for clone_id, _ in circuit.ranks(1)]
    with pytest.raises(ArenaConflict, match="race 1 is settled"):
        race_admin.remove(circuit.clash, 1, b, actor="root", reason="late", now_ms=circuit.now)
    with pytest.raises(ArenaUnknown, match="clone 99 is not in the field"):
        race_admin.remove(circuit.clash, 2, 99, actor="root", reason="who", now_ms=circuit.now)
    assert is_clean(circuit)
