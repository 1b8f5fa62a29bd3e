"""One holder at a time, and a holder whose lease passed on cannot write any more."""

import platform
import random
import subprocess
import sys

import pytest

from clash_pipeline.storage import leases
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.leases import Lease, acquire, release, require
from clash_pipeline.storage.sqlite import Database

TTL = 60_000


def take(database: Database, holder: str, now_ms: int) -> Lease:
    return acquire(database, "ingester", holder, now_ms=now_ms, ttl_ms=TTL)


def check(database: Database, lease: Lease) -> None:
    with database.write() as connection:
        require(connection, lease)


def test_a_free_lease_is_taken_and_renewed_with_its_token(clash: Database) -> None:
    first = take(clash, "a", 0)
    assert first == Lease("ingester", "a", 1, TTL)
    assert take(clash, "a", 20_000) == Lease("ingester", "a", 1, 20_000 + TTL)


def test_a_held_lease_is_refused_with_the_holder_and_the_time_left(clash: Database) -> None:
    take(clash, "a", 0)
    with pytest.raises(LeaseLost, match="ingester is held by a for another 40 s"):
        take(clash, "b", 20_000)


@pytest.mark.parametrize(("now_ms", "is_free"), [(TTL - 1, False), (TTL, False), (TTL + 1, True)])
def test_it_passes_on_exactly_when_it_has_run_out(clash: Database, now_ms: int, *, is_free: bool) -> None:
    old = take(clash, "a", 0)
    if not is_free:
        with pytest.raises(LeaseLost):
            take(clash, "b", now_ms)
        return
    new = take(clash, "b", now_ms)
    assert new.token == old.token + 1
    check(clash, new)
    with pytest.raises(LeaseLost, match="has passed to another holder"):
        check(clash, old)


def test_a_stale_holder_that_comes_back_stays_fenced_off(clash: Database) -> None:
    """a stops, b works and gives back, a wakes up: its token is of the past."""
    stale = take(clash, "a", 0)
    release(clash, take(clash, "b", TTL + 1))
    with pytest.raises(LeaseLost):
        check(clash, stale)
    again = take(clash, "a", TTL + 2)
    assert again.token > stale.token + 1
    with pytest.raises(LeaseLost):
        check(clash, stale)


def test_a_fenced_write_takes_its_whole_transaction_with_it(clash: Database) -> None:
    stale = take(clash, "a", 0)
    take(clash, "b", TTL + 1)
    with pytest.raises(LeaseLost):
        _write_as(clash, stale)
    with clash.read() as connection:
        assert connection.execute("SELECT count(*) FROM leases WHERE name = 'written'").fetchone()[0] == 0


def test_a_release_by_a_stale_holder_changes_nothing(clash: Database) -> None:
    stale = take(clash, "a", 0)
    held = take(clash, "b", TTL + 1)
    release(clash, stale)
    check(clash, held)


def test_leases_of_other_names_are_of_no_concern(clash: Database) -> None:
    take(clash, "a", 0)
    other = acquire(clash, "another", "b", now_ms=0, ttl_ms=TTL)
    check(clash, other)


@pytest.mark.parametrize("seed", range(20))
def test_at_no_time_two_tokens_are_good(clash: Database, seed: int) -> None:
    rng, held, now = random.Random(seed), {}, 0
    tokens: list[int] = []
    for _ in range(40):
        now += rng.randint(0, TTL)
        holder = rng.choice("abc")
        if rng.random() < 0.2 and holder in held:
            release(clash, held[holder])
            continue
        try:
            held[holder] = take(clash, holder, now)
        except LeaseLost:
            continue
        tokens.append(held[holder].token)
        assert [name for name, lease in held.items() if _is_good(clash, lease)] == [holder]
    assert tokens == sorted(tokens)


def _is_good(database: Database, lease: Lease) -> bool:
    with database.read() as connection:
        try:
            leases.require(connection, lease)
        except LeaseLost:
            return False
    return True


def _write_as(database: Database, lease: Lease) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO leases (name, holder, token, until_ms) VALUES ('written', '', 0, 0)")
        require(connection, lease)


def test_a_holder_that_was_killed_does_not_make_its_successor_wait(clash: Database) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{platform.node()}:{killed.pid}"
    old = take(clash, name, 0)
    with pytest.raises(LeaseLost):
        take(clash, "b", 1)
    killed.kill()
    killed.communicate()
    assert take(clash, "b", 2).token == old.token + 1
    with pytest.raises(LeaseLost):
        check(clash, old)


def test_nobody_is_declared_dead_who_may_live() -> None:
    for holder in ("", "a", "elsewhere:1", leases.this_process(), f"{platform.node()}:x", f"{platform.node()}:1"):
        assert not leases.is_gone(holder), holder
