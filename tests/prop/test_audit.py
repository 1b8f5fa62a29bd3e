"""The audit finds what raw SQL changes behind its back, names the row, and is quiet about honest books."""

import random

import pytest

from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.prop import accounts, admin
from clash_pipeline.prop.audit import Report, audit
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.storage.sqlite import Connection, IntegrityError, Row, one
from tests.fakes import market_rows
from tests.fakes.desk import Desk

SEALED = (
    "prop_ledger", "prop_ledger_groups", "prop_fills", "prop_orders", "prop_positions", "prop_funding_charges",
    "prop_results",
)  # fmt: skip
CHANGES = 100
SOAK_CHANGES = 1_000
ROWIDS = {("prop_results", "account_id")}
"""Besides `id`: columns that are the rowid, so that the row is found under its new value."""


@pytest.fixture
def traded(desk: Desk) -> Desk:
    """An account with a dozen fills, a flip, a refusal, a pause and marks."""
    for number, action in enumerate(
        ("open_long", "increase", "reduce", "open_short", "increase", "close", "open_long")
    ):
        desk.price("BTC", str(100 + number))
        desk.order(action, size_pct="10", leverage=2)
        desk.order("open_long", "PURR/USDC", size_pct="5")
        desk.order("close", "PURR/USDC")
        desk.clock.advance(60_000)
        mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
        desk.price("PURR/USDC", "2")
    for state in ("paused", "active"):
        accounts.move(desk.clash, desk.account_id, state, now_ms=desk.clock.now_ms(), actor="a", reason="r")
    return desk


def found(desk: Desk, *statements: str) -> Report:
    """What the audit says after raw statements, with the triggers and foreign keys out of the way."""
    unguard(desk)
    with desk.clash.write() as connection:
        for statement in statements:
            connection.execute(statement)
    return audit(desk.clash)


def unguard(desk: Desk) -> None:
    """Drop every guard, as somebody with a shell could."""
    with desk.clash.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys=ON")
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {row['name']}")


def test_honest_books_are_clean(traded: Desk) -> None:
    report = audit(traded.clash)
    assert report.is_clean
    assert (report.accounts, report.fills) == (1, len(traded.view()["fills"]))


@pytest.mark.parametrize(
    ("statement", "invariant", "row"),
    [
        ("UPDATE prop_accounts SET balance = balance + 1", "I6", "prop_accounts(1)"),
        ("UPDATE prop_accounts SET high_water_mark = high_water_mark + 1", "I6", "prop_accounts(1)"),
        ("UPDATE prop_accounts SET state = 'locked'", "I6", "prop_accounts(1)"),
        ("UPDATE prop_accounts SET policy = replace(policy, '\"max_leverage\":5', '\"max_leverage\":9')", "I9",
         "prop_accounts(1)"),
        ("UPDATE prop_accounts SET ledger_seq = ledger_seq - 1", "I8", "prop_accounts(1)"),
        ("UPDATE prop_positions SET cost = cost + 1 WHERE symbol = 'BTC' AND size <> 0", "I6", None),
        ("UPDATE prop_positions SET realized = realized + 1 WHERE symbol = 'BTC'", "I6", "prop_positions(1, BTC)"),
        ("UPDATE prop_ledger SET amount = amount + 1 WHERE seq = 3 AND line = 0", "I8", "prop_ledger_groups(1, 3)"),
        ("UPDATE prop_fills SET slippage = slippage + 1 WHERE id = 2", "I8", None),
        ("UPDATE prop_decision_actions SET figures = '{}' WHERE id = 1", "I8", None),
        ("UPDATE prop_decision_actions SET payload = '{}' WHERE id = 2", "I9", "prop_decision_actions(2)"),
        ("UPDATE prop_snapshots SET equity = equity + 1", "I6", None),
        ("DELETE FROM prop_snapshots WHERE equity = (SELECT max(equity) FROM prop_snapshots)", "I6", None),
        ("DELETE FROM prop_ledger WHERE seq = 3", "I8", "prop_ledger_groups(1, 3)"),
    ],
)  # fmt: skip
def test_a_change_behind_its_back_is_found(traded: Desk, statement: str, invariant: str, row: str | None) -> None:
    report = found(traded, statement)
    assert any(item.invariant == invariant and row in (None, item.row) for item in report.differences), report


def test_a_vanished_fill_and_a_hole_in_the_chain_are_found(traded: Desk) -> None:
    report = found(
        traded,
        "DELETE FROM prop_ledger WHERE seq = 4",
        "DELETE FROM prop_ledger_groups WHERE seq = 4",
    )
    assert any("sequence jumps from 3 to 5" in item.message for item in report.differences)


def test_an_open_position_in_an_ended_account_is_found(traded: Desk) -> None:
    report = found(traded, "UPDATE prop_accounts SET state = 'liquidated'")
    assert any("is open in an account that is liquidated" in item.message for item in report.differences)


@pytest.fixture
def ended(traded: Desk) -> Desk:
    """A second account with a stop, funding, a liquidation and its frozen result."""
    market_rows.list_asset(traded.market, "ETH", sz_decimals=2)
    traded.open()
    traded.price("BTC", "100")
    traded.price("ETH", "100")
    traded.run_id += 1
    traded.submit(Proposal("BTC", "open_long", "20", 2, "3", None))
    traded.order("open_short", "ETH", size_pct="90", leverage=2)
    for symbol in ("BTC", "ETH"):
        hour = hour_of(traded.clock.now_ms()) + HOUR_MS
        market_rows.oracle(traded.market, symbol, hour - 30_000, "100", rate_e10=125_000)
    for minute, price in ((0, "100"), (1, "90"), (2, "120")):
        traded.clock.set(hour + minute * 60_000 + 5_000)
        traded.price("BTC", price)
        traded.price("ETH", price)
        mark(traded.clash, traded.market, traded.account_id, traded.clock.now_ms())
    assert traded.view()["state"] == "liquidated"
    return traded


def test_any_single_cell_of_the_books_is_guarded(ended: Desk) -> None:
    """S8 at CI size: random single-cell changes of every prop book, one at a time, and all of them are found."""
    assert missed_changes(ended, random.Random(20250721), CHANGES) == []
    assert audit(ended.clash).is_clean


@pytest.mark.soak
def test_any_single_cell_of_the_books_is_guarded_soak(ended: Desk) -> None:
    assert missed_changes(ended, random.Random(20250722), SOAK_CHANGES) == []


def test_control_a_table_that_is_no_book_is_not_sealed(ended: Desk) -> None:
    """The search can fail: when a change happened was said of an act of an operator, no invariant says otherwise."""
    admin.halt(ended.clash, actor="ann", reason="look", now_ms=1)
    assert found(ended, "UPDATE prop_admin_acts SET acted_at = 2").is_clean


@pytest.mark.parametrize(
    ("statement", "invariant", "row"),
    [
        ("UPDATE prop_funding_hours SET rate_at = rate_at + 1 WHERE symbol = 'BTC'", "I8", "prop_ledger_groups(2, "),
        ("DELETE FROM prop_funding_charges WHERE symbol = 'ETH'", "I6", "prop_accounts(2)"),
        ("UPDATE prop_accounts SET funded_through = funded_through + 7200000 WHERE id = 1", "I6", "prop_accounts(1)"),
        ("UPDATE prop_accounts SET balance = balance + 1 WHERE id = 2", "I9", "prop_results(2)"),
        ("UPDATE prop_results SET sharpe = 1.0", "I9", "prop_results(2)"),
        ("UPDATE prop_results SET trades = trades + 1", "I9", "prop_results(2)"),
        ("DELETE FROM prop_results", "I9", "prop_accounts(2)"),
        ("UPDATE prop_accounts SET state = 'active' WHERE id = 2", "I9", "prop_results(2)"),
        ("UPDATE prop_positions SET stop = 1 WHERE account_id = 1 AND size <> 0", "I6", "prop_positions(1)"),
        ("UPDATE prop_snapshots SET max_drawdown = max_drawdown + 1 WHERE account_id = 1", "I6", "prop_snapshots(1, "),
        ("UPDATE prop_orders SET trigger_minute = trigger_minute + 1 WHERE origin = 'stop'", "I6", "prop_orders("),
    ],
)  # fmt: skip
def test_what_time_does_is_audited_too(ended: Desk, statement: str, invariant: str, row: str) -> None:
    differences = found(ended, statement).differences
    assert any(one.invariant == invariant and one.row.startswith(row) for one in differences), differences


def missed_changes(desk: Desk, source: random.Random, count: int) -> list["Cell"]:
    """Random changes that the audit did not find."""
    unguard(desk)
    missed = []
    for _ in range(count):
        with desk.clash.write() as connection:
            cell = change_a_cell(connection, source)
        if audit(desk.clash).is_clean:
            missed.append(cell)
        with desk.clash.write() as connection:
            put_back(connection, cell)
    return missed


Cell = tuple[str, str, int, object]


def change_a_cell(connection: Connection, source: random.Random) -> Cell:
    """Another value of the same type in a random cell; where a key refuses it, in the next random one."""
    while True:
        table = source.choice(SEALED)
        columns: list[Row] = connection.execute(f"PRAGMA table_info({table})").fetchall()
        column = source.choice([item["name"] for item in columns])
        rowid = source.choice([row[0] for row in connection.execute(f"SELECT rowid FROM {table}").fetchall()])
        before = one(connection, f"SELECT {column} FROM {table} WHERE rowid = ?", (rowid,))
        after = other_value(before, source)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, rowid))
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        except IntegrityError:
            continue
        if broken is None:
            moved = after if (table, column) in ROWIDS or column == "id" else rowid
            return (table, column, int(str(moved)), before)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (before, rowid))


def put_back(connection: Connection, cell: Cell) -> None:
    """Undo one change."""
    table, column, rowid, before = cell
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (before, rowid))


def other_value(before: object, source: random.Random) -> object:
    """A different value that could pass for the old one."""
    if isinstance(before, float):
        return before + 1e-9
    if isinstance(before, int):
        return before + source.choice((-1, 1))
    if isinstance(before, str) and len(before) == 64:
        return before[:-1] + ("0" if before[-1] != "0" else "1")
    return "x" if before is None else f"{before} "
