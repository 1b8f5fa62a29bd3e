"""A REST client over prepared answers, the recorded ones by default."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.market.weights import WeightBudget
from clash_pipeline.storage.sqlite import Database
from tests.fakes.hyperliquid_info import PreparedInfo

RestOf = Callable[[Mapping[str, Any]], HyperliquidRest]


@pytest.fixture
def rest_of(market: Database, clock: SettableClock) -> RestOf:
    """Make a client of prepared answers; `rest.info.asked` says what it was asked."""

    def make(answers: Mapping[str, Any]) -> HyperliquidRest:
        info = PreparedInfo(answers)
        budget = WeightBudget(market, "hyperliquid", 1_100, clock)
        rest = HyperliquidRest(info, budget, "http://venue/", clock)  # type: ignore[arg-type]
        rest.info = info  # type: ignore[attr-defined]
        return rest

    return make


@pytest.fixture
def recorded_rest(rest_of: RestOf, recordings: Path) -> HyperliquidRest:
    """A client of the recorded registries, contexts, predictions and mids."""
    return rest_of(PreparedInfo.recorded(recordings).answers)
