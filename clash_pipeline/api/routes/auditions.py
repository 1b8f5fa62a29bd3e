"""Auditions: submit, read, retry; for operators evaluate and void (06 auditions; scope `arena`)."""

from typing import Annotated, Literal

from fastapi import Path, Request, Response
from pydantic import StringConstraints

from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses
from clash_pipeline.api.parts import Me, Operator, Parts, own_clone, owner_of, still
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routes.moderation import actor_of
from clash_pipeline.api.routing import for_service, for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Given, Hash, Id, Line, PageSize, Shown, Time
from clash_pipeline.arena import admin, auditions
from clash_pipeline.arena.auditions import Audition
from clash_pipeline.arena.criteria import Finding
from clash_pipeline.arena.refusals import ArenaUnknown
from clash_pipeline.clones.refusals import CloneUnknown
from clash_pipeline.identity.sessions import Session
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.sqlite import Connection

router = area("/api/v1", "auditions")
ARENA = for_service("arena")
AuditionId = Annotated[Id, Path(alias="auditionId", description="The audition.")]
State = Literal["submitted", "running", "passed", "failed", "voided"]
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=500)]


class AuditionAct(Given):
    """What is done to an audition, and why: judge it where its account has ended, or void it and refund."""

    act: Literal["evaluate", "void"]
    reason: Reason


class CriterionShown(Shown):
    """One criterion with its bound and its value; the value is null where there was nothing to measure."""

    criterion: str
    is_met: bool
    bound: str
    value: str


class AuditionShown(Shown):
    """An audition. Criteria are empty until it was judged; `cause` names the one that failed it."""

    id: int
    clone_id: int
    purchase_id: int
    retry_of: int | None
    account_id: int | None
    state: State
    submitted_at: Time
    starts_at: Time
    ends_at: Time
    ended_at: Time | None
    reason: str | None
    cause: str | None
    compiled_hash: Hash
    rules_hash: Hash
    criteria: list[CriterionShown]


class AuditionList(Shown):
    """Auditions, newest first."""

    items: list[AuditionShown]


@router.post("/clones/{cloneId}/auditions", status_code=201, summary="Submit to an audition",
             response_model=AuditionShown)  # fmt: skip
@for_user
@creates
def submit_audition(request: Request, clone_id: CloneId, me: Me, parts: Parts) -> Response:
    """Enter a clone with the audition that was bought for it; while one runs, that one is answered again."""
    held = still(parts)

    def work() -> object:
        with held.clash.write() as connection:
            own_clone(connection, me, clone_id)
            made = auditions.submit(connection, held.settings, clone_id, actor=owner_of(me), now_ms=held.clock.now_ms())
        return wire(shown(made))

    return idempotency.once(request, None, work)


@router.get("/clones/{cloneId}/auditions", summary="Auditions of a clone")
@for_user
def list_auditions(clone_id: CloneId, me: Me, parts: Parts, limit: PageSize = 50) -> AuditionList:
    """Every audition of one's clone, newest first, each with its criteria."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        found = auditions.every(connection, clone_id=clone_id, limit=limit)
    return AuditionList(items=[shown(audition) for audition in found])


@router.get("/auditions/{auditionId}", summary="One audition")
@for_user
def get_audition(audition_id: AuditionId, me: Me, parts: Parts) -> AuditionShown:
    """One's audition, with each criterion, its bound and its value."""
    with parts.clash.read() as connection:
        return shown(_own(connection, me, audition_id))


@router.post("/auditions/{auditionId}/retry", status_code=201, summary="Audition again",
             response_model=AuditionShown)  # fmt: skip
@for_user
@creates
def retry_audition(request: Request, audition_id: AuditionId, me: Me, parts: Parts) -> Response:
    """Enter again after a failed or voided audition, with a purchase of its own and the version that is active now."""
    held = still(parts)

    def work() -> object:
        with held.clash.write() as connection:
            _own(connection, me, audition_id)
            made = auditions.retry(
                connection, held.settings, audition_id, actor=owner_of(me), now_ms=held.clock.now_ms()
            )
        return wire(shown(made))

    return idempotency.once(request, None, work)


@router.get("/operator/auditions", summary="The newest auditions")
@ARENA
def list_all_auditions(token: Operator, parts: Parts, limit: PageSize = 100) -> AuditionList:
    """The newest auditions of all clones."""
    with parts.clash.read() as connection:
        return AuditionList(items=[shown(audition) for audition in auditions.every(connection, limit=limit)])


@router.post("/operator/auditions/{auditionId}/acts", summary="Evaluate or void an audition")
@ARENA
@refuses(409)
def act_on_audition(audition_id: AuditionId, given: AuditionAct, token: Operator, parts: Parts) -> AuditionShown:
    """Judge a running audition whose account has ended, or call one off, which refunds its purchase; twice is once."""
    held = still(parts)
    now_ms = held.clock.now_ms()
    if given.act == "void":
        venue = PaperVenue(held.market, price_jump_pct=held.settings.price_jump_pct)
        voided = admin.void(held.clash, venue, audition_id, actor=actor_of(token), reason=given.reason, now_ms=now_ms)
        return shown(voided)
    with held.clash.write() as connection:
        auditions.evaluate(connection, audition_id, now_ms=now_ms)
        found = auditions.get(connection, audition_id)
    if found.is_open:
        raise Problem(409, "result_missing", "The account of this audition has not ended yet.")
    return shown(found)


def shown(audition: Audition) -> AuditionShown:
    """An audition as its owner and operators see it."""
    return AuditionShown(
        **{name: getattr(audition, name) for name in AuditionShown.model_fields if name != "criteria"},
        criteria=[_criterion(finding) for finding in audition.findings],
    )


def _criterion(finding: Finding) -> CriterionShown:
    return CriterionShown(
        criterion=finding.criterion,
        is_met=finding.is_met,
        bound=auditions.shown(finding, finding.bound),
        value=auditions.shown(finding, finding.value),
    )


def _own(connection: Connection, me: Session, audition_id: int) -> Audition:
    """An audition of one of the user's clones.

    Raises:
        ArenaUnknown: absent, or of somebody else's clone: the same answer.
    """
    found = auditions.get(connection, audition_id)
    try:
        own_clone(connection, me, found.clone_id)
    except CloneUnknown:
        raise ArenaUnknown(f"there is no audition {audition_id}") from None
    return found
