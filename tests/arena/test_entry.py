"""The queue and the slots: first in first out, gates that pass over with a reason, expiry, capacity, nothing twice."""

from collections.abc import Callable

import pytest

from clash_pipeline.arena import admin, admission, entry, product_states, queue, slots
from clash_pipeline.arena.refusals import ArenaConflict, GateClosed
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.clones import holds, moderation, public_profiles
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.sqlite import IntegrityError, one
from tests.fakes.troupe import ADMIN, Troupe


@pytest.fixture
def troupe(troupe: Troupe) -> Troupe:
    """A small arena: two slots."""
    troupe.settings = with_slots(troupe.settings, 2)
    return troupe


def with_slots(settings: Settings, count: int) -> Settings:
    return load({"CLASH_HOME": str(settings.home), "CLASH_ARENA_SLOTS": str(count)})


def waiting(troupe: Troupe) -> list[int]:
    with troupe.clash.read() as connection:
        return [place.clone_id for place in queue.waiting(connection)]


def in_slots(troupe: Troupe) -> list[tuple[int, int]]:
    return [(occupant.slot_no, occupant.clone_id) for occupant in troupe.occupants()]


def twice(troupe: Troupe) -> entry.Synced:
    """A sync, and the same again: it was due exactly when it changed something, and the second changes nothing."""
    with troupe.clash.read() as connection:
        is_due = entry.is_due(connection, troupe.settings, troupe.now)
    done = troupe.sync()
    assert is_due == done.has_changed
    assert not troupe.sync().has_changed
    with troupe.clash.read() as connection:
        assert not entry.is_due(connection, troupe.settings, troupe.now)
    return done


# first in, first out


def test_slots_are_filled_in_the_order_of_passing_and_no_further(troupe: Troupe) -> None:
    first, second, third = troupe.passed(), troupe.passed(), troupe.passed()
    assert waiting(troupe) == [first, second, third]
    done = twice(troupe)
    assert in_slots(troupe) == [(1, first), (2, second)]
    assert [occupant.entered_at for occupant in done.admitted] == [troupe.now] * 2
    assert (waiting(troupe), done.free) == ([third], 0)


def test_a_freed_slot_goes_to_who_waits_longest(troupe: Troupe) -> None:
    first, second, third, fourth = (troupe.passed() for _ in range(4))
    twice(troupe)
    assert admin.remove(troupe.clash, second, actor=ADMIN, reason="asked to", now_ms=troupe.now)
    assert not admin.remove(troupe.clash, second, actor=ADMIN, reason="asked to", now_ms=troupe.now)
    twice(troupe)
    assert in_slots(troupe) == [(1, first), (2, third)]
    assert waiting(troupe) == [fourth]


def test_an_arena_that_shrinks_evicts_nobody(troupe: Troupe) -> None:
    first, second = troupe.passed(), troupe.passed()
    third = troupe.passed()
    twice(troupe)
    troupe.settings = with_slots(troupe.settings, 1)
    assert not twice(troupe).has_changed
    admin.remove(troupe.clash, first, actor=ADMIN, reason="asked to", now_ms=troupe.now)
    twice(troupe)
    assert (in_slots(troupe), waiting(troupe)) == ([(2, second)], [third])


# gates of admission


def unapproved(troupe: Troupe) -> int:
    return troupe.passed(face="submitted")


def retired_while_waiting(troupe: Troupe) -> int:
    """Retired by the clone service alone, as nothing does any more."""
    clone_id = troupe.passed()
    with troupe.clash.write() as connection:
        moderation.retire(connection, clone_id, actor=ADMIN, reason="enough", now_ms=troupe.now)
    return clone_id


def retiring(troupe: Troupe) -> int:
    clone_id = troupe.passed()
    with troupe.clash.write() as connection:
        holds.place(connection, clone_id, "race", "9", now_ms=troupe.now)
    admin.retire(troupe.clash, clone_id, actor=ADMIN, reason="enough", now_ms=troupe.now)
    return clone_id


def without_version(troupe: Troupe) -> int:
    clone_id = troupe.passed()
    with troupe.clash.write() as connection:
        connection.execute("UPDATE clone_versions SET is_active = 0 WHERE clone_id = ?", (clone_id,))
    return clone_id


def never_bought(troupe: Troupe) -> int:
    """Somebody's clone in the queue without a purchase, as nothing makes one."""
    clone_id = troupe.clone(is_paid=False)
    other = troupe.passed()
    with troupe.clash.write() as connection:
        connection.execute("DROP TRIGGER promotion_queue_fixed")
        connection.execute("UPDATE promotion_queue SET clone_id = ? WHERE clone_id = ?", (clone_id, other))
    return clone_id


def beyond(troupe: Troupe) -> int:
    clone_id = troupe.passed()
    with troupe.clash.write() as connection:
        connection.execute("UPDATE clones SET engine = 'model', model_tier = 3 WHERE id = ?", (clone_id,))
    return clone_id


def of_one_owner(troupe: Troupe) -> int:
    owner = troupe.till.person(5)
    troupe.passed(owner=5)
    assert owner
    troupe.sync()
    return troupe.passed(owner=5)


def with_one_graph(troupe: Troupe) -> int:
    first, second = troupe.passed(), troupe.passed()
    for clone_id in (first, second):
        troupe.publish(clone_id, 6_000)
    with troupe.clash.write() as connection:
        slots.enter(connection, first, 1, actor="test", now_ms=troupe.now)
        place = queue.of(connection, first)
        assert place is not None
        queue.end(connection, place, "left", "test", now_ms=troupe.now)
    return second


BLOCKED: dict[str, Callable[[Troupe], int]] = {
    "retired": retired_while_waiting,
    "retiring": retiring,
    "profile_not_approved": unapproved,
    "no_active_version": without_version,
    "entitlement_is_mock": never_bought,
    "entitlement_exceeded": beyond,
    "owner_has_slot": of_one_owner,
    "graph_has_slot": with_one_graph,
}


def test_the_list_of_gates_is_the_one_that_is_tested() -> None:
    assert [code for code, _ in (*admission.GATES, *admission.ENTRY_GATES)] == list(BLOCKED)


@pytest.mark.parametrize("code", BLOCKED)
def test_control_each_gate_passes_its_clone_over_with_the_reason_and_the_next_enters(troupe: Troupe, code: str) -> None:
    clone_id = BLOCKED[code](troupe)
    after = troupe.passed()
    done = twice(troupe)
    assert done.passed_over[clone_id].code == code
    assert after in [occupant.clone_id for occupant in done.admitted]
    with troupe.clash.read() as connection:
        place = queue.of(connection, clone_id)
    assert place is not None
    assert (place.blocked, place.blocked_at) == (done.passed_over[clone_id], troupe.now)


def test_a_gate_that_opens_lets_the_clone_in_at_its_old_place(troupe: Troupe) -> None:
    blocked_one = unapproved(troupe)
    twice(troupe)
    later = [troupe.passed() for _ in range(2)]
    with troupe.clash.write() as connection:
        (profile,) = moderation.queue(connection)
        moderation.approve(connection, profile.id, actor=ADMIN, now_ms=troupe.now)
    twice(troupe)
    assert in_slots(troupe) == [(1, blocked_one), (2, later[0])]


# expiry


def test_a_head_that_is_passed_over_for_seven_days_expires(troupe: Troupe) -> None:
    clone_id = unapproved(troupe)
    twice(troupe)
    troupe.clock.advance(7 * DAY_MS - 1)
    assert twice(troupe).expired == []
    troupe.clock.advance(1)
    assert twice(troupe).expired == [clone_id]
    assert waiting(troupe) == []
    with troupe.clash.read() as connection:
        assert product_states.of(connection, clone_id) == "configured"  # a further audition is open to it
        place = queue.every(connection)[0]
    assert place.state == "expired"
    assert "no approved profile" in (place.reason or "")


def test_the_clock_of_a_head_runs_only_while_it_is_the_head(troupe: Troupe) -> None:
    troupe.settings = with_slots(troupe.settings, 0)
    troupe.passed()
    behind = unapproved(troupe)
    twice(troupe)
    troupe.clock.advance(30 * DAY_MS)
    twice(troupe)
    assert behind in waiting(troupe)
    troupe.settings = with_slots(troupe.settings, 1)
    twice(troupe)  # the one before it entered: from now on it is the head
    troupe.clock.advance(7 * DAY_MS)
    assert twice(troupe).expired == [behind]


def test_a_head_that_opens_in_between_starts_again(troupe: Troupe) -> None:
    troupe.settings = with_slots(troupe.settings, 0)
    clone_id = unapproved(troupe)
    twice(troupe)
    troupe.clock.advance(6 * DAY_MS)
    with troupe.clash.write() as connection:
        (profile,) = moderation.queue(connection)
        moderation.approve(connection, profile.id, actor=ADMIN, now_ms=troupe.now)
    twice(troupe)
    with troupe.clash.write() as connection:
        shown = public_profiles.shown(connection, clone_id)
        assert shown is not None
        public_profiles.move(connection, shown, "removed", actor=ADMIN, reason="no", now_ms=troupe.now)
    twice(troupe)
    troupe.clock.advance(6 * DAY_MS)
    assert twice(troupe).expired == []


# house clones


def test_a_house_clone_enters_by_an_admins_act_and_counts_as_no_owner(troupe: Troupe) -> None:
    first, second = troupe.house(), troupe.house()
    assert in_slots(troupe) == [(1, first), (2, second)]
    assert not admin.admit(troupe.clash, troupe.settings, first, actor=ADMIN, reason="again", now_ms=troupe.now)
    third = troupe.clone(is_house=True)
    with pytest.raises(ArenaConflict, match="all 2 slots are taken"):
        admin.admit(troupe.clash, troupe.settings, third, actor=ADMIN, reason="more", now_ms=troupe.now)


def test_control_nobody_elses_clone_enters_without_an_audition(troupe: Troupe) -> None:
    clone_id = troupe.clone()
    with pytest.raises(ArenaConflict, match="only house clones"):
        admin.admit(troupe.clash, troupe.settings, clone_id, actor=ADMIN, reason="a friend", now_ms=troupe.now)
    faceless = troupe.clone(is_house=True, face="none")
    with pytest.raises(GateClosed) as refused:
        admin.admit(troupe.clash, troupe.settings, faceless, actor=ADMIN, reason="fill", now_ms=troupe.now)
    assert refused.value.code == "profile_not_approved"
    with troupe.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM arena_acts WHERE outcome = 'refused'") == 2


def test_a_slot_of_a_clone_that_was_retired_without_the_arena_is_freed(troupe: Troupe) -> None:
    clone_id = troupe.passed()
    twice(troupe)
    with troupe.clash.write() as connection:
        moderation.retire(connection, clone_id, actor=ADMIN, reason="enough", now_ms=troupe.now)
    assert twice(troupe).freed == [clone_id]
    assert in_slots(troupe) == []


def test_the_product_state_follows_a_clone_through(troupe: Troupe) -> None:
    clone_id = troupe.passed()

    def state() -> str:
        with troupe.clash.read() as connection:
            return product_states.of(connection, clone_id)

    assert state() == "competition_eligible"
    twice(troupe)
    assert state() == "competing"
    admin.remove(troupe.clash, clone_id, actor=ADMIN, reason="asked to", now_ms=troupe.now)
    assert state() == "configured"  # a pass is good for one entry


def test_control_the_tables_refuse_a_second_occupant_and_a_second_slot(troupe: Troupe) -> None:
    first, second = troupe.passed(), troupe.passed()
    twice(troupe)
    for clone_id, slot_no in ((troupe.clone(), 1), (first, 3)):
        with pytest.raises(IntegrityError), troupe.clash.write() as connection:
            slots.enter(connection, clone_id, slot_no, actor="test", now_ms=troupe.now)
    with pytest.raises(IntegrityError, match="only end, once"), troupe.clash.write() as connection:
        connection.execute("UPDATE arena_slots SET entered_at = entered_at - ?", (HOUR_MS,))
    assert in_slots(troupe) == [(1, first), (2, second)]
