"""Every kind of row, every column: whatever raw SQL changes, takes away or repeats, the audit names the table of it."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock, hour_of
from clash_pipeline.decisions.audit import audit
from clash_pipeline.prop import admin
from clash_pipeline.prop import audit as books
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_clash, open_market
from clash_pipeline.storage.sqlite import Connection, IntegrityError
from tests.conftest import NOW
from tests.fakes import market_rows
from tests.fakes.answers import answer, wave
from tests.fakes.world import RISING, World

BOOKS = (
    "prop_accounts", "prop_decision_actions", "prop_orders", "prop_fills", "prop_positions", "prop_ledger_groups",
    "prop_ledger", "prop_funding_charges", "prop_funding_hours", "prop_snapshots", "prop_results", "decision_runs",
    "decision_artifacts", "decision_targets", "clone_versions",
)  # fmt: skip
NO_TRACE = {
    ("prop_accounts", "revision"): "a counter of writes",
    ("prop_accounts", "updated_at"): "when the row was last written",
    ("prop_accounts", "starts_at"): "a window a millisecond longer; a trigger guards it",
    ("prop_accounts", "ends_at"): "a window a millisecond longer; a trigger guards it",
    ("prop_snapshots", "maintenance"): "rests on margin tiers that market memory holds",
    ("prop_snapshots", "carried"): "rests on what market memory knew at that minute",
    ("decision_runs", "tick"): "a forced run has any tick; a unique key guards it",
    ("decision_runs", "cadence_sec"): "the terms of the account may make it slower than its target",
    ("decision_runs", "engine"): "a setting of the clone at that time",
    ("decision_artifacts", "id"): "a number that nothing refers to",
    ("decision_artifacts", "store"): "which store took it",
    ("decision_artifacts", "created_at"): "when it was indexed",
    ("clone_versions", "number"): "a display number",
    ("clone_versions", "graph"): "the draft behind the compiled graph, which is hashed",
    ("clone_versions", "is_active"): "which version trades next",
    ("clone_versions", "published_at"): "when it was published",
    ("clone_versions", "published_by"): "who published it",
    **{
        ("decision_runs", column): "who worked on it, and when; clocks may be set back"
        for column in (
            "attempts", "claimed_by", "claim_token", "claimed_until", "dagster_run_id", "created_at", "prepared_at",
            "decided_at",
        )
    },
}  # fmt: skip
"""What an audit of `clash.db` cannot see by a change of one unit, and why."""
WHO = {"actor": "ann", "reason": "look"}


class Undone(Exception):
    """Every corruption meets the same honest books."""


def a_minute(world: World, price: str) -> None:
    world.clock.advance(MINUTE_MS)
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, price, hist=0.5, hist_before=0.3, **RISING)


def trade(world: World) -> None:
    """Two clones: fills, a flip, a refusal, holds, funding, marks; one account is paused, one has ended."""
    market_rows.list_asset(world.market, "PURR/USDC", kind="spot", sz_decimals=1, max_leverage=1)
    first, _ = world.clone("BTC", "ETH")
    second, ending = world.clone("BTC", name="Bea")
    a_minute(world, "100")
    wave(world, answer("open_long", "20", stop_loss_pct="3"), clone_id=first, force=True)
    wave(world, answer("open_long", "30"), clone_id=second, force=True)
    mark(world.clash, world.market, 1, world.clock.now_ms())
    a_minute(world, "101")
    wave(world, answer("open_short", "10"), clone_id=first, force=True)
    wave(world, answer("hold"), clone_id=second, force=True)
    hour = hour_of(world.clock.now_ms()) + HOUR_MS
    for symbol in ("BTC", "ETH"):
        market_rows.oracle(world.market, symbol, hour - 30_000, "100", rate_e10=125_000)
    world.clock.set(hour)
    a_minute(world, "101")
    for account_id in (1, 2):
        mark(world.clash, world.market, account_id, world.clock.now_ms())
    wave(world, answer("open_long", "30", leverage=50), clone_id=first, force=True)
    a_minute(world, "102")
    mark(world.clash, world.market, 1, world.clock.now_ms())
    admin.pause(world.clash, 1, now_ms=world.clock.now_ms(), **WHO)
    admin.complete(world.clash, PaperVenue(world.market), ending, now_ms=world.clock.now_ms(), **WHO)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Iterator[World]:
    """A world with a row of every kind; its triggers are gone, as they would be for somebody with a shell."""
    home = tmp_path_factory.mktemp("corrupted") / "home"
    shutil.copytree(migrated_home, home)
    settings = load({"CLASH_HOME": str(home)})
    clash, market = open_clash(settings), open_market(settings)
    world = World(settings, SettableClock(NOW), clash, market, MemoryStore())
    for symbol, decimals in (("BTC", 3), ("ETH", 2)):
        market_rows.list_asset(market, symbol, sz_decimals=decimals, max_leverage=25)
    trade(world)
    with clash.write() as connection:
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {row['name']}")
    yield world
    clash.close()
    market.close()


def cells(connection: Connection, table: str) -> Iterator[tuple[str, list[str]]]:
    """Every column of a table with statements that change it in one row, the first that keys allow counts."""
    key = key_of(connection, table)
    for column in connection.execute(f"PRAGMA table_info({table})").fetchall():
        name = column["name"]
        row = connection.execute(
            f"SELECT {key}, {name} AS cell FROM {table} ORDER BY {name} IS NULL, {key} LIMIT 1"
        ).fetchone()
        assert row is not None, f"{table} has no row"
        where = " AND ".join(f"{part} = {quoted(row[part])}" for part in key.split(", "))
        others = [other(row["cell"], column["type"], far) for far in (1, 1_000)]
        yield name, [f"UPDATE {table} SET {name} = {quoted(value)} WHERE {where}" for value in others]
    yield "a row less", [f"DELETE FROM {table} WHERE ({key}) = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1)"]


def key_of(connection: Connection, table: str) -> str:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return ", ".join(column["name"] for column in sorted(columns, key=lambda one: one["pk"]) if column["pk"])


def other(value: object, kind: str, far: int) -> object:
    """A value of the same type that could pass for the old one; one further off where a key is taken."""
    if value is None:
        return {"INTEGER": far, "REAL": 0.5}.get(kind, "x")
    if isinstance(value, float):
        return value + 1e-9
    if isinstance(value, int):
        return value + far
    text = str(value)
    return text[:-1] + ("0" if text[-1] != "0" else "1") if len(text) == 64 else f"{text} "


def quoted(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def found(world: World, statements: list[str]) -> list[str] | None:
    """The rows that the audit names after the first statement that is taken; None where none is."""
    for statement in statements:
        rows: list[str] = []
        with suppress(Undone), world.clash.together() as connection:
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute("PRAGMA defer_foreign_keys=ON")
            try:
                assert connection.execute(statement).rowcount == 1
            except IntegrityError:
                raise Undone from None
            rows = [difference.row for difference in audit(world.clash, world.store).differences] or ["clean"]
            raise Undone
        if rows:
            return [row for row in rows if row != "clean"]
    return None


def test_control_honest_books_are_clean(house: World) -> None:
    assert audit(house.clash, house.store).differences == ()


@pytest.mark.goal
@pytest.mark.parametrize("table", BOOKS)
def test_every_change_of_a_row_is_found_and_named(house: World, table: str) -> None:
    """I6, I8, I9: every column by one unit, and a row that is gone; what cannot be seen is listed with its reason."""
    with house.clash.read() as connection:
        changes = dict(cells(connection, table))
    named = {what: rows for what, statements in changes.items() if (rows := found(house, statements)) is not None}
    unseen = {what for what, rows in named.items() if not rows}
    assert unseen == {column for book, column in NO_TRACE if book == table}
    assert all(row.startswith(BOOKS) for rows in named.values() for row in rows)


def test_the_corruptions_are_many(house: World) -> None:
    with house.clash.read() as connection:
        assert sum(len(list(cells(connection, table))) for table in BOOKS) - len(NO_TRACE) > 180


def test_control_a_check_that_is_left_out_lets_a_change_pass(house: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        books, "CHECKS", tuple(check for check in books.CHECKS if check is not books.positions_are_sealed)
    )
    with house.clash.read() as connection:
        statements = dict(cells(connection, "prop_positions"))["stop"]
    assert found(house, statements) == []
