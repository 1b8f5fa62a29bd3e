"""Prepare, on the box of record: claim, check entitlement and state, choose candidates, read memory, store packets."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import structlog

from clash_pipeline.archive.stores import StoreUnavailable
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.clones import Clone, Version
from clash_pipeline.clones.compiler import Branch
from clash_pipeline.clones.entitlements import Entitlement
from clash_pipeline.decisions import artifacts, candidates, packet, prompt, runs
from clash_pipeline.decisions.account_state import Facts
from clash_pipeline.decisions.packet import Run
from clash_pipeline.decisions.runs import MAX_ATTEMPTS, Claim, Due, Ended, Prepared, Services
from clash_pipeline.decisions.thinning import fitted
from clash_pipeline.faults import fault, point
from clash_pipeline.market import retrieval
from clash_pipeline.market.polymarket import targets
from clash_pipeline.market.read_plan import ReadPlan
from clash_pipeline.prop import intake, views
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.errors import LeaseLost

AFTER_CLAIM = point("decisions.prepare.after_claim")
AFTER_PACKET_STORED = point("decisions.prepare.after_packet_stored")
AFTER_BEGIN = point("decisions.prepare.after_begin")
RECENT_FILLS = 10

log = structlog.get_logger(__name__)


def prepare(
    services: Services, due: Sequence[Due], *, worker: str, dagster_run_id: str | None = None
) -> tuple[list[Prepared], list[Ended]]:
    """Claim runs and store their packets; those that may not run end as skipped or failed, with the reason.

    A run that somebody else holds is in neither list. When the store does not answer, the run keeps its claim, which
    runs out, and is taken up again.
    """
    claimed = _claim(services, due, worker, dagster_run_id)
    fault(AFTER_CLAIM)
    prepared: list[Prepared] = []
    ended: list[Ended] = []
    for _, group in groupby(claimed, key=lambda claim: (claim.account_id, claim.version_id, claim.branch)):
        try:
            _prepare_branch(services, list(group), prepared, ended)
        except StoreUnavailable as error:
            log.warning("packet_not_stored", error=str(error))
    return prepared, ended


def may_not_run(clone: Clone, version: Version, view: View, entitlement: Entitlement) -> str | None:
    """Why a clone's run may not happen at all; `--force` changes none of it."""
    if not clone.is_trading:
        return "trading_off"
    if view.account.state != "active":
        return f"account_{view.account.state}"
    beyond = entitlements.exceeded(entitlement, version.compiled, clone.engine, clone.model_tier)
    return f"entitlement_exceeded: {beyond}" if beyond else None


def _claim(services: Services, due: Iterable[Due], worker: str, dagster_run_id: str | None) -> list[Claim]:
    """All claims of a wave in one transaction."""
    now_ms, ttl_ms = services.clock.now_ms(), services.settings.lease_ttl_sec * SECOND_MS
    with services.clash.write() as connection:
        taken = [
            runs.claim(connection, item, worker=worker, now_ms=now_ms, ttl_ms=ttl_ms, dagster_run_id=dagster_run_id)
            for item in due
        ]
    return sorted(
        (claim for claim in taken if claim),
        key=lambda claim: (claim.account_id, claim.version_id, claim.branch, claim.symbol),
    )


def _prepare_branch(services: Services, claims: list[Claim], prepared: list[Prepared], ended: list[Ended]) -> None:
    """All runs of one account and branch: one look at the account, one pass over market memory."""
    first, now_ms = claims[0], services.clock.now_ms()
    with services.clash.read() as connection:
        clone = clones.get(connection, first.clone_id)
        version = clones.version(connection, first.version_id)
        entitlement = entitlements.effective(connection, first.clone_id)
        view = intake.look(connection, first.account_id, now_ms=now_ms)
        fills = tuple(views.fills_view(connection, first.account_id, limit=RECENT_FILLS))
        known = {claim.run_id: runs.artifacts_of(connection, claim.run_id) for claim in claims}
    branch = next(branch for branch in version.compiled.branches if branch.id == first.branch)
    assets = {asset.symbol: asset for asset in branch.assets}
    facts = _facts(services, view, branch, fills, now_ms)
    choices = candidates.choose(branch, facts.book, facts.quotes, now_ms, cap=entitlement.candidates)
    skipped = {choice.asset.symbol: choice.skipped for choice in choices}
    reason = may_not_run(clone, version, view, entitlement)
    fresh = []
    for claim in claims:
        done = known[claim.run_id]
        if claim.attempts > MAX_ATTEMPTS:
            _end(services, claim, "failed", f"gave_up_after_{MAX_ATTEMPTS}_attempts", ended)
        elif "packet" in done:
            prepared.append(Prepared(claim, done["packet"], done.get("response")))
        elif now_ms >= claim.expires_at:
            _end(services, claim, "failed", "expired", ended)
        elif why := reason or skipped.get(claim.symbol):
            _end(services, claim, "skipped", why, ended)
        else:
            fresh.append(claim)
    if fresh:
        runs_ = [Run(claim, clone, version, branch, assets[claim.symbol], tuple(choices)) for claim in fresh]
        _store_packets(services, runs_, facts, now_ms, prepared)


def _facts(services: Services, view: View, branch: Branch, fills: tuple[dict[str, object], ...], now_ms: int) -> Facts:
    symbols = {asset.symbol for asset in branch.assets} | set(view.book.positions)
    quotes = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct).quotes(symbols, now_ms)
    book = view.book.marked(quotes, view.account.policy, now_ms)
    return Facts(view.account, book, view.positions, view.opened_last_hour, fills, quotes, now_ms)


def _store_packets(services: Services, wanted: list[Run], facts: Facts, now_ms: int, prepared: list[Prepared]) -> None:
    plans = [run.asset.plan for run in wanted]
    _want_targets(services, plans, now_ms)
    with services.market.read() as connection:
        found = retrieval.retrieve(connection, plans, now_ms)
    for run in wanted:
        claim = run.claim
        made = fitted(packet.assemble(run, found[claim.symbol], facts), services.settings.prompt_budget_tokens)
        stored = artifacts.put(services.store, claim, "packet", packet.encode(made))
        told = prompt.encode(prompt.assemble(made, stored.sha256))
        asked = artifacts.put(services.store, claim, "prompt", told)
        fault(AFTER_PACKET_STORED)
        try:
            with services.clash.write() as connection:
                runs.begin(connection, claim, stored, now_ms=now_ms)
                runs.add_artifact(connection, claim.run_id, asked, now_ms=now_ms)
        except LeaseLost as error:
            log.warning("run_passed_on", run_id=claim.run_id, error=str(error))
            continue
        fault(AFTER_BEGIN)
        prepared.append(Prepared(claim, stored))


def _want_targets(services: Services, plans: Sequence[ReadPlan], now_ms: int) -> None:
    """Say that the Polymarket markets and events a plan names are still wanted; the polls refresh those first."""
    slugs = {entry.market for plan in plans for entry in plan.entries if entry.market}
    if slugs:
        with services.market.write() as connection:
            targets.want(connection, slugs, now_ms)


def _end(services: Services, claim: Claim, state: runs.EndState, reason: str, ended: list[Ended]) -> None:
    effective = "hold" if state == "failed" else None
    with services.clash.write() as connection:
        ended.append(runs.end(connection, claim, state, reason, effective=effective, now_ms=services.clock.now_ms()))
