"""Waves whose answers the test chooses: an engine that says what it is told, and one that says anything valid."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from clash_pipeline.decisions import waves
from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.packet import Packet
from clash_pipeline.decisions.runs import Decided, Due, Ended
from tests.fakes.world import World

Choose = Callable[[Packet], Answer]
ACTIONS = ("hold", "open_long", "open_short", "increase", "reduce", "close", "cancel")


class Chosen:
    """An engine that asks the test, under the name of `rules`."""

    name = "rules"
    slots = 8

    def __init__(self, choose: Choose) -> None:
        self._choose = choose

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """What the test chose for this packet."""
        return Decision(self._choose(packet))


def answer(action: Any, size_pct: str = "10", leverage: int = 1, stop_loss_pct: str | None = None) -> Choose:
    """The same answer to every packet."""
    made = Answer(action, Decimal(size_pct), leverage, None if stop_loss_pct is None else Decimal(stop_loss_pct))
    return lambda _: made


def anything(chance: Random) -> Choose:
    """Any valid answer: every action, odd sizes, leverages and stops that no gate should let through."""

    def choose(_: Packet) -> Answer:
        return Answer(
            chance.choice(ACTIONS),  # type: ignore[arg-type]
            Decimal(chance.choice(("0", "0.01", "5", "12.345678", "50", "100"))),
            chance.choice((1, 1, 2, 3, 5, 20)),
            chance.choice((None, None, Decimal("1.5"), Decimal(40))),
            chance.choice((None, None, Decimal(2), Decimal(90))),
        )

    return choose


def decided(world: World, found: list[Due], choose: Choose, *, worker: str = "test") -> list[Decided]:
    """Prepare, decide and record these runs; what remains is to apply them."""
    prepared, _ = waves.prepare(world, found, worker=worker)
    made = asyncio.run(waves.decide(world.store, prepared, engines={"rules": Chosen(choose)}))
    waves.record(world, made)
    return made


def wave(world: World, choose: Choose, *, clone_id: int | None = None, force: bool = False) -> list[Ended]:
    """One whole wave with these answers."""
    return waves.apply(world, decided(world, waves.due(world, clone_id=clone_id, force=force), choose))
