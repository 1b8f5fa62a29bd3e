"""Races: the list, one with its field, live standings, equity, payout rows; for operators remove and cancel (06 arena).

While a race is live only ranks and equity are public; what accounts hold and fill is not (11, 10).
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from clash_pipeline.api import series
from clash_pipeline.api.documenting import refuses, sends
from clash_pipeline.api.parts import Operator, Paging, Parts, still
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.routes.arena import percent
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routes.moderation import actor_of
from clash_pipeline.api.routes.tickets import RaceId
from clash_pipeline.api.routing import for_service, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.streaming import MEDIA_TYPE, Event, last_id, stream
from clash_pipeline.api.wire import Cursor, Decimal, Given, Hash, Id, Line, PageSize, Shown, Time, Usd, Wei
from clash_pipeline.arena import flags, race_admin, races, standings
from clash_pipeline.arena.flags import Flag
from clash_pipeline.arena.races import Entrant, Race
from clash_pipeline.arena.standings import Standing
from clash_pipeline.economy import payables, pools
from clash_pipeline.economy.payables import Payable
from clash_pipeline.economy.refusals import EconomyUnknown
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import usd_text

router = area("/api/v1", "arena")
ARENA = for_service("arena")
FlagId = Annotated[Id, Path(alias="flagId", description="The flag.")]
State = Literal["accumulating", "launching", "live", "settling", "settled", "archived", "cancelled"]
Class = Literal["active", "inactive", "liquidated", "removed"]
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=500)]


class RaceAct(Given):
    """What is done to a race, and why: take a clone out of its field, or call it off and refund its tickets."""

    act: Literal["remove", "cancel"]
    clone_id: Annotated[int, Field(ge=1, le=10**18 - 1)] | None = None
    reason: Reason


class FlagVerdict(Given):
    """What came of looking at two clones whose equity moved as one."""

    verdict: Reason


class RaceShown(Shown):
    """A race by its number. `cause` and `reason` say why it was cancelled; the pool is of the tickets so far."""

    id: int
    state: State
    starts_at: Time
    ends_at: Time
    sales_open_at: Time
    sales_close_at: Time
    tickets: int
    pool_wei: Wei
    ticket_wei: Wei
    cause: Literal["few_starters", "market_halted", "launch_late", "admin"] | None
    reason: str | None


class RaceList(Shown):
    """A page of races, newest first."""

    items: list[RaceShown]
    next_cursor: str | None


class EntrantShown(Shown):
    """A clone of a field as it was frozen when sales opened."""

    clone_id: int
    slot_no: int
    compiled_hash: Hash
    engine: Literal["hold", "rules", "model"]
    model_tier: int | None
    state: Literal["frozen", "started", "removed"]
    reason: str | None


class PassedOverShown(Shown):
    """A clone in a slot that the field left out."""

    clone_id: int
    code: str
    reason: str


class RaceMoveShown(Shown):
    """One step of a race."""

    state: State
    at: Time
    reason: str


class RaceWhole(RaceShown):
    """A race with its frozen field, the assets that may be traded, the hash of its rules, and every step it took."""

    universe: list[str]
    rules_hash: Hash
    result_hash: Hash | None
    field: list[EntrantShown]
    passed_over: list[PassedOverShown]
    moves: list[RaceMoveShown]


class RaceStanding(Shown):
    """One clone of a race; `class` is null before the settlement, `rank` and equity of who did not start."""

    rank: int | None
    clone_id: int
    name: str
    equity_usd: Usd | None
    return_pct: Decimal | None
    is_liquidated: bool
    finished_as: Class | None
    marked_at: Time | None


class RaceStandings(Shown):
    """The field of a race by rank, as of now."""

    race_id: int
    state: State
    as_of: Time
    items: list[RaceStanding]


class EquityPoint(Shown):
    """Equity at a mark."""

    t: Time
    equity_usd: Usd


class EquityPath(Shown):
    """The equity of one starter, oldest first."""

    clone_id: int
    points: list[EquityPoint]


class RaceEquity(Shown):
    """The equity of the whole field, for one chart."""

    race_id: int
    start_usd: Usd
    items: list[EquityPath]


class PayoutRow(Shown):
    """One row of what a settled race owes: who to, for which ticket or clone, and whether it was taken."""

    id: int
    kind: Literal["payout", "royalty", "refund"]
    clone_id: int | None
    ticket_id: int | None
    recipient: str
    amount_wei: Wei
    state: Literal["claimable", "authorised", "claimed"]


class PayoutRows(Shown):
    """A page of payout rows, newest first."""

    items: list[PayoutRow]
    next_cursor: str | None


class RaceActShown(Shown):
    """What an act came to."""

    race_id: int
    state: State
    has_changed: bool


class FlagShown(Shown):
    """Two clones whose equity moved as one over three races: something to look at, never an act."""

    id: int
    clone_id: int
    other_id: int
    race_id: int
    correlation: Decimal
    at: Time
    looked_at: Time | None
    verdict: str | None


class FlagList(Shown):
    """The newest flags."""

    items: list[FlagShown]


@router.get("/races", summary="List races")
@public
def list_races(parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50) -> RaceList:
    """Races by number, newest first: the one on sale, the one that is live, and those that are over."""
    before = paging.open("races", cursor)
    with parts.clash.read() as connection:
        found = races.newest(connection, limit=limit + 1, before=before[0] if before else 2**62)
        page = paging.page("races", found, limit, lambda race: [race.id])
        return RaceList(items=[_race(connection, race) for race in page.items], next_cursor=page.next_cursor)


@router.get("/races/{raceId}", summary="One race")
@public
def get_race(race_id: RaceId, parts: Parts) -> RaceWhole:
    """A race with its field as frozen at the opening of sales, and how far it is."""
    with parts.clash.read() as connection:
        race = races.get(connection, race_id)
        return RaceWhole(
            **dict(_race(connection, race)),
            universe=list(race.universe),
            rules_hash=race.rules_hash,
            result_hash=race.result_hash,
            field=[_entrant(entrant) for entrant in races.entrants(connection, race_id)],
            passed_over=[
                PassedOverShown(clone_id=one.clone_id, code=one.code, reason=one.sentence) for one in race.passed_over
            ],
            moves=[
                RaceMoveShown(state=move.state, at=move.at, reason=move.reason)  # type: ignore[arg-type]
                for move in races.moves(connection, race_id)
            ],
        )


@router.get("/races/{raceId}/standings", summary="Standings of a race")
@public
def get_standings(race_id: RaceId, parts: Parts) -> RaceStandings:
    """Ranks and equity: live while it runs, the final order once it is settled."""
    return standings_of(parts, race_id)


@router.get("/races/{raceId}/equity", summary="Equity of the field", response_model=RaceEquity)
@public
def get_equity(race_id: RaceId, parts: Parts) -> Response:
    """The equity curve of every starter, minute by minute while it is live, thinned to hours later."""
    with parts.clash.read() as connection:
        race, paths = races.get(connection, race_id), standings.paths(connection, race_id)
    items = [_path(clone_id, path) for clone_id, path in paths.items()]
    return series.answer(RaceEquity, race_id=race_id, start_usd=usd_text(race.rules.start_balance), items=items)


@router.get("/races/{raceId}/payouts", summary="Payout rows of a race")
@public
def list_payouts(
    race_id: RaceId, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> PayoutRows:
    """Every payout, royalty and refund of a settled race, newest first."""
    of = f"payouts/{race_id}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        races.get(connection, race_id)
        found = payables.every(connection, race_id=race_id, before_id=before[0] if before else None, limit=limit + 1)
    page = paging.page(of, found, limit, lambda payable: [payable.id])
    return PayoutRows(items=[_payout(payable) for payable in page.items], next_cursor=page.next_cursor)


@router.get("/live/races/{raceId}/standings", summary="Standings as they change", response_class=Response)
@public
@sends(MEDIA_TYPE)
@refuses(406)
def stream_standings(request: Request, race_id: RaceId, parts: Parts) -> Response:
    """An event `standings` at once and whenever a rank, an equity or the state changes, its id the time in ms."""
    last_id(request)  # what is sent is a state, not a history: it begins with the present one
    with parts.clash.read() as connection:
        races.get(connection, race_id)
    seen: list[Any] = []

    def look(after: int) -> list[Event]:
        found = standings_of(parts, race_id)
        content = (found.state, tuple(found.items))
        if seen and seen[-1] == content:
            return []
        seen[:] = [content]
        return [Event(max(found.as_of, after + 1), "standings", wire(found))]

    return stream(request, 0, look)


@router.post("/operator/races/{raceId}/acts", summary="Remove a clone from a race, or cancel it")
@ARENA
@refuses(409)
def act_on_race(race_id: RaceId, given: RaceAct, token: Operator, parts: Parts) -> RaceActShown:
    """Take a clone out of a field, or call a race off; the same act again changes nothing."""
    held = still(parts)
    with held.clash.read() as connection:
        before = races.get(connection, race_id).state
    said: dict[str, Any] = {"actor": actor_of(token), "reason": given.reason, "now_ms": held.clock.now_ms()}
    if given.act == "remove":
        if given.clone_id is None:
            raise Problem(422, "missing", "cloneId is missing: say which clone is removed.", pointer="/cloneId")
        changed = race_admin.remove(held.clash, race_id, given.clone_id, **said)
    else:
        changed = race_admin.cancel(held.clash, race_id, **said).state != before
    with held.clash.read() as connection:
        state = races.get(connection, race_id).state
    return RaceActShown(race_id=race_id, state=state, has_changed=changed)  # type: ignore[arg-type]


@router.get("/operator/arena/flags", summary="Clones that move as one")
@ARENA
def list_flags(token: Operator, parts: Parts, limit: PageSize = 100) -> FlagList:
    """Pairs of clones whose equity was almost the same over three races, newest first."""
    with parts.clash.read() as connection:
        return FlagList(items=[_flag(flag) for flag in flags.newest(connection, limit=limit)])


@router.post("/operator/arena/flags/{flagId}/verdict", summary="Say what came of a flag")
@ARENA
@refuses(409)
def judge_flag(flag_id: FlagId, given: FlagVerdict, token: Operator, parts: Parts) -> FlagShown:
    """Write down who looked and what they found; a flag is judged once."""
    now_ms = parts.clock.now_ms()
    with parts.clash.write() as connection:
        flags.look_at(connection, flag_id, actor=actor_of(token), verdict=given.verdict, now_ms=now_ms)
        return _flag(flags.get(connection, flag_id))


def standings_of(parts: Services, race_id: int) -> RaceStandings:
    """The standings as of now.

    Raises:
        ArenaUnknown: no such race.
    """
    with parts.clash.read() as connection:
        state, found = races.get(connection, race_id).state, standings.of(connection, race_id)
    return RaceStandings(
        race_id=race_id,
        state=state,  # type: ignore[arg-type]  # the table's own check
        as_of=parts.clock.now_ms(),
        items=[_standing(one) for one in found],
    )


def _standing(one: Standing) -> RaceStanding:
    return RaceStanding(
        rank=one.rank,
        clone_id=one.clone_id,
        name=one.name,
        equity_usd=None if one.equity is None else usd_text(one.equity),
        return_pct=percent(one.return_rate),
        is_liquidated=one.is_liquidated,
        finished_as=one.standing,  # type: ignore[arg-type]
        marked_at=one.marked_at,
    )


def _race(connection: Connection, race: Race) -> RaceShown:
    try:
        pool = pools.get(connection, race.id)
        sold = sum(each.tickets for each in pools.demand(connection, race.id).values())
        price = pool.price_wei
    except EconomyUnknown:
        sold, price = 0, 0
    return RaceShown(
        id=race.id,
        state=race.state,  # type: ignore[arg-type]
        starts_at=race.starts_at,
        ends_at=race.ends_at,
        sales_open_at=race.sales_open_at,
        sales_close_at=race.sales_close_at,
        tickets=sold,
        pool_wei=str(sold * price),
        ticket_wei=str(price),
        cause=race.cause,  # type: ignore[arg-type]
        reason=race.reason,
    )


def _path(clone_id: int, path: Iterable[tuple[int, int]]) -> Any:
    point = series.struct_of(EquityPoint)
    points = [point(t=series.time_text(t), equity_usd=usd_text(equity)) for t, equity in path]
    return series.struct_of(EquityPath)(clone_id=clone_id, points=points)


def _entrant(entrant: Entrant) -> EntrantShown:
    return EntrantShown(
        clone_id=entrant.clone_id,
        slot_no=entrant.slot_no,
        compiled_hash=entrant.compiled_hash,
        engine=entrant.engine,  # type: ignore[arg-type]
        model_tier=entrant.model_tier if entrant.engine == "model" else None,
        state=entrant.state,  # type: ignore[arg-type]
        reason=entrant.reason,
    )


def _payout(payable: Payable) -> PayoutRow:
    return PayoutRow(
        id=payable.id,
        kind=payable.kind,  # type: ignore[arg-type]
        clone_id=payable.clone_id,
        ticket_id=payable.ticket_id,
        recipient=payable.recipient,
        amount_wei=str(payable.amount_wei),
        state=payable.state,  # type: ignore[arg-type]
    )


def _flag(flag: Flag) -> FlagShown:
    return FlagShown(
        id=flag.id,
        clone_id=flag.clone_id,
        other_id=flag.other_id,
        race_id=flag.race_id,
        correlation=f"{flag.rho_bp / 10_000:.4f}",
        at=flag.at,
        looked_at=flag.looked_at,
        verdict=flag.verdict,
    )
