"""The safe no-op; the default without a key."""

from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.packet import Packet


class HoldEngine:
    """Never trades."""

    name = "hold"
    slots = 8

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """Hold."""
        return Decision(Answer(action="hold", rationale="This clone holds."))
