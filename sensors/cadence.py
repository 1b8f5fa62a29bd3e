"""Schedules: what happens by the clock of the wall; which partition that is, the clock of the market says."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.partitions import day_key, hour_key
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.services import Services
from jobs import market
from jobs.audit import audit_books
from jobs.dagster_history import retain_dagster_history
from jobs.economy import reconcile_economy
from jobs.prop import mark_to_market
from jobs.retention import retain_market_memory
from resources.beta import MARKET_DATA, OPERATIONS, TRADING

RUNNING = dg.DefaultScheduleStatus.RUNNING
KeyOf = Callable[[int], str]


@dg.schedule(
    job=mark_to_market,
    cron_schedule="* * * * *",
    default_status=RUNNING,
    description="Each minute, while there are open accounts.",
    owners=TRADING,
)
def mark_every_minute(services: dg.ResourceParam[Services]) -> dg.RunRequest | dg.SkipReason:
    """Ask for marks only where there is something to mark."""
    from clash_pipeline.prop import accounts

    with services.clash.read() as connection:
        has_accounts = bool(accounts.open_ids(connection))
    return dg.RunRequest() if has_accounts else dg.SkipReason("no open account")


def _partitioned(name: str, job: Any, cron: str, key_of: KeyOf, description: str) -> dg.ScheduleDefinition:
    """A schedule that asks for one partition, by the time of the market."""

    @dg.schedule(
        name=name, job=job, cron_schedule=cron, default_status=RUNNING, description=description,
        owners=MARKET_DATA,
    )  # fmt: skip
    def ask(services: dg.ResourceParam[Services]) -> dg.RunRequest:
        return dg.RunRequest(partition_key=key_of(services.clock.now_ms()))

    return ask


refresh_hyperliquid_hourly = _partitioned(
    "refresh_hyperliquid_hourly", market.refresh_hyperliquid, "2 * * * *", hour_key,
    "Registry, contexts and funding of the running hour; the ingester polls them more often.",
)  # fmt: skip
derive_hyperliquid_hourly = _partitioned(
    "derive_hyperliquid_hourly", market.derive_hyperliquid, "4 * * * *", lambda now_ms: hour_key(now_ms - HOUR_MS),
    "Hours and indicators of the hour that has just ended.",
)  # fmt: skip
refresh_polymarket_hourly = _partitioned(
    "refresh_polymarket_hourly", market.refresh_polymarket, "6 * * * *", hour_key,
    "Discovery, immediate and later markets of the running hour.",
)  # fmt: skip
refresh_defillama_hourly = _partitioned(
    "refresh_defillama_hourly", market.refresh_defillama, "8 * * * *", day_key,
    "The macro tables of the running day.",
)  # fmt: skip
repair_candles_daily = _partitioned(
    "repair_candles_daily", market.repair_candles, "20 0 * * *", lambda now_ms: day_key(now_ms - DAY_MS),
    "What the ingester's own repair left of yesterday.",
)  # fmt: skip


def _regular(name: str, job: Any, cron: str, owners: Any, description: str, **op_config: Any) -> dg.ScheduleDefinition:
    """A schedule of a job that needs no more than an `op_config`."""
    return dg.ScheduleDefinition(
        name=name, job=job, cron_schedule=cron, default_status=RUNNING, description=description, owners=owners,
        run_config={"ops": {name: {"config": config} for name, config in op_config.items()}},
    )  # fmt: skip


check_market_memory_hourly = _regular(
    "check_market_memory_hourly", market.check_market_memory, "12 * * * *", MARKET_DATA,
    "All checks of the market memory, and the ledger audit.",
)  # fmt: skip
reconcile_economy_often = _regular(
    "reconcile_economy_often", reconcile_economy, "*/10 * * * *", OPERATIONS,
    "Books and chain every ten minutes, whole once a day.",
)  # fmt: skip
retain_market_memory_hourly = _regular(
    "retain_market_memory_hourly", retain_market_memory, "35 * * * *", OPERATIONS, "Archive, verify, prune."
)
retain_dagster_history_hourly = _regular(
    "retain_dagster_history_hourly", retain_dagster_history, "50 * * * *", OPERATIONS,
    "Prune Dagster's own runs and events.",
)  # fmt: skip
audit_books_often = _regular(
    "audit_books_often", audit_books, "*/10 * * * *", OPERATIONS, "The accounts that changed since they were audited."
)
audit_books_nightly = _regular(
    "audit_books_nightly", audit_books, "25 3 * * *", OPERATIONS, "Every book: accounts, runs, money, the Arena.",
    check_books={"is_full": True},
)  # fmt: skip
