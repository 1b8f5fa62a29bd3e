"""The order of finish of a race by its frozen results, each verified against what its ledger sealed (09 I9)."""

from collections.abc import Sequence
from typing import NamedTuple

from clash_pipeline import canonical
from clash_pipeline.arena import races, ranking
from clash_pipeline.arena.races import Entrant
from clash_pipeline.arena.ranking import Placed
from clash_pipeline.prop import accounts, endings_audit, results
from clash_pipeline.prop.results import Result
from clash_pipeline.storage.sqlite import Connection


class Finished(NamedTuple):
    """A starter with its rank and the hash of the result it follows from."""

    placed: Placed
    result_hash: str


class ResultUnfit(ValueError):
    """A result that nobody may be paid by; `code` says whether it is missing or altered."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def of(connection: Connection, race_id: int) -> list[Finished]:
    """Every starter in the order of finish.

    Raises:
        ResultUnfit: a result is missing, or is not what was sealed.
    """
    started = [one for one in races.entrants(connection, race_id) if one.is_starter]
    found = {one.clone_id: verified(connection, one) for one in started}
    placed = ranking.rank(
        ranking.finisher(one.clone_id, one.slot_entered_at, found[one.clone_id], is_removed=one.state == "removed")
        for one in started
    )
    return [Finished(one, found[one.clone_id].hash) for one in placed]


def verified(connection: Connection, one: Entrant) -> Result:
    """The frozen result of a starter.

    Raises:
        ResultUnfit: it is missing, or is not what was sealed.
    """
    assert one.account_id is not None, "only starters have results"
    account = accounts.get(connection, one.account_id)
    result = results.get(connection, account.id)
    if result is None:
        raise ResultUnfit("result_missing", f"account {account.id} of clone {one.clone_id} has no frozen result")
    for check in (endings_audit.ended_accounts_have_results, endings_audit.results_hash):
        for difference in check(connection, account):
            raise ResultUnfit("result_altered", f"{difference.row} {difference.message}")
    return result


def digest(race_id: int, finished: Sequence[Finished]) -> str:
    """The digest of an order of finish with its figures and the hashes it rests on."""
    rows = [[one.placed.rank, one.placed.finisher.standing, *one.placed.finisher, one.result_hash] for one in finished]
    return canonical.digest({"race": race_id, "finish": rows})
