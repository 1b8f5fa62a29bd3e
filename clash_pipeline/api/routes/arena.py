"""The Arena: slots, the promotion queue and the Hall of Fame; for operators admit, remove, retire (06 arena)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.parts import Operator, Parts, still
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routes.moderation import actor_of
from clash_pipeline.api.routing import for_service, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Decimal, Given, Hash, Line, PageSize, Shown, Time, Usd, Wei
from clash_pipeline.arena import admin, careers, hall_of_fame, queue, slots, strikes
from clash_pipeline.arena.careers import Career
from clash_pipeline.arena.hall_of_fame import Entry
from clash_pipeline.clones import public_profiles
from clash_pipeline.clones.refusals import CloneUnknown
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import scaled_text, usd_text

router = area("/api/v1", "arena")
ARENA = for_service("arena")
PERCENT_DECIMALS = 6
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=500)]


class ArenaAct(Given):
    """What is done to a clone of the Arena, and why; both are written down."""

    act: Literal["admit", "remove", "retire", "reinstate"]
    reason: Reason


class SlotShown(Shown):
    """A clone in a slot; `strikes` counts races in a row that nobody else bought a ticket on it in."""

    slot_no: int
    clone_id: int
    name: str
    entered_at: Time
    strikes: int


class SlotList(Shown):
    """The slots that are taken, by number, and how many there are."""

    capacity: int
    items: list[SlotShown]


class QueuedCloneShown(Shown):
    """A clone that waits for a slot; while a gate is closed it is passed over, and `blocked` says why."""

    place: int
    clone_id: int
    name: str | None
    passed_at: Time
    blocked_code: str | None
    blocked: str | None


class QueueShown(Shown):
    """The promotion queue, in the order of admission."""

    items: list[QueuedCloneShown]


class CareerShown(Shown):
    """What a clone did in the Arena; returns are null before its first race."""

    races: int
    wins: int
    podiums: int
    best_return_pct: Decimal | None
    worst_return_pct: Decimal | None
    pnl_usd: Usd
    tickets: int
    tickets_by_others: int
    tickets_wei: Wei
    royalties_wei: Wei
    days: int
    engine: Literal["hold", "rules", "model"]
    model_tier: int | None


class FamousShown(Shown):
    """A retired clone with its frozen career, and the hash that seals it."""

    clone_id: int
    name: str
    retired_at: Time
    reason: str
    career: CareerShown
    hash: Hash


class HallOfFame(Shown):
    """Retired clones, newest first."""

    items: list[FamousShown]


class CloneCareer(Shown):
    """A clone's career so far, and its entries in the Hall of Fame."""

    clone_id: int
    name: str
    slot_no: int | None
    strikes: int
    career: CareerShown
    retirements: list[FamousShown]


class ArenaActShown(Shown):
    """What an act came to: `waits` when a race or an audition holds the clone until it ends."""

    clone_id: int
    act: Literal["admit", "remove", "retire", "reinstate"]
    outcome: Literal["done", "unchanged", "waits"]


@router.get("/arena/slots", summary="Who is in the Arena")
@public
def list_slots(parts: Parts) -> SlotList:
    """The clones in slots, by slot number."""
    with parts.clash.read() as connection:
        items = [
            SlotShown(
                slot_no=occupant.slot_no,
                clone_id=occupant.clone_id,
                name=name_of(connection, occupant.clone_id) or "",
                entered_at=occupant.entered_at,
                strikes=_standing(connection, occupant.clone_id),
            )
            for occupant in slots.occupants(connection)
        ]
    return SlotList(capacity=parts.settings.arena_slots, items=items)


@router.get("/arena/queue", summary="Who waits for a slot")
@public
def list_waiting(parts: Parts) -> QueueShown:
    """The promotion queue: first in, first out by the time of passing."""
    with parts.clash.read() as connection:
        items = [
            QueuedCloneShown(
                place=number,
                clone_id=place.clone_id,
                name=name_of(connection, place.clone_id),
                passed_at=place.passed_at,
                blocked_code=place.blocked.code if place.blocked else None,
                blocked=place.blocked.sentence if place.blocked else None,
            )
            for number, place in enumerate(queue.waiting(connection), 1)
        ]
    return QueueShown(items=items)


@router.get("/arena/clones/{cloneId}", summary="A clone's career")
@public
def get_career(clone_id: CloneId, parts: Parts) -> CloneCareer:
    """What a clone with an approved profile did in the Arena; one that shows nothing is as absent as none."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        name = name_of(connection, clone_id)
        if name is None:
            raise not_found()
        slot = slots.of(connection, clone_id)
        return CloneCareer(
            clone_id=clone_id,
            name=name,
            slot_no=slot.slot_no if slot else None,
            strikes=_standing(connection, clone_id),
            career=_career(careers.of(connection, clone_id, now_ms=now_ms)),
            retirements=[_famous(entry) for entry in hall_of_fame.of(connection, clone_id)],
        )


@router.get("/hall-of-fame", summary="The Hall of Fame")
@public
def list_famous(parts: Parts, limit: PageSize = 100) -> HallOfFame:
    """Retired clones with their careers, newest first."""
    with parts.clash.read() as connection:
        return HallOfFame(items=[_famous(entry) for entry in hall_of_fame.every(connection, limit=limit)])


@router.post("/operator/arena/clones/{cloneId}/acts", summary="Admit, remove, retire or reinstate a clone")
@ARENA
@refuses(409)
def act_on_clone(clone_id: CloneId, given: ArenaAct, token: Operator, parts: Parts) -> ArenaActShown:
    """Do it, or let it wait for the race or audition that holds the clone; the same act again changes nothing."""
    held = still(parts)
    said: dict[str, Any] = {"actor": actor_of(token), "reason": given.reason, "now_ms": held.clock.now_ms()}
    acts: dict[str, Callable[[], Any]] = {
        "admit": lambda: admin.admit(held.clash, held.settings, clone_id, **said),
        "remove": lambda: admin.remove(held.clash, clone_id, **said),
        "retire": lambda: admin.retire(held.clash, clone_id, **said),
        "reinstate": lambda: admin.reinstate(held.clash, clone_id, **said),
    }
    outcome = acts[given.act]()
    if isinstance(outcome, bool):
        outcome = "done" if outcome else "unchanged"
    return ArenaActShown(clone_id=clone_id, act=given.act, outcome=outcome)


def name_of(connection: Connection, clone_id: int) -> str | None:
    """The public name of a clone; None where it shows none."""
    try:
        return public_profiles.public(connection, clone_id).profile.name
    except CloneUnknown:
        return None


def percent(rate: int | None) -> str | None:
    """A rate of 1e-8 as a percentage."""
    return None if rate is None else scaled_text(rate, PERCENT_DECIMALS)


def _standing(connection: Connection, clone_id: int) -> int:
    return sum(strike.cleared_at is None for strike in strikes.of(connection, clone_id))


def _famous(entry: Entry) -> FamousShown:
    return FamousShown(
        clone_id=entry.clone_id,
        name=entry.name,
        retired_at=entry.retired_at,
        reason=entry.reason,
        career=_career(entry.career),
        hash=entry.hash,
    )


def _career(career: Career) -> CareerShown:
    return CareerShown(
        races=career.races,
        wins=career.wins,
        podiums=career.podiums,
        best_return_pct=percent(career.best_return),
        worst_return_pct=percent(career.worst_return),
        pnl_usd=usd_text(career.pnl),
        tickets=career.tickets,
        tickets_by_others=career.tickets_by_others,
        tickets_wei=career.tickets_wei,
        royalties_wei=career.royalties_wei,
        days=career.days,
        engine=career.engine,  # type: ignore[arg-type]  # the table's own check
        model_tier=career.model_tier,
    )
