"""Decision runs: what each read and how old it was, what was told and answered, what the gates said, what happened."""

import json
from typing import Annotated, Any

from fastapi import Query, Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Parts
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.wire import Id
from clash_pipeline.archive.stores import ArtifactStore, StoreError
from clash_pipeline.decisions import artifacts, views
from clash_pipeline.decisions.packet import SCHEMA, SECTION_LISTS
from clash_pipeline.decisions.runs import ArtifactRef
from clash_pipeline.decisions.views import RunUnknown
from clash_pipeline.services import Services

router = pages()
PATH = "/admin/decisions"
SHOWN = 100
ROWS_SHOWN = 60
PARTS = {
    "own": "The asset itself", "cross_asset": "Other assets", "polymarket": "Prediction markets",
    "defillama": "Macro figures",
}  # fmt: skip


@router.get(PATH)
@for_service("accounts")
def listed(
    request: Request,
    parts: Parts,
    clone: Annotated[Id | None, Query()] = None,
    symbol: Annotated[str | None, Query(max_length=40)] = None,
    before: Annotated[Id | None, Query()] = None,
) -> Response:
    """The newest runs, of one clone and one symbol where they are asked for."""
    with parts.clash.read() as connection:
        found = views.latest_runs(
            connection, clone_id=clone, symbol=symbol or None, before=before or 2**62, limit=SHOWN + 1
        )
    return rendering.page(
        request, "decisions.html", title="Decisions", runs=found[:SHOWN], has_more=len(found) > SHOWN, clone=clone,
        symbol=symbol or "",
    )  # fmt: skip


@router.get(PATH + "/{run_id}")
@for_service("accounts")
def one(request: Request, run_id: Id, parts: Parts) -> Response:
    """One run whole."""
    return shown(request, parts, run_id)


def shown(request: Request, parts: Services, run_id: int, *, clone_id: int | None = None) -> Response:
    """The page of a run; with `clone_id` only when it is that clone's.

    Raises:
        Problem: 404.
    """
    try:
        view = views.run_view(parts.clash, parts.store, run_id)
    except RunUnknown:
        raise not_found("decision run") from None
    if clone_id not in (None, view["run"]["clone_id"]):
        raise not_found("decision run")
    packet = view["packet"] if readable(view["packet"]) and view["packet"].get("schema") == SCHEMA else None
    return rendering.page(
        request, "decision.html", title=f"Decision run {run_id}", view=view, run=view["run"], packet=packet,
        reads=reads(packet), texts=texts(packet), answer=answered(view["response"]), is_own=clone_id is not None,
    )  # fmt: skip


def readable(content: Any) -> bool:
    """Whether an artifact is there and could be read."""
    return isinstance(content, dict) and "unreadable" not in content


def answered(response: Any) -> dict[str, Any] | None:
    """The answer within a stored response."""
    return response.get("answer") if readable(response) else None


def answer_of(store: ArtifactStore, response: ArtifactRef | None) -> dict[str, Any] | None:
    """What an engine answered; None where it gave no answer, or the store cannot say."""
    if response is None:
        return None
    try:
        return answered(json.loads(artifacts.get(store, response)))
    except StoreError:
        return None


def reads(packet: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Every read of a packet beside the name of its part, with at most sixty of its newest rows."""
    if packet is None:
        return []
    return [
        (PARTS[place], {**section, "shown": section["rows"][-ROWS_SHOWN:]})
        for place in SECTION_LISTS
        for section in packet.get(place, ())
    ]


def texts(packet: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What strangers wrote, as the packet keeps it apart."""
    return list(packet.get("untrusted", ())) if packet else []
