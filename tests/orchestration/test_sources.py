"""Every source through Dagster, against the replayed venues: now, a past that is kept, and a past that is not."""

from collections.abc import Iterator

import dagster as dg
import pytest

from assets import archive, defillama, hyperliquid, polymarket
from assets.partitions import day_key, hour_key
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from clash_pipeline.replay.clock import venue_clock
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from tests.fakes.market_rows import list_asset

ARCHIVES = {next(iter(asset.keys)).to_user_string(): asset for asset in archive.ARCHIVES}


@pytest.fixture
def venue() -> Iterator[VenueControls]:
    """All three sources on one port, in stepped time, on a small market."""
    with hosted(Venue(SyntheticMarket(7, perps=6))) as controls:
        yield controls


@pytest.fixture
def services(settings: Settings, venue: VenueControls) -> Iterator[Services]:
    """Services that speak to the replayed venues and follow two of their assets."""
    url = venue.base_url
    addresses = {
        "hyperliquid_url": url, "polymarket_gamma_url": f"{url}/gamma", "polymarket_clob_url": f"{url}/clob",
        "defillama_url": f"{url}/llama", "defillama_stablecoins_url": f"{url}/stablecoins", "symbols": "BTC,@107",
        "defillama_pause_sec": 0.0,
    }  # fmt: skip
    made = Services(settings.model_copy(update=addresses), venue_clock(url))
    for symbol, kind in (("BTC", "perp"), ("@107", "spot")):
        list_asset(made.market, symbol, kind=kind)
    yield made
    made.close()


def run(
    services: Services, instance: dg.DagsterInstance, asset: dg.AssetsDefinition, key: str, until: str | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize an asset for one partition, or for a range of them in a single run."""
    if until is None:
        how = {"partition_key": key}
    else:
        how = {"tags": {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": until}}
    resources = {"services": services}
    return dg.materialize([asset], instance=instance, resources=resources, raise_on_error=False, **how)


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed, in the words of the failed step."""
    return next(
        str(event.step_failure_data.user_failure_data.description)
        for event in result.all_events
        if event.is_step_failure
    )


def count(services: Services, table: str, day: int | None = None) -> int:
    span = {"from_t": 0, "to_t": 2**60} if day is None else {"from_t": day, "to_t": day + DAY_MS}
    with services.market.read() as connection:
        return int(connection.execute(TABLES[table].count_day, span).fetchone()[0])


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


NOW_SOURCES = {
    "hyperliquid_asset_ctxs": (hyperliquid.hyperliquid_asset_ctxs, "hyperliquid_asset_ctxs"),
    "hyperliquid_funding_rates": (hyperliquid.hyperliquid_funding_rates, "hyperliquid_funding_rates"),
    "polymarket_discovery": (polymarket.polymarket_discovery, "polymarket_quotes"),
    "polymarket_immediate": (polymarket.polymarket_immediate, "polymarket_immediate_markets"),
    "polymarket_later": (polymarket.polymarket_later, "polymarket_later_markets"),
}


def test_the_registry_is_refreshed_in_the_running_hour_and_has_no_past(
    services: Services, instance: dg.DagsterInstance
) -> None:
    now_ms = services.clock.now_ms()
    result = run(services, instance, hyperliquid.hyperliquid_assets, hour_key(now_ms))
    assert result.success
    assert shown(result, "hyperliquid_assets")["assets"] == 10  # six perps, four spots
    past = run(services, instance, hyperliquid.hyperliquid_assets, hour_key(now_ms - HOUR_MS))
    assert not past.success
    assert "no_history" in reason(past)


def test_sources_that_answer_now_fill_the_running_hour_and_refuse_the_past(
    services: Services, instance: dg.DagsterInstance
) -> None:
    now_ms = services.clock.now_ms()
    assert run(services, instance, hyperliquid.hyperliquid_assets, hour_key(now_ms)).success
    for name in ("polymarket_discovery", "polymarket_immediate", "polymarket_later", "hyperliquid_asset_ctxs"):
        asset, table = NOW_SOURCES[name]
        past = run(services, instance, asset, hour_key(now_ms - HOUR_MS))
        assert not past.success, name
        assert "no_history" in reason(past), name
        assert count(services, table) == 0, name
        present = run(services, instance, asset, hour_key(now_ms))
        assert present.success, name
        rows = count(services, table)
        if name != "polymarket_discovery":
            assert rows > 0, name
            assert shown(present, name)["rows"] == rows
        assert run(services, instance, asset, hour_key(now_ms)).success
        assert count(services, table) == rows, f"{name}: the same minute again adds nothing"


def test_an_hour_that_was_sampled_is_held_without_asking(
    services: Services, instance: dg.DagsterInstance, venue: VenueControls
) -> None:
    now_ms = services.clock.now_ms()
    assert run(services, instance, hyperliquid.hyperliquid_asset_ctxs, hour_key(now_ms)).success
    venue.advance(now_ms + 2 * HOUR_MS)
    before = count(services, "hyperliquid_asset_ctxs")
    result = run(services, instance, hyperliquid.hyperliquid_asset_ctxs, hour_key(now_ms))
    assert shown(result, "hyperliquid_asset_ctxs")["origin"] == "memory"
    assert count(services, "hyperliquid_asset_ctxs") == before


def test_paid_funding_of_the_past_is_asked_for_and_estimates_are_not(
    services: Services, instance: dg.DagsterInstance
) -> None:
    now_ms = services.clock.now_ms()
    result = run(services, instance, hyperliquid.hyperliquid_funding_rates, hour_key(now_ms - 2 * HOUR_MS))
    assert result.success
    with services.market.read() as connection:
        kinds = [
            tuple(row) for row in connection.execute("SELECT DISTINCT kind, symbol FROM hyperliquid_funding_rates")
        ]
    assert kinds == [("paid", "BTC")]
    assert shown(result, "hyperliquid_funding_rates")["origin"] == "venue, paid rates only"


def test_the_macro_tables_are_filled_by_asking_once_and_can_be_chosen(
    services: Services, instance: dg.DagsterInstance
) -> None:
    today = day_key(services.clock.now_ms())
    chosen = dg.materialize(
        [defillama.defillama_tables], instance=instance, resources={"services": services}, partition_key=today,
        selection=["defillama_capital_base"],
    )  # fmt: skip
    assert chosen.success
    assert count(services, "defillama_capital_base") > 0
    assert count(services, "defillama_capital_flows") == 0
    assert run(services, instance, defillama.defillama_tables, today).success
    assert count(services, "defillama_capital_flows") > 0
    past = run(services, instance, defillama.defillama_tables, day_key(services.clock.now_ms() - DAY_MS))
    assert not past.success
    assert "no_history" in reason(past)


def test_a_past_day_is_repaired_derived_archived_pruned_and_brought_back(
    services: Services, instance: dg.DagsterInstance, venue: VenueControls
) -> None:
    """The whole life of a day, by backfills alone; at the end the venue no longer has it, and the archive does."""
    day = day_of(services.clock.now_ms()) - 2 * DAY_MS
    first, last = hour_key(day), hour_key(day + 23 * HOUR_MS)

    repaired = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(day))
    assert repaired.success
    assert shown(repaired, "hyperliquid_candles_1m_repair")["rows"] == 2 * 1_440
    assert str(shown(repaired, "hyperliquid_candles_1m_repair")["coverage"]).startswith("![")
    again = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(day))
    assert shown(again, "hyperliquid_candles_1m_repair")["origin"] == "memory"

    hours = run(services, instance, hyperliquid.hyperliquid_candles_1h, first, last)
    assert hours.success
    assert count(services, "hyperliquid_candles_1h", day) == 48
    made = instance.get_materialized_partitions(dg.AssetKey("hyperliquid_candles_1h"))
    assert len(made) == 24
    indicators = run(services, instance, hyperliquid.hyperliquid_technical_indicators, first, last)
    assert indicators.success
    assert [check.passed for check in indicators.get_asset_check_evaluations()] == [True]
    assert count(services, "hyperliquid_technical_indicators", day) == 2 * 1_440

    names = (
        "hyperliquid_candles_1m_archive",
        "hyperliquid_technical_indicators_archive",
        "hyperliquid_candles_1h_archive",
    )
    for name in names:
        result = run(services, instance, ARCHIVES[name], day_key(day))
        assert result.success, name
        assert [check.passed for check in result.get_asset_check_evaluations()] == [True], name

    before = _minutes(services, day)
    venue.advance(services.clock.now_ms() + 5 * DAY_MS)
    _retain(services)
    assert _minutes(services, day) == []
    restored = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(day))
    assert restored.success
    assert shown(restored, "hyperliquid_candles_1m_repair")["origin"] == "archive"
    assert _minutes(services, day) == before
    _retain(services)
    assert _minutes(services, day) == before, "a restored day is pinned"

    lost = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(day - DAY_MS))
    assert not lost.success
    assert "no_history" in reason(lost)
    assert "5,000 minutes only" in reason(lost)


def test_without_a_registry_a_repair_is_no_success(services: Services, instance: dg.DagsterInstance) -> None:
    with services.market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_assets")
    day = day_key(services.clock.now_ms() - DAY_MS)
    result = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day)
    assert not result.success
    assert "no_assets" in reason(result)


def test_what_a_range_lacks_does_not_stop_the_rest_but_the_run_says_so(
    services: Services, instance: dg.DagsterInstance
) -> None:
    """Ten days back the venue has nothing and nothing is archived; yesterday it has all."""
    today = day_of(services.clock.now_ms())
    result = run(
        services, instance, hyperliquid.hyperliquid_candles_1m_repair,
        day_key(today - 5 * DAY_MS), day_key(today - DAY_MS),
    )  # fmt: skip
    assert not result.success
    assert reason(result).startswith("1 of 5 partitions: no_history")
    kept = instance.get_materialized_partitions(dg.AssetKey("hyperliquid_candles_1m_repair"))
    assert len(kept) == 4


def test_a_partial_day_is_refused_and_a_partition_out_of_range_is_no_partition(
    services: Services, instance: dg.DagsterInstance
) -> None:
    today = services.clock.now_ms()
    refused = run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(today))
    assert not refused.success
    assert "not_ended" in reason(refused)
    unarchived = run(services, instance, ARCHIVES["hyperliquid_candles_1m_archive"], day_key(today))
    assert not unarchived.success
    assert "running_day" in reason(unarchived)
    with pytest.raises(dg.DagsterUnknownPartitionError):
        run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, "2019-01-01")


def test_indicators_that_were_written_otherwise_fail_their_check(
    services: Services, instance: dg.DagsterInstance
) -> None:
    """The negative control of equality: one altered bit in one row is found, and mended."""
    day = day_of(services.clock.now_ms()) - DAY_MS
    assert run(services, instance, hyperliquid.hyperliquid_candles_1m_repair, day_key(day)).success
    with services.market.write() as connection:
        connection.execute(
            "UPDATE hyperliquid_technical_indicators SET ema20 = ema20 * (1 + 1e-15) WHERE symbol = 'BTC' AND t = ?",
            (day + 13 * HOUR_MS + 5 * MINUTE_MS,),
        )
    key = hour_key(day + 13 * HOUR_MS)
    altered = run(services, instance, hyperliquid.hyperliquid_technical_indicators, key)
    assert [(check.passed, check.metadata["differing"].value) for check in altered.get_asset_check_evaluations()] == [
        (False, 1)
    ]
    mended = run(services, instance, hyperliquid.hyperliquid_technical_indicators, key)
    assert [check.passed for check in mended.get_asset_check_evaluations()] == [True]


def _retain(services: Services) -> None:
    from clash_pipeline.archive import retention

    retention.run(services.market, services.store, services.settings, services.clock.now_ms())


def _minutes(services: Services, day: int) -> list[tuple[object, ...]]:
    with services.market.read() as connection:
        rows = connection.execute(TABLES["hyperliquid_candles_1m"].select_day, {"from_t": day, "to_t": day + DAY_MS})
        return [tuple(row) for row in rows]
