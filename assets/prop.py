"""Prop trading as Dagster sees it: the books are kept by `clash_pipeline.prop` alone; here they are only looked at."""

import dagster as dg

from assets.reporting import KINDS
from clash_pipeline.services import Services
from resources.beta import TRADING

DIFFERENCE_COLUMNS = ("invariant", "row", "difference")

prop_accounts = dg.AssetSpec(
    "prop_accounts",
    description="Accounts, fills, positions and the hash-chained ledger in clash.db; written by decisions and marks.",
    kinds=KINDS,
    owners=TRADING,
    code_version="1",
    deps=["hyperliquid_candles_1m", "hyperliquid_latest_prices", "hyperliquid_asset_ctxs"],
)


@dg.asset_check(asset="prop_accounts", description="Every invariant of the books holds, on one snapshot of the file.")
def ledger_audit(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """Any difference is an error: money does not explain itself."""
    from clash_pipeline.decisions.audit import audit
    from clash_pipeline.economy.audit import audit as audit_money
    from clash_pipeline.market.plots import table

    report = audit(services.clash)
    differences = report.differences + audit_money(services.clash).differences
    rows = [(found.invariant, found.row, found.message) for found in differences]
    shown = {"differences": dg.MetadataValue.md(table(DIFFERENCE_COLUMNS, rows))} if rows else {}
    return dg.AssetCheckResult(
        passed=not differences,
        description=f"{len(rows)} differences in {report.accounts} accounts and {report.groups} ledger groups",
        metadata={"accounts": report.accounts, "fills": report.fills, **shown},
    )
