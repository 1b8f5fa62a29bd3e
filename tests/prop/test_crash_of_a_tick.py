"""kill -9 in a tick that charges funding, fires a stop, liquidates and freezes: before or after, never between."""

import signal
from collections.abc import Iterator

import pytest

from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.prop import desk as desks
from clash_pipeline.prop import funding, liquidation, marks, results, snapshots, triggers
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.proposal import Proposal
from tests.fakes import market_rows
from tests.fakes.desk import Desk
from tests.fakes.forking import Parent, parent_of

DONE = "storage.after_commit"
PLACES = (
    funding.AFTER_HOUR, marks.AFTER_FUNDING, marks.AFTER_POSITIONS, triggers.AFTER_TRIGGER, *desks.FAULT_POINTS,
    f"{desks.AFTER_LEDGER}@2", liquidation.AFTER_CLOSING, snapshots.AFTER_SNAPSHOT, results.AFTER_ENDED,
    results.AFTER_FROZEN, "storage.before_commit", DONE,
)  # fmt: skip


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    """The parent of the children that are killed."""
    with parent_of("tests.fakes.marking") as started:
        yield started


@pytest.fixture
def doomed(desk: Desk) -> Desk:
    """Long BTC with a stop, short ETH: 30 s behind the hour the one is stopped, and the other one liquidates."""
    market_rows.list_asset(desk.market, "ETH", sz_decimals=2)
    desk.price("ETH", "100")
    desk.run_id = 1
    desk.submit(Proposal("BTC", "open_long", "20", 2, "3", None))
    assert desk.order("open_short", "ETH", size_pct="90", leverage=2).status == "filled"
    hour = hour_of(desk.clock.now_ms()) + HOUR_MS
    for symbol in ("BTC", "ETH"):
        market_rows.oracle(desk.market, symbol, hour - 30_000, "100", rate_e10=125_000)
    desk.clock.set(hour + 30_000)
    desk.price("BTC", "90")
    desk.price("ETH", "115")
    return desk


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_leaves_before_or_after(doomed: Desk, parent: Parent, place: str) -> None:
    order = {"home": str(doomed.settings.home), "account_id": doomed.account_id, "now_ms": doomed.clock.now_ms()}
    assert parent.order(fault=f"{place}:kill", **order) == -signal.SIGKILL
    assert audit(doomed.clash).is_clean
    with doomed.clash.read() as connection:
        assert (results.get(connection, doomed.account_id) is not None) == (place == DONE)
    assert marks.mark(doomed.clash, doomed.market, doomed.account_id, doomed.clock.now_ms()) is None
    with doomed.clash.read() as connection:
        result = results.get(connection, doomed.account_id)
    assert result is not None
    assert (result.state, result.fills, result.trades) == ("liquidated", 4, 2)
    assert {fill["origin"] for fill in doomed.view()["fills"]} == {"decision", "stop", "liquidation"}
    assert result.funding != 0
    assert audit(doomed.clash).is_clean


def test_control_without_a_kill_the_child_ends_the_account(doomed: Desk, parent: Parent) -> None:
    order = {"home": str(doomed.settings.home), "account_id": doomed.account_id, "now_ms": doomed.clock.now_ms()}
    assert parent.order(**order) == 0
    with doomed.clash.read() as connection:
        assert results.get(connection, doomed.account_id) is not None
