"""`/arena`, `/races/{id}` and `/hall-of-fame`: who races, how it stands, what is in the pool, and who is remembered.

While a race is live only ranks and equity are shown (11, 10). `/admin/arena` is where operators admit, remove, retire.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import Depends, Query, Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.charts import Chart, Line
from clash_pipeline.api.pages.forms import Fields, Reason, form
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routes.arena import name_of
from clash_pipeline.api.routing import for_service, public
from clash_pipeline.api.wire import Id
from clash_pipeline.arena import acts, admin, auditions, hall_of_fame, queue, races, slots, standings, strikes
from clash_pipeline.arena.races import Race
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.arena.standings import Standing
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.economy import pools, settling, tickets
from clash_pipeline.economy.pools import Pool
from clash_pipeline.economy.settling import Settled
from clash_pipeline.prop import views
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import USD

router = pages()
ADMIN = "/admin/arena"
RACES_SHOWN = 12
FAMOUS_SHOWN = 100
FILLS_SHOWN = 50
TAIL = 20
PATH_GAP_MS = 2 * HOUR_MS
Act = Literal["admit", "remove", "retire", "reinstate"]
DONE: Final[dict[str, str]] = {
    "admit": "The clone has a slot.",
    "remove": "The slot is free.",
    "retire": "The clone is retired, or will be once its race or audition is over.",
    "reinstate": "The clone is back; it auditions again, or is admitted again.",
}


class ArenaOrder(Fields):
    """An act on a clone of the Arena."""

    act: Act
    clone: Id
    reason: Reason


class RaceLook(NamedTuple):
    """A race at one moment, with whatever the pool and the settlement say of it."""

    race: Race
    field: list[Standing]
    pool: Pool
    tickets: int
    offers: list[tickets.Offer]
    settled: Settled | None
    equity: Chart

    @property
    def pool_wei(self) -> int:
        """What the tickets so far are worth."""
        return self.tickets * self.pool.price_wei

    @property
    def names(self) -> dict[int, str]:
        """The field by clone."""
        return {one.clone_id: one.name for one in self.field}


@router.get("/arena")
@public
def arena(request: Request, parts: Parts) -> Response:
    """The race that is live, the one on sale, the slots and the queue."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        found = races.newest(connection, limit=RACES_SHOWN)
        live = next((race for race in found if race.state in ("live", "settling")), None)
        on_sale = next((race for race in found if race.state in ("accumulating", "launching")), None)
        values = {
            "live": _look(connection, live, now_ms) if live else None,
            "on_sale": _look(connection, on_sale, now_ms) if on_sale else None,
            "earlier": [race for race in found if race not in (live, on_sale)],
            **_slots(connection),
        }
    return rendering.page(
        request, "arena.html", title="Arena", now_ms=now_ms, capacity=parts.settings.arena_slots, **values
    )


@router.get("/races/{race_id}")
@public
def race(request: Request, race_id: Id, parts: Parts) -> Response:
    """One race whole: standings, the equity of the field on one chart, tickets, and its settlement."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        try:
            look = _look(connection, races.get(connection, race_id), now_ms)
        except ArenaUnknown:
            raise not_found("race") from None
        moves, done = races.moves(connection, race_id), _done(connection, look)
    return rendering.page(
        request, "race.html", title=f"Race {race_id}", look=look, moves=moves, done=done, now_ms=now_ms,
        most_fills=FILLS_SHOWN,
        reveals=standings.reveals(look.race),
    )  # fmt: skip


@router.get("/hall-of-fame")
@public
def famous(request: Request, parts: Parts) -> Response:
    """The clones that were retired, with their careers."""
    with parts.clash.read() as connection:
        entries = hall_of_fame.every(connection, limit=FAMOUS_SHOWN)
    return rendering.page(request, "hall_of_fame.html", title="Hall of Fame", entries=entries)


@router.get(ADMIN)
@for_service("arena")
def lifecycle(request: Request, parts: Parts, done: Annotated[Act | None, Query()] = None) -> Response:
    """Auditions, slots, queue and acts, with what an operator may do."""
    return _lifecycle(request, parts, note=DONE[done] if done else None)


@router.post(ADMIN)
@for_service("arena")
def act(
    request: Request, given: Annotated[ArenaOrder, Depends(form(ArenaOrder))], parts: Parts, token: Operator
) -> Response:
    """Do something to a clone of the Arena."""
    said: dict[str, Any] = {
        "actor": f"operator:{token.name}", "reason": given.reason, "now_ms": parts.clock.now_ms(),
    }  # fmt: skip
    how: dict[str, Callable[[], Any]] = {
        "admit": lambda: admin.admit(parts.clash, parts.settings, given.clone, **said),
        "remove": lambda: admin.remove(parts.clash, given.clone, **said),
        "retire": lambda: admin.retire(parts.clash, given.clone, **said),
        "reinstate": lambda: admin.reinstate(parts.clash, given.clone, **said),
    }
    try:
        how[given.act]()
    except (ArenaConflict, CloneError) as refused:
        return _lifecycle(request, parts, alert=f"{str(refused)[:1].upper()}{str(refused)[1:]}.")
    return rendering.see(f"{ADMIN}?done={given.act}")


def _lifecycle(request: Request, parts: Services, *, note: str | None = None, alert: str | None = None) -> Response:
    with parts.clash.read() as connection:
        values = {
            "auditions": auditions.every(connection, limit=TAIL),
            "acts": acts.newest(connection, limit=TAIL),
            **_slots(connection),
        }
    return rendering.page(
        request, "lifecycle.html", title="Arena", note=note, alert=alert, capacity=parts.settings.arena_slots,
        shown=auditions.shown, **values,
    )  # fmt: skip


def _look(connection: Connection, race: Race, now_ms: int) -> RaceLook:
    field = standings.of(connection, race.id)
    sold = sum(each.tickets for each in pools.demand(connection, race.id).values())
    is_on_sale = race.state == "accumulating"
    return RaceLook(
        race=race,
        field=field,
        pool=pools.get(connection, race.id),
        tickets=sold,
        offers=tickets.offers(connection, race.id, now_ms=now_ms) if is_on_sale else [],
        settled=settling.settlement_of(connection, race.id),
        equity=_equity(connection, race, field),
    )


def _done(connection: Connection, look: RaceLook) -> list[tuple[Standing, list[dict[str, Any]]]]:
    """The newest fills of everybody who started, once they are public."""
    if not standings.reveals(look.race):
        return []
    return [
        (one, views.positions_view(connection, one.account_id, limit=FILLS_SHOWN))
        for one in look.field
        if one.account_id is not None
    ]


def _equity(connection: Connection, race: Race, field: list[Standing]) -> Chart:
    """The equity of the whole field, the best first."""
    paths = standings.paths(connection, race.id)
    start = race.rules.start_balance
    lines = [
        Line(one.name, [(race.starts_at, start / USD), *_thinned(paths[one.clone_id], race)], PATH_GAP_MS)
        for one in field
        if one.clone_id in paths
    ]
    leader = field[0] if field and field[0].equity is not None else None
    verb = "finished first" if race.state in ("settled", "archived") else "leads"
    says = f"{leader.name} {verb} with {rendering.usd(leader.equity)} USD." if leader else "Nobody has started yet."
    return Chart("equity", "Equity of the field", says, "usd", lines, baseline=None)


def _thinned(path: list[tuple[int, int]], race: Race) -> list[tuple[int, float]]:
    """Points behind the start, each time once."""
    return [(t, equity / USD) for t, equity in dict(path).items() if t > race.starts_at]


def _slots(connection: Connection) -> dict[str, Any]:
    """Who is in a slot and who waits, with names and standing strikes."""
    occupied = [
        (occupant, name_of(connection, occupant.clone_id), _standing(connection, occupant.clone_id))
        for occupant in slots.occupants(connection)
    ]
    waiting = [(place, name_of(connection, place.clone_id)) for place in queue.waiting(connection)]
    return {"occupied": occupied, "waiting": waiting}


def _standing(connection: Connection, clone_id: int) -> int:
    return sum(strike.cleared_at is None for strike in strikes.of(connection, clone_id))
