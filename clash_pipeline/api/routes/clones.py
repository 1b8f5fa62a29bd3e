"""One's own clones: list, create, read, change, and what they may use (06 clones, entitlements)."""

from typing import Annotated, Any, Literal

from fastapi import Request, Response
from pydantic import Field, StringConstraints

from clash_pipeline import clone_desk
from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses
from clash_pipeline.api.graphs import GraphJson, plain
from clash_pipeline.api.parts import Me, Paging, Parts, own_clone, owner_of, still
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.routing import for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Cursor, Given, Line, PageSize, Shown, Time
from clash_pipeline.arena import product_states
from clash_pipeline.clones import clones, drafts, entitlements, holds
from clash_pipeline.clones.clones import NAME_CHARACTERS, Clone
from clash_pipeline.clones.entitlements import Entitlement, Grant
from clash_pipeline.clones.product_state import ProductState
from clash_pipeline.storage.sqlite import Connection

router = area("/api/v1/clones", "clones")
Engine = Literal["hold", "rules", "model"]
CloneName = Annotated[Line, StringConstraints(min_length=1, max_length=NAME_CHARACTERS)]
Tier = Annotated[int, Field(ge=1, le=3)]


class CloneRequest(Given):
    """A new clone. With a graph it is published, gets a sandbox account and trades at once: all of it or nothing."""

    name: CloneName
    engine: Engine | None = None
    graph: GraphJson | None = None


class CloneChange(Given):
    """What changes; what is left out stays. All of it or nothing."""

    name: CloneName | None = None
    engine: Engine | None = None
    model_tier: Tier | None = None
    is_trading: bool | None = None


class HoldShown(Shown):
    """What the clone is in: an audition freezes it, a race runs what was frozen for it."""

    reason: Literal["audition", "race"]
    ref: str
    since: Time


class CapacityShown(Shown):
    """The limits of a capacity tier."""

    name: str
    assets: int
    prompts: int
    links_per_asset: int
    links: int


class EntitlementShown(Shown):
    """What a clone may use now; a mock entitlement serves local work and dry runs, never an audition."""

    capacity: CapacityShown
    model_tier: int
    candidates: int
    is_mock: bool
    may_audition: bool


class GrantShown(Shown):
    """One grant, ended ones too."""

    id: int
    source: str
    purpose: str
    capacity_tier: str | None
    model_tier: int | None
    candidates: int | None
    granted_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    is_live: bool


class EntitlementHistory(Shown):
    """The effective entitlement and the grants that it comes from, oldest first."""

    effective: EntitlementShown
    grants: list[GrantShown]


class CloneShown(Shown):
    """One's own clone. `product_state` is derived; `version` is the active one's number, null before publication."""

    id: int
    name: str
    engine: Engine
    model_tier: int
    is_trading: bool
    product_state: ProductState
    version: int | None
    has_draft: bool
    draft_saved_at: Time | None
    holds: list[HoldShown]
    entitlement: EntitlementShown
    created_at: Time


class CloneList(Shown):
    """A page of clones by id."""

    items: list[CloneShown]
    next_cursor: str | None


@router.get("", summary="List one's clones")
@for_user
def list_clones(me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50) -> CloneList:
    """The clones of the signed-in user, oldest first."""
    after = paging.open("clones", cursor)
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        mine = clones.every(connection, owner=owner_of(me))
        found = [clone for clone in mine if after is None or clone.id > after[0]][: limit + 1]
        page = paging.page("clones", found, limit, lambda clone: [clone.id])
        items = [shown(connection, clone, now_ms) for clone in page.items]
    return CloneList(items=items, next_cursor=page.next_cursor)


@router.post("", status_code=201, summary="Create a clone", response_model=CloneShown)
@for_user
@creates
@refuses(503)
def create_clone(request: Request, given: CloneRequest, me: Me, parts: Parts) -> Response:
    """A new clone: empty, or with a graph that trades at once in a sandbox account."""
    at, owner = still(parts), owner_of(me)
    now_ms = at.clock.now_ms()

    def work() -> Any:
        if given.graph is None:
            engine = given.engine or at.settings.engine
            clone_id = clones.create(at.clash, given.name, engine=engine, now_ms=now_ms, owner=owner)
        else:
            made = clone_desk.create(at, given.name, plain(given.graph), engine=given.engine, owner=owner)
            clone_id = made.clone_id
        with at.clash.read() as connection:
            return wire(shown(connection, clones.get(connection, clone_id), now_ms))

    return idempotency.once(request, given.model_dump(), work)


@router.get("/{cloneId}", summary="One clone")
@for_user
def get_clone(clone_id: CloneId, me: Me, parts: Parts) -> CloneShown:
    """One of the user's own clones; another's is as absent as none."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        return shown(connection, own_clone(connection, me, clone_id), now_ms)


@router.patch("/{cloneId}", summary="Change a clone")
@for_user
@refuses(409)
def change_clone(clone_id: CloneId, given: CloneChange, me: Me, parts: Parts) -> CloneShown:
    """Change name, engine, model tier or trading, all or nothing; an audition freezes all but the name."""
    if not given.model_fields_set or None in given.model_dump(exclude_unset=True).values():
        raise Problem(422, "value", "Name at least one field, and give each a value.")
    now_ms = parts.clock.now_ms()
    with parts.clash.together() as connection:
        own_clone(connection, me, clone_id)
        if given.name is not None:
            clones.rename(parts.clash, clone_id, given.name, now_ms=now_ms)
        if given.model_tier is not None:
            clones.set_model_tier(parts.clash, clone_id, given.model_tier, now_ms=now_ms)
        if given.engine is not None:
            clones.set_engine(parts.clash, clone_id, given.engine, now_ms=now_ms)
        if given.is_trading is not None:
            clones.set_trading(parts.clash, clone_id, given.is_trading, now_ms=now_ms)
        return shown(connection, clones.get(connection, clone_id), now_ms)


@router.get("/{cloneId}/entitlement", summary="What a clone may use")
@for_user
def get_entitlement(clone_id: CloneId, me: Me, parts: Parts) -> EntitlementHistory:
    """The effective entitlement, and every grant the clone ever had."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        grants = entitlements.history(connection, clone_id)
        effective = entitlements.effective(connection, clone_id, now_ms)
    return EntitlementHistory(effective=_entitlement(effective), grants=[_grant(grant, now_ms) for grant in grants])


def shown(connection: Connection, clone: Clone, now_ms: int) -> CloneShown:
    """A clone as its owner sees it."""
    draft = drafts.of(connection, clone.id)
    return CloneShown(
        id=clone.id,
        name=clone.name,
        engine=clone.engine,  # type: ignore[arg-type]  # the table's own check
        model_tier=clone.model_tier,
        is_trading=clone.is_trading,
        product_state=product_states.of(connection, clone.id),
        version=clone.version,
        has_draft=draft is not None,
        draft_saved_at=None if draft is None else draft.saved_at,
        holds=[HoldShown.model_validate(hold) for hold in holds.of(connection, clone.id)],
        entitlement=_entitlement(entitlements.effective(connection, clone.id, now_ms)),
        created_at=clone.created_at,
    )


def wire(body: Shown) -> Any:
    """A response as plain JSON, for an answer that is kept."""
    return body.model_dump(mode="json", by_alias=True)


def _entitlement(found: Entitlement) -> EntitlementShown:
    return EntitlementShown(
        capacity=CapacityShown.model_validate(found.capacity),
        model_tier=found.model_tier,
        candidates=found.candidates,
        is_mock=found.is_mock,
        may_audition=found.may_audition,
    )


def _grant(grant: Grant, now_ms: int) -> GrantShown:
    named = {name: getattr(grant, name) for name in GrantShown.model_fields if name != "is_live"}
    return GrantShown(**named, is_live=grant.is_live(now_ms))
