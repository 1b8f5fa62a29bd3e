"""The clockwork of the Arena: everything that is due, in order, each step one transaction that is safe to repeat.

Races first, so that a start is not kept waiting; then auditions, retirements and slots, so that the next field, which
freezes last, is chosen from those who may race. Job, worker and demo call the same `advance`; several at once do no
harm.
"""

from typing import NamedTuple

import structlog

from clash_pipeline.arena import auditions, course, entry, opening, races, retirement
from clash_pipeline.arena.opening import Waits
from clash_pipeline.arena.parts import Parts, parts_of
from clash_pipeline.arena.races import Race
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.parts import Stores

MOST_STEPS = 8
"""More arrows than a race has; a race that takes more in one go would be a defect."""

log = structlog.get_logger(__name__)


class Moved(NamedTuple):
    """One thing that changed: a race, an audition, a slot or a clone, by its number, and what it came to."""

    kind: str
    id: int
    state: str


def advance(stores: Stores, now_ms: int, *, execution: ExecutionVenue | None = None) -> list[Moved]:
    """Do all that is due now; the same moment again does nothing. Prices are those of market memory."""
    parts = parts_of(stores, execution)
    moved = [each for race in _open(parts) for each in _run(parts, race, now_ms)]
    judged = auditions.evaluate_due(parts.clash, now_ms)
    moved += [Moved("audition", audition.id, audition.state) for audition in judged]
    moved += [Moved("clone", clone_id, "retired") for clone_id in retirement.carry_out_due(parts.clash, now_ms)]
    synced = entry.sync(parts.clash, parts.settings, now_ms)
    moved += [Moved("slot", occupant.slot_no, f"clone {occupant.clone_id}") for occupant in synced.admitted]
    opened = opening.open_next(parts, now_ms)
    if isinstance(opened, Waits):
        log.info("race_waits", reason=opened.reason, passed_over=len(opened.passed_over))
    if isinstance(opened, Race):
        moved.append(Moved("race", opened.id, opened.state))
    return moved


def is_due(stores: Stores, now_ms: int) -> bool:
    """Whether `advance` may find something to do; for sensors, in one read of one file."""
    if has_race_due(stores, now_ms):
        return True
    with stores.clash.read() as connection:
        return (
            auditions.has_due(connection)
            or bool(retirement.due(connection))
            or entry.is_due(connection, stores.settings, now_ms)
        )


def has_race_due(stores: Stores, now_ms: int) -> bool:
    """The same of races alone: one to open, or one whose next moment has come."""
    with stores.clash.read() as connection:
        return opening.is_due(connection, now_ms) or any(
            course.is_due(stores.settings, race, now_ms) for race in races.open_ones(connection)
        )


def _open(parts: Parts) -> list[Race]:
    with parts.clash.read() as connection:
        return races.open_ones(connection)


def _run(parts: Parts, race: Race, now_ms: int) -> list[Moved]:
    """Step a race until nothing of it is due."""
    moved: list[Moved] = []
    for _ in range(MOST_STEPS):
        if not course.step(parts, race, now_ms):
            break
        with parts.clash.read() as connection:
            race = races.get(connection, race.id)
        moved.append(Moved("race", race.id, race.state))
        log.info("race_moved", race=race.id, state=race.state, reason=race.reason)
        if race.state in races.OVER:
            break
    return moved
