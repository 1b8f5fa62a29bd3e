"""Queue and slots as a machine: whatever passes, is blocked, leaves, retires or waits, first in is first out."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clash_pipeline.arena import admission, auditions, entry, queue, requests, retirement, slots
from clash_pipeline.arena.audit import CHECKS, verdicts_are_those_of_the_rules
from clash_pipeline.clock import DAY_MS, HOUR_MS, SettableClock
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import open_clash
from tests.conftest import NOW, SOAK
from tests.fakes.till import Till
from tests.fakes.troupe import PASSED, Troupe

CLONES = st.integers(1, 7)
SLOTS = 2
WEEK_MS = 7 * DAY_MS
templates: list[Path] = []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Iterator[Path]:
    """Seven clones whose auditions have ended and are not judged yet; the audition has the clone's number."""
    home = tmp_path_factory.mktemp("queue") / "home"
    shutil.copytree(migrated_home, home)
    clash = open_clash(settings_of(home))
    troupe = Troupe(settings_of(home), SettableClock(NOW), clash, Till(clash))
    for number in range(1, 8):
        made = troupe.submit(troupe.clone())
        troupe.cut_short(made)
        assert (made.id, made.clone_id) == (number, number)
    clash.close()
    templates[:] = [home]
    yield home
    templates.clear()


def settings_of(home: Path) -> Settings:
    return load({"CLASH_HOME": str(home), "CLASH_ARENA_SLOTS": str(SLOTS)})


class Queue(RuleBasedStateMachine):
    """What happens to seven clones and two slots; the model knows when each passed and since when it is blocked."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        home = Path(self.folder.name) / "home"
        shutil.copytree(templates[0], home)
        self.settings, self.now = settings_of(home), NOW + HOUR_MS
        self.clash = open_clash(self.settings)
        self.passed: list[int] = []
        self.blocked: dict[int, int] = {}
        self.gone: set[int] = set()

    @rule(clone=CLONES)
    def passes(self, clone: int) -> None:
        with self.clash.write() as connection:
            if auditions.evaluate(connection, clone, now_ms=self.now, judge=PASSED):
                self.passed.append(clone)

    @rule(clone=CLONES)
    def is_blocked(self, clone: int) -> None:
        with self.clash.write() as connection:
            if clone not in self.gone and requests.ask(connection, clone, actor="x", reason="blocked", now_ms=self.now):
                self.blocked[clone] = self.now

    @rule(clone=CLONES)
    def opens(self, clone: int) -> None:
        with self.clash.write() as connection:
            requests.end(connection, clone, "withdrawn", actor="x", now_ms=self.now)
        self.blocked.pop(clone, None)

    @rule(clone=CLONES)
    def is_removed(self, clone: int) -> None:
        with self.clash.write() as connection:
            entry.remove(connection, clone, actor="x", reason="asked to", now_ms=self.now)

    @precondition(lambda self: self.passed)
    @rule(data=st.data())
    def is_retired(self, data: st.DataObject) -> None:
        clone = data.draw(st.sampled_from(self.passed))
        with self.clash.write() as connection:
            retirement.retire(connection, clone, actor="x", reason="enough", now_ms=self.now)
        self.blocked.pop(clone, None)
        self.gone.add(clone)

    @rule(by=st.sampled_from([1, DAY_MS, WEEK_MS - 1, WEEK_MS]))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule()
    def syncs(self) -> None:
        with self.clash.read() as connection:
            is_due = entry.is_due(connection, self.settings, self.now)
            before = [place.clone_id for place in queue.waiting(connection)]
        done = entry.sync(self.clash, self.settings, self.now)
        again = entry.sync(self.clash, self.settings, self.now)
        assert (is_due, again.has_changed) == (done.has_changed, False)
        with self.clash.read() as connection:
            still = [place.clone_id for place in queue.waiting(connection)]
            could = [clone for clone in still if admission.entry_gates(connection, clone, self.now) is None]
        assert before == [clone for clone in self.passed if clone in before], "the order of passing"
        admitted = [occupant.clone_id for occupant in done.admitted]
        assert admitted == [clone for clone in before if clone in admitted]
        assert not (could and done.free), "nobody who could enter is left out while there is room"
        assert all(before.index(clone) < before.index(later) for clone in admitted for later in could)
        assert set(done.passed_over) == {clone for clone in still if clone in self.blocked}
        for clone in done.expired:
            assert self.now - self.blocked[clone] >= WEEK_MS

    @invariant()
    def nobody_stands_twice(self) -> None:
        with self.clash.read() as connection:
            here = [occupant.clone_id for occupant in slots.occupants(connection)]
            waits = [place.clone_id for place in queue.waiting(connection)]
        assert len(here) <= SLOTS
        assert len({*here, *waits}) == len(here) + len(waits)
        assert not self.gone & {*here, *waits}

    def teardown(self) -> None:
        checks = [check for check in CHECKS if check is not verdicts_are_those_of_the_rules]  # they passed by decree
        try:
            with self.clash.read() as connection:
                assert [found for check in checks for found in check(connection)] == []
        finally:
            self.clash.close()
            self.folder.cleanup()


def test_first_in_first_out_whatever_happens(template: Path) -> None:
    many, steps = (400, 40) if SOAK else (8, 20)
    run_state_machine_as_test(Queue, settings=hypothesis_settings(max_examples=many, stateful_step_count=steps))


def test_control_a_queue_that_admits_the_newest_is_found(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = queue.waiting

    def newest_first(connection: queue.Connection) -> list[queue.Place]:
        return honest(connection)[::-1]

    monkeypatch.setattr(entry.queue, "waiting", newest_first)
    unshrunk = hypothesis_settings(max_examples=30, stateful_step_count=25, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Queue, settings=unshrunk)
