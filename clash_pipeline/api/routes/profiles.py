"""Public profiles: what everybody sees of a clone, what its owner submits, and reports (06 profiles)."""

from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from clash_pipeline import clone_desk
from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses, sends
from clash_pipeline.api.parts import Me, Parts, own_clone, owner_of
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.api.routes.clones import Engine, wire
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.versions import is_unchanged
from clash_pipeline.api.wire import CloneId, Given, Line, Shown, Time
from clash_pipeline.clones import images, public_profiles, reports, retirement
from clash_pipeline.clones.images import StoredImage
from clash_pipeline.clones.public_profiles import DESCRIPTION_CHARACTERS, Badges, Profile
from clash_pipeline.clones.reports import Category
from clash_pipeline.services import Services

router = area("/api/v1", "profiles")
MEDIA_TYPES = ("image/png", "image/jpeg")
State = Literal["submitted", "approved", "rejected", "replaced", "removed"]
PublicName = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Description = Annotated[Line, StringConstraints(max_length=2 * DESCRIPTION_CHARACTERS)]


class ProfileRequest(Given):
    """What people shall see: a name of at most 32 characters, a description of at most 280; the image stays."""

    name: PublicName
    description: Description = ""


class ReportRequest(Given):
    """What is wrong with what a clone shows; something else needs words."""

    category: Category
    text: Annotated[Line, StringConstraints(max_length=1_000)] = ""


class BadgesShown(Shown):
    """What is shown of a strategy; never how it trades."""

    engine: Engine
    model_tier: int | None
    assets: list[str]
    streams: list[str]


class PublicProfileShown(Shown):
    """What everybody sees of a clone."""

    clone_id: int
    name: str
    description: str
    has_image: bool
    badges: BadgesShown
    is_retired: bool
    approved_at: Time


class SubmissionShown(Shown):
    """One submission, and what was decided about it."""

    id: int
    name: str
    description: str
    has_image: bool
    state: State
    submitted_at: Time
    decided_at: Time | None
    reason: str | None


class OwnProfileShown(Shown):
    """One's own profile: what is shown, what waits, and every submission, newest first."""

    shown: SubmissionShown | None
    waiting: SubmissionShown | None
    badges: BadgesShown
    is_retired: bool
    history: list[SubmissionShown]


class ReportShown(Shown):
    """One's report."""

    id: int
    clone_id: int
    category: Category
    text: str
    state: Literal["open", "upheld", "dismissed"]
    reported_at: Time


@router.get("/clones/{cloneId}/profile", summary="One's own profile")
@for_user
def get_own_profile(clone_id: CloneId, me: Me, parts: Parts) -> OwnProfileShown:
    """What is shown, what waits for a moderator, and what was decided before."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        approved = public_profiles.shown(connection, clone_id)
        waiting = public_profiles.in_state(connection, clone_id, "submitted")
        return OwnProfileShown(
            shown=submission(approved) if approved else None,
            waiting=submission(waiting) if waiting else None,
            badges=_badges(public_profiles.badges(connection, clone_id)),
            is_retired=retirement.is_retired(connection, clone_id),
            history=[submission(each) for each in public_profiles.history(connection, clone_id)],
        )


@router.put("/clones/{cloneId}/profile", summary="Submit a profile")
@for_user
@refuses(409)
def submit_profile(clone_id: CloneId, given: ProfileRequest, me: Me, parts: Parts) -> SubmissionShown:
    """Put name and description into the moderation queue; the approved profile goes on being shown meanwhile."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        before = next(iter(public_profiles.history(connection, clone_id)), None)
    image = before.image if before else None
    made = clone_desk.submit_profile(
        parts, clone_id, given.name, description=given.description, image=image, actor=owner_of(me)
    )
    return submission(made)


@router.put("/clones/{cloneId}/profile/image", summary="Submit a profile image")
@for_user
@refuses(409, 503)
async def submit_image(request: Request, clone_id: CloneId, me: Me, parts: Parts) -> SubmissionShown:
    """Put a 512 x 512 PNG or JPEG of at most 1 MB into the moderation queue, with the newest name and description."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() not in MEDIA_TYPES:
        raise Problem(415, "unsupported_media_type", "Send image/png or image/jpeg.")
    upload = await request.body()

    def work() -> SubmissionShown:
        before = _named(parts, clone_id, me)
        stored = clone_desk.upload_image(parts, upload)
        made = clone_desk.submit_profile(
            parts, clone_id, before.name, description=before.description, image=stored, actor=owner_of(me)
        )
        return submission(made)

    return await run_in_threadpool(work)


submit_image.__dict__["describes"] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
    }
}


@router.get("/profiles/{cloneId}", summary="The public profile of a clone")
@public
def get_profile(clone_id: CloneId, parts: Parts) -> PublicProfileShown:
    """The approved profile with its badges; a clone without one is as absent as none."""
    with parts.clash.read() as connection:
        found = public_profiles.public(connection, clone_id)
    profile = found.profile
    return PublicProfileShown(
        clone_id=clone_id,
        name=profile.name,
        description=profile.description,
        has_image=profile.image is not None,
        badges=_badges(found.badges),
        is_retired=found.is_retired,
        approved_at=profile.decided_at or profile.submitted_at,
    )


@router.get("/profiles/{cloneId}/image", summary="The public image of a clone", response_class=Response)
@public
@sends(*MEDIA_TYPES)
@refuses(304, 503)
def get_image(request: Request, clone_id: CloneId, parts: Parts) -> Response:
    """The approved image, verified against its hash."""
    with parts.clash.read() as connection:
        image = public_profiles.public(connection, clone_id).profile.image
    return image_response(request, parts, image, "public, max-age=300")


@router.post("/profiles/{cloneId}/reports", status_code=201, summary="Report a profile", response_model=ReportShown)
@for_user
@creates
def report_profile(request: Request, clone_id: CloneId, given: ReportRequest, me: Me, parts: Parts) -> Response:
    """Report what a clone shows; nothing follows until a moderator decides."""
    now_ms = parts.clock.now_ms()

    def work() -> object:
        with parts.clash.write() as connection:
            made = reports.report(
                connection, clone_id, category=given.category, text=given.text, reporter=owner_of(me), now_ms=now_ms
            )
        return wire(ReportShown.model_validate(made))

    return idempotency.once(request, given.model_dump(), work)


def submission(profile: Profile) -> SubmissionShown:
    """A submission as its owner sees it."""
    return SubmissionShown(
        id=profile.id,
        name=profile.name,
        description=profile.description,
        has_image=profile.image is not None,
        state=profile.state,  # type: ignore[arg-type]  # the table's own check
        submitted_at=profile.submitted_at,
        decided_at=profile.decided_at,
        reason=profile.reason,
    )


def image_response(request: Request, parts: Services, image: StoredImage | None, caching: str) -> Response:
    """A stored image as an answer.

    Raises:
        Problem: 404 where there is none.
        StoreError: it cannot be read.
    """
    if image is None:
        raise not_found("image")
    headers = {"etag": f'"{image.sha256}"', "cache-control": caching}
    if is_unchanged(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    return Response(images.get(parts.store, image), headers=headers, media_type=image.media_type)


def _named(parts: Services, clone_id: int, me: Me) -> Profile:
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        before = next(iter(public_profiles.history(connection, clone_id)), None)
    if before is None:
        raise Problem(409, "profile_missing", "Submit a name first; an image belongs to one.")
    return before


def _badges(badges: Badges) -> BadgesShown:
    return BadgesShown(
        engine=badges.engine,  # type: ignore[arg-type]  # the table's own check
        model_tier=badges.model_tier,
        assets=list(badges.assets),
        streams=list(badges.streams),
    )
