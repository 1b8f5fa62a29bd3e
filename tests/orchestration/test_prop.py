"""Marks through Dagster, and the audit of the books as a check that can fail."""

from collections.abc import Iterator

import dagster as dg
import pytest

from assets import prop_pictures as pictures
from assets.prop import ledger_audit
from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.decisions import waves
from clash_pipeline.definitions import build_definitions
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from sensors.cadence import mark_every_minute
from tests.fakes import market_rows
from tests.fakes.world import RISING, World


@pytest.fixture
def world(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> Iterator[World]:
    """A clone that holds a position in BTC."""
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    made = World(settings, clock, clash, market, MemoryStore())
    clone_id, _ = made.clone("BTC")
    made.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    waves.run_once(made, clone_id=clone_id, force=True)
    return made


def test_each_account_is_marked_once_a_minute_and_its_equity_drawn_every_five(
    world: World, instance: dg.DagsterInstance, clock: SettableClock
) -> None:
    job = build_definitions({"services": world}, world.settings).resolve_job_def("mark_to_market")
    minutes = 6
    for _ in range(minutes):
        clock.advance(MINUTE_MS)
        world.minute("BTC", "101", **RISING)
        for _ in range(2):
            result = job.execute_in_process(instance=instance)
            assert result.success
            assert _output_metadata(result)["accounts"] == 1
    with world.clash.read() as connection:
        assert connection.execute("SELECT count(*) FROM prop_snapshots").fetchone()[0] == minutes
    (drawn, again) = instance.fetch_materializations(dg.AssetKey("prop_accounts"), limit=9).records
    shown = {name: value.value for name, value in drawn.asset_materialization.metadata.items()}
    assert drawn.asset_materialization.metadata == again.asset_materialization.metadata
    assert shown["accounts"] == 1
    assert str(shown["equity"]).startswith("![equity, USD](data:image/png")
    assert "| 1 |" in str(shown["marks"])


def _output_metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    event = next(event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_accounts_without_a_snapshot_are_not_drawn(world: World, clock: SettableClock) -> None:
    with world.clash.read() as connection:
        assert pictures.equity(connection, [1]) is None
        assert pictures.equity(connection, []) is None


def test_clean_books_pass_and_a_changed_balance_fails(world: World) -> None:
    assert ledger_audit(services=world).passed
    with world.clash.write() as connection:
        connection.execute("UPDATE prop_accounts SET balance = balance + 1")
    verdict = ledger_audit(services=world)
    assert not verdict.passed
    assert "differences" in verdict.metadata


def test_marks_are_asked_for_where_there_is_an_account(world: World) -> None:
    with dg.build_schedule_context(resources={"services": world}) as context:
        asked = mark_every_minute(context)
    assert isinstance(asked, dg.RunRequest)
