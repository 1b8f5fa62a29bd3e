"""Apply, on the box of record: validate the responses, pass the gates, fill, write the ledger, close the runs.

Accounts are taken in order, some at a time, so that quotes and views are read once for all of them. An account whose
fill instant has not come, or whose common minute is not final yet, is put back until then (11, 1).
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from random import Random

import structlog

from clash_pipeline.archive.stores import StoreCorrupt, StoreMissing, StoreUnavailable
from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.decisions import artifacts, claims, looking, runs, submission
from clash_pipeline.decisions import decide as deciding
from clash_pipeline.decisions.answer import AnswerInvalid
from clash_pipeline.decisions.runs import Claim, Decided, Ended, Services, Standing
from clash_pipeline.decisions.submission import Asked
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import funding, intake
from clash_pipeline.prop.accounts import AccountMoved
from clash_pipeline.prop.defects import is_own, kept_apart
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.errors import LeaseLost, StorageBusy

LOOKS = 5
"""How often an account that keeps changing is looked at again before its runs are left for later."""
ACCOUNTS_AT_ONCE = 64
"""Accounts that share one look at views and quotes; few enough that no quote grows old meanwhile."""
READERS = 8
"""Responses read from the store at the same time."""
MINUTE_WAIT_MS = 2 * SECOND_MS
"""How long a run waits before it is looked at again whether its common minute is final."""
AFTER_APPLIED = point("decisions.apply.after_applied")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Judged:
    """What a look at the responses found: runs that end without a submission, and those that ask for one."""

    ends: list[tuple[Claim, runs.EndState, str]]
    asked: list[Asked]


def apply(services: Services, decided: Sequence[Decided]) -> list[Ended]:
    """Apply decided runs in the order (account, branch, symbol); returns how each ended.

    A run that passed to another worker, that waits for its fill instant, or that is tried again later is not in it.
    """
    ended: list[Ended] = []
    for some in _by_accounts(sorted(decided, key=lambda item: claims.in_order(item.claim))):
        found = judge(services, some)
        ended += _end(services, found.ends)
        ended += _submit_all(services, found.asked)
    return ended


def judge(services: Services, decided: Sequence[Decided]) -> Judged:
    """Sort runs by what their responses say, and refuse those that come too late."""
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        standing = runs.standing(connection, [item.claim.run_id for item in decided])
    found = Judged([], [])
    with ThreadPoolExecutor(READERS) as pool:
        for answer in pool.map(lambda item: _answer(services, item, standing.get(item.claim.run_id), now_ms), decided):
            if isinstance(answer, Asked):
                found.asked.append(answer)
            elif answer is not None:
                found.ends.append(answer)
    return found


def _answer(
    services: Services, item: Decided, standing: Standing | None, now_ms: int
) -> Asked | tuple[Claim, runs.EndState, str] | None:
    """What one response asks for, or how its run ends; None when it is not ours or its store does not answer."""
    claim = item.claim
    if standing is None or standing.token != claim.token:
        log.warning("run_passed_on", run_id=claim.run_id)
        return None
    if item.response is None:
        return claim, "failed", item.error or "no_response"
    if now_ms >= claim.expires_at:
        return claim, "failed", "expired"
    if claim.fill_at is not None and (standing.decided_at is None or standing.decided_at > claim.fill_at):
        return claim, "failed", "late"
    try:
        stored = artifacts.get(services.store, item.response)
        proposal = deciding.decode(stored, standing.packet_hash or "").answer.proposal(claim.symbol)
    except (AnswerInvalid, StoreMissing, StoreCorrupt) as error:
        log.warning("response_invalid", run_id=claim.run_id, error=str(error))
        return claim, "failed", "response_invalid"
    except StoreUnavailable as error:
        log.warning("run_left_for_later", run_id=claim.run_id, error=str(error))
        return None
    return (claim, "completed", "hold") if proposal is None else Asked(claim, item.response, proposal)


def _end(services: Services, ends: Sequence[tuple[Claim, runs.EndState, str]]) -> list[Ended]:
    if not ends:
        return []
    ended, now_ms = [], services.clock.now_ms()
    with services.clash.write() as connection:
        for claim, state, reason in ends:
            try:
                ended.append(runs.end(connection, claim, state, reason, effective="hold", now_ms=now_ms))
            except LeaseLost as error:
                log.warning("run_passed_on", run_id=claim.run_id, error=str(error))
    return ended


def _submit_all(services: Services, asked: Sequence[Asked]) -> list[Ended]:
    """Submit account by account on one look at all of them, each fill instant at its own quotes."""
    ended: list[Ended] = []
    for minute, together in groupby(sorted(asked, key=lambda one: _minute(one) or 0), key=_minute):
        ready, quotes, now_ms = _ready(services, list(together), minute)
        views, troubles = _views(services, {one.claim.account_id for one in ready}, now_ms)
        more = {symbol for view in views.values() for symbol in view.book.positions} - quotes.keys()
        quotes |= looking.quotes(services, more, now_ms, fill_minute=minute)
        for account_id, mine in groupby(ready, key=lambda one: one.claim.account_id):
            if (error := troubles.get(account_id)) is not None:
                ended += _try_later(services, list(mine), f"account_unreadable ({type(error).__name__})", error)
            else:
                ended += _submit(services, list(mine), views[account_id], quotes, now_ms)
            fault(AFTER_APPLIED)
    return ended


def _views(services: Services, account_ids: set[int], now_ms: int) -> tuple[dict[int, View], dict[int, Exception]]:
    """Each account after the funding that was due on it; and what kept others from being read: theirs alone."""
    troubles = funding.settle(services.clash, _venue(services), account_ids, now_ms)
    views: dict[int, View] = {}
    with services.clash.read() as connection:
        for account_id in sorted(account_ids - troubles.keys()):
            with kept_apart(troubles, account_id):
                views[account_id] = intake.look(connection, account_id, now_ms=now_ms)
    return views, troubles


def _ready(services: Services, asked: list[Asked], minute: int | None) -> tuple[list[Asked], dict[str, Quote], int]:
    """Those that may be filled now, with the quotes of what they ask for; the others are put back."""
    now_ms = services.clock.now_ms()
    if minute is not None and now_ms < minute + MINUTE_MS:
        _put_back(services, [one.claim for one in asked], "waiting_for_fill_instant", minute + MINUTE_MS)
        return [], {}, now_ms
    symbols = {one.proposal.symbol for one in asked}
    quotes = looking.quotes(services, symbols, now_ms, fill_minute=minute)
    unreadable = symbols - quotes.keys()
    unsettled = {symbol for symbol, quote in quotes.items() if not is_settled(quote, minute)}
    for one in asked:
        if one.proposal.symbol in unreadable:
            _put_back(services, [one.claim], "quote_unreadable", now_ms + _back_off(one.claim))
    waiting = [one.claim for one in asked if one.proposal.symbol in unsettled]
    _put_back(services, waiting, "waiting_for_final_minute", now_ms + MINUTE_WAIT_MS)
    return [one for one in asked if one.proposal.symbol not in unreadable | unsettled], quotes, now_ms


def is_settled(quote: Quote, minute: int | None) -> bool:
    """Whether waiting longer would not change the price of the fill."""
    return minute is None or (quote.common is not None and quote.common.is_settled)


def _submit(
    services: Services, asked: list[Asked], view: View, quotes: Mapping[str, Quote], now_ms: int
) -> list[Ended]:
    """One account: try on what was seen, look again when it moved, and keep what fails to itself."""
    try:
        return _submit_on(services, asked, view, quotes, now_ms)
    except StoreUnavailable as error:
        return _try_later(services, asked, "store_unavailable", error)
    except StorageBusy as error:
        return _try_later(services, asked, "database_busy", error)
    except (LeaseLost, AccountMoved) as error:
        return _try_later(services, asked, "account_busy", error)
    except Exception as error:
        if not is_own(error):
            raise
        if len(asked) == 1:
            return _try_later(services, asked, f"apply_failed: {type(error).__name__}", error)
    return [ended for one in asked for ended in _submit_alone(services, one, quotes, now_ms)]


def _submit_alone(services: Services, one: Asked, quotes: Mapping[str, Quote], now_ms: int) -> list[Ended]:
    """One run of an account of which some run failed; which of them it was shows when each goes alone."""
    views, troubles = _views(services, {one.claim.account_id}, now_ms)
    for error in troubles.values():
        return _try_later(services, [one], f"account_unreadable ({type(error).__name__})", error)
    return _submit(services, [one], views[one.claim.account_id], quotes, now_ms)


def _submit_on(
    services: Services, asked: list[Asked], view: View, quotes: Mapping[str, Quote], now_ms: int
) -> list[Ended]:
    minute = _minute(asked[0])
    moved: Exception = AccountMoved(f"account {asked[0].claim.account_id} kept changing")
    for _ in range(LOOKS):
        try:
            given = submission.apply_input(asked, view, quotes, now_ms=now_ms, fill_minute=minute)
            return submission.submit(services, asked, given)
        except AccountMoved as error:
            moved = error
        except LeaseLost:
            asked = _still_ours(services, asked)
            if not asked:
                return []
            continue
        now_ms = services.clock.now_ms()
        with services.clash.read() as connection:
            view = intake.look(connection, asked[0].claim.account_id, now_ms=now_ms)
        wanted = view.symbols([one.proposal for one in asked])
        quotes = looking.quotes(services, wanted, now_ms, fill_minute=minute)
    raise moved


def _still_ours(services: Services, asked: list[Asked]) -> list[Asked]:
    ttl_ms = services.settings.lease_ttl_sec * SECOND_MS
    with services.clash.write() as connection:
        ours = claims.renew(connection, [one.claim for one in asked], now_ms=services.clock.now_ms(), ttl_ms=ttl_ms)
    return [one for one in asked if one.claim.run_id in ours]


def _try_later(services: Services, asked: Sequence[Asked], reason: str, error: Exception) -> list[Ended]:
    log.warning("runs_left_for_later", runs=[one.claim.run_id for one in asked], reason=reason, error=str(error))
    for one in asked:
        _put_back(services, [one.claim], reason, services.clock.now_ms() + _back_off(one.claim))
    return []


def _back_off(claim: Claim) -> int:
    return claims.back_off_ms(claim.attempts, Random(f"{claim.run_id}/{claim.attempts}"))


def _put_back(services: Services, held: Sequence[Claim], reason: str, not_before: int) -> None:
    if held:
        with services.clash.write() as connection:
            for claim in held:
                claims.put_back(connection, claim, reason, not_before=not_before)


def _venue(services: Services) -> PaperVenue:
    return PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)


def _minute(one: Asked) -> int | None:
    """The common minute at whose close a run is filled."""
    return None if one.claim.fill_at is None else one.claim.fill_at - MINUTE_MS


def _by_accounts(ordered: Sequence[Decided]) -> Iterator[list[Decided]]:
    """Cut at accounts, so many of them at a time."""
    some: list[Decided] = []
    accounts = 0
    for _, mine in groupby(ordered, key=lambda item: item.claim.account_id):
        some += mine
        accounts += 1
        if accounts == ACCOUNTS_AT_ONCE:
            yield some
            some, accounts = [], 0
    if some:
        yield some
