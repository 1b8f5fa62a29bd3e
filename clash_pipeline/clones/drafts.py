"""The one editable draft of a clone: it may be incomplete, never invalid, and its layout comes back as it was saved."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clash_pipeline import canonical
from clash_pipeline.clones import validation
from clash_pipeline.clones.entitlements import MOCK_STARTER, Entitlement, effective
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.refusals import CloneError, CloneUnknown, DraftChanged
from clash_pipeline.clones.validation import GraphInvalid, Problem
from clash_pipeline.market.listing import Listing
from clash_pipeline.storage.sqlite import Connection, Database, one


@dataclass(frozen=True)
class Draft:
    """A draft as it was saved, layout included; `digest` names exactly this content."""

    content: dict[str, Any]
    digest: str
    saved_at: int


def of(connection: Connection, clone_id: int) -> Draft | None:
    """The draft of a clone; None without one."""
    row = connection.execute("SELECT draft, draft_updated_at FROM clones WHERE id = ?", (clone_id,)).fetchone()
    if row is None or row["draft"] is None:
        return None
    return Draft(json.loads(row["draft"]), _digest(row["draft"]), row["draft_updated_at"])


def store(
    connection: Connection,
    clone_id: int,
    graph: Graph,
    listing: Listing,
    *,
    now_ms: int,
    if_digest: str | None = None,
) -> None:
    """Keep a graph as the draft, inside the caller's transaction.

    With `if_digest` only over the draft of that digest, so that nobody's edit is lost.

    Raises:
        GraphInvalid: with every problem but those of a graph that is not finished yet.
        DraftChanged: the stored draft has another digest.
        CloneUnknown: no such clone.
    """
    found = problems(graph, listing, effective(connection, clone_id, now_ms))
    refuse(problem for problem in found if not problem.is_incomplete)
    if if_digest is not None:
        _refuse_changed(connection, clone_id, if_digest)
    changed = connection.execute(
        "UPDATE clones SET draft = ?, draft_updated_at = ?, updated_at = ? WHERE id = ?",
        (canonical.text(graph.wire()), now_ms, now_ms, clone_id),
    )
    if changed.rowcount != 1:
        raise CloneUnknown(f"there is no clone {clone_id}")


def parse(clash: Database, clone_id: int, content: Any, listing: Listing, *, now_ms: int) -> Graph:
    """Plain JSON as a graph of this clone.

    Raises:
        GraphInvalid: malformed; with every problem of form, and of the rules in what is well formed.
    """
    try:
        return validation.parse(content)
    except GraphInvalid as error:
        with clash.read() as connection:
            entitlement = effective(connection, clone_id, now_ms)
        raise GraphInvalid(_every_problem(error, content, listing, entitlement)) from None


def parse_first(content: Any, listing: Listing) -> Graph:
    """The same for a clone that does not exist yet.

    Raises:
        GraphInvalid: malformed; with every problem of form, and of the rules in what is well formed.
    """
    try:
        return validation.parse(content)
    except GraphInvalid as error:
        raise GraphInvalid(_every_problem(error, content, listing, MOCK_STARTER)) from None


def publishable(connection: Connection, clone_id: int, listing: Listing, *, now_ms: int) -> tuple[Graph, str]:
    """The draft as a whole and valid graph, with its stored text.

    Raises:
        GraphInvalid: it is incomplete or invalid by now.
        CloneError: no such clone, or no draft.
    """
    draft = one(connection, "SELECT draft FROM clones WHERE id = ?", (clone_id,))
    if draft is None:
        raise CloneError(f"clone {clone_id} has no draft to publish")
    graph = validation.parse(json.loads(draft))
    refuse(problems(graph, listing, effective(connection, clone_id, now_ms)))
    return graph, draft


def problems(graph: Graph, listing: Listing, entitlement: Entitlement) -> list[Problem]:
    """Everything that is wrong with a graph for a clone of this entitlement."""
    return validation.problems(graph, listing, entitlement.capacity, candidate_cap=entitlement.candidates)


def _every_problem(error: GraphInvalid, content: Any, listing: Listing, entitlement: Entitlement) -> list[Problem]:
    candidates = entitlement.candidates
    return validation.every_problem(error, content, listing, entitlement.capacity, candidate_cap=candidates)


def refuse(found: Iterable[Problem]) -> None:
    """Go on only without a problem.

    Raises:
        GraphInvalid: with all of them.
    """
    listed = list(found)
    if listed:
        raise GraphInvalid(listed)


def _refuse_changed(connection: Connection, clone_id: int, expected: str) -> None:
    stored = of(connection, clone_id)
    found = stored.digest if stored else "none"
    if found != expected:
        raise DraftChanged(f"the draft of clone {clone_id} is {found[:12]} by now, not {expected[:12]}; read it again")


def _digest(text: str) -> str:
    return canonical.sha256(text.encode())
