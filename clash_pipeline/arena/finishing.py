"""Finishing a race: ranks, money, strikes and holds in one transaction; archived later, once it was looked at again.

Results are read, never computed again. One that is missing or altered stops the race where it is, with an incident,
until somebody has looked.
"""

from collections.abc import Sequence

from clash_pipeline.arena import field, flags, incidents, order_of_finish, race_audit, races, strikes
from clash_pipeline.arena.order_of_finish import Finished, ResultUnfit
from clash_pipeline.arena.parts import ARENA, Parts
from clash_pipeline.arena.races import Race
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy import settling
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import standings
from clash_pipeline.prop.accounts import AUDITOR
from clash_pipeline.storage.sqlite import Connection

AFTER_RANKS = point("arena.settle.after_ranks")
AFTER_MONEY = point("arena.settle.after_money")
AFTER_STRIKES = point("arena.settle.after_strikes")
AFTER_RELEASED = point("arena.settle.after_released")
AFTER_FLAGS = point("arena.archive.after_flags")


def finish(parts: Parts, race: Race, now_ms: int) -> bool:
    """Settle a race; False when it has moved on, or has to wait for a person."""
    with parts.clash.write() as connection:
        if races.get(connection, race.id).state != "settling":
            return False
        if (halt := standings.halt_of_all(connection)) is not None and halt.actor == AUDITOR:
            incidents.raise_one(connection, race.id, "books_differ", halt.reason, now_ms=now_ms)
            return False
        try:
            finished = order_of_finish.of(connection, race.id)
        except ResultUnfit as error:
            incidents.raise_one(connection, race.id, error.code, str(error), now_ms=now_ms)
            return False
        _settle(connection, race, finished, parts.settings.strikes_to_retire, now_ms)
        return True


def archive(parts: Parts, race: Race, now_ms: int) -> bool:
    """Close a settled race some time later: its books are looked at once more, the equity of its field is compared."""
    if now_ms < (race.settled_at or 0) + parts.settings.race_archive_after_sec * SECOND_MS:
        return False
    with parts.clash.read() as connection:
        found = flags.alike(connection, race.id)
    with parts.clash.write() as connection:
        if races.get(connection, race.id).state != "settled":
            return False
        for difference in race_audit.of_race(connection, race):
            message = f"{difference.invariant} {difference.row}: {difference.message}"
            incidents.raise_one(connection, race.id, "audit_differs", message, now_ms=now_ms)
            return False
        flags.write(connection, race.id, found, now_ms=now_ms)
        fault(AFTER_FLAGS)
        incidents.clear(connection, race.id, now_ms=now_ms)
        return races.move(connection, race, "archived", now_ms=now_ms, actor=ARENA, reason="looked at once more")


def _settle(
    connection: Connection, race: Race, finished: Sequence[Finished], strikes_to_retire: int, now_ms: int
) -> None:
    _write_ranks(connection, race.id, finished)
    fault(AFTER_RANKS)
    order = [one.placed.clone_id for one in finished]
    settling.settle_race(connection, race.id, order, is_cancelled=False, now_ms=now_ms)
    fault(AFTER_MONEY)
    strikes.record(connection, race.id, now_ms, limit=strikes_to_retire)
    fault(AFTER_STRIKES)
    field.let_go(connection, race.id, races.entrants(connection, race.id), now_ms=now_ms)
    incidents.clear(connection, race.id, now_ms=now_ms)
    fault(AFTER_RELEASED)
    result_hash = order_of_finish.digest(race.id, finished)
    reason = f"{len(finished)} finished"
    races.move(connection, race, "settled", now_ms=now_ms, actor=ARENA, reason=reason, result_hash=result_hash)


def _write_ranks(connection: Connection, race_id: int, finished: Sequence[Finished]) -> None:
    """Write every rank with the figures it follows from."""
    rows = [(one.placed.rank, one.placed.finisher, one.result_hash) for one in finished]
    connection.executemany(
        """
        UPDATE race_entrants SET rank = ?, class = ?, final_equity = ?, max_drawdown = ?, ended_at = ?, gross_share = ?,
          fills = ?, result_hash = ?
        WHERE race_id = ? AND clone_id = ? AND rank IS NULL
        """,
        [
            (
                rank, last.standing, last.final_equity, last.max_drawdown, last.ended_at, last.gross_share, last.fills,
                result_hash, race_id, last.clone_id,
            )
            for rank, last, result_hash in rows
        ],
    )  # fmt: skip
