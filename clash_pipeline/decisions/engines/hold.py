"""The safe no-op; the default without a key."""

from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.packet import Packet


class HoldEngine:
    """Never trades."""

    name = "hold"

    async def decide(self, packet: Packet) -> Answer:
        """Hold."""
        return Answer(action="hold", rationale="This clone holds.")
