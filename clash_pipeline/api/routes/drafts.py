"""The pipeline of a clone: its draft with layout and all problems at once, its versions, publication (06 clones)."""

from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response

from clash_pipeline import clone_desk
from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses, versioned
from clash_pipeline.api.graphs import GraphJson, GraphProblem, plain
from clash_pipeline.api.graphs import shown as problems_shown
from clash_pipeline.api.parts import Me, Paging, Parts, own_clone, owner_of, still
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routes.memory import LatestShown, latest_of
from clash_pipeline.api.routing import for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.versions import is_unchanged, require_match
from clash_pipeline.api.wire import CloneId, Cursor, Hash, Id, PageSize, Shown, Text, Time
from clash_pipeline.clones import drafts, entitlements, validation, versions
from clash_pipeline.clones.drafts import Draft
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.problems import GraphInvalid
from clash_pipeline.clones.problems import Problem as Found
from clash_pipeline.services import Services

router = area("/api/v1/clones/{cloneId}", "clones")
NO_DRAFT = "none"
"""The ETag of a clone that has no draft yet."""
Number = Annotated[Id, Path(ge=1, description="The number of the version: 1, 2, 3 ...")]


class DraftShown(Shown):
    """A draft as it was saved, layout included; the problems are all that keep it from being published now."""

    graph: GraphJson | None
    saved_at: Time | None
    problems: list[GraphProblem]
    can_publish: bool


class ValidationShown(Shown):
    """Every problem of a graph at once. A draft that is merely incomplete can be saved, not published."""

    problems: list[GraphProblem]
    can_save: bool
    can_publish: bool


class VersionShown(Shown):
    """A published version; its hash identifies what the compiler made of the graph."""

    number: int
    compiled_hash: Hash
    is_active: bool
    published_at: Time


class VersionList(Shown):
    """A page of versions, newest first."""

    items: list[VersionShown]
    next_cursor: str | None


class BranchShown(Shown):
    """One strategy branch of a version: its cadence and the assets that it claims."""

    id: str
    cadence_sec: int
    max_candidates: int
    symbols: list[str]


class VersionWhole(VersionShown):
    """A version with its graph as it was published, and what was compiled of it."""

    graph: GraphJson
    symbols: list[str]
    branches: list[BranchShown]


@router.get("/draft", summary="Read the draft", response_model=DraftShown)
@for_user
@refuses(304, 503)
def get_draft(request: Request, response: Response, clone_id: CloneId, me: Me, parts: Parts) -> Any:
    """The draft with its ETag, or `null` before the first save; the ETag is then `"none"`."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        draft = drafts.of(connection, clone_id)
    tag = _tag(draft)
    if is_unchanged(request, tag):
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return _shown(parts, clone_id, draft)


@router.put("/draft", summary="Save the draft")
@for_user
@versioned
@refuses(503)
def save_draft(
    request: Request, response: Response, clone_id: CloneId, graph: Annotated[GraphJson, Body()], me: Me, parts: Parts
) -> DraftShown:
    """Save a graph, unless it is invalid (422 with all its problems) or somebody else saved meanwhile (412)."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        seen = _tag(drafts.of(connection, clone_id))
    require_match(request, seen)
    clone_desk.save_draft(parts, clone_id, plain(graph), if_digest=seen.strip('"'))
    with parts.clash.read() as connection:
        draft = drafts.of(connection, clone_id)
    response.headers["etag"] = _tag(draft)
    return _shown(parts, clone_id, draft)


@router.post("/draft/validation", summary="Validate a graph")
@for_user
@refuses(503)
def validate_graph(clone_id: CloneId, graph: Annotated[GraphJson, Body()], me: Me, parts: Parts) -> ValidationShown:
    """Everything that is wrong with a graph for this clone; nothing is stored."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
    content, listed, now_ms = plain(graph), clone_desk.registry(parts), parts.clock.now_ms()
    try:
        found = _problems(parts, clone_id, drafts.parse(parts.clash, clone_id, content, listed, now_ms=now_ms))
    except GraphInvalid as error:
        found = error.problems
    return ValidationShown(
        problems=problems_shown(found), can_save=all(each.is_incomplete for each in found), can_publish=not found
    )


@router.get("/draft/latest", summary="What the draft would read now")
@for_user
@refuses(503)
def latest_of_draft(
    clone_id: CloneId,
    me: Me,
    parts: Parts,
    node: Annotated[Text | None, Query(description="Only this data stream node.")] = None,
    block: Annotated[Text | None, Query(description="Only this block.")] = None,
) -> LatestShown:
    """The latest data of each block of the stored draft, or of one node or block."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        draft = drafts.of(connection, clone_id)
    if draft is None:
        raise not_found("draft")
    return latest_of(parts, validation.parse(draft.content), node, block)


@router.get("/versions", summary="List versions")
@for_user
def list_versions(
    clone_id: CloneId, me: Me, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> VersionList:
    """The published versions, newest first."""
    of = f"versions/{clone_id}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        listed = versions.of_clone(connection, clone_id)
    found = [version for version in listed if before is None or version.number < before[0]]
    page = paging.page(of, found[: limit + 1], limit, lambda version: [version.number])
    items = [VersionShown.model_validate(version) for version in page.items]
    return VersionList(items=items, next_cursor=page.next_cursor)


@router.post("/versions", status_code=201, summary="Publish the draft", response_model=VersionShown)
@for_user
@creates
@refuses(503)
def publish_draft(request: Request, clone_id: CloneId, me: Me, parts: Parts) -> Response:
    """Make the draft the one active version; the same compiled graph again answers the version that is active."""
    at = still(parts)
    with at.clash.read() as connection:
        own_clone(connection, me, clone_id)
        if drafts.of(connection, clone_id) is None:
            raise Problem(409, "no_draft", "There is no draft to publish; save one first.")

    def work() -> Any:
        version = clone_desk.publish(at, clone_id, actor=owner_of(me))
        return wire(VersionShown.model_validate(version))

    return idempotency.once(request, None, work)


@router.get("/versions/{number}", summary="One version")
@for_user
def get_version(clone_id: CloneId, number: Number, me: Me, parts: Parts) -> VersionWhole:
    """A version with its graph as it was published."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        version = versions.numbered(connection, clone_id, number)
        graph = versions.graph_of(connection, version.id)
    branches = [
        BranchShown(
            id=branch.id,
            cadence_sec=branch.cadence_sec,
            max_candidates=branch.max_candidates,
            symbols=[asset.symbol for asset in branch.assets],
        )
        for branch in version.compiled.branches
    ]
    return VersionWhole(
        number=version.number,
        compiled_hash=version.compiled_hash,
        is_active=version.is_active,
        published_at=version.published_at,
        graph=graph,
        symbols=list(version.compiled.symbols),
        branches=branches,
    )


def _tag(draft: Draft | None) -> str:
    return f'"{NO_DRAFT if draft is None else draft.digest}"'


def _shown(parts: Services, clone_id: int, draft: Draft | None) -> DraftShown:
    if draft is None:
        return DraftShown(graph=None, saved_at=None, problems=[], can_publish=False)
    found = _problems(parts, clone_id, validation.parse(draft.content))
    return DraftShown(
        graph=draft.content, saved_at=draft.saved_at, problems=problems_shown(found), can_publish=not found
    )


def _problems(parts: Services, clone_id: int, graph: Graph) -> list[Found]:
    listed, now_ms = clone_desk.registry(parts), parts.clock.now_ms()
    with parts.clash.read() as connection:
        return drafts.problems(graph, listed, entitlements.effective(connection, clone_id, now_ms))
