"""The races of the Arena, driven by their clock; each step of one is a materialization with its standings."""

import dagster as dg

from resources.beta import TRADING

races = dg.AssetSpec(
    "races",
    description="Races with their fields, standings and settlements in `clash.db`, advanced by `advance_races`.",
    owners=TRADING,
    kinds={"sqlite"},
    code_version="1",
    deps=["prop_accounts"],
)
