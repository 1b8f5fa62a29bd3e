"""Settling in the store: the golden vectors as rows, once whoever asks and whenever it is killed, and books that close
(M2, 11)."""

import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from clash_pipeline import faults
from clash_pipeline.economy import ledger, payables, pools, settling
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.economy.settling import Settled
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes.forking import ROOT
from tests.fakes.till import CLOSES, RACE, TERMS, TICKET, Till, wallet
from tests.prop.test_no_floats import floats

POINTS = ("economy.inputs_frozen", "economy.payable_written", "economy.group_written", "economy.settlement_booked",
          "storage.before_commit", "storage.after_commit")  # fmt: skip
CREATORS = {name: number for number, name in enumerate("ABCDEFGH", start=1)}
OTHER = 90


def race(till: Till, names: str, bets: str, *, own: str = "", race_id: int = RACE) -> list[int]:
    """A field with a creator each, tickets of somebody else such as `A3 B2`, and `own` ones of the creators."""
    with till.clash.together():
        field = till.race([till.person(CREATORS[name]) for name in names], race_id)
        for is_creator, text in ((False, bets), (True, own)):
            for part in text.split():
                user = till.person(CREATORS[part[0]] if is_creator else OTHER)
                for count in pieces(int(part[1:])):
                    till.bet(user, field[names.index(part[0])], count, race_id)
    return field


def pieces(count: int) -> Iterator[int]:
    """A quote has at most a hundred tickets."""
    while count > 0:
        yield min(count, 100)
        count -= 100


@pytest.mark.parametrize(
    ("names", "bets", "own", "each", "royalties", "rake"),
    [
        ("ABCD", "A3 B2 C1 D4", "", {"A": 30000000000000000}, {"A": 5000000000000000}, 5000000000000000),
        ("ABCDE", "A3 B2 E5", "", {"A": 21428571428571428, "B": 12857142857142857},
         {"A": 3125000000000000, "B": 1875000000000000}, 5000000000000002),
        ("ABCDEFGH", "A3 B2 C1 D4", "",
         {"A": 19565217391304347, "B": 11739130434782608, "C": 7826086956521739},
         {"A": 2500000000000000, "B": 1500000000000000, "C": 1000000000000000}, 5000000000000004),
        ("ABCDEFGH", "A1 D6", "", {"A": 63000000000000000}, {"A": 3500000000000000}, 3500000000000000),
        ("ABCDEFGH", "C5", "A2", {"A": 15750000000000000, "C": 6300000000000000}, {"C": 3500000000000000},
         3500000000000000),
        ("ABCDEFGH", "A333 B333 C334", "",
         {"A": 13505402160864345, "B": 8103241296518607, "C": 5402160864345738},
         {"A": 250000000000000000, "B": 150000000000000000, "C": 100000000000000000}, 500000000000000492),
    ],
)  # fmt: skip
def test_the_golden_vectors_are_rows(
    till: Till, names: str, bets: str, own: str, each: dict[str, int], royalties: dict[str, int], rake: int
) -> None:
    field = race(till, names, bets, own=own)
    made = till.settle(field)
    owed = rows_of(till)
    assert {(row.clone_id, row.amount_wei) for row in owed if row.kind == "payout"} == {
        (field[names.index(name)], wei) for name, wei in each.items()
    }
    assert {(row.clone_id, row.amount_wei, row.recipient) for row in owed if row.kind == "royalty"} == {
        (field[names.index(name)], wei, wallet(CREATORS[name])) for name, wei in royalties.items()
    }
    assert (made.rake_wei, made.outcome) == (rake, "settled")
    assert balances(till, ledger.RAKE, ledger.pool(RACE)) == [rake, 0]
    assert audit(till.clash).differences == ()


@pytest.mark.parametrize(("names", "bets"), [("ABCDEFGH", "D4"), ("ABC", "A7"), ("ABCD", "")])
def test_where_no_paying_clone_has_a_ticket_all_goes_back(till: Till, names: str, bets: str) -> None:
    field = race(till, names, bets)
    made = till.settle(field)
    assert {(row.kind, row.amount_wei) for row in rows_of(till)} == ({("refund", TICKET)} if bets else set())
    assert (made.rake_wei, made.outcome) == (0, "refunded" if bets else "settled")
    assert balances(till, ledger.RAKE, ledger.pool(RACE)) == [0, 0]
    assert audit(till.clash).differences == ()


def rows_of(till: Till) -> list[payables.Payable]:
    with till.clash.read() as connection:
        return payables.every(connection, race_id=RACE, limit=10**6)


def balances(till: Till, *accounts: str) -> list[int]:
    with till.clash.read() as connection:
        return [ledger.balance(connection, account, TERMS.chain_id, TERMS.asset) for account in accounts]


def test_tickets_on_a_clone_that_left_go_back_outside_the_pool(till: Till) -> None:
    field = race(till, "ABCDE", "A3 E2")
    with till.clash.write() as connection:
        assert pools.leave(connection, RACE, field[4], now_ms=CLOSES)
        assert not pools.leave(connection, RACE, field[4], now_ms=CLOSES)
    made = till.settle(field[:4])
    assert made.pool_wei == 3 * TICKET
    assert [(row.clone_id, row.amount_wei) for row in rows_of(till) if row.kind == "refund"] == [(field[4], TICKET)] * 2
    assert audit(till.clash).differences == ()


def test_a_race_is_cancelled_before_or_after_its_launch(till: Till) -> None:
    field = race(till, "ABCD", "A3 B2")
    with till.clash.write() as connection:
        made = settling.settle_race(connection, RACE, [], is_cancelled=True, now_ms=CLOSES)
    assert (made.outcome, len(made.refunds), made.pool_wei) == ("refunded", 5, 0)
    other = race(till, "ABCD", "A3 B2", race_id=8)
    assert till.settle(other, race_id=8, is_cancelled=True).outcome == "refunded"
    assert len(field) == 4
    assert audit(till.clash).differences == ()


def test_royalties_of_house_clones_are_the_platforms(till: Till) -> None:
    field = till.race([None] * 4)
    till.bet(till.person(1), field[0])
    till.settle(field)
    assert {row.kind for row in rows_of(till)} == {"payout"}
    assert balances(till, ledger.FEES, ledger.RAKE) == [TICKET // 20, TICKET // 20]


def test_what_cannot_be_settled_is_refused(till: Till) -> None:
    field = race(till, "ABCDE", "A1")
    with till.clash.write() as connection:
        with pytest.raises(EconomyConflict, match="is open"):
            settling.settle_race(connection, RACE, field, is_cancelled=False, now_ms=CLOSES)
        with pytest.raises(EconomyUnknown):
            settling.settle_race(connection, 99, field, is_cancelled=False, now_ms=CLOSES)
    with pytest.raises(EconomyConflict, match="not in the field"):
        till.settle([*field, 999])
    with pytest.raises(ValueError, match="twice"):
        till.settle([*field, field[0]])
    with till.clash.read() as connection:
        assert settling.settlement_of(connection, RACE) is None
        assert pools.get(connection, RACE).state == "closed"


def test_a_second_call_returns_the_first(till: Till) -> None:
    field = race(till, "ABCDE", "A3 B2 E5")
    made = till.settle(field)
    before = dump(till)
    assert till.settle(list(reversed(field)), now_ms=CLOSES + 99) == made
    assert till.settle([], is_cancelled=True) == made
    assert dump(till) == before


def dump(till: Till) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that a settlement writes, but for the times."""
    statements = {
        "settlements": "SELECT race_id, outcome, inputs, pool_wei, rake_wei, dust_wei, result_hash FROM settlements",
        "payables": "SELECT kind, race_id, ticket_id, clone_id, recipient, amount_wei FROM payables",
        "rakes": "SELECT race_id, amount_wei, dust_wei FROM rakes",
        "pools": "SELECT race_id, state FROM economy_pools",
        "lines": "SELECT seq, line, account, side, amount_wei FROM wei_ledger_lines",
    }
    with till.clash.read() as connection:
        return {name: sorted(map(tuple, connection.execute(text))) for name, text in statements.items()}


def test_stopped_at_any_point_it_leaves_nothing_or_all_and_ends_alike(till: Till) -> None:
    """Each fault point of the settlement, then the settlement: the same rows as undisturbed."""
    field = race(till, "ABCDE", "A3 B2 E5")
    with till.clash.write() as connection:
        pools.close_pool(connection, RACE, now_ms=CLOSES)
    before = dump(till)
    for point in POINTS[:-1]:
        faults.arm(f"{point}:raise")
        with pytest.raises(faults.InjectedFault), till.clash.write() as connection:
            settling.settle_race(connection, RACE, field, is_cancelled=False, now_ms=CLOSES + 1)
        faults.arm("")
        assert dump(till) == before, point
    till.settle(field)
    assert audit(till.clash).differences == ()


def many(till: Till, races: int, seed: int) -> dict[int, list[int]]:
    """Random races on sale that wait to be settled, each with its order of finish."""
    chance = random.Random(seed)
    with till.clash.together():
        return {race_id: _random_race(till, chance, race_id) for race_id in range(100, 100 + races)}


def _random_race(till: Till, chance: random.Random, race_id: int) -> list[int]:
    people = [till.person(number) for number in range(1, 9)]
    field = till.race([chance.choice([None, *people]) for _ in range(chance.randint(3, 9))], race_id)
    for _ in range(chance.randint(0, 3)):
        till.bet(chance.choice(people), chance.choice(field), chance.randint(1, 9), race_id)
    return chance.sample(field, chance.randint(len(field) - 1, len(field)))


def settle_at_once(settings: Settings, orders: dict[int, list[int]], rounds: Sequence[str]) -> Any:
    order = {"home": str(settings.home), "processes": 8, "races": orders, "seed": 1, "faults": rounds}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.settlers"], cwd=ROOT, input=json.dumps(order), capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def settled_once(till: Till, settings: Settings, orders: dict[int, list[int]], at: int) -> int:
    """Let eight processes settle all of it at once, killed in each round at another point; how many were."""
    said: dict[int, set[str]] = defaultdict(set)
    told = settle_at_once(settings, orders, [*(f"{point}@{at}:kill" for point in POINTS), ""])
    for race_id, found in told["answers"]:
        said[race_id].add(found)
    assert {race_id: len(hashes) for race_id, hashes in said.items()} == dict.fromkeys(orders, 1)
    with till.clash.read() as connection:
        stored = {row[0]: row[1] for row in connection.execute("SELECT race_id, result_hash FROM settlements")}
    assert {race_id: {found} for race_id, found in stored.items()} == said
    assert audit(till.clash).differences == ()
    return int(told["killed"])


def test_eight_processes_settle_each_race_once_whoever_is_killed(till: Till, settings: Settings) -> None:
    """Twenty races; each process dies at its first settlement, in each round at another point."""
    assert settled_once(till, settings, many(till, 20, seed=3), at=1) == 8 * len(POINTS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_races_settle_once(till: Till, settings: Settings, seed: int) -> None:
    assert settled_once(till, settings, many(till, 100, seed), at=2) == 8 * len(POINTS)


def test_control_a_settlement_that_is_not_looked_up_is_refused_by_its_key(till: Till) -> None:
    """Without the look-up, the keys alone keep a second settlement out."""
    field = race(till, "ABCDE", "A3 B2 E5")
    till.settle(field)
    with pytest.raises((IntegrityError, EconomyConflict)), till.clash.write() as connection:
        forgetful(connection, field)


def forgetful(connection: Any, field: list[int]) -> Settled:
    known, settling.settlement_of = settling.settlement_of, lambda *_: None  # type: ignore[assignment]
    try:
        return settling.settle_race(connection, RACE, field, is_cancelled=True, now_ms=CLOSES)
    finally:
        settling.settlement_of = known


def test_the_economy_has_no_float() -> None:
    room = ROOT / "clash_pipeline" / "economy"
    assert {path.name for path in room.glob("*.py") if floats(path.read_text("utf-8"))} == set()
