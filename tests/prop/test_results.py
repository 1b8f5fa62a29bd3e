"""The end of an account: the fixing, the frozen result, and that nothing of it changes afterwards (04, 11.9, 09 L6)."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, hour_of
from clash_pipeline.prop import admin, funding, marks, results
from clash_pipeline.prop.accounts import AccountUnknown, StateConflict
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.fixing import PATIENCE_MS, SETTLE_MS
from clash_pipeline.prop.results import Result, sealed
from clash_pipeline.storage.sqlite import IntegrityError
from clash_pipeline.units import RATE, usd_text
from tests.fakes import market_rows
from tests.fakes.desk import Desk

RACE = {"fixing_ms": 240_000, "oracle_after_ms": 600_000, "drawdown_basis": "static"}
CALLS = 1_000
SOAK_CALLS = 100_000
FROZEN_TABLES = (
    "prop_accounts", "prop_positions", "prop_orders", "prop_fills", "prop_ledger_groups", "prop_ledger",
    "prop_funding_charges", "prop_snapshots", "prop_results",
)  # fmt: skip


@pytest.fixture
def ends_at(desk: Desk) -> int:
    """A race account that ends at the next full hour."""
    ends_at = hour_of(desk.clock.now_ms()) + HOUR_MS
    desk.open(kind="race", ends_at=ends_at, **RACE)
    return ends_at


def result_of(desk: Desk, account_id: int | None = None) -> Result | None:
    with desk.clash.read() as connection:
        return results.get(connection, account_id or desk.account_id)


def tick(desk: Desk) -> None:
    marks.mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())


def last_minutes(desk: Desk, ends_at: int, prices: list[str], symbol: str = "BTC") -> None:
    """Marks at T - 4 min … T, each polled 5 s before its minute, and the tick after T."""
    for number, price in enumerate(prices):
        at = ends_at - (len(prices) - 1 - number) * MINUTE_MS - 5_000
        desk.clock.set(at)
        market_rows.context(desk.market, symbol, at, mark=price)
        market_rows.oracle(desk.market, symbol, at, price, rate_e10=0)
    desk.clock.set(ends_at + SETTLE_MS)
    tick(desk)


def test_final_equity_takes_the_median_of_the_last_marks(desk: Desk, ends_at: int) -> None:
    """99.97 BTC at 100.03, fixed at 103 by 101, 102, 103, 140, 150: the balance is the fixed equity, to the unit."""
    desk.order("open_long", size_pct="10")
    last_minutes(desk, ends_at, ["101", "102", "103", "140", "150"])
    result = result_of(desk)
    assert result is not None
    fill = desk.view()["fills"][0]
    assert (fill["origin"], fill["price"], fill["fee"], fill["price_source"]) == ("admin", "103", "0", "fixing")
    assert usd_text(result.realized) == "296.9109"
    assert result.final_equity == result.start_balance + result.realized - result.fees + result.funding
    assert (result.state, result.reason, result.ended_at) == ("completed", "window ended", ends_at)
    assert (result.fills, result.trades, result.wins, result.win_rate, result.profit_factor) == (1, 1, 1, RATE, None)
    assert audit(desk.clash).is_clean


def test_nothing_is_frozen_before_memory_has_settled(desk: Desk, ends_at: int) -> None:
    desk.order("open_long")
    desk.clock.set(ends_at + SETTLE_MS - 1)
    market_rows.context(desk.market, "BTC", ends_at, mark="100")
    tick(desk)
    assert (result_of(desk), desk.view()["state"]) == (None, "active")


def test_all_accounts_of_a_race_take_one_price_for_longs_and_shorts(desk: Desk, ends_at: int) -> None:
    desk.order("open_long", size_pct="10")
    first = desk.account_id
    desk.open(kind="race", ends_at=ends_at, **RACE)
    desk.order("open_short", size_pct="10")
    last_minutes(desk, ends_at, ["101", "102", "103", "104", "105"])
    marks.mark_all(desk.clash, desk.venue, [first], desk.clock.now_ms() + 20_000)
    with desk.clash.read() as connection:
        rows = connection.execute("SELECT price FROM prop_fills WHERE fee_schedule = 'fixing'").fetchall()
    assert [row["price"] for row in rows] == [103_000, 103_000]


def test_a_silent_asset_is_fixed_by_its_newest_mark_then_by_the_oracle(desk: Desk, ends_at: int) -> None:
    """Eight minutes old: the mark of then. Twenty minutes old: the oracle of then."""
    desk.order("open_long", size_pct="10")
    market_rows.context(desk.market, "BTC", ends_at - 8 * MINUTE_MS - 30_000, mark="97")
    market_rows.oracle(desk.market, "BTC", ends_at - 8 * MINUTE_MS - 30_000, "90", rate_e10=0)
    desk.clock.set(ends_at + SETTLE_MS)
    tick(desk)
    assert desk.view()["fills"][0]["price"] == "97"
    assert desk.view()["fills"][0]["price_source"] == "venue"

    later = ends_at + HOUR_MS
    desk.open(kind="race", ends_at=later, **RACE)
    desk.price("BTC", "100")
    desk.order("open_long", size_pct="10")
    market_rows.oracle(desk.market, "BTC", later - 20 * MINUTE_MS, "95", rate_e10=0)
    market_rows.oracle(desk.market, "BTC", later - 1_000, None, rate_e10=0)
    with desk.market.write() as connection:
        connection.execute("UPDATE hyperliquid_asset_ctxs SET mark_px = '0' WHERE t > ?", (later - 30 * MINUTE_MS,))
    desk.clock.set(later + PATIENCE_MS)
    tick(desk)
    assert (desk.view()["fills"][0]["price"], desk.view()["fills"][0]["price_source"]) == ("95", "oracle")
    assert audit(desk.clash).is_clean


def test_a_missing_price_is_waited_for_and_then_carried(desk: Desk, ends_at: int) -> None:
    desk.order("open_long", size_pct="10")
    with desk.market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_asset_ctxs")
    desk.clock.set(ends_at + PATIENCE_MS - 1)
    tick(desk)
    assert result_of(desk) is None
    desk.clock.set(ends_at + PATIENCE_MS)
    tick(desk)
    result = result_of(desk)
    assert result is not None
    assert (result.carried, result.funding_missing) == (1, 1)
    assert desk.view()["fills"][0]["price_source"] == "carried"
    assert audit(desk.clash).is_clean


def test_the_last_hour_is_charged_before_the_fixing(desk: Desk, ends_at: int) -> None:
    desk.order("open_long", size_pct="10")
    market_rows.oracle(desk.market, "BTC", ends_at - 90_000, "100", rate_e10=125_000)
    desk.clock.set(ends_at + SETTLE_MS)
    market_rows.context(desk.market, "BTC", ends_at - 20_000, mark="100")
    market_rows.oracle(desk.market, "BTC", ends_at - 20_000, "100", rate_e10=125_000)
    tick(desk)
    result = result_of(desk)
    assert result is not None
    assert (usd_text(result.funding), result.funding_missing) == ("-0.1249625", 0)


def test_a_breach_that_only_the_fixing_shows_liquidates(desk: Desk, ends_at: int) -> None:
    """The marks were not looked at for the last ten minutes; the fixed equity is under 90 % of the start."""
    desk.order("open_long", size_pct="100", leverage=2)
    last_minutes(desk, ends_at, ["88"] * 5)
    result = result_of(desk)
    assert result is not None
    assert result.state == "liquidated"
    assert result.reason.startswith("drawdown")
    assert audit(desk.clash).is_clean


def test_exposure_gross_share_and_trades_are_counted(desk: Desk) -> None:
    """Open for two of four minutes: one winner, one loser."""
    for action, price in (("open_long", "100"), ("close", "110"), ("open_short", "110"), ("close", "111")):
        desk.price("BTC", price)
        desk.order(action, size_pct="50")
        tick(desk)
        desk.clock.advance(MINUTE_MS)
    result = admin.complete(
        desk.clash, desk.venue, desk.account_id, actor="ann", reason="enough", now_ms=desk.clock.now_ms()
    )
    assert (result.fills, result.trades, result.wins, result.win_rate) == (4, 2, 1, RATE // 2)
    assert result.exposure_ms == 2 * MINUTE_MS
    assert result.profit_factor == result.gross_profit * RATE // result.gross_loss
    assert result.gross_share is not None
    assert abs(result.gross_share - RATE // 4) < RATE // 50
    assert result.pnl == result.realized - result.fees == result.final_equity - result.start_balance


def test_the_hash_covers_integers_and_text_and_the_ratios_have_their_own(desk: Desk, ends_at: int) -> None:
    desk.order("open_long")
    last_minutes(desk, ends_at, ["101"] * 5)
    result = result_of(desk)
    assert result is not None
    assert sealed(result) == result
    assert sealed(replace(result, pnl=result.pnl + 1)).hash != result.hash
    changed = sealed(replace(result, sharpe=1.5))
    assert (changed.hash, changed.statistics_hash != result.statistics_hash) == (result.hash, True)
    with desk.clash.read() as connection:
        row = connection.execute(
            "SELECT ref_hash FROM prop_ledger_groups WHERE account_id = ? ORDER BY seq DESC LIMIT 1", (desk.account_id,)
        ).fetchone()
    assert row["ref_hash"] == result.hash


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE prop_accounts SET balance = balance + 1",
        "UPDATE prop_positions SET realized = realized + 1",
        "DELETE FROM prop_positions",
        "INSERT INTO prop_funding_charges VALUES (2, 'BTC', 3600000, 1, '1', 1, 1, 1, 1, 1)",
        "UPDATE prop_results SET pnl = 0",
        "DELETE FROM prop_results",
        "UPDATE prop_snapshots SET equity = 0",
    ],
)
def test_the_schema_itself_refuses_to_change_what_is_frozen(desk: Desk, ends_at: int, statement: str) -> None:
    desk.order("open_long")
    last_minutes(desk, ends_at, ["101"] * 5)
    assert result_of(desk) is not None
    with pytest.raises(IntegrityError, match=r"never|append-only"), desk.clash.write() as connection:
        connection.execute(statement)


def test_no_call_changes_a_frozen_account(desk: Desk, ends_at: int) -> None:
    """L6 at CI size."""
    frozen(desk, ends_at)
    before = bytes_of(desk)
    for _ in calls(desk, random.Random(6), CALLS):
        pass
    assert bytes_of(desk) == before
    assert audit(desk.clash).is_clean


@pytest.mark.soak
def test_no_call_changes_a_frozen_account_soak(desk: Desk, ends_at: int) -> None:
    frozen(desk, ends_at)
    before = bytes_of(desk)
    for number in calls(desk, random.Random(7), SOAK_CALLS):
        if number % 1_000 == 0:
            assert bytes_of(desk) == before
    assert bytes_of(desk) == before


def test_control_the_same_calls_change_an_account_that_is_not_frozen(desk: Desk) -> None:
    desk.order("open_long")
    before = bytes_of(desk)
    for _ in calls(desk, random.Random(6), 20):
        pass
    assert bytes_of(desk) != before


def frozen(desk: Desk, ends_at: int) -> None:
    """A race account with a few trades, ended by its fixing."""
    for action in ("open_long", "increase", "open_short"):
        desk.order(action, size_pct="20", leverage=2)
    last_minutes(desk, ends_at, ["101"] * 5)
    assert result_of(desk) is not None


def bytes_of(desk: Desk) -> list[list[tuple[object, ...]]]:
    """Every byte of the account; refused actions and acts go on being written down, and are not its."""
    with desk.clash.read() as connection:
        return [
            [
                tuple(row)
                for row in connection.execute(f"SELECT * FROM {table}")
                if row["id" if table == "prop_accounts" else "account_id"] == desk.account_id
            ]
            for table in FROZEN_TABLES
        ]


def calls(desk: Desk, source: random.Random, count: int) -> Iterator[int]:
    """Random calls of everything that could write to an account, under moving prices and time."""
    who, clash = {"actor": "ann", "reason": "fuzz"}, desk.clash
    for number in range(count):
        desk.clock.advance(source.choice((1, 1_000, MINUTE_MS, 20 * MINUTE_MS)))
        desk.price("BTC", str(source.randrange(50, 150)))
        now_ms = desk.clock.now_ms()
        with suppress(StateConflict, AccountUnknown):
            match source.randrange(10):
                case 0 | 1:
                    desk.order(source.choice(("open_long", "open_short", "close", "reduce")), size_pct="5")
                case 2 | 3:
                    tick(desk)
                case 4:
                    funding.settle(clash, desk.venue, [desk.account_id], now_ms)
                case 5:
                    act = source.choice((admin.pause, admin.resume, admin.lock, admin.unlock))
                    act(clash, desk.account_id, now_ms=now_ms, **who)
                case 6:
                    end = source.choice((admin.complete, admin.liquidate))
                    end(clash, desk.venue, desk.account_id, now_ms=now_ms, **who)
                case 7:
                    admin.halt(clash, now_ms=now_ms, account_id=desk.account_id, **who)
                case 8:
                    admin.release(clash, now_ms=now_ms, account_id=desk.account_id, **who)
                case _:
                    marks.mark_all(clash, desk.venue, [desk.account_id], now_ms)
        yield number
