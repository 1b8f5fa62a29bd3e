"""`/admin/moderation`: profiles that wait for a decision, reports, retirements."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.forms import Fields, Reason, form
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.wire import Id, Line
from clash_pipeline.arena import retirement as arena_retirement
from clash_pipeline.clones import images, moderation, public_profiles, reports
from clash_pipeline.clones.public_profiles import Profile
from clash_pipeline.clones.refusals import CloneError, ProfileInvalid
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection

router = pages()
PATH = "/admin/moderation"
DONE = {
    "approved": "The profile is shown from now on.",
    "rejected": "The profile was rejected.",
    "upheld": "The report was upheld; what it was about is not shown any more.",
    "dismissed": "The report was dismissed.",
    "retired": "The clone is retired.",
    "reinstated": "The clone is reinstated.",
    "unchanged": "That was so already; nothing changed.",
}
Done = Literal["approved", "rejected", "upheld", "dismissed", "retired", "reinstated", "unchanged"]


class ProfileDecision(Fields):
    """What to do with a profile; a rejection needs a reason."""

    act: Literal["approve", "reject"]
    reason: Line = ""


class ReportDecision(Fields):
    """What to do with a report, and why."""

    act: Literal["uphold", "dismiss"]
    reason: Reason


class Retirement(Fields):
    """A clone to retire or to bring back."""

    act: Literal["retire", "reinstate"]
    clone_id: Id
    reason: Reason


@router.get(PATH)
@for_service("moderation")
def queue(request: Request, parts: Parts, done: Annotated[Done | None, Query()] = None) -> Response:
    """Everything that waits."""
    return _page(request, parts, note=DONE[done] if done else None)


@router.post(PATH + "/profiles/{profile_id}")
@for_service("moderation")
def decide_profile(
    request: Request, profile_id: Id, given: Annotated[ProfileDecision, Depends(form(ProfileDecision))],
    parts: Parts, token: Operator,
) -> Response:  # fmt: skip
    """Approve or reject a profile."""

    def decide(connection: Connection, actor: str, now_ms: int) -> Done:
        if given.act == "approve":
            moderation.approve(connection, profile_id, actor=actor, now_ms=now_ms, reason=given.reason)
            return "approved"
        moderation.reject(connection, profile_id, actor=actor, now_ms=now_ms, reason=given.reason)
        return "rejected"

    return _decided(request, parts, token, decide)


@router.post(PATH + "/reports/{report_id}")
@for_service("moderation")
def decide_report(
    request: Request, report_id: Id, given: Annotated[ReportDecision, Depends(form(ReportDecision))],
    parts: Parts, token: Operator,
) -> Response:  # fmt: skip
    """Uphold or dismiss a report."""

    def decide(connection: Connection, actor: str, now_ms: int) -> Done:
        if given.act == "uphold":
            reports.uphold(connection, report_id, actor=actor, reason=given.reason, now_ms=now_ms)
            return "upheld"
        reports.dismiss(connection, report_id, actor=actor, reason=given.reason, now_ms=now_ms)
        return "dismissed"

    return _decided(request, parts, token, decide)


@router.post(PATH + "/retirements")
@for_service("moderation")
def retire(
    request: Request, given: Annotated[Retirement, Depends(form(Retirement))], parts: Parts, token: Operator
) -> Response:
    """Retire a clone, or bring it back."""

    def decide(connection: Connection, actor: str, now_ms: int) -> Done:
        if given.act == "retire":
            is_new = arena_retirement.retire_now(
                connection, given.clone_id, actor=actor, reason=given.reason, now_ms=now_ms
            )
            return "retired" if is_new else "unchanged"
        is_new = arena_retirement.reinstate(connection, given.clone_id, actor=actor, reason=given.reason, now_ms=now_ms)
        return "reinstated" if is_new else "unchanged"

    return _decided(request, parts, token, decide)


@router.get(PATH + "/profiles/{profile_id}/image")
@for_service("moderation")
def image(profile_id: Id, parts: Parts) -> Response:
    """The image of any submission."""
    with parts.clash.read() as connection:
        try:
            found = public_profiles.profile(connection, profile_id)
        except CloneError:
            raise not_found("image") from None
    if found.image is None:
        raise not_found("image")
    return Response(images.get(parts.store, found.image), media_type=found.image.media_type)


def _decided(
    request: Request, parts: Services, token: ServiceToken, decide: Callable[[Connection, str, int], Done]
) -> Response:
    """Carry a decision out in one transaction; what the domain refuses is said on the page itself."""
    now_ms = parts.clock.now_ms()  # before the transaction: a replayed venue is asked for it
    try:
        with parts.clash.write() as connection:
            done = decide(connection, f"operator:{token.name}", now_ms)
    except (CloneError, ProfileInvalid) as refused:
        return _page(request, parts, alert=f"{str(refused).capitalize()}.")
    return rendering.see(f"{PATH}?done={done}")


def _page(request: Request, parts: Services, *, note: str | None = None, alert: str | None = None) -> Response:
    with parts.clash.read() as connection:
        waiting = [(found, _shown(connection, found)) for found in moderation.queue(connection)]
        open_reports = [
            (found, public_profiles.profile(connection, found.profile_id)) for found in reports.waiting(connection)
        ]
    return rendering.page(
        request, "moderation.html", status=409 if alert else 200, title="Moderation", waiting=waiting,
        reports=open_reports, note=note, alert=alert, now_ms=parts.clock.now_ms(),
    )  # fmt: skip


def _shown(connection: Connection, waiting: Profile) -> Profile | None:
    return public_profiles.shown(connection, waiting.clone_id)
