"""The code location as a table of contents: it loads cheaply, nothing is forgotten, everything is labelled."""

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

import assets
import jobs
import sensors
from assets import archive, checks, hyperliquid, prop
from clash_pipeline import definitions
from clash_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

GROUPS = {
    "hyperliquid": {
        "hyperliquid_asset_ctxs",
        "hyperliquid_assets",
        "hyperliquid_candles_1h",
        "hyperliquid_candles_1m",
        "hyperliquid_candles_1m_repair",
        "hyperliquid_funding_rates",
        "hyperliquid_latest_prices",
        "hyperliquid_technical_indicators",
    },
    "polymarket": {"polymarket_discovery", "polymarket_immediate", "polymarket_later"},
    "defillama": {"defillama_capital_base", "defillama_capital_flows", "defillama_economic_throughput"},
    "archive": {
        "defillama_capital_base_archive",
        "defillama_capital_flows_archive",
        "defillama_economic_throughput_archive",
        "hyperliquid_asset_ctxs_archive",
        "hyperliquid_candles_1h_archive",
        "hyperliquid_candles_1m_archive",
        "hyperliquid_funding_rates_archive",
        "hyperliquid_technical_indicators_archive",
        "polymarket_immediate_markets_archive",
        "polymarket_later_markets_archive",
        "polymarket_quotes_archive",
    },
    "prop": {"prop_accounts"},
    "arena": {"races"},
}
CANDLE_CHECKS = {"coverage", "duplicate_keys", "gaps", "ohlc_sanity", "staleness"}
JOBS = {
    "advance_races",
    "archive_market_memory",
    "audit_books",
    "check_market_memory",
    "decide_clone",
    "decide_due",
    "derive_hyperliquid",
    "evaluate_auditions",
    "fill_prop_orders",
    "mark_to_market",
    "reconcile_economy",
    "refresh_defillama",
    "refresh_hyperliquid",
    "refresh_polymarket",
    "repair_candles",
    "retain_dagster_history",
    "retain_market_memory",
    "sync_arena_entry",
}
SCHEDULES = {
    "audit_books_nightly": "25 3 * * *",
    "audit_books_often": "*/10 * * * *",
    "check_market_memory_hourly": "12 * * * *",
    "derive_hyperliquid_hourly": "4 * * * *",
    "mark_every_minute": "* * * * *",
    "reconcile_economy_often": "*/10 * * * *",
    "refresh_defillama_hourly": "8 * * * *",
    "refresh_hyperliquid_hourly": "2 * * * *",
    "refresh_polymarket_hourly": "6 * * * *",
    "repair_candles_daily": "20 0 * * *",
    "retain_dagster_history_hourly": "50 * * * *",
    "retain_market_memory_hourly": "35 * * * *",
}
SENSORS = {
    "due_auditions": 15,
    "due_decisions": 15,
    "due_races": 15,
    "due_slots": 15,
    "observe_ingestion": 60,
    "undelivered_fills": 15,
    "watch_alerts": 60,
}


@pytest.fixture
def defs(settings: Settings) -> dg.Definitions:
    """The composition with a plain object as resource."""
    return definitions.build_definitions({"services": object()}, settings)


def test_the_code_location_is_loadable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    dg.Definitions.validate_loadable(definitions.defs())


def test_assets_stand_in_the_group_of_their_module(defs: dg.Definitions) -> None:
    found: dict[str, set[str]] = {}
    for spec in defs.resolve_all_asset_specs():
        found.setdefault(str(spec.group_name), set()).add(spec.key.to_user_string())
    assert found == GROUPS


def test_every_asset_says_what_it_is_whose_it_is_and_what_it_is_made_of(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        assert spec.description, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.code_version, name


def test_checks_stand_beside_their_assets(defs: dg.Definitions) -> None:
    found: dict[str, set[str]] = {}
    for key in defs.resolve_asset_graph().asset_check_keys:
        found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert found.pop("hyperliquid_candles_1m") == CANDLE_CHECKS
    assert found.pop("hyperliquid_candles_1h") == {"rollup_equals_source"}
    assert found.pop("hyperliquid_technical_indicators") == {"equals_what_was_written"}
    assert found.pop("prop_accounts") == {"ledger_audit"}
    assert {name: found.pop(name) for name in GROUPS["archive"]} == {
        name: {"archive_equals_source"} for name in GROUPS["archive"]
    }
    assert found == {name: {"is_fresh"} for name in checks.CHANNELS}


def test_jobs_are_described_tagged_owned_and_run_in_one_process(defs: dg.Definitions) -> None:
    found = {job.name: job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert set(found) == JOBS
    for job in found.values():
        assert job.description, job.name
        assert job.owners, job.name
        assert {"clash/family", "clash/cadence"} <= set(job.tags), job.name
        assert job.executor_def is dg.in_process_executor, job.name


def test_schedules_run_from_the_start(defs: dg.Definitions) -> None:
    found = {schedule.name: schedule for schedule in definitions.SCHEDULES}
    assert {name: schedule.cron_schedule for name, schedule in found.items()} == SCHEDULES
    for schedule in found.values():
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name
        assert schedule.description, schedule.name
        assert schedule.owners, schedule.name


def test_sensors_run_from_the_start_at_the_cadence_of_the_settings(settings: Settings) -> None:
    found = {sensor.name: sensor for sensor in definitions.sensors(settings)}
    assert {name: sensor.minimum_interval_seconds for name, sensor in found.items()} == SENSORS
    for sensor in found.values():
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
        assert sensor.description, sensor.name
        assert sensor.owners, sensor.name
    changed = settings.model_copy(update={"decide_every_sec": 30})
    assert {s.name: s.minimum_interval_seconds for s in definitions.sensors(changed)}["due_decisions"] == 30


def test_the_streamed_candles_are_an_external_asset_that_goes_stale_after_five_minutes(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert not graph.get(dg.AssetKey("hyperliquid_candles_1m")).is_materializable
    policy = hyperliquid.hyperliquid_candles_1m.freshness_policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy.fail_window.to_timedelta().total_seconds() == 300


def test_derived_data_is_cut_by_hour_repairs_and_archives_by_day_and_backfilled_in_one_run(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    for name in ("hyperliquid_candles_1h", "hyperliquid_technical_indicators", "polymarket_immediate"):
        assert isinstance(graph.get(dg.AssetKey(name)).partitions_def, dg.HourlyPartitionsDefinition)
    for name in ("hyperliquid_candles_1m_repair", "hyperliquid_candles_1m_archive", "defillama_capital_base"):
        assert isinstance(graph.get(dg.AssetKey(name)).partitions_def, dg.DailyPartitionsDefinition)
    for node in graph.asset_nodes:
        if node.is_materializable:
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), node.key


def test_nothing_in_the_rooms_is_forgotten(defs: dg.Definitions) -> None:
    listed_jobs = {id(job) for job in definitions.JOBS}
    listed_schedules = {id(schedule) for schedule in definitions.SCHEDULES}
    known_assets = {spec.key for spec in defs.resolve_all_asset_specs()}
    for module in _modules(assets, jobs, sensors):
        for name, value in vars(module).items():
            where = f"{module.__name__}.{name}"
            if isinstance(value, dg.AssetsDefinition):
                assert set(value.keys) <= known_assets, where
            elif isinstance(value, dg.AssetSpec):
                assert value.key in known_assets, where
            elif isinstance(value, dg.AssetChecksDefinition):
                assert module in definitions.CHECK_MODULES, where
            elif isinstance(value, dg.ScheduleDefinition):
                assert id(value) in listed_schedules, where
            elif isinstance(value, dg.JobDefinition) or type(value).__name__ == "UnresolvedAssetJobDefinition":
                assert id(value) in listed_jobs, where


def test_every_archived_table_has_an_archive_asset() -> None:
    from clash_pipeline.archive.catalogue import TABLES

    own = {key.to_user_string() for asset in archive.ARCHIVES for key in asset.keys}
    versions = {table.companion for table in TABLES.values() if table.companion}
    assert own == {f"{name}_archive" for name in TABLES if name not in versions}


def test_every_ingested_channel_is_reported_on_an_asset() -> None:
    from clash_pipeline.market.health import CHANNELS
    from sensors.observing import CHANNEL_ASSETS

    known = set().union(*GROUPS.values())
    assert set(CHANNEL_ASSETS.values()) <= known
    assert {(spec.source, spec.channel) for spec in CHANNELS} <= set(CHANNEL_ASSETS)


SLOW = (
    "polars",
    "duckdb",
    "matplotlib",
    "boto3",
    "botocore",
    "openai",
    "dagster_aws",
    "pyarrow",
    "websockets",
    "pandas",
)


def test_loading_the_definitions_imports_no_slow_library(settings: Settings) -> None:
    """What bounds the load is what it imports: a second of CPU is Dagster's own, two is the limit (07)."""
    script = (
        "import sys; from clash_pipeline.definitions import defs; defs();"
        f"print(*sorted(name for name in {SLOW!r} if name in sys.modules))"
    )
    assert _python(script, settings).strip() == ""


def test_the_scan_for_slow_libraries_would_notice_one(settings: Settings) -> None:
    script = (
        "import sys; import polars; from clash_pipeline.definitions import defs; defs();"
        f"print(*sorted(name for name in {SLOW!r} if name in sys.modules))"
    )
    assert "polars" in _python(script, settings)


def _python(script: str, settings: Settings) -> str:
    environment = {"CLASH_HOME": str(settings.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def _modules(*rooms: ModuleType) -> Iterator[ModuleType]:
    for room in rooms:
        for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            yield importlib.import_module(found.name)


def test_the_audit_of_the_books_belongs_to_the_accounts() -> None:
    assert prop.ledger_audit.check_key.asset_key == dg.AssetKey("prop_accounts")
