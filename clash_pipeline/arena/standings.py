"""The standings of a race: rank and equity while it is live, the final order with its figures afterwards (11, 10).

What the accounts hold and fill is nobody's business before the settlement; `reveals` is asked by every public door.
"""

from dataclasses import dataclass

from clash_pipeline.arena import races, ranking
from clash_pipeline.arena.races import REVEALED, Entrant, Race
from clash_pipeline.arena.ranking import LEAST_GROSS_SHARE, Finisher
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.clones import public_profiles
from clash_pipeline.prop import accounts
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import RATE, Rounding, mul_div


@dataclass(frozen=True)
class Standing:
    """One clone of a field; equity in 1e-8 USD, rates in 1e-8. `rank` is None of who did not start.

    `marked_at` is None before the first mark, when equity is the start balance, and once the result is frozen.
    """

    clone_id: int
    name: str
    slot_no: int
    state: str
    rank: int | None
    equity: int | None
    return_rate: int | None
    is_liquidated: bool
    marked_at: int | None
    standing: str | None
    """The class it finished in; None before the settlement."""
    account_id: int | None


def of(connection: Connection, race_id: int) -> list[Standing]:
    """The field of a race: by rank, then who did not start, by slot.

    Raises:
        ArenaUnknown: no such race.
    """
    race, field = races.get(connection, race_id), races.entrants(connection, race_id)
    found = [_standing(connection, race, entered) for entered in field]
    if not any(entered.rank is not None for entered in field):
        found = _ranked(found, field)
    return sorted(found, key=lambda each: (each.rank is None, each.rank or 0, each.slot_no))


def reveals(race: Race) -> bool:
    """Whether fills and positions of a race are public."""
    return race.state in REVEALED


def revealed_account(connection: Connection, race_id: int, clone_id: int) -> int | None:
    """The account of a clone in a race for everybody to see; None of one that did not start.

    Raises:
        ArenaUnknown: no such race, or the clone is not in its field.
        ArenaConflict: the race is not over.
    """
    race, entered = races.get(connection, race_id), races.entrant(connection, race_id, clone_id)
    if not reveals(race):
        raise ArenaConflict(f"race {race_id} is {race.state}: fills and positions follow after the settlement")
    return entered.account_id


def paths(connection: Connection, race_id: int) -> dict[int, list[tuple[int, int]]]:
    """The equity of each starter, (time, 1e-8 USD), oldest first, its frozen end last."""
    found = {}
    for entered in races.entrants(connection, race_id):
        if entered.account_id is None:
            continue
        rows = connection.execute(
            "SELECT t, equity FROM prop_snapshots WHERE account_id = ? ORDER BY t", (entered.account_id,)
        )
        last = [] if entered.ended_at is None else [(entered.ended_at, entered.final_equity or 0)]
        found[entered.clone_id] = [(row["t"], row["equity"]) for row in rows] + last
    return found


def _standing(connection: Connection, race: Race, entered: Entrant) -> Standing:
    account = None if entered.account_id is None else accounts.get(connection, entered.account_id)
    equity, marked_at = None, None
    if account is not None:
        row = None if account.is_final else _newest(connection, account.id)
        equity, marked_at = (account.balance, None) if row is None else row
    start = race.rules.start_balance
    return Standing(
        clone_id=entered.clone_id,
        name=_name(connection, entered.clone_id),
        slot_no=entered.slot_no,
        state=entered.state,
        rank=entered.rank,
        equity=equity,
        return_rate=None if equity is None else mul_div(equity - start, RATE, start, Rounding.FLOOR),
        is_liquidated=account is not None and account.state == "liquidated",
        marked_at=marked_at,
        standing=entered.standing,
        account_id=entered.account_id,
    )


def _ranked(found: list[Standing], field: list[Entrant]) -> list[Standing]:
    """The rank of the moment, by equity; who is liquidated or removed stands behind the others."""
    entry = {entered.clone_id: entered.slot_entered_at for entered in field}
    running = [
        Finisher(
            each.clone_id, entry[each.clone_id], each.state == "removed", each.is_liquidated, each.equity, 0, 0, 1,
            LEAST_GROSS_SHARE,
        )
        for each in found
        if each.equity is not None
    ]  # fmt: skip
    rank = {placed.clone_id: placed.rank for placed in ranking.rank(running)}
    return [_with_rank(each, rank.get(each.clone_id)) for each in found]


def _with_rank(each: Standing, rank: int | None) -> Standing:
    return Standing(**{**vars(each), "rank": rank})


def _newest(connection: Connection, account_id: int) -> tuple[int, int] | None:
    row = connection.execute(
        "SELECT equity, marked_at FROM prop_snapshots WHERE account_id = ? ORDER BY t DESC LIMIT 1", (account_id,)
    ).fetchone()
    return None if row is None else (row["equity"], row["marked_at"])


def _name(connection: Connection, clone_id: int) -> str:
    """The approved name; a number where none is shown any more, for the working name is its owner's."""
    shown = public_profiles.shown(connection, clone_id)
    return f"clone {clone_id}" if shown is None else shown.name
