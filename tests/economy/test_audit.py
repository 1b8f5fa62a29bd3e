"""The audit of money finds every single cell that is changed behind its back, and every row that is missing (S8)."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clash_pipeline.economy import credits as audition_credits
from clash_pipeline.economy import payables, pools, purchases
from clash_pipeline.economy.audit import audit, rows_are_sealed
from clash_pipeline.economy.chain import withdrawals
from clash_pipeline.economy.chain.contract import Event, Vault
from clash_pipeline.economy.chain.rpc import Block, Log
from clash_pipeline.economy.freezing import freeze
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refunds import refund_granted
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.storage.migrations import migrate, names
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError
from tests.fakes.till import CLOSES, RACE, START, TERMS, Till, digest, wallet

BOOKS = (
    "purchases", "chain_deposits", "wei_ledger_groups", "wei_ledger_lines", "wei_balances", "tickets", "payables",
    "settlements", "rakes", "economy_pools", "economy_pool_clones", "audition_credits",
    "purchase_moves", "frozen_deposits", "chain_withdrawals",
)  # fmt: skip


def fill(till: Till) -> None:
    """A row of every kind."""
    with till.clash.together():
        users = [till.person(number) for number in range(1, 5)]
        clones = [till.clone(f"Clone {user}", user) for user in users]
        field = till.race([*users, None])
        for user, clone in zip(users, clones, strict=True):
            till.pay(Wanted(user, "audition", clone))
            till.bet(user, field[user % 3], 2)
        till.pay(Wanted(users[0], "upgrade", clones[0], model_tier=2))
        short = till.quote(Wanted(users[1], "upgrade", clones[1], model_tier=2))
        till.record(till.deposit(short, amount_wei=5))
        till.record(till.deposit(short, nonce=77, depositor=wallet(66)))
        till.quote(Wanted(users[2], "upgrade", clones[2], model_tier=3))
        till.race([users[0], None], race_id=RACE + 1)
        with till.clash.write() as connection:
            pools.leave(connection, RACE, field[0], now_ms=CLOSES)
            refund_granted(connection, 1, actor="admin", reason="void", now_ms=START)
            audition_credits.use(connection, audition_credits.unused(connection, clones[1]) or 0, 1, now_ms=START)
        till.settle(field[1:])
        with till.clash.write() as connection:
            for payable_id in (1, 2, 3):
                payables.authorise(connection, payable_id, actor="resolver", now_ms=START)
            payables.claim(connection, 1, reason=digest(1), now_ms=START)
            freeze(connection, 2, 2, "the log is gone", now_ms=START)
            withdrawn(connection)
    assert audit(till.clash).differences == ()


def withdrawn(connection: Connection) -> None:
    """Something left the vault, and nobody had authorised it."""
    vault = Vault(TERMS.chain_id, TERMS.contract, TERMS.resolver, digest(3))
    event = Event(wallet(9), TERMS.asset, TERMS.resolver, nonce=7, amount_wei=5)
    log, block = Log(vault.address, (), b"", 1, digest(4), digest(5), 0, False), Block(1, digest(4), digest(6), START)
    assert withdrawals.record(connection, vault, log, event, block, now_ms=START)


def without_guards(connection: Connection) -> None:
    """As somebody would who opens the file and takes the triggers away."""
    for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {row['name']}")
    connection.execute("PRAGMA ignore_check_constraints=ON")


def cells(connection: Connection, table: str) -> Iterator[tuple[str, int, Any]]:
    """Every cell: its column, the place of its row, its value."""
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    for place, row in enumerate(rows):
        for column in row.keys():  # noqa: SIM118  # a Row iterates over its values
            yield column, place, row[column]


def changed(value: Any, chance: random.Random) -> Any:
    """Another value of the same kind; something where there was nothing."""
    if value is None:
        return 1
    if isinstance(value, int):
        return value + chance.choice((1, 7, 10**6))
    if value.isdigit():
        return str(int(value) + 1)
    place = chance.randrange(len(value)) if value else 0
    return value[:place] + ("0" if value[place : place + 1] != "0" else "1") + value[place + 1 :]


class Undone(Exception):
    """Ends a transaction without effect."""


def found_after(till: Till, table: str, column: str, place: int, value: Any) -> bool | None:
    """Whether the audit finds one changed cell; None when the keys of the tables refuse it."""
    verdict = None
    with suppress(Undone, IntegrityError), till.clash.together() as connection:
        connection.execute("PRAGMA defer_foreign_keys=ON")
        row = dict(connection.execute(f"SELECT * FROM {table}").fetchall()[place])
        where = " AND ".join(f"{name} IS :{name}" for name in row)
        done = connection.execute(f"UPDATE {table} SET {column} = :new WHERE {where}", {**row, "new": value})
        assert done.rowcount == 1
        verdict = not audit(till.clash).is_clean
        raise Undone
    return verdict


def missed(till: Till, tables: tuple[str, ...], many: int, seed: int) -> tuple[int, list[tuple[str, str, int]]]:
    """How many changes were made, and those that the audit did not find."""
    fill(till)
    chance, made, unseen = random.Random(seed), 0, []
    with till.clash.write() as connection:
        without_guards(connection)
        every = [(table, *cell) for table in tables for cell in cells(connection, table)]
    for table, column, place, value in chance.sample(every, min(many, len(every))):
        seen = found_after(till, table, column, place, changed(value, chance))
        made += seen is not None
        if seen is False:
            unseen.append((table, column, place))
    return made, unseen


def test_a_changed_cell_of_a_money_row_is_found(till: Till) -> None:
    made, unseen = missed(till, BOOKS, 100, seed=1)
    assert unseen == []
    assert made > 60


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_every_changed_cell_of_a_money_row_is_found(till: Till, seed: int) -> None:
    made, unseen = missed(till, BOOKS, 1_000, seed)
    assert unseen == []
    assert made > 500


@pytest.mark.parametrize("table", ["chain_deposits", "tickets", "payables", "rakes", "wei_ledger_lines",
                                   "audition_credits", "purchase_moves", "settlements", "wei_balances",
                                   "economy_pools", "economy_pool_clones"])  # fmt: skip
def test_a_row_that_is_gone_is_found(till: Till, table: str) -> None:
    fill(till)
    with till.clash.write() as connection:
        without_guards(connection)
    found = None
    with suppress(Undone), till.clash.together() as connection:
        connection.execute("PRAGMA defer_foreign_keys=ON")
        connection.execute(f"DELETE FROM {table}")
        found = audit(till.clash).differences
        raise Undone
    assert found


def test_an_entitlement_that_nobody_bought_is_found(till: Till) -> None:
    from clash_pipeline.clones import entitlements

    fill(till)
    with till.clash.write() as connection:
        entitlements.grant(connection, 1, "pro", 3, source="purchase", ref="999", now_ms=START)
    assert [found.invariant for found in audit(till.clash).differences] == ["I5"]


def test_control_a_cell_that_no_money_rests_on_may_change(till: Till) -> None:
    fill(till)
    with till.clash.write() as connection:
        connection.execute("UPDATE clones SET updated_at = updated_at + 1")
    assert audit(till.clash).differences == ()


# what is sealed, and sealed again


class Move(NamedTuple):
    """A change of a row, and a move of that row afterwards."""

    change: str
    module: Any
    move: Callable[[Connection], object]


MOVES = {
    "economy_pools": Move(
        "UPDATE economy_pools SET hidden_from = hidden_from + 1", pools,
        lambda connection: pools.close_pool(connection, RACE, now_ms=CLOSES),
    ),
    "economy_pool_clones": Move(
        "UPDATE economy_pool_clones SET creator = NULL", pools,
        lambda connection: pools.leave(connection, RACE, 2, now_ms=CLOSES),
    ),
    "audition_credits": Move(
        "UPDATE audition_credits SET granted_at = granted_at + 1", audition_credits,
        lambda connection: audition_credits.use(connection, 1, 1, now_ms=CLOSES),
    ),
    "purchases": Move(
        "UPDATE purchases SET expires_at = expires_at + 1 WHERE id = 2", purchases,
        lambda connection: purchases.see(connection, 2, digest(1), now_ms=START),
    ),
    "payables": Move(
        "UPDATE payables SET created_at = created_at + 1", payables,
        lambda connection: payables.authorise(connection, 1, actor="resolver", now_ms=START),
    ),
}  # fmt: skip


def changed_and_moved(till: Till, move: Move) -> set[str]:
    """The invariants that find a row which was changed and then moved on."""
    person = till.person(1)
    clone_id = till.clone("Clone", person)
    till.race([person])
    till.pay(Wanted(person, "audition", clone_id))
    asked = till.quote(Wanted(person, "upgrade", clone_id, model_tier=2))
    till.record(till.deposit(asked, nonce=77, depositor=wallet(66)))
    assert audit(till.clash).differences == ()
    with till.clash.write() as connection:
        without_guards(connection)
        assert connection.execute(move.change).rowcount == 1
        move.move(connection)
    return {found.invariant for found in audit(till.clash).differences}


@pytest.mark.parametrize("table", MOVES)
def test_a_change_is_still_found_after_the_row_has_moved_on(till: Till, table: str) -> None:
    assert "S8" in changed_and_moved(till, MOVES[table])


@pytest.mark.parametrize("table", MOVES)
def test_control_a_row_that_is_sealed_whatever_it_was_covers_the_change_up(
    till: Till, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MOVES[table].module, "resealed", lambda row, changes: sealed({**row, **changes}))
    assert changed_and_moved(till, MOVES[table]) == set()


TX = digest(1)
UNSEALED = (
    "INSERT INTO economy_pools VALUES (1, '9', 1, 5, 4, 'open', 1, NULL, NULL)",
    "INSERT INTO economy_pools VALUES (2, '1000000000000000000', 1, 5, 4, 'refunded', 1, 6, 7)",
    "INSERT INTO economy_pool_clones VALUES (1, 1, NULL, NULL), (1, 2, 3, NULL), (1, 3, 4, 2)",
    "INSERT INTO audition_credits VALUES (1, 1, 2, NULL, NULL), (2, 1, 2, 3, 4)",
    "INSERT INTO purchase_moves VALUES (1, 1, NULL, 'quoted', NULL, 'user:1', 1)",
    "INSERT INTO purchase_moves VALUES (1, 2, 'quoted', 'expired', '\"é\n/\x7f', 'x', 2)",
    "INSERT INTO frozen_deposits VALUES (1, NULL, 'gone', 1)",
    f"INSERT INTO chain_withdrawals VALUES (1, 1, 'c', 'r', 'a', '1', 'p', '5', '{TX}', 0, 1, '{TX}', 1, NULL, 1)",
)


def of_an_earlier_version(path: Path) -> Database:
    """A file with rows that were written before these tables had seals, brought to the newest version."""
    old = Database(path, application_id=0x7E57)
    migrate(old, "clash", up_to=names("clash").index("0020_seals"))
    with old.write() as connection:
        pass
    connection.execute("PRAGMA foreign_keys=OFF")  # nothing but these rows
    for statement in UNSEALED:
        connection.execute(statement)
    old.close()
    migrate(old, "clash")
    return old


def test_rows_of_an_earlier_version_are_no_false_alarms(tmp_path: Path) -> None:
    old = of_an_earlier_version(tmp_path / "old.db")
    with old.write() as connection:
        assert list(rows_are_sealed(connection)) == []
        assert pools.leave(connection, 1, 2, now_ms=5)
        pools.close_pool(connection, 1, now_ms=6)
        audition_credits.use(connection, 1, 9, now_ms=6)
        assert list(rows_are_sealed(connection)) == []


def test_control_a_change_of_a_row_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    old = of_an_earlier_version(tmp_path / "old.db")
    with old.write() as connection:
        without_guards(connection)
        connection.execute("UPDATE economy_pools SET price_wei = '8' WHERE race_id = 1")
        connection.execute("UPDATE economy_pool_clones SET creator = NULL WHERE clone_id = 3")
        connection.execute("UPDATE audition_credits SET used_by = NULL, used_at = NULL WHERE purchase_id = 2")
        connection.execute("UPDATE purchase_moves SET reason = 'none' WHERE seq = 2")
        connection.execute("UPDATE frozen_deposits SET frozen_at = 2")
        connection.execute("UPDATE chain_withdrawals SET known_at = 2")
        found = [difference.row for difference in rows_are_sealed(connection)]
    assert found == [
        "economy_pools(1)",
        "economy_pool_clones(1, 3)",
        "audition_credits(2)",
        "purchase_moves(1, 2)",
        "frozen_deposits(1)",
        "chain_withdrawals(1)",
    ]
