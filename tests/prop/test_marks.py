"""Marks: the venue's mark while young, else the median of five closes, else the last mark with its age (11, 6)."""

import json

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.marks import mark, mark_all
from clash_pipeline.prop.snapshots import Snapshot, series
from clash_pipeline.units import RATE, USD, usd_text
from tests.fakes import market_rows
from tests.fakes.desk import Desk
from tests.prop.test_audit import unguard


def marked(desk: Desk) -> Snapshot:
    snapshot = mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
    assert snapshot is not None
    return snapshot


def test_an_empty_account_is_worth_its_balance(desk: Desk) -> None:
    snapshot = marked(desk)
    assert (snapshot.equity, snapshot.positions, snapshot.drawdown) == (100_000 * USD, 0, 0)


def test_equity_moves_with_the_venues_mark(desk: Desk) -> None:
    """99.97 BTC at 100.03; at a mark of 110 they are worth 997.0009 more; maintenance is 1/80 of 10,996.7."""
    desk.order("open_long", size_pct="10", leverage=4)
    desk.price("BTC", "110")
    snapshot = marked(desk)
    assert usd_text(snapshot.unrealized) == "996.7009"
    assert snapshot.equity == snapshot.balance + snapshot.unrealized
    assert usd_text(snapshot.gross) == "10996.7"
    assert usd_text(snapshot.margin) == "2749.175"
    assert usd_text(snapshot.maintenance) == "137.45875"
    assert snapshot.high_water_mark == snapshot.equity
    assert json.loads(snapshot.marks)[0]["source"] == "venue"


def test_drawdown_is_measured_from_the_high_water_mark(desk: Desk) -> None:
    desk.order("open_long", size_pct="100", leverage=2)
    desk.price("BTC", "110")
    peak = marked(desk).equity
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", "102")
    fallen = marked(desk)
    assert fallen.high_water_mark == peak
    assert fallen.drawdown == (peak - fallen.equity) * RATE // peak
    assert audit(desk.clash).is_clean


def test_an_old_venue_mark_gives_way_to_the_median_of_five_closes(desk: Desk) -> None:
    """A wick of one minute decides nothing; 90 s is still young, 90,001 ms is not."""
    desk.order("open_long")
    desk.clock.advance(90_000)
    market_rows.closes(desk.market, "BTC", desk.clock.now_ms(), ["101", "102", "900", "103", "102"])
    assert json.loads(marked(desk).marks)[0] | {"at": 0, "unrealized": 0} == {
        "symbol": "BTC", "size": "99.97", "mark": "100", "source": "venue", "at": 0, "unrealized": 0,
    }  # fmt: skip
    desk.clock.advance(MINUTE_MS)
    snapshot = marked(desk)
    line = json.loads(snapshot.marks)[0]
    assert (line["mark"], line["source"], snapshot.carried) == ("102", "closes", 0)


def test_four_closes_are_no_mark(desk: Desk) -> None:
    desk.order("open_long")
    desk.clock.advance(5 * MINUTE_MS)
    market_rows.closes(desk.market, "BTC", desk.clock.now_ms(), ["101", "102", "103", "104"])
    assert marked(desk).carried == 1


def test_a_missing_mark_carries_the_last_one_with_its_age(desk: Desk) -> None:
    """Nothing is marked to zero when the feed is silent."""
    desk.order("open_long")
    first = marked(desk)
    desk.clock.advance(30 * MINUTE_MS)
    later = marked(desk)
    assert (later.equity, later.carried, later.oldest_mark_ms) == (first.equity, 1, 30 * MINUTE_MS)


def test_a_mark_tick_has_one_snapshot(desk: Desk) -> None:
    first = marked(desk)
    desk.clock.set(minute_of(desk.clock.now_ms()) + 59_999)
    assert marked(desk) == first
    desk.clock.advance(1)
    assert marked(desk).t == first.t + MINUTE_MS
    with desk.clash.read() as connection:
        assert len(series(connection, desk.account_id)) == 2


def test_marks_round_against_the_account(desk: Desk) -> None:
    """A venue mark with more decimals than the grid: down for a long, up for a short."""
    desk.order("open_long")
    market_rows.context(desk.market, "BTC", desk.clock.now_ms(), mark="100.00069")
    assert json.loads(marked(desk).marks)[0]["mark"] == "100"
    desk.order("open_short")
    desk.clock.advance(MINUTE_MS)
    market_rows.context(desk.market, "BTC", desk.clock.now_ms(), mark="100.00069")
    assert json.loads(marked(desk).marks)[0]["mark"] == "100.001"


def test_an_account_whose_row_cannot_be_read_keeps_its_trouble_to_itself(desk: Desk) -> None:
    """Nobody else goes without a mark, a stop or a liquidation because of it (09 W5)."""
    broken, healthy = desk.account_id, desk.open()
    unguard(desk)
    with desk.clash.write() as connection:
        connection.execute("UPDATE prop_accounts SET policy = '{}' WHERE id = ?", (broken,))
    tick = mark_all(desk.clash, desk.venue, [broken, healthy], desk.clock.now_ms())
    assert [snapshot.account_id for snapshot in tick.snapshots] == [healthy]
    assert list(tick.left) == [broken]
