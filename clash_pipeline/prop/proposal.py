"""What a decision may ask of an account, and what an account answers. Values only."""

from typing import Literal

import msgspec

from clash_pipeline import canonical

ActionName = Literal["hold", "open_long", "open_short", "increase", "reduce", "close", "cancel"]


class Proposal(msgspec.Struct, frozen=True):
    """One proposed action. Percentages are decimal text as the engine gave them; the gates parse and bound them.

    `size_pct` is percent of equity as notional, for `reduce` percent of the position; `close` ignores it (03).
    """

    symbol: str
    action: str
    size_pct: str = "0"
    leverage: int = 1
    stop_loss_pct: str | None = None
    take_profit_pct: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: tells a repeat from another payload under the same key."""
        return canonical.digest(self)


class FillResult(msgspec.Struct, frozen=True):
    """One fill as text for people and programs; amounts in USD."""

    order_id: int
    fill_id: int
    leg: int
    side: str
    size: str
    price: str
    notional: str
    fee: str
    realized: str
    price_source: str
    price_age_ms: int


class ActionResult(msgspec.Struct, frozen=True):
    """What became of one action: filled, or rejected with a code and the figures that decided."""

    action_id: int
    action_index: int
    symbol: str
    action: str
    status: str
    reject_code: str | None
    figures: dict[str, str | int | None]
    fills: tuple[FillResult, ...]
    is_repeat: bool = False


class PayloadConflict(ValueError):
    """The same (account, run, action index) was already used for another payload; nothing was changed."""
