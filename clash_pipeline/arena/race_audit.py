"""The audit of races: each agrees with its field, its accounts, its results, its money and its holds.

Ranks are computed again from the frozen results, and the settlement must have been made in that very order.
"""

from collections.abc import Callable, Iterator

from clash_pipeline.arena import order_of_finish, races
from clash_pipeline.arena.order_of_finish import ResultUnfit
from clash_pipeline.arena.races import BEFORE_LAUNCH, REVEALED, Entrant, Race
from clash_pipeline.clones import holds
from clash_pipeline.economy import pools, settling
from clash_pipeline.economy.refusals import EconomyUnknown
from clash_pipeline.prop import accounts
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Database

Check = Callable[[Connection, Race, list[Entrant]], Iterator[Difference]]
FINISHED = frozenset({"settled", "archived"})


def audit(clash: Database) -> list[Difference]:
    """Check every race, on one snapshot of the file."""
    with clash.read() as connection:
        every = races.newest(connection, limit=2**31)
        return [difference for race in reversed(every) for difference in of_race(connection, race)]


def of_race(connection: Connection, race: Race) -> Iterator[Difference]:
    """Check one race."""
    field = races.entrants(connection, race.id)
    for check in CHECKS:
        yield from check(connection, race, field)


def rules_are_sealed(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """The rule set hashes to what is stored, and names the universe."""
    if race.rules.digest != race.rules_hash:
        yield Difference("race", f"races({race.id})", f"its rules hash to {race.rules.digest[:12]}")
    if race.rules.policy.symbols != race.universe:
        yield Difference("race", f"races({race.id})", "its universe is not that of its rules")


def moves_lead_here(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """Every state up to the present one was entered, once, in order."""
    taken = [move.state for move in races.moves(connection, race.id)]
    usual = list(races.ORDER[: races.ORDER.index(race.state) + 1])
    if race.state == "cancelled":
        usual = [*races.ORDER[: len(taken) - 1], "cancelled"]
    if taken != usual:
        yield Difference("race", f"races({race.id})", f"is {race.state} by way of {', '.join(taken) or 'nothing'}")


def accounts_are_those_of_the_field(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """Who started has one account of this race, under its rules and for its window; nobody else has one."""
    for one in field:
        where = f"race_entrants({race.id}, {one.clone_id})"
        if one.state == "frozen" and race.launched_at is not None:
            yield Difference("race", where, "did not start though the race was launched")
        if one.account_id is None:
            continue
        if race.launched_at is None:
            yield Difference("race", where, "has an account though the race was never launched")
        account = accounts.get(connection, one.account_id)
        terms = (account.kind, account.parent_id, account.clone_id, account.policy_hash, account.starts_at)
        if terms != ("race", race.id, one.clone_id, race.rules.policy.digest, race.starts_at):
            yield Difference("race", where, f"account {account.id} is not one of this race")
        if account.ends_at != race.ends_at:
            yield Difference("race", where, f"account {account.id} has another end")


def ranks_follow_from_results(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """Ranks exist once the race is settled, and are those that the frozen results make."""
    ranked = {one.clone_id: one.rank for one in field if one.rank is not None}
    if race.state not in FINISHED:
        if ranked:
            yield Difference("race", f"races({race.id})", f"is {race.state} and has ranks")
        return
    try:
        finished = order_of_finish.of(connection, race.id)
    except ResultUnfit as error:
        yield Difference("I9", f"races({race.id})", str(error))
        return
    if {one.placed.clone_id: one.placed.rank for one in finished} != ranked:
        yield Difference("race", f"races({race.id})", "its ranks are not those of its results")
    if order_of_finish.digest(race.id, finished) != race.result_hash:
        yield Difference("I9", f"races({race.id})", f"its results do not hash to {(race.result_hash or '')[:12]}")


def money_follows_the_race(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """The pool stands as the race does, and the settlement was made once, in the order of finish."""
    where = f"races({race.id})"
    try:
        pool = pools.get(connection, race.id)
    except EconomyUnknown:
        yield Difference("race", where, "has no pool")
        return
    settled = settling.settlement_of(connection, race.id)
    if (settled is not None) != (race.state in REVEALED):
        yield Difference("I7", where, f"is {race.state}, its settlement {'absent' if settled is None else 'there'}")
    expected = {"open"} if race.state in BEFORE_LAUNCH else {"closed"} if settled is None else {"settled", "refunded"}
    if pool.state not in expected:
        yield Difference("I3", where, f"is {race.state}, its pool {pool.state}")
    if settled is not None and race.state in FINISHED:
        paid = [starter["cloneId"] for starter in settled.inputs["starters"]]
        ranked = sorted((one.rank, one.clone_id) for one in field if one.rank is not None)
        if paid != [clone_id for _, clone_id in ranked]:
            yield Difference("I7", where, "was settled in another order than that of its finish")


def holds_last_as_long_as_the_race(connection: Connection, race: Race, field: list[Entrant]) -> Iterator[Difference]:
    """A clone is held from the freeze to the settlement or the cancellation, unless it was removed before launch."""
    is_over = race.state in REVEALED
    for one in field:
        is_held = ("race", str(race.id)) in {(hold.reason, hold.ref) for hold in holds.of(connection, one.clone_id)}
        should_be = not is_over and (one.state != "removed" or one.is_starter)
        if is_held != should_be:
            said = "held" if is_held else "not held"
            yield Difference("race", f"race_entrants({race.id}, {one.clone_id})", f"is {said} in a {race.state} race")


CHECKS: tuple[Check, ...] = (
    rules_are_sealed,
    moves_lead_here,
    accounts_are_those_of_the_field,
    ranks_follow_from_results,
    money_follows_the_race,
    holds_last_as_long_as_the_race,
)
