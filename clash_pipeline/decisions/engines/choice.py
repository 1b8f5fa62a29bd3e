"""The engines of a wave, from the settings: `hold`, `rules`, and a model for each tier that has one.

A lane is what waits together: each engine, and each tier's model, has its own.
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from clash_pipeline.clock import Clock, SystemClock
from clash_pipeline.decisions.engines.breaker import rule_of
from clash_pipeline.decisions.engines.engine import Engine
from clash_pipeline.decisions.engines.hold import HoldEngine
from clash_pipeline.decisions.engines.rules import RulesEngine
from clash_pipeline.decisions.engines.tiers import tiers
from clash_pipeline.settings import Settings

PLAIN: Mapping[str, Engine] = {engine.name: engine for engine in (HoldEngine(), RulesEngine())}
"""The engines that need nothing from outside."""


def lane(engine: str, tier: int | None) -> str:
    """The lane of a run: its engine, and for a model its tier."""
    return engine if tier is None else f"{engine}/{tier}"


@asynccontextmanager
async def opened(
    settings: Settings, *, clock: Clock | None = None, rng: random.Random | None = None
) -> AsyncIterator[Mapping[str, Engine]]:
    """The engines by lane, with the connections that the models need; without a key there is no model."""
    found = tiers(settings)
    if settings.model_key is None or not found:
        yield PLAIN
        return
    from clash_pipeline.decisions.engines.client import ModelClient
    from clash_pipeline.decisions.engines.model import ModelEngine

    client = ModelClient(
        str(settings.model_url),
        settings.model_key.get_secret_value(),
        connections=settings.model_concurrency * len(found),
        connect_sec=settings.model_connect_sec,
        deadline_sec=settings.model_deadline_sec,
    )
    async with client:
        models = {
            lane("model", tier.number): ModelEngine(
                tier,
                client,
                clock or SystemClock(),
                rng or random.Random(),
                slots=settings.model_concurrency,
                deadline_sec=settings.model_deadline_sec,
                backoff_sec=settings.model_backoff_sec,
                rule=rule_of(settings),
            )
            for tier in found.values()
        }
        yield {**PLAIN, **models}
