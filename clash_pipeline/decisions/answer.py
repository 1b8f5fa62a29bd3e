"""What an engine answers: a strict model. What does not fit fails the run and never reaches the gates (03, 09 §6.5)."""

from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import msgspec

from clash_pipeline import strict_json
from clash_pipeline.market import text
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.strict_json import NotStrict

Action = Literal["hold", "open_long", "open_short", "increase", "reduce", "close", "cancel"]
RATIONALE_CHARACTERS = 2_000
RESPONSE_BYTES = 65_536
MAX_LEVERAGE = 50
MAX_DECIMALS = 6
READ_BOUNDS = strict_json.Bounds(depth=32, values=10_000, number_characters=30)


class AnswerInvalid(ValueError):
    """The answer does not validate; `code` is the run's reason, the message says where, never what the engine wrote."""

    def __init__(self, message: str, code: str = "answer_invalid") -> None:
        super().__init__(message)
        self.code = code


class Answer(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One decision about one asset. Percentages are decimals; `leverage` is a whole number from 1."""

    action: Action
    size_pct: Decimal = Decimal(0)
    leverage: Annotated[int, msgspec.Meta(ge=1, le=MAX_LEVERAGE)] = 1
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


class Bounds(msgspec.Struct, frozen=True):
    """One number of an answer: its name on the wire and in the model, its limits, what it means."""

    wire: str
    name: str
    low: int
    high: int
    means: str
    is_optional: bool = False


BOUNDS = (
    Bounds("sizePct", "size_pct", 0, 100, "notional in percent of equity; for reduce, percent of the position"),
    Bounds("stopLossPct", "stop_loss_pct", 0, 100, "distance from the entry price in percent, or null", True),
    Bounds("takeProfitPct", "take_profit_pct", 0, 1_000, "distance from the entry price in percent, or null", True),
    Bounds("confidence", "confidence", 0, 1, "from 0, a guess, to 1, certain"),
)
FIELDS = ("action", "sizePct", "leverage", "stopLossPct", "takeProfitPct", "confidence", "rationale")


def schema() -> dict[str, Any]:
    """The JSON Schema of an answer for structured output: every field is asked for, what is optional may be null."""
    numbers = {
        field.wire: {
            "type": ["number", "null"] if field.is_optional else "number",
            "minimum": field.low,
            "maximum": field.high,
            "description": field.means,
        }
        for field in BOUNDS
    }
    others = {
        "action": {"type": "string", "enum": list(get_args(Action))},
        "leverage": {"type": "integer", "minimum": 1, "maximum": MAX_LEVERAGE, "description": "1 for spot"},
        "rationale": {"type": "string", "description": f"why, in at most {RATIONALE_CHARACTERS} characters"},
    }
    known = numbers | others
    return {
        "type": "object",
        "properties": {name: known[name] for name in FIELDS},
        "required": list(FIELDS),
        "additionalProperties": False,
    }


def parse(content: bytes) -> Answer:
    """An answer from its JSON: one object, known fields only and each once, every number a number and in bounds.

    Raises:
        AnswerInvalid: too long, not JSON, unknown or doubled fields, wrong types, out of bounds.
    """
    if len(content) > RESPONSE_BYTES:
        raise AnswerInvalid(f"the answer has {len(content)} bytes, the limit is {RESPONSE_BYTES}")
    try:
        given = strict_json.decode(content, READ_BOUNDS, members=_flat)
    except NotStrict as error:
        raise AnswerInvalid(f"the answer is no decision: {error}") from None
    if not isinstance(given, dict):
        raise AnswerInvalid("the answer is no decision: not an object")
    return checked(_built(given))


def checked(answer: Answer) -> Answer:
    """The answer itself, when every number is finite and in bounds.

    Raises:
        AnswerInvalid: names the field and its bounds.
    """
    for field in BOUNDS:
        value: Decimal | None = getattr(answer, field.name)
        if value is None and field.is_optional:
            continue
        if value is None or not _fits(value, field):
            raise AnswerInvalid(
                f"{field.wire} is not a number from {field.low} to {field.high} with at most {MAX_DECIMALS} decimals"
            )
    return answer


def _fits(value: Decimal, field: Bounds) -> bool:
    places = value.as_tuple().exponent
    return isinstance(places, int) and -places <= MAX_DECIMALS and field.low <= value <= field.high


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a decision: none of them holds others."""
    made = strict_json.unique(pairs)
    if any(isinstance(value, dict | list) for value in made.values()):
        raise NotStrict("not_flat", "a field holds a list or an object")
    return made


def _built(given: dict[str, Any]) -> Answer:
    """The model of what was given; the types are checked here, the bounds of numbers afterwards."""
    if given.keys() - set(FIELDS):
        raise AnswerInvalid("the answer has a field that no decision has")
    action: Any = given.get("action")
    rationale, leverage = given.get("rationale", ""), given.get("leverage", 1)
    if action not in get_args(Action):
        raise AnswerInvalid("action is none of a decision's actions")
    if type(leverage) is not int or not 1 <= leverage <= MAX_LEVERAGE:
        raise AnswerInvalid(f"leverage is not a whole number from 1 to {MAX_LEVERAGE}")
    if not isinstance(rationale, str) or len(rationale) > RATIONALE_CHARACTERS:
        raise AnswerInvalid(f"rationale is not text of at most {RATIONALE_CHARACTERS} characters")
    numbers = {field.name: _number(given[field.wire], field) for field in BOUNDS if field.wire in given}
    cleaned = text.clean(rationale, max_bytes=4 * RATIONALE_CHARACTERS, max_characters=RATIONALE_CHARACTERS)
    return Answer(action=action, leverage=leverage, rationale=cleaned, **numbers)


def _number(value: Any, field: Bounds) -> Any:
    """A decimal from a JSON number; text, booleans and what is not optional but null are no numbers."""
    if value is None and field.is_optional:
        return None
    if type(value) is int:
        return Decimal(value)
    if isinstance(value, Decimal):
        return value.copy_abs() if value.is_zero() else value
    raise AnswerInvalid(f"{field.wire} is not a number")
