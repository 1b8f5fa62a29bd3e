"""The circuit breaker as a value: after some failures in a window nothing is asked, then one probe decides (09 §5.2.3).

One lives in the memory of a wave, one in `model_circuits` for the waves to come; both follow these rules.
"""

import msgspec

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.settings import Settings


class BreakerRule(msgspec.Struct, frozen=True):
    """How many failures in which window open a circuit, and for how long."""

    failures: int = 5
    window_ms: int = 60_000
    open_ms: int = 60_000


class Breaker(msgspec.Struct, frozen=True):
    """Recent failures, since when it is open, and when a probe was let through."""

    failures: tuple[int, ...] = ()
    opened_at: int | None = None
    probe_at: int | None = None

    def admit(self, now_ms: int, rule: BreakerRule) -> "Breaker | None":
        """The breaker with one more call let through, or None when it refuses.

        Clocks of two machines differ a little; a time long before the opening is a clock that was set back, and lets a
        probe through.
        """
        if self.opened_at is None:
            return self
        if abs(now_ms - self.opened_at) < rule.open_ms:
            return None
        if self.probe_at is not None and abs(now_ms - self.probe_at) < rule.open_ms:
            return None
        return msgspec.structs.replace(self, probe_at=now_ms)

    def after_failure(self, now_ms: int, rule: BreakerRule) -> "Breaker":
        """A call failed; an open circuit stays open for another while."""
        recent = (*(at for at in self.failures if abs(now_ms - at) < rule.window_ms), now_ms)[-rule.failures :]
        if self.opened_at is not None or len(recent) >= rule.failures:
            return Breaker(recent, opened_at=now_ms)
        return Breaker(recent)

    def after_success(self) -> "Breaker":
        """A call was answered; the circuit is closed."""
        return Breaker()

    def unprobed(self) -> "Breaker":
        """The probe never went out; the next call is one."""
        return msgspec.structs.replace(self, probe_at=None)


def rule_of(settings: Settings) -> BreakerRule:
    """The rule that the settings give."""
    return BreakerRule(
        failures=settings.model_breaker_failures,
        window_ms=settings.model_breaker_window_sec * SECOND_MS,
        open_ms=settings.model_breaker_open_sec * SECOND_MS,
    )


OUTAGES = frozenset(
    {
        "model_timeout",
        "model_unavailable",
        "model_rate_limited",
        "model_unknown",
        "key_refused",
        "request_refused",
        "response_too_large",
        "response_malformed",
    }
)
"""Codes that speak against the endpoint. An answer that is merely no decision does not."""
ANSWERED = frozenset({None, "answer_invalid", "answer_truncated", "model_refused"})
"""Codes that prove that the endpoint works; None is a valid answer."""
