"""The audit of the Arena is clean after honest work, and finds every single thing that was changed behind our back."""

from contextlib import suppress

import pytest

from clash_pipeline.arena import admin, strikes
from clash_pipeline.arena.audit import CHECKS, audit
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.decisions.audit import audit as books
from clash_pipeline.economy import pools
from clash_pipeline.economy.audit import audit as money
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.prop.differences import Difference
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.till import TICKET
from tests.fakes.troupe import ADMIN, Troupe

EASY = {"LENGTH_SEC": "3600", "MIN_RETURN_BP": "0", "MIN_FILLS": "0", "MIN_HOURS": "0"}


def easy(settings: Settings) -> Settings:
    """Rules that an idle account meets."""
    terms = {f"CLASH_AUDITION_{name}": value for name, value in EASY.items()}
    return load({"CLASH_HOME": str(settings.home), "CLASH_ARENA_SLOTS": "3", **terms})


@pytest.fixture
def lived(troupe: Troupe) -> Troupe:
    """Clone 1 has slot 1, 2 waits behind its profile, 3 failed, 4 was voided; 5 and 6 are of the house, 6 retired."""
    strict, troupe.settings = troupe.settings, easy(troupe.settings)
    passed = [troupe.submit(troupe.clone(face=face)) for face in ("approved", "submitted")]
    for audition in passed:
        troupe.end(audition)
    troupe.judge()
    troupe.sync()
    troupe.settings = strict
    failed = troupe.submit(troupe.clone())
    troupe.end(failed)
    troupe.judge()
    voided = troupe.submit(troupe.clone())
    admin.void(troupe.clash, SteadyVenue(), voided.id, actor=ADMIN, reason="an outage", now_ms=troupe.now)
    house = [troupe.house(), troupe.house()]
    for number, sold in enumerate(([0, 1, 0], [2, 1, 0]), start=1):
        settle(troupe, number, dict(zip([1, *house], sold, strict=True)))
        troupe.clock.advance(6 * HOUR_MS)
    troupe.clock.advance(DAY_MS)
    admin.retire(troupe.clash, house[1], actor=ADMIN, reason="enough", now_ms=troupe.now)
    return troupe


def settle(troupe: Troupe, race_id: int, sold: dict[int, int]) -> None:
    """A race whose tickets a stranger bought."""
    creators = {clone_id: None if clone_id > 4 else troupe.owner_of(clone_id) for clone_id in sold}
    with troupe.clash.write() as connection:
        pools.open_pool(
            connection, race_id, [PoolClone(*pair) for pair in creators.items()], price_wei=TICKET,
            opens_at=troupe.now - 1, closes_at=troupe.now + HOUR_MS, hidden_from=troupe.now, now_ms=troupe.now,
        )  # fmt: skip
    stranger = troupe.till.person(9)
    for clone_id, count in sold.items():
        if count:
            purchase = troupe.till.quote(
                Wanted(stranger, "ticket", clone_id, race_id=race_id, count=count), now_ms=troupe.now
            )
            troupe.till.record(troupe.till.deposit(purchase), now_ms=troupe.now)
    with troupe.clash.write() as connection:
        strikes.record(connection, race_id, troupe.now, limit=8)


def test_honest_work_leaves_every_audit_clean(lived: Troupe) -> None:
    assert audit(lived.clash) == ()
    assert books(lived.clash).differences == ()
    assert money(lived.clash).differences == ()
    with lived.clash.read() as connection:
        states = [row["state"] for row in connection.execute("SELECT state FROM auditions ORDER BY id")]
        given = [tuple(row) for row in connection.execute("SELECT clone_id, race_id, cleared_by FROM clone_strikes")]
    assert states == ["passed", "passed", "failed", "voided"]
    assert given == [(1, 1, 2), (6, 1, None), (6, 2, None)]


class Undone(Exception):
    """Takes a change back."""


def found_after(troupe: Troupe, *statements: str) -> list[Difference]:
    """What the audit says of a database in which the guards are gone and rows were changed."""
    found: list[Difference] = []
    with suppress(Undone), troupe.clash.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        drop_guards(connection)
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        found += [difference for check in CHECKS for difference in check(connection)]
        raise Undone
    return found


def drop_guards(connection: Connection) -> None:
    names = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]
    for name in names:
        connection.execute(f"DROP TRIGGER {name}")  # a name of our own schema
    connection.execute("DROP INDEX arena_slots_one_occupant")


BROKEN = {
    "A1 rules": ('UPDATE auditions SET rules = \'{"rule_set":1,"criteria":[]}\' WHERE id = 1',),
    "A1 account": ("UPDATE auditions SET account_id = 99 WHERE id = 1",),
    "A1 window": ("UPDATE auditions SET ends_at = ends_at + 60000 WHERE id = 3",),
    "A1 graph": (f"UPDATE auditions SET compiled_hash = '{'0' * 64}' WHERE id = 1",),
    "A1 result": (f"UPDATE auditions SET result_hash = '{'0' * 64}' WHERE id = 3",),
    "A1 criteria": ("UPDATE auditions SET criteria = '[]' WHERE id = 3",),
    "A1 verdict": ("UPDATE auditions SET state = 'passed', cause = NULL WHERE id = 3",),
    "A1 cause": ("UPDATE auditions SET cause = 'fills' WHERE id = 3",),
    "A2 hold": ("UPDATE clone_holds SET released_at = NULL WHERE ref = '1'",),
    "A2 credit": ("UPDATE audition_credits SET used_by = 77 WHERE used_by = 3",),
    "A2 purchase": ("UPDATE purchases SET state = 'refunded' WHERE id = 1",),
    "A2 refund": ("DELETE FROM payables WHERE kind = 'refund'",),
    "A3 place": ("DELETE FROM promotion_queue WHERE clone_id = 2",),
    "A3 pass": ("UPDATE promotion_queue SET audition_id = 3 WHERE clone_id = 2",),
    "A3 early": ("UPDATE promotion_queue SET passed_at = passed_at - 1 WHERE clone_id = 2",),
    "A3 admitted": ("DELETE FROM arena_slots WHERE clone_id = 1",),
    "A3 entered": ("UPDATE arena_slots SET queue_id = 2 WHERE clone_id = 1",),
    "A3 overlap": ("UPDATE arena_slots SET slot_no = 1 WHERE clone_id = 5",),
    "A3 no pass": ("UPDATE arena_slots SET queue_id = NULL WHERE clone_id = 1",),
    "A4 demand": ("UPDATE clone_demand SET by_others = 0 WHERE race_id = 2 AND clone_id = 1",),
    "A4 strike": ("DELETE FROM clone_strikes WHERE clone_id = 6 AND race_id = 2",),
    "A4 invented": ("INSERT INTO clone_strikes (clone_id, race_id, kind, at) VALUES (5, 1, 'unsold', 1)",),
    "A4 cleared": ("UPDATE clone_strikes SET cleared_at = 1, cleared_by = 2 WHERE clone_id = 6",),
    "A4 kept": ("UPDATE clone_strikes SET cleared_at = NULL, cleared_by = NULL WHERE clone_id = 1",),
    "A5 slot": ("UPDATE arena_slots SET left_at = NULL, left_by = NULL, reason = NULL WHERE clone_id = 6",),
    "A5 request": (
        "INSERT INTO retirement_requests (clone_id, requested_by, reason, requested_at) VALUES (6, 'x', 'y', 1)",
    ),
    "A5 fame": ("DELETE FROM hall_of_fame",),
    "A5 hash": ("UPDATE hall_of_fame SET name = 'Somebody else'",),
    "A5 career": ("UPDATE arena_slots SET entered_at = entered_at - 86400000 WHERE clone_id = 6",),
    "A5 reason": ("UPDATE clone_retirements SET reason = 'another'",),
}


def test_control_each_broken_invariant_is_found_and_every_check_finds_one(lived: Troupe) -> None:
    said = {name: found_after(lived, *statements) for name, statements in BROKEN.items()}
    silent = {name for name, found in said.items() if name[:2] not in {each.invariant for each in found}}
    assert silent == set()
    assert len({each.message for found in said.values() for each in found}) >= len(BROKEN)
    assert audit(lived.clash) == ()
