"""Real money: settlements beside a bare loop over the same tickets, and deposits that become purchases.

`python -m bench economy` settles races of 10,000 tickets, in memory and in the store, and confirms purchases one
transaction each, as the watcher does, and many in one.
"""

import random
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.harness import Bench, Contender
from clash_pipeline.clones import clones
from clash_pipeline.economy import deposits, pools, prices, quotes, settling
from clash_pipeline.economy.deposits import VerifiedDeposit
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.quotes import PaymentTerms, Wanted
from clash_pipeline.economy.settlement import Starter, Tickets, settle
from clash_pipeline.identity import users
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_clash
from clash_pipeline.storage.sqlite import Connection, Database

NOW = 1_753_100_000_000
TERMS = PaymentTerms(31_337, "0x" + "c0" * 20, "0x" + "5e" * 20, "0x" + "ee" * 20)
PRICE = 10**16
FIELD = 12
HOLDERS = 50
MOST = 100
"""Tickets of one purchase."""

Bet = tuple[int, str]


@dataclass
class Money:
    """A store with people, a field on sale, and deposits that wait to be recorded; removed with its last reader."""

    clash: Database
    field: list[int]
    waiting: list[VerifiedDeposit]


def benches(quick: bool) -> tuple[Bench, ...]:
    """Pure settlement, settlement in the store, and confirmation."""
    tickets, purchases = (1_000, 50) if quick else (10_000, 1_000)
    return (
        Bench(
            "settlement",
            f"Races of {tickets:,} tickets of {HOLDERS} holders, settled in memory",
            "races",
            (
                Contender("a bare loop over the tickets", "floor", lambda: _bets(tickets), _bare),
                Contender("clash settlement", "ours", lambda: _bets(tickets), _pure),
            ),
        ),
        Bench(
            "settling",
            f"One race of {tickets:,} tickets to durable rows, every ticket that wins a payable",
            "tickets",
            (
                Contender("insert the payouts alone", "floor", lambda: _money(tickets), _inserted),
                Contender("clash settling", "ours", lambda: _money(tickets), _settled),
            ),
            rounds=3,
        ),
        Bench(
            "confirmation",
            f"{purchases:,} verified deposits to granted tickets",
            "purchases",
            (
                Contender("a row each, a transaction each", "floor", lambda: _unpaid(purchases), _bare_rows),
                Contender("clash, a transaction each", "ours", lambda: _unpaid(purchases), _one_by_one),
                Contender("clash, all in one", "ours", lambda: _unpaid(purchases), _together),
            ),
            rounds=3,
        ),
    )


# in memory


def _bets(tickets: int) -> list[Bet]:
    chance = random.Random(1)
    return [(chance.randint(1, FIELD), f"user:{chance.randint(1, HOLDERS)}") for _ in range(tickets)]


def _bare(bets: list[Bet]) -> int:
    """What a payout is, and nothing else: no royalties, no refunds, no checks."""
    for _ in range(10):
        weight = dict(zip(range(1, FIELD + 1), (50, 30, 20), strict=False))
        total = sum(weight.get(clone, 0) for clone, _ in bets)
        share = len(bets) * PRICE * 9 // 10
        paid = [share * weight[clone] // total for clone, _ in bets if clone in weight]
        assert paid
    return 10


def _pure(bets: list[Bet]) -> int:
    starters = [Starter(clone, f"user:{clone}") for clone in range(1, FIELD + 1)]
    for _ in range(10):
        made = settle(PRICE, starters, [Tickets(clone, holder, 1) for clone, holder in bets])
        assert made.payouts
    return 10


# in the store


def _store() -> Database:
    home = Path(tempfile.mkdtemp(prefix="clash-bench-"))
    settings = load({"CLASH_HOME": str(home), "CLASH_DISK_RESERVE_MIB": "0"})
    migrate_all(settings)
    clash = open_clash(settings)
    weakref.finalize(clash, shutil.rmtree, home, ignore_errors=True)
    return clash


def _unpaid(purchases: int, each: int = 1) -> Money:
    """A race on sale, and a deposit for each quote."""
    clash, numbers = _store(), count(1)
    with clash.together() as connection:
        people = [users.of_wallet(connection, f"0x{number:040x}", now_ms=NOW) for number in range(1, HOLDERS + 1)]
        field = [clones.insert(connection, f"Clone {place}", engine="rules", now_ms=NOW) for place in range(FIELD)]
        pools.open_pool(
            connection, 1, [PoolClone(clone, None) for clone in field], price_wei=PRICE, opens_at=0,
            closes_at=2 * NOW, hidden_from=2 * NOW, now_ms=NOW,
        )  # fmt: skip
        waiting = [_deposit(connection, people, field, next(numbers), each) for _ in range(purchases)]
    return Money(clash, field, waiting)


def _deposit(connection: Connection, people: list[int], field: list[int], number: int, each: int) -> VerifiedDeposit:
    wanted = Wanted(people[number % HOLDERS], "ticket", field[number % FIELD], race_id=1, count=each)
    asked = quotes.quote(connection, wanted, prices.of(load({})), TERMS, draw=lambda: number, now_ms=NOW)
    return VerifiedDeposit(
        TERMS.chain_id, TERMS.contract, asked.wallet, TERMS.resolver, TERMS.asset, asked.nonce, asked.amount_wei,
        f"0x{number:064x}", 0, number, f"0x{number:064x}", NOW, f"{number:064x}", "",
    )  # fmt: skip


def _money(tickets: int) -> Money:
    """A race that was bought and launched."""
    money = _unpaid(tickets // MOST, MOST)
    _together(money)
    with money.clash.write() as connection:
        pools.close_pool(connection, 1, now_ms=NOW)
    return money


def _settled(money: Money) -> int:
    with money.clash.write() as connection:
        made = settling.settle_race(connection, 1, money.field, is_cancelled=False, now_ms=NOW)
    return len(made.inputs["tickets"])


def _inserted(money: Money) -> int:
    """The rows of the payouts without what they rest on: no seals, no ledger, no frozen inputs."""
    with money.clash.write() as connection:
        connection.execute("CREATE TABLE bare (ticket INTEGER PRIMARY KEY, wallet TEXT NOT NULL, wei TEXT NOT NULL)")
        sold = connection.execute("SELECT id, clone_id, wallet FROM tickets WHERE race_id = 1").fetchall()
        paying = dict(zip(money.field, (50, 30, 20), strict=False))
        total, share = sum(paying.get(row["clone_id"], 0) for row in sold), len(sold) * PRICE * 9 // 10
        connection.executemany(
            "INSERT INTO bare VALUES (?, ?, ?)",
            [(row["id"], row["wallet"], str(share * paying[row["clone_id"]] // total))
             for row in sold if row["clone_id"] in paying],
        )  # fmt: skip
    return len(sold)


def _one_by_one(money: Money) -> int:
    for found in money.waiting:
        with money.clash.write() as connection:
            deposits.record(connection, found, now_ms=NOW)
    return len(money.waiting)


def _together(money: Money) -> int:
    with money.clash.write() as connection:
        for found in money.waiting:
            deposits.record(connection, found, now_ms=NOW)
    return len(money.waiting)


def _bare_rows(money: Money) -> int:
    """A row for each deposit, committed each by itself: what durability alone costs."""
    with money.clash.write() as connection:
        connection.execute("CREATE TABLE bare (nonce INTEGER PRIMARY KEY, wei TEXT NOT NULL)")
    for found in money.waiting:
        with money.clash.write() as connection:
            connection.execute("INSERT INTO bare VALUES (?, ?)", (found.nonce, str(found.amount_wei)))
    return len(money.waiting)
