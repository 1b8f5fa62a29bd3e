"""The code location, composed: what Dagster shows and runs. Read it as a table of contents."""

from collections.abc import Mapping

import dagster as dg

from assets import archive, arena, checks, defillama, hyperliquid, polymarket, prop
from clash_pipeline.settings import Settings, load
from jobs import market
from jobs.arena import advance_races, evaluate_auditions, sync_arena_entry
from jobs.audit import audit_books
from jobs.dagster_history import retain_dagster_history
from jobs.decisions import decide_clone, decide_due, fill_prop_orders
from jobs.economy import reconcile_economy
from jobs.prop import mark_to_market
from jobs.retention import retain_market_memory
from resources.defaults import default_resources
from sensors import cadence
from sensors.alerts import watch_alerts
from sensors.arena import due_auditions, due_races, due_slots
from sensors.decisions import due_decisions, undelivered_fills
from sensors.observing import observe_ingestion

ASSET_GROUPS = {
    "hyperliquid": hyperliquid,
    "polymarket": polymarket,
    "defillama": defillama,
    "archive": archive,
    "prop": prop,
    "arena": arena,
}
CHECK_MODULES = (checks, prop)
JOBS = (
    market.refresh_hyperliquid,
    market.derive_hyperliquid,
    market.refresh_polymarket,
    market.refresh_defillama,
    market.repair_candles,
    market.archive_market_memory,
    market.check_market_memory,
    decide_clone,
    decide_due,
    fill_prop_orders,
    mark_to_market,
    reconcile_economy,
    evaluate_auditions,
    sync_arena_entry,
    advance_races,
    retain_market_memory,
    retain_dagster_history,
    audit_books,
)
SCHEDULES = (
    cadence.mark_every_minute,
    cadence.refresh_hyperliquid_hourly,
    cadence.derive_hyperliquid_hourly,
    cadence.refresh_polymarket_hourly,
    cadence.refresh_defillama_hourly,
    cadence.repair_candles_daily,
    cadence.check_market_memory_hourly,
    cadence.reconcile_economy_often,
    cadence.retain_market_memory_hourly,
    cadence.retain_dagster_history_hourly,
    cadence.audit_books_often,
    cadence.audit_books_nightly,
)


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors, at the cadences of the settings."""
    return [
        observe_ingestion(settings.observe_every_sec),
        due_decisions(settings.decide_every_sec),
        undelivered_fills(settings.decide_every_sec),
        due_auditions(settings.arena_every_sec),
        due_slots(settings.arena_every_sec),
        due_races(settings.arena_every_sec),
        watch_alerts(settings.alert_every_sec),
    ]


def build_definitions(resources: Mapping[str, object], settings: Settings) -> dg.Definitions:
    """Compose the code location; tests pass plain objects. `settings` gives the cadences of the sensors."""
    return dg.Definitions(
        assets=[
            asset
            for group, module in ASSET_GROUPS.items()
            for asset in dg.load_assets_from_modules([module], group_name=group, include_specs=True)
        ],
        asset_checks=dg.load_asset_checks_from_modules(CHECK_MODULES),
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=sensors(settings),
        resources={"in_memory": dg.mem_io_manager, **resources},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location on the settings of this environment."""
    return build_definitions(default_resources(), load())
