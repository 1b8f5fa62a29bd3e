"""Moderation: the queue of profiles, reports, retirement, reinstatement (06 profiles), with the scope `moderation`."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Path, Request, Response
from pydantic import StringConstraints

from clash_pipeline.api.documenting import refuses, sends
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.routes.profiles import MEDIA_TYPES, ReportShown, SubmissionShown, image_response, submission
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Given, Id, Line, PageSize, Shown, Time
from clash_pipeline.arena import retirement as arena_retirement
from clash_pipeline.clones import acts, clones, moderation, public_profiles, reports, retirement
from clash_pipeline.clones.acts import REASON_CHARACTERS
from clash_pipeline.clones.public_profiles import Profile
from clash_pipeline.clones.reports import Report
from clash_pipeline.identity.service_tokens import ServiceToken

router = area("/api/v1/moderation", "moderation")
MODERATION = for_service("moderation")
Reason = Annotated[Line, StringConstraints(max_length=REASON_CHARACTERS)]
ProfileId = Annotated[Id, Path(alias="profileId", description="The submission.")]
ReportId = Annotated[Id, Path(alias="reportId", description="The report.")]


class ProfileDecision(Given):
    """Show a submission from now on, or refuse it; a refusal needs a reason."""

    decision: Literal["approve", "reject"]
    reason: Reason = ""


class ReportDecision(Given):
    """Take down what was reported, or leave it; either needs a reason."""

    decision: Literal["uphold", "dismiss"]
    reason: Reason = ""


class RetirementChange(Given):
    """Retire a clone, with a reason, or reinstate it."""

    is_retired: bool
    reason: Reason = ""


class QueuedShown(SubmissionShown):
    """A submission and whose it is."""

    clone_id: int
    submitted_by: str


class Queue(Shown):
    """The submissions that wait, oldest first."""

    items: list[QueuedShown]


class ReportedShown(ReportShown):
    """A report, who made it, and what was decided."""

    profile_id: int
    reporter: str
    decided_by: str | None
    decided_at: Time | None
    reason: str | None


class ReportQueue(Shown):
    """The open reports, oldest first."""

    items: list[ReportedShown]


class ActShown(Shown):
    """One act of the audit."""

    id: int
    act: str
    actor: str
    reason: str
    profile_id: int | None
    report_id: int | None
    at: Time


class ModeratedClone(Shown):
    """The public face of a clone and everything that was done about it, oldest first."""

    clone_id: int
    is_retired: bool
    profiles: list[QueuedShown]
    acts: list[ActShown]


class RetirementShown(Shown):
    """Whether the clone is retired now, and whether that changed just now."""

    clone_id: int
    is_retired: bool
    has_changed: bool


@router.get("/profiles", summary="The moderation queue")
@MODERATION
def list_queue(token: Operator, parts: Parts, limit: PageSize = 100) -> Queue:
    """The profiles that wait for a decision, oldest first."""
    with parts.clash.read() as connection:
        return Queue(items=[_queued(profile) for profile in moderation.queue(connection, limit=limit)])


@router.get("/profiles/{profileId}/image", summary="The image of a submission", response_class=Response)
@MODERATION
@sends(*MEDIA_TYPES)
@refuses(304, 503)
def get_submitted_image(request: Request, profile_id: ProfileId, token: Operator, parts: Parts) -> Response:
    """The image that was submitted, for whoever decides about it."""
    with parts.clash.read() as connection:
        image = public_profiles.profile(connection, profile_id).image
    return image_response(request, parts, image, "private, no-store")


@router.post("/profiles/{profileId}/decision", summary="Decide about a submission")
@MODERATION
@refuses(409)
def decide_profile(
    profile_id: ProfileId,
    given: ProfileDecision,
    token: Operator,
    parts: Parts,
) -> QueuedShown:
    """Show a submitted profile from now on, or refuse it with a reason; the same decision again changes nothing."""
    decide: Callable[..., Profile] = moderation.approve if given.decision == "approve" else moderation.reject
    now_ms = parts.clock.now_ms()
    with parts.clash.write() as connection:
        return _queued(decide(connection, profile_id, actor=actor_of(token), reason=given.reason, now_ms=now_ms))


@router.get("/reports", summary="Open reports")
@MODERATION
def list_reports(token: Operator, parts: Parts, limit: PageSize = 100) -> ReportQueue:
    """The reports that wait for a decision, oldest first."""
    with parts.clash.read() as connection:
        return ReportQueue(items=[_report(report) for report in reports.waiting(connection, limit=limit)])


@router.post("/reports/{reportId}/decision", summary="Decide about a report")
@MODERATION
@refuses(409)
def decide_report(
    report_id: ReportId,
    given: ReportDecision,
    token: Operator,
    parts: Parts,
) -> ReportedShown:
    """Close a report; upholding it takes down the profile that was reported."""
    decide: Callable[..., Report] = reports.uphold if given.decision == "uphold" else reports.dismiss
    now_ms = parts.clock.now_ms()
    with parts.clash.write() as connection:
        return _report(decide(connection, report_id, actor=actor_of(token), reason=given.reason, now_ms=now_ms))


@router.get("/clones/{cloneId}", summary="The public face of a clone")
@MODERATION
def get_moderated(clone_id: CloneId, token: Operator, parts: Parts) -> ModeratedClone:
    """Every submission of a clone and every act about it; nothing of its strategy."""
    with parts.clash.read() as connection:
        clones.get(connection, clone_id)
        return ModeratedClone(
            clone_id=clone_id,
            is_retired=retirement.is_retired(connection, clone_id),
            profiles=[_queued(profile) for profile in public_profiles.history(connection, clone_id)],
            acts=[ActShown.model_validate(act) for act in acts.of_clone(connection, clone_id)],
        )


@router.post("/clones/{cloneId}/retirement", summary="Retire or reinstate a clone")
@MODERATION
@refuses(409)
def change_retirement(
    clone_id: CloneId,
    given: RetirementChange,
    token: Operator,
    parts: Parts,
) -> RetirementShown:
    """Retire a clone, which frees its name, or take that back; the same again changes nothing."""
    act: Callable[..., bool] = arena_retirement.retire_now if given.is_retired else arena_retirement.reinstate
    now_ms = parts.clock.now_ms()
    with parts.clash.write() as connection:
        changed = act(connection, clone_id, actor=actor_of(token), reason=given.reason, now_ms=now_ms)
    return RetirementShown(clone_id=clone_id, is_retired=given.is_retired, has_changed=changed)


def actor_of(token: ServiceToken) -> str:
    """How rows name who acted with a service token."""
    return f"service:{token.name}"


def _queued(profile: Profile) -> QueuedShown:
    return QueuedShown(**dict(submission(profile)), clone_id=profile.clone_id, submitted_by=profile.submitted_by)


def _report(report: Report) -> ReportedShown:
    return ReportedShown.model_validate(report)
