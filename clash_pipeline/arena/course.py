"""The course of a race by the clock: what is due in its state now, and the one transaction that does it (05 Races).

accumulating → launching when sales close; launching → live at the start, once every ticket is known; live → settling
once the window is over and every account has its frozen result. What cannot go on is cancelled.
"""

from collections.abc import Callable

from clash_pipeline.arena import cancelling, market_state, races
from clash_pipeline.arena.finishing import archive, finish
from clash_pipeline.arena.market_state import Silence
from clash_pipeline.arena.parts import ARENA, Parts
from clash_pipeline.arena.races import CANCELLABLE, Cause, Race
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, iso
from clash_pipeline.economy import pools
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, results, standings
from clash_pipeline.prop.accounts import AUDITOR, Pinned
from clash_pipeline.prop.fixing import PATIENCE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection

RESULTS_DUE_MS = PATIENCE_MS + MINUTE_MS
"""How long after its end a race waits for its results before it says that one is missing."""
AFTER_POOL = point("arena.launch.after_pool")
AFTER_ACCOUNT = point("arena.launch.after_account")
AFTER_STARTED = point("arena.launch.after_started")


def step(parts: Parts, race: Race, now_ms: int) -> bool:
    """Do what is due for a race in the state it was read in; whether anything was.

    The same step again, in this or another process, changes nothing.
    """
    if race.state == "settling":
        return finish(parts, race, now_ms)
    if race.state == "settled":
        return archive(parts, race, now_ms)
    heard = market_state.silence(parts.market, race.universe)
    with parts.clash.write() as connection:
        if race.state not in CANCELLABLE or races.get(connection, race.id).state != race.state:
            return False
        return _STEPS[race.state](connection, race, heard, now_ms)


def is_due(settings: Settings, race: Race, now_ms: int) -> bool:
    """Whether the clock may have something to do for a race; asked by sensors, which look at no market."""
    if race.state in {"accumulating", "launching"}:
        return now_ms >= (race.sales_close_at if race.state == "accumulating" else race.starts_at)
    if race.state == "settled":
        return now_ms >= (race.settled_at or 0) + settings.race_archive_after_sec * SECOND_MS
    return race.state in {"live", "settling"}


def _sales(connection: Connection, race: Race, heard: Silence, now_ms: int) -> bool:
    """While tickets are sold: a field that became too small is called off, and sales close by the clock."""
    if _too_few(connection, race, now_ms):
        return True
    if now_ms < race.sales_close_at:
        return False
    return races.move(connection, race, "launching", now_ms=now_ms, actor=ARENA, reason="sales are closed")


def _launch(connection: Connection, race: Race, heard: Silence, now_ms: int) -> bool:
    """At the start: cancel, wait, or open an account for each clone of the field."""
    if _too_few(connection, race, now_ms):
        return True
    if now_ms < race.starts_at:
        return False
    halt = standings.halt_of_all(connection)
    is_watched = pools.is_watched(connection, race.id, now_ms=now_ms)
    if now_ms >= race.starts_at + race.rules.late_after_ms:
        why = f"the kill switch of all accounts is thrown: {halt.reason}" if halt else _late(is_watched, race, now_ms)
        return _cancel(connection, race, "market_halted" if halt else "launch_late", why, now_ms)
    if heard.lasts(race.rules.silent_after_ms, now_ms):
        return _cancel(connection, race, "market_halted", heard.said(now_ms), now_ms)
    if halt is not None or not is_watched:
        return False
    _start(connection, race, now_ms)
    return races.move(connection, race, "live", now_ms=now_ms, actor=ARENA, reason="started")


def _start(connection: Connection, race: Race, now_ms: int) -> None:
    pools.close_pool(connection, race.id, now_ms=now_ms)
    fault(AFTER_POOL)
    for one in races.entrants(connection, race.id):
        if one.state != "frozen":
            continue
        account_id = accounts.open_account(
            connection,
            one.clone_id,
            "race",
            race.rules.policy,
            start_balance=race.rules.start_balance,
            now_ms=now_ms,
            actor=ARENA,
            parent_id=race.id,
            starts_at=race.starts_at,
            ends_at=race.ends_at,
            pinned=Pinned(one.version_id, one.engine, one.model_tier),
        )
        fault(AFTER_ACCOUNT)
        connection.execute(
            """
            UPDATE race_entrants SET state = 'started', account_id = ?
            WHERE race_id = ? AND clone_id = ? AND state = 'frozen'
            """,
            (account_id, race.id, one.clone_id),
        )
    fault(AFTER_STARTED)


def _live(connection: Connection, race: Race, heard: Silence, now_ms: int) -> bool:
    """While it runs: a market that is halted for too long cancels it; the end begins when every result is frozen."""
    if now_ms >= race.ends_at:
        open_ones, carried = _unfinished(connection, race)
        is_silent = heard.lasts(race.rules.silent_after_ms, now_ms)
        if not open_ones and not (carried and is_silent):
            return races.move(connection, race, "settling", now_ms=now_ms, actor=ARENA, reason="every result is frozen")
        if now_ms >= race.ends_at + RESULTS_DUE_MS and not is_silent:
            reason = f"{open_ones} accounts have no result"
            return races.move(connection, race, "settling", now_ms=now_ms, actor=ARENA, reason=reason)
    if heard.lasts(race.rules.silent_after_ms, now_ms):
        return _cancel(connection, race, "market_halted", heard.said(now_ms), now_ms)
    halt = standings.halt_of_all(connection)
    if halt is None or halt.actor == AUDITOR:  # books that do not close move no money, not even back
        return False
    if now_ms < race.ends_at and now_ms - halt.halted_at >= race.rules.silent_after_ms:
        reason = f"the kill switch of all accounts is thrown since {iso(halt.halted_at)}: {halt.reason}"
        return _cancel(connection, race, "market_halted", reason, now_ms)
    return False


def _unfinished(connection: Connection, race: Race) -> tuple[int, int]:
    """How many starters have no frozen result, and how many positions took a carried mark."""
    ids = [one.account_id for one in races.entrants(connection, race.id) if one.account_id is not None]
    found = [results.get(connection, account_id) for account_id in ids]
    return sum(one is None for one in found), sum(one.carried for one in found if one is not None)


def _too_few(connection: Connection, race: Race, now_ms: int) -> bool:
    """Cancel a race whose field became too small before its launch."""
    left = sum(one.state == "frozen" for one in races.entrants(connection, race.id))
    least = race.rules.least_starters
    return left < least and _cancel(
        connection, race, "few_starters", f"{left} clones may start, {least} are needed", now_ms
    )


def _cancel(connection: Connection, race: Race, cause: Cause, reason: str, now_ms: int) -> bool:
    return cancelling.cancel(connection, race, cause, reason, actor=ARENA, now_ms=now_ms)


def _late(is_watched: bool, race: Race, now_ms: int) -> str:
    late = (now_ms - race.starts_at) // MINUTE_MS
    why = "nobody launched it" if is_watched else "the deposits of its tickets are not all known"
    return f"{late} min after its start, {race.rules.late_after_ms // MINUTE_MS} are allowed: {why}"


_STEPS: dict[str, Callable[[Connection, Race, Silence, int], bool]] = {
    "accumulating": _sales,
    "launching": _launch,
    "live": _live,
}
