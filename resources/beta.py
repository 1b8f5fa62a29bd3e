"""What is still beta in Dagster and used here knowingly: owners of every definition, and backfills in a single run.

Importing it quiets the warnings that every command would otherwise print for every definition (doc/decisions.md).
"""

import warnings

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

warnings.filterwarnings("ignore", message="Parameter `(owners|backfill_policy)`", category=BetaWarning)

MARKET_DATA = ["team:market-data"]
TRADING = ["team:trading"]
OPERATIONS = ["team:operations"]

ONE_RUN = dg.BackfillPolicy.single_run()
"""A backfill of many partitions is one run: a run costs more than its partitions."""
