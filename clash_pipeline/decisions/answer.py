"""What an engine answers: a strict model. What does not fit fails the run and never reaches the gates (03, 09 §6.5)."""

from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec

from clash_pipeline.decisions.packet import Packet
from clash_pipeline.prop.proposal import Proposal

Action = Literal["hold", "open_long", "open_short", "increase", "reduce", "close", "cancel"]
RATIONALE_CHARACTERS = 2_000
RESPONSE_BYTES = 65_536


class AnswerInvalid(ValueError):
    """The answer does not validate; the message says where, never what the engine wrote."""


class Answer(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One decision about one asset. Percentages are decimals; `leverage` is a whole number from 1."""

    action: Action
    size_pct: Decimal = Decimal(0)
    leverage: Annotated[int, msgspec.Meta(ge=1, le=50)] = 1
    stop_loss_pct: Decimal | None = None
    take_profit_pct: Decimal | None = None
    confidence: Decimal = Decimal(0)
    rationale: Annotated[str, msgspec.Meta(max_length=RATIONALE_CHARACTERS)] = ""

    def proposal(self, symbol: str) -> Proposal | None:
        """What it asks of the account; None for hold."""
        if self.action == "hold":
            return None
        return Proposal(
            symbol=symbol,
            action=self.action,
            size_pct=f"{self.size_pct:f}",
            leverage=self.leverage,
            stop_loss_pct=None if self.stop_loss_pct is None else f"{self.stop_loss_pct:f}",
            take_profit_pct=None if self.take_profit_pct is None else f"{self.take_profit_pct:f}",
        )


class Engine(Protocol):
    """Who decides: a packet in, an answer out, nothing else touched."""

    @property
    def name(self) -> str:
        """How clones and runs call it."""
        ...

    async def decide(self, packet: Packet) -> Answer:
        """One answer.

        Raises:
            AnswerInvalid: the engine answered something that is no decision.
        """
        ...


_BOUNDS: tuple[tuple[str, Decimal, Decimal], ...] = (
    ("size_pct", Decimal(0), Decimal(100)),
    ("stop_loss_pct", Decimal(0), Decimal(100)),
    ("take_profit_pct", Decimal(0), Decimal(1_000)),
    ("confidence", Decimal(0), Decimal(1)),
)
MAX_DECIMALS = 6


def parse(content: bytes) -> Answer:
    """An answer from its JSON: one object, known fields only, every number in bounds.

    Raises:
        AnswerInvalid: too long, not JSON, unknown fields, wrong types, out of bounds.
    """
    if len(content) > RESPONSE_BYTES:
        raise AnswerInvalid(f"the answer has {len(content)} bytes, the limit is {RESPONSE_BYTES}")
    try:
        answer = msgspec.json.decode(content, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnswerInvalid(f"the answer is no decision: {str(error)[:200]}") from None
    return checked(answer)


def checked(answer: Answer) -> Answer:
    """The answer itself, when every number is finite and in bounds.

    Raises:
        AnswerInvalid: names the field and its bounds.
    """
    for name, low, high in _BOUNDS:
        value: Decimal | None = getattr(answer, name)
        if value is None:
            continue
        places = value.as_tuple().exponent
        if not value.is_finite() or not low <= value <= high or not isinstance(places, int) or -places > MAX_DECIMALS:
            raise AnswerInvalid(f"{name} is not a number from {low} to {high} with at most {MAX_DECIMALS} decimals")
    return answer
