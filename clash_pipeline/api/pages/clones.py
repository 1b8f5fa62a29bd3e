"""`/clones/{id}`: what everybody may see of a clone, and for its owner trades on candles and decisions with reasons."""

from typing import Annotated, Any, NamedTuple

from fastapi import Query, Request, Response

from clash_pipeline.api.pages import decisions, rendering
from clash_pipeline.api.pages.accounts import MARKS_SHOWN, equity_chart
from clash_pipeline.api.pages.candles import SPANS, Span, trades_chart
from clash_pipeline.api.pages.routing import Looking, pages
from clash_pipeline.api.pages.visitors import Visitor
from clash_pipeline.api.parts import Me, Parts, owner_of
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.wire import Id
from clash_pipeline.arena import product_states
from clash_pipeline.clones import clones, images, public_profiles, retirement
from clash_pipeline.clones.clones import Clone
from clash_pipeline.clones.public_profiles import Badges, Profile
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.decisions import views as run_views
from clash_pipeline.decisions.runs import ArtifactRef, artifacts_of
from clash_pipeline.prop import accounts, views
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.snapshots import Snapshot, series
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection

router = pages()
RUNS_SHOWN = 15
FILLS_SHOWN = 200


class Look(NamedTuple):
    """A clone at one moment: `view` and `marks` are its running sandbox account, `runs` only for who may see them."""

    profile: Profile | None
    badges: Badges
    is_retired: bool
    account: Account | None
    view: dict[str, Any] | None
    marks: list[Snapshot]
    runs: list[tuple[dict[str, Any], ArtifactRef | None]]

    @property
    def fills(self) -> list[dict[str, Any]]:
        """Its newest trades, newest first."""
        return self.view["fills"] if self.view else []


@router.get("/clones")
@for_user
def mine(request: Request, me: Me, parts: Parts) -> Response:
    """The clones of whoever is signed in."""
    with parts.clash.read() as connection:
        found = [
            (clone, product_states.of(connection, clone.id)) for clone in clones.every(connection, owner=owner_of(me))
        ]
    return rendering.page(request, "clones.html", title="Your clones", clones=found)


@router.get("/clones/{clone_id}")
@public
def one(
    request: Request,
    clone_id: Id,
    parts: Parts,
    visitor: Looking,
    symbol: Annotated[str | None, Query(max_length=40)] = None,
    span: Annotated[Span, Query()] = "24h",
) -> Response:
    """A clone: its public part, and the rest for whoever may see it."""
    now_ms = parts.clock.now_ms()
    with parts.clash.read() as connection:
        clone = _found(connection, clone_id)
        is_private = may_see_all(visitor, clone)
        look = _look(connection, clone, is_private=is_private)
    if look.profile is None and not is_private:
        raise not_found("clone")
    if look.account is not None:
        look = look._replace(view=_account(parts, look.account.id, now_ms))
    traded = _traded(look)
    chosen = symbol if symbol in traded else next(iter(traded), None)
    return rendering.page(
        request, "clone.html", title=look.profile.name if look.profile else clone.name, look=look, clone=clone,
        profile=look.profile, badges=look.badges, view=look.view, is_private=is_private, traded=traded, chosen=chosen,
        equity=equity_chart(look.marks, look.account.start_balance) if look.account else None,
        trades=trades_chart(parts.market, chosen, look.fills, span, now_ms) if is_private and chosen else None,
        span=span, spans=SPANS, runs=[(run, decisions.answer_of(parts.store, response)) for run, response in look.runs],
    )  # fmt: skip


@router.get("/clones/{clone_id}/image")
@public
def image(clone_id: Id, parts: Parts) -> Response:
    """The image of the profile that is shown."""
    with parts.clash.read() as connection:
        profile = public_profiles.shown(connection, clone_id)
    if profile is None or profile.image is None:
        raise not_found("image")
    headers = {"cache-control": "public, max-age=300", "etag": f'"{profile.image.sha256[:32]}"'}
    return Response(images.get(parts.store, profile.image), headers=headers, media_type=profile.image.media_type)


@router.get("/clones/{clone_id}/decisions/{run_id}")
@for_user
def decision(request: Request, clone_id: Id, run_id: Id, me: Me, parts: Parts) -> Response:
    """One decision run of an own clone, whole."""
    with parts.clash.read() as connection:
        if _found(connection, clone_id).owner != owner_of(me):
            raise not_found("clone")
    return decisions.shown(request, parts, run_id, clone_id=clone_id)


def may_see_all(visitor: Visitor, clone: Clone) -> bool:
    """Whether somebody owns a clone, or is an operator of accounts."""
    owns = visitor.user is not None and clone.owner == owner_of(visitor.user)
    return owns or visitor.may("accounts")


def _found(connection: Connection, clone_id: int) -> Clone:
    try:
        return clones.get(connection, clone_id)
    except CloneError:
        raise not_found("clone") from None


def _look(connection: Connection, clone: Clone, *, is_private: bool) -> Look:
    running = accounts.of_clone(connection, clone.id)
    account = next((found for found in running if found.kind == "sandbox"), None)
    runs = run_views.latest_runs(connection, clone_id=clone.id, limit=RUNS_SHOWN) if is_private else []
    return Look(
        profile=public_profiles.shown(connection, clone.id),
        badges=public_profiles.badges(connection, clone.id),
        is_retired=retirement.is_retired(connection, clone.id),
        account=account,
        view=None,
        marks=series(connection, account.id, limit=MARKS_SHOWN) if account else [],
        runs=[(run, artifacts_of(connection, run["id"]).get("response")) for run in runs],
    )


def _account(parts: Services, account_id: int, now_ms: int) -> dict[str, Any]:
    """The account as the market stands, which is where its positions would be liquidated."""
    with parts.clash.read() as connection:
        held = [symbol for symbol, position in accounts.positions(connection, account_id).items() if position.size]
    venue = PaperVenue(parts.market, price_jump_pct=parts.settings.price_jump_pct)
    seen = views.Seen(venue.quotes(held, now_ms), now_ms)
    with parts.clash.read() as connection:
        return views.account_view(connection, account_id, tail=FILLS_SHOWN, seen=seen)


def _traded(look: Look) -> list[str]:
    """What can be charted: first what was traded, newest first, then the rest of the universe."""
    return list(dict.fromkeys([*(fill["symbol"] for fill in look.fills), *look.badges.assets]))
