"""The code location, composed: what Dagster shows and runs. Read it as a table of contents."""

from collections.abc import Mapping

import dagster as dg

from assets import hyperliquid
from clash_pipeline.settings import Settings, load
from jobs.dagster_history import retain_dagster_history
from resources.defaults import default_resources
from sensors.observing import observe_ingestion

ASSET_GROUPS = {"hyperliquid": hyperliquid}
JOBS = (retain_dagster_history,)


def build_definitions(resources: Mapping[str, object], settings: Settings) -> dg.Definitions:
    """Compose the code location; tests pass plain objects as resources. `settings` gives the cadences of the sensors."""
    modules = ASSET_GROUPS.items()
    return dg.Definitions(
        assets=[
            asset
            for group, module in modules
            for asset in dg.load_assets_from_modules([module], group_name=group, include_specs=True)
        ],
        asset_checks=[check for _, module in modules for check in dg.load_asset_checks_from_modules([module])],
        jobs=JOBS,
        sensors=[observe_ingestion(settings.observe_every_sec)],
        resources=resources,
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location on the settings of this environment."""
    return build_definitions(default_resources(), load())
