"""What every engine is: a packet in, a decision out, nothing else touched. Values only."""

from typing import Any, NamedTuple, Protocol

from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.calls import Call
from clash_pipeline.decisions.packet import Packet


class Decision(NamedTuple):
    """A valid answer, or the code of why there is none; with what the call took and the trace to be archived."""

    answer: Answer | None
    code: str | None = None
    call: Call | None = None
    trace: dict[str, Any] | None = None


class Engine(Protocol):
    """Who decides."""

    @property
    def name(self) -> str:
        """How clones and runs call it."""
        ...

    @property
    def slots(self) -> int:
        """How many decisions it makes at a time."""
        ...

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """One decision, made before `until` in the time of the event loop.

        Raises:
            AnswerInvalid: the engine answered something that is no decision.
        """
        ...
