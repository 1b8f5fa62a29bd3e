"""Which market speaks for an asset: the live one that ends soonest, and the most liquid one after it (01).

Pure: candidates and a time in, a choice out; the same candidates in any order give the same choice.
"""

from collections.abc import Iterable
from typing import NamedTuple

from clash_pipeline.clock import DAY_MS

IMMEDIATE_WITHIN_MS = DAY_MS


class Candidate(NamedTuple):
    """What choosing needs to know of a market; `start_at` None is open since it was listed."""

    market_id: str
    slug: str
    start_at: int | None
    end_at: int | None
    is_active: bool
    is_closed: bool
    has_prices: bool
    liquidity: float | None


class Choice(NamedTuple):
    """The markets of one asset; None where there is no such market."""

    immediate: Candidate | None
    later: Candidate | None


def choose(candidates: Iterable[Candidate], now_ms: int, *, later_days: int) -> Choice:
    """Immediate: live, ends soonest within 24 h. Later: most liquid of those ending after it, within `later_days`.

    Ties go to the more liquid, then to the one that ends sooner, then to the smaller id.
    """
    open_ones = [found for found in candidates if is_open(found, now_ms)]
    live = [found for found in open_ones if is_live(found, now_ms) and _end(found) <= now_ms + IMMEDIATE_WITHIN_MS]
    immediate = min(live, key=lambda found: (_end(found), *_less_liquid(found)), default=None)
    after = _end(immediate) if immediate else now_ms
    until = now_ms + later_days * DAY_MS
    ahead = [found for found in open_ones if found != immediate and after < _end(found) <= until]
    later = min(ahead, key=lambda found: (*_less_liquid(found)[:2], _end(found), *_by_id(found)), default=None)
    return Choice(immediate, later)


def is_open(found: Candidate, now_ms: int) -> bool:
    """Whether a market can be chosen at all: open, not ended, and it says something."""
    return (
        found.is_active
        and not found.is_closed
        and found.has_prices
        and found.end_at is not None
        and found.end_at > now_ms
    )


def is_live(found: Candidate, now_ms: int) -> bool:
    """Whether the window a market asks about has begun."""
    return found.start_at is None or found.start_at <= now_ms


def _end(found: Candidate) -> int:
    return found.end_at or 0


def _less_liquid(found: Candidate) -> tuple[bool, float, int, str]:
    """Sorts the more liquid first; unknown liquidity is not zero, but it cannot win."""
    return (found.liquidity is None, -(found.liquidity or 0.0), *_by_id(found))


def _by_id(found: Candidate) -> tuple[int, str]:
    return len(found.market_id), found.market_id
