"""The books in production: what changed is audited once, a difference stops money and settlement (09 G5)."""

import pytest

from clash_pipeline.alerts import books
from clash_pipeline.arena import finishing, incidents
from clash_pipeline.arena.parts import parts_of
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.economy import switches
from clash_pipeline.prop import accounts, standings
from clash_pipeline.prop.marks import mark
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.circuit import Circuit
from tests.fakes.world import World


def break_books(world: World) -> None:
    """A balance that no ledger line explains; the triggers stand aside, as they would not in life."""
    with world.clash.write() as connection:
        connection.execute("DROP TRIGGER prop_accounts_fixed_terms")
        connection.execute("UPDATE prop_accounts SET balance = balance + 1, revision = revision + 1 WHERE id = 1")


def test_an_account_is_audited_once_for_each_change(world: World) -> None:
    _, account_id = world.clone("BTC")
    assert [books.check(world, is_full=False).accounts for _ in range(2)] == [1, 0]
    world.clock.advance(MINUTE_MS)
    world.minute("BTC", "100")
    mark(world.clash, world.market, account_id, world.clock.now_ms())
    accounts.move(world.clash, account_id, "paused", now_ms=world.clock.now_ms(), actor="op", reason="r")
    assert books.check(world, is_full=False).accounts == 1
    assert books.check(world, is_full=True).differences == ()


@pytest.mark.parametrize("is_full", [False, True])
def test_a_difference_stops_orders_and_signing_until_a_person_releases_them(world: World, is_full: bool) -> None:
    world.clone("BTC")
    break_books(world)
    checked = books.check(world, is_full=is_full)
    assert {one.invariant for one in checked.differences} >= {"I6"}
    assert checked.has_stopped
    assert not books.check(world, is_full=True).has_stopped  # it stands already
    with world.clash.read() as connection:
        halt = standings.halt_of_all(connection)
        assert halt is not None
        assert (halt.actor, "prop_accounts(1)" in halt.reason) == ("audit", True)
        assert switches.is_thrown(connection) is not None


def test_control_clean_books_stop_nothing(world: World) -> None:
    world.clone("BTC")
    assert not books.check(world, is_full=True).has_stopped
    with world.clash.read() as connection:
        assert standings.halt_of_all(connection) is None
        assert switches.is_thrown(connection) is None


def test_no_race_is_settled_or_refunded_while_the_books_do_not_close(
    settings: Settings, clock: SettableClock, clash: Database, market: Database
) -> None:
    circuit = Circuit.of(settings, clock, clash, market)
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    accounts.halt(clash, actor=accounts.AUDITOR, reason="1 differences", now_ms=circuit.now)
    circuit.go(race.starts_at + 45 * MINUTE_MS)
    assert circuit.race(race.id).state == "live"  # any other halt would have cancelled and refunded it
    circuit.finish(race)
    assert circuit.race(race.id).state == "settling"
    assert not finishing.finish(parts_of(circuit, circuit.venue), circuit.race(race.id), circuit.now)
    with clash.read() as connection:
        assert [one.code for one in incidents.standing(connection)] == ["books_differ"]
    accounts.release(clash, actor="root", now_ms=circuit.now)
    circuit.advance()
    assert circuit.race(race.id).state == "settled"
