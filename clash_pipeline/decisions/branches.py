"""What becomes of each run of a group: it goes on with a packet, it ends with a reason, or it is in trouble.

One look at each account, one quote a symbol, one pass over market memory for each branch. Trouble stays where it is:
a broken account, version, quote or row is the trouble of the runs that need it, and of no others.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple

import structlog

from clash_pipeline.archive.stores import StoreError
from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.clones import Clone, Version
from clash_pipeline.clones.compiler import Branch
from clash_pipeline.clones.entitlements import Entitlement
from clash_pipeline.decisions import artifacts, candidates, looking, packet, prompt, runs
from clash_pipeline.decisions.account_state import Facts
from clash_pipeline.decisions.candidates import Choice
from clash_pipeline.decisions.looking import Look, Trouble, attempted
from clash_pipeline.decisions.packet import Packet, Run
from clash_pipeline.decisions.runs import ArtifactRef, Claim, Prepared, Services
from clash_pipeline.decisions.sections import Memo
from clash_pipeline.decisions.thinning import fitted
from clash_pipeline.market.retrieval import Found
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.pricing import Quote

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class End:
    """A run that does not go on: its state and the reason."""

    state: runs.EndState
    reason: str


class Packed(NamedTuple):
    """A packet and its prompt, stored."""

    packet: ArtifactRef
    prompt: ArtifactRef


Settled = Prepared | End | Trouble | Packed
Outcome = Settled | Future[Packed]


@dataclass(frozen=True)
class Group:
    """What was read once for all runs of a group, at `now_ms`; quotes by the `as_of` they are for."""

    now_ms: int
    looks: Mapping[int, Look | Trouble]
    versions: Mapping[int, Version | Trouble]
    done: Mapping[int, Mapping[str, ArtifactRef]]
    quotes: Mapping[int, Mapping[str, Quote]]


@dataclass(frozen=True)
class Fresh:
    """The runs of one branch that get a packet, and what their account says."""

    runs: list[Run]
    facts: Facts


def outcomes(services: Services, claims: Sequence[Claim], pool: Executor) -> Iterator[tuple[Claim, Outcome]]:
    """What becomes of each run of a group; packets that are being stored come as futures."""
    group = _read(services, claims)
    going_on: dict[int, list[Fresh]] = {}
    for (*_, moment), same in groupby(claims, key=lambda claim: _branch_key(claim, group.now_ms)):
        waiting = []
        for claim in same:
            resumed = _resumed(claim, group)
            if resumed is None:
                waiting.append(claim)
            else:
                yield claim, resumed
        fresh, others = _branch(group, waiting, moment) if waiting else (None, [])
        yield from others
        if fresh is not None and fresh.runs:
            going_on.setdefault(moment, []).append(fresh)
    for moment, branches in going_on.items():
        yield from _packets(services, branches, moment, pool)


def settled(outcome: Outcome, claim: Claim) -> Settled:
    """The outcome itself, or what came of storing; a store that does not take a packet is trouble, not an end."""
    if not isinstance(outcome, Future):
        return outcome
    try:
        return outcome.result()
    except StoreError as error:
        log.warning("packet_not_stored", run_id=claim.run_id, error=str(error))
        return Trouble(f"packet_not_stored ({type(error).__name__})")


def as_of(claim: Claim, now_ms: int) -> int:
    """What a run may know: everything up to its tick where all are filled at one instant, else up to now."""
    return now_ms if claim.fill_at is None else min(claim.tick, now_ms)


def may_not_run(clone: Clone, version: Version, view: View, entitlement: Entitlement) -> str | None:
    """Why a clone's run may not happen at all; `--force` changes none of it."""
    if not clone.is_trading:
        return "trading_off"
    if view.account.state != "active":
        return f"account_{view.account.state}"
    beyond = entitlements.exceeded(entitlement, version.compiled, clone.engine, clone.model_tier)
    return f"entitlement_exceeded: {beyond}" if beyond else None


def beyond_run_budget(version: Version, view: View, entitlement: Entitlement) -> frozenset[str]:
    """The assets that an account of a race or audition does not decide about: behind its run budget (11, 2).

    The order is that of a version's branches and their assets by name, so that it stays the same for a whole race.
    """
    if view.account.kind == "sandbox":
        return frozenset()
    branches = sorted(version.compiled.branches, key=lambda branch: branch.id)
    runs = [symbol for branch in branches for symbol in sorted(a.symbol for a in branch.assets if a.skipped is None)]
    return frozenset(runs[entitlement.runs_a_tick :])


def _branch_key(claim: Claim, now_ms: int) -> tuple[int, int, str, int]:
    return claim.account_id, claim.version_id, claim.branch, as_of(claim, now_ms)


def _read(services: Services, claims: Sequence[Claim]) -> Group:
    """Accounts, clones, versions and earlier artifacts from one snapshot; then the quotes of all their symbols."""
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        done = looking.stored(connection, claims)
        looks = {
            account_id: attempted(
                "account_unreadable", partial(looking.look, connection, account_id, clone_id, now_ms), account_id
            )
            for account_id, clone_id in {claim.account_id: claim.clone_id for claim in claims}.items()
        }
        versions = {
            version_id: attempted("version_unreadable", partial(clones.version, connection, version_id), version_id)
            for version_id in {claim.version_id for claim in claims}
        }
    wanted = _symbols(claims, looks, versions, now_ms)
    quotes = {moment: looking.quotes(services, symbols, moment) for moment, symbols in wanted.items()}
    return Group(now_ms, looks, versions, done, quotes)


def _symbols(
    claims: Sequence[Claim], looks: Mapping[int, Look | Trouble], versions: Mapping[int, Version | Trouble], now_ms: int
) -> dict[int, set[str]]:
    """The symbols to quote for each moment: what the branches trade, and what their accounts hold."""
    wanted: dict[int, set[str]] = {}
    for claim in claims:
        seen, version = looks[claim.account_id], versions[claim.version_id]
        symbols = wanted.setdefault(as_of(claim, now_ms), set())
        if not isinstance(seen, Trouble) and not isinstance(version, Trouble):
            symbols |= set(seen.view.book.positions) | set(version.compiled.symbols)
    return wanted


def _resumed(claim: Claim, group: Group) -> Prepared | End | None:
    """What an earlier attempt already settled, and what is too old to begin."""
    done = group.done.get(claim.run_id, {})
    if "packet" in done:
        return Prepared(claim, done["packet"], done.get("response"))
    return End("failed", "expired") if group.now_ms >= claim.expires_at else None


def _branch(group: Group, claims: Sequence[Claim], moment: int) -> tuple[Fresh | None, list[tuple[Claim, Settled]]]:
    """Which runs of one account and branch get a packet, and what becomes of the others."""
    first = claims[0]
    seen, version = group.looks[first.account_id], group.versions[first.version_id]
    if isinstance(seen, Trouble):
        return None, [(claim, seen) for claim in claims]
    if isinstance(version, Trouble):
        return None, [(claim, version) for claim in claims]
    work = partial(_choices, seen, version, first.branch, group.quotes[moment], moment)
    made = attempted("branch_unusable", work, first.account_id)
    if isinstance(made, Trouble):
        return None, [(claim, made) for claim in claims]
    branch, facts, choices = made
    reason = may_not_run(seen.clone, version, seen.view, seen.entitlement)
    beyond = beyond_run_budget(version, seen.view, seen.entitlement)
    by_symbol = {choice.asset.symbol: choice for choice in choices}
    fresh: list[Run] = []
    others: list[tuple[Claim, Settled]] = []
    for claim in claims:
        choice = by_symbol.get(claim.symbol)
        why = reason or ("not_in_branch" if choice is None else choice.skipped)
        if why is None and claim.symbol in beyond:
            why = f"run_budget: {seen.entitlement.runs_a_tick} a tick"
        if choice is None or why is not None:
            others.append((claim, End("skipped", why or "not_in_branch")))
        else:
            fresh.append(Run(claim, seen.clone, version, branch, choice.asset, choices))
    return Fresh(fresh, facts), others


def _choices(
    seen: Look, version: Version, branch_id: str, quotes: Mapping[str, Quote], moment: int
) -> tuple[Branch, Facts, tuple[Choice, ...]]:
    """The branch, what its account says, and the candidates among its assets."""
    branch = looking.branch_of(version, branch_id)
    facts = looking.facts(seen, quotes, moment)
    cap, universe = seen.entitlement.candidates, seen.view.account.policy.symbols
    return branch, facts, tuple(candidates.choose(branch, facts.book, quotes, moment, cap=cap, universe=universe))


def _packets(
    services: Services, branches: Sequence[Fresh], moment: int, pool: Executor
) -> Iterator[tuple[Claim, Outcome]]:
    """Read memory for all branches of one moment, assemble, and hand over to the store."""
    plans = [[run.asset.plan for run in fresh.runs] for fresh in branches]
    memo, limit = Memo(), services.settings.prompt_budget_tokens
    for fresh, found in zip(branches, looking.memory(services, plans, moment), strict=True):
        for run in fresh.runs:
            memory = found[run.asset.symbol]
            made = (
                memory
                if isinstance(memory, Trouble)
                else attempted(
                    "packet_unusable", partial(_assembled, run, memory, fresh.facts, limit, memo), run.claim.run_id
                )
            )
            yield run.claim, made if isinstance(made, Trouble) else pool.submit(_store, services, run.claim, made)


def _assembled(run: Run, memory: Found, facts: Facts, limit_tokens: int, memo: Memo) -> Packet:
    return fitted(packet.assemble(run, memory, facts, memo), limit_tokens)


def _store(services: Services, claim: Claim, made: Packet) -> Packed:
    """Encode, compress and store a packet and its prompt.

    Raises:
        StoreError: the store did not take one of them.
    """
    stored = artifacts.put(services.store, claim, "packet", packet.encode(made))
    told = prompt.encode(prompt.assemble(made, stored.sha256))
    return Packed(stored, artifacts.put(services.store, claim, "prompt", told))
