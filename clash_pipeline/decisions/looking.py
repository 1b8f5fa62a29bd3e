"""What prepare reads before it assembles: each account once, quotes once a group, market rows once a branch.

Whatever is wrong with one account, version or row stays with the runs that need it: `attempted` turns it into a
`Trouble` with a reason (09 W5). The reason is a code and the kind of error, never a text that somebody wrote.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import structlog

from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.clones import Clone, Version
from clash_pipeline.clones.compiler import Branch
from clash_pipeline.clones.entitlements import Entitlement
from clash_pipeline.decisions.account_state import Facts
from clash_pipeline.decisions.runs import ArtifactRef, Claim, Services
from clash_pipeline.market import retrieval
from clash_pipeline.market.read_plan import ReadPlan
from clash_pipeline.market.retrieval import Found
from clash_pipeline.prop import intake, views
from clash_pipeline.prop.defects import is_own
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.sqlite import Connection, OperationalError

RECENT_FILLS = 10
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Trouble:
    """Why something could not be made; it may be tried again later."""

    reason: str


@dataclass(frozen=True)
class Look:
    """One account as it stands, and what its clone may use."""

    clone: Clone
    entitlement: Entitlement
    view: View
    fills: tuple[dict[str, Any], ...]


def attempted(code: str, work: Callable[[], Result], subject: int | str) -> Result | Trouble:
    """The result of some work, or the trouble with it, logged with the id or symbol of what it is about.

    Broken rows and bugs look alike here: either way the run is tried again, then parked with the reason.
    """
    try:
        return work()
    except Exception as error:
        if not (is_own(error) or isinstance(error, OperationalError)):
            raise
        log.warning(code, error=type(error).__name__, subject=subject)
        return Trouble(f"{code} ({type(error).__name__})")


def look(connection: Connection, account_id: int, clone_id: int, now_ms: int) -> Look:
    """An account with its clone, as it was frozen for the account where it was (11, 11).

    Raises:
        LookupError, ValueError: a row is missing or broken.
    """
    clone, view = clones.get(connection, clone_id), intake.look(connection, account_id, now_ms=now_ms)
    if (pinned := view.account.pinned) is not None:
        clone = replace(clone, engine=pinned.engine, model_tier=pinned.model_tier, is_trading=True)
    return Look(
        clone,
        entitlements.effective(connection, clone_id, now_ms),
        view,
        tuple(views.fills_view(connection, account_id, limit=RECENT_FILLS)),
    )


def branch_of(version: Version, branch_id: str) -> Branch:
    """The branch of a version by its id.

    Raises:
        LookupError: the version has no such branch.
    """
    found = next((branch for branch in version.compiled.branches if branch.id == branch_id), None)
    if found is None:
        raise LookupError("no such branch")
    return found


def stored(connection: Connection, claims: Iterable[Claim]) -> dict[int, dict[str, ArtifactRef]]:
    """The artifacts that runs left in earlier attempts, by run and kind."""
    rows = connection.execute(
        """
        SELECT a.run_id, a.kind, a.key, a.sha256, a.size_bytes, a.store FROM json_each(:runs) r
        CROSS JOIN decision_artifacts a ON a.run_id = r.value ORDER BY a.run_id, a.id
        """,
        {"runs": json.dumps([claim.run_id for claim in claims if claim.attempts > 1])},
    )
    found: dict[int, dict[str, ArtifactRef]] = {}
    for run_id, kind, *rest in rows:
        found.setdefault(run_id, {})[kind] = ArtifactRef(kind, *rest)
    return found


def quotes(
    services: Services, symbols: Iterable[str], as_of: int, *, fill_minute: int | None = None
) -> dict[str, Quote]:
    """One quote a symbol; a symbol whose rows are broken has none, and the others do not mind."""
    venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
    ask = partial(venue.quotes, now_ms=as_of, fill_minute=fill_minute)
    wanted = sorted(set(symbols))
    together = attempted("quotes_unreadable", partial(ask, wanted), len(wanted)) if wanted else {}
    if not isinstance(together, Trouble):
        return together
    found: dict[str, Quote] = {}
    for symbol in wanted:
        alone = attempted("quote_unreadable", partial(ask, [symbol]), symbol)
        found |= alone if not isinstance(alone, Trouble) else {}
    return found


def facts(seen: Look, known: Mapping[str, Quote], as_of: int) -> Facts:
    """What an account's packets say of it, its open positions at their newest marks."""
    view = seen.view
    book = view.book.marked(known, view.account.policy, as_of)
    return Facts(view.account, book, view.positions, view.opened_last_hour, seen.fills, known, as_of)


def memory(
    services: Services, branches: Sequence[Sequence[ReadPlan]], as_of: int
) -> list[Mapping[str, Found | Trouble]]:
    """What the plans of each branch find, by symbol: all in one pass, or plan by plan where one is in trouble."""
    with services.market.read() as connection:
        work = partial(retrieval.retrieve_branches, connection, branches, as_of)
        together = attempted("memory_unreadable", work, len(branches))
        if not isinstance(together, Trouble):
            return list(together)
        return [{plan.symbol: _alone(connection, plan, as_of) for plan in plans} for plans in branches]


def _alone(connection: Connection, plan: ReadPlan, as_of: int) -> Found | Trouble:
    found = attempted("memory_unreadable", partial(retrieval.retrieve, connection, [plan], as_of), plan.symbol)
    return found if isinstance(found, Trouble) else found[plan.symbol]
