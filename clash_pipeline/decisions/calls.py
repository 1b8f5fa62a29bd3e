"""Asking a model, as values that pass between the stages: what was allowed before, and what it took."""

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Allowance:
    """A reservation in the budgets: which model may be asked, and until when the question may go out."""

    call_id: int
    tier: int
    model: str
    expires_at: int


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What asking a model took. Unknown is None; `is_billable` is False where surely nothing was generated."""

    model: str
    served_model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    attempts: int = 0
    started_at: int = 0
    latency_ms: int = 0
    is_billable: bool = False
