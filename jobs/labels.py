"""Tags that every job carries: its family, how often it runs, and that it never overlaps itself."""

from collections.abc import Mapping
from typing import Literal

CADENCE_TAG = "clash/cadence"
"""How long a finished run stays in Dagster's history depends on this."""
CLONE_TAG = "clash/clone_id"
ONE_AT_A_TIME_TAG = "clash/one_at_a_time"
"""The run queue lets one run of each value through (cli.dagster.instance_configuration)."""

Cadence = Literal["minute", "hour", "day", "hand"]


def labels(family: str, cadence: Cadence, *, alone: str | None = None) -> Mapping[str, str]:
    """The tags of a job; `alone` names what must not run twice at once."""
    tags = {"clash/family": family, CADENCE_TAG: cadence}
    return {**tags, ONE_AT_A_TIME_TAG: alone} if alone else tags
