"""The mark tick: what happens to an account as a minute passes, in one transaction an account, once a minute (04).

In this order: funding that is due, marks, stops and targets, liquidation, the snapshot. An account whose window has
ended is fixed and frozen instead. A missing price marks nothing; the last mark is carried with its age.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from clash_pipeline.clock import minute_of
from clash_pipeline.faults import fault, point
from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import accounts, closing, fixing, funding, liquidation, results, snapshots, triggers
from clash_pipeline.prop.accounts import Account, AccountMoved
from clash_pipeline.prop.defects import is_own, kept_apart
from clash_pipeline.prop.desk import Desk
from clash_pipeline.prop.fixing import Fixed
from clash_pipeline.prop.funding import Holding
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.rates import HourKey, Sources
from clash_pipeline.prop.results import Ending
from clash_pipeline.prop.snapshots import Snapshot
from clash_pipeline.prop.venue import ExecutionVenue, PaperVenue
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.sqlite import Connection, Database

AFTER_FUNDING = point("prop.mark.after_funding")
AFTER_POSITIONS = point("prop.mark.after_positions")
LOOKS = 5
"""How often an account that keeps changing is looked at again before it is left to the next tick."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Look:
    """An account before its tick: what it holds, and the funding hours it owes or is owed."""

    account: Account
    symbols: tuple[str, ...]
    owed: tuple[Holding, ...]
    is_marked: bool

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do: frozen already, or marked at this minute."""
        return self.account.is_final or self.is_marked


@dataclass(frozen=True)
class Memory:
    """What market memory says at the moment of a tick, for every account that shares it."""

    quotes: Mapping[str, Quote]
    sources: Sources
    fixed: Mapping[tuple[int, str], Fixed]

    @property
    def listing(self) -> Listing:
        """The assets that are listed."""
        return {symbol: quote.asset for symbol, quote in self.quotes.items() if quote.asset}


@dataclass
class Tick:
    """What a tick over many accounts did; `left` names the accounts that the next tick has to take up, and why."""

    snapshots: list[Snapshot] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    left: dict[int, Exception] = field(default_factory=dict)


def mark(
    clash: Database, market: Database, account_id: int, now_ms: int, *, execution: ExecutionVenue | None = None
) -> Snapshot | None:
    """Let this minute pass for one account and answer its snapshot; None for an account that has ended.

    The same minute again answers the snapshot that is there.

    Raises:
        AccountUnknown: no such account.
        AccountMoved: it kept changing while it was looked at.
    """
    venue = execution or PaperVenue(market)
    for _ in range(LOOKS - 1):
        try:
            return _mark(clash, venue, account_id, now_ms)
        except AccountMoved:
            continue
    return _mark(clash, venue, account_id, now_ms)


def mark_all(clash: Database, execution: ExecutionVenue, account_ids: Iterable[int], now_ms: int) -> Tick:
    """The same for many accounts with one look at memory; one that fails is left to the next tick, and said so."""
    tick = Tick()
    looks: list[Look] = []
    with clash.read() as connection:
        for account_id in account_ids:
            with kept_apart(tick.left, account_id):
                looks.append(_look(connection, account_id, now_ms))
    memory = _remember_together(execution, looks, now_ms)
    for look in looks:
        with kept_apart(tick.left, look.account.id, StorageBusy):
            snapshot = _pass(clash, execution, look, memory, now_ms)
            if snapshot is None:
                tick.ended.append(look.account.id)
            else:
                tick.snapshots.append(snapshot)
    return tick


def _remember_together(execution: ExecutionVenue, looks: Iterable[Look], now_ms: int) -> Memory | None:
    """One read of memory for all; None where something that one of them needs cannot be read: each then reads alone."""
    try:
        return _remember(execution, looks, now_ms)
    except Exception as error:
        if not is_own(error):
            raise
        log.error("memory_unreadable", error=f"{type(error).__name__}: {error}")
        return None


def _pass(
    clash: Database, execution: ExecutionVenue, look: Look, memory: Memory | None, now_ms: int
) -> Snapshot | None:
    """One account on the shared look; on one of its own where there is none, or where it has changed since."""
    try:
        return _write(clash, look, memory or _remember(execution, [look], now_ms), now_ms)
    except AccountMoved:
        return _mark(clash, execution, look.account.id, now_ms)


def _mark(clash: Database, execution: ExecutionVenue, account_id: int, now_ms: int) -> Snapshot | None:
    with clash.read() as connection:
        look = _look(connection, account_id, now_ms)
    return _write(clash, look, _remember(execution, [look], now_ms), now_ms)


def _look(connection: Connection, account_id: int, now_ms: int) -> Look:
    account = accounts.acting(connection, account_id)
    held = accounts.book(account, accounts.positions(connection, account_id).values())
    owed = funding.due(connection, account, now_ms)
    is_marked = snapshots.at(connection, account_id, minute_of(now_ms)) is not None
    return Look(account, tuple(held.positions), owed, is_marked)


def _remember(execution: ExecutionVenue, looks: Iterable[Look], now_ms: int) -> Memory:
    """One read of memory for all: quotes of what is held, sources of the hours that are due, prices of the fixings."""
    due = [look for look in looks if not look.has_ended]
    symbols = {symbol for look in due for symbol in look.symbols}
    hours = {holding.key for look in due for holding in look.owed}
    ending = [(look.account.ends_at, look) for look in due if look.account.ends_at is not None]
    fixed: dict[tuple[int, str], Fixed] = {}
    for key in {(ends_at, look.account.policy_hash) for ends_at, look in ending if fixing.is_due(ends_at, now_ms)}:
        alike = [look for ends_at, look in ending if (ends_at, look.account.policy_hash) == key]
        held = {symbol for look in alike for symbol in look.symbols}
        fixed[key] = fixing.prices(execution, held, alike[0].account.policy, key[0], now_ms)
    return Memory(
        execution.quotes(symbols, now_ms) if symbols else {}, execution.funding(hours, now_ms) if hours else {}, fixed
    )


def _write(clash: Database, look: Look, memory: Memory, now_ms: int) -> Snapshot | None:
    with clash.write() as connection:
        account = accounts.acting(connection, look.account.id)
        if account.is_final:
            return None
        if (found := snapshots.at(connection, account.id, minute_of(now_ms))) is not None:
            return found
        if account.revision != look.account.revision:
            raise AccountMoved(f"account {account.id} is at revision {account.revision}, not {look.account.revision}")
        desk = Desk(connection, account, accounts.positions(connection, account.id), memory.quotes, now_ms)
        if account.ends_at is not None and now_ms >= account.ends_at:
            _end_of_window(desk, memory, account.ends_at)
            return None
        return _minute(desk, memory)


def _minute(desk: Desk, memory: Memory) -> Snapshot | None:
    """Funding, marks, triggers, liquidation, snapshot."""
    missing = funding.charge_due(desk, memory.sources)
    if missing:
        log.warning("funding_stays_due", account_id=desk.account.id, hours=len(missing), oldest=missing[0])
    fault(AFTER_FUNDING)
    for position in desk.book.positions.values():
        desk.keep(position)
    fault(AFTER_POSITIONS)
    triggers.fire(desk)
    if reason := liquidation.breach(desk.account, desk.book, memory.listing):
        _liquidate(desk, memory, reason, missing)
        return None
    snapshot = snapshots.write(desk, memory.listing, minute_of(desk.now_ms))
    desk.close()
    return snapshot


def _liquidate(desk: Desk, memory: Memory, reason: str, missing: tuple[HourKey, ...]) -> None:
    liquidation.carry_out(desk, reason)
    snapshots.write(desk, memory.listing, minute_of(desk.now_ms))
    results.freeze(desk, Ending("liquidated", reason, liquidation.ACTOR, desk.now_ms, funding_missing=len(missing)))


def _end_of_window(desk: Desk, memory: Memory, ends_at: int) -> None:
    """Charge the last hours, close at the fixing and freeze; or wait for a price or a rate that may still come."""
    fixed = memory.fixed.get((ends_at, desk.account.policy_hash))
    if fixed is None:
        return
    missing = funding.charge_due(desk, memory.sources)
    fault(AFTER_FUNDING)
    unpriced = [held.symbol for held in fixing.open_positions(desk) if held.symbol not in fixed]
    unfunded = [key.symbol for key in missing if key.hour_t == funding.last_due(desk.account, ends_at)]
    if (unpriced or unfunded) and fixing.is_patient(ends_at, desk.now_ms):
        log.info("fixing_waits", account_id=desk.account.id, unpriced=unpriced, unfunded=unfunded)
        desk.close()
        return
    carried = fixing.close_at(desk, fixed, ends_at)
    closing.cover_shortfall(desk, actor=fixing.ACTOR, reason="window ended")
    fault(AFTER_POSITIONS)
    reason = liquidation.breach(desk.account, desk.book, memory.listing)
    if snapshots.at(desk.connection, desk.account.id, minute_of(ends_at)) is None:
        snapshots.write(desk, memory.listing, minute_of(ends_at))
    ending = Ending("completed", "window ended", fixing.ACTOR, ends_at, len(missing), carried)
    if reason:
        ending = replace(ending, state="liquidated", reason=reason, actor=liquidation.ACTOR)
    results.freeze(desk, ending)
