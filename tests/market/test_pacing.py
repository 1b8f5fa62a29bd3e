"""Patience in a time of its own: nothing here waits."""

import asyncio
from typing import Any

import pytest

from clash_pipeline.market.http import VenueRefused, VenueUnavailable
from clash_pipeline.market.pacing import PacedHttp


class Scripted:
    """Gives its answers in turn and keeps the time at which each was asked for; sleeping moves that time."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.asked_at: list[float] = []

    async def get_json(self, url: str, params: object = None) -> Any:
        self.asked_at.append(self.now)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def paced(self, **changes: Any) -> PacedHttp:
        return PacedHttp(self, sleep=self.sleep, monotonic=lambda: self.now, **changes)  # type: ignore[arg-type]


def busy(retry_after_ms: int | None = None) -> VenueUnavailable:
    return VenueUnavailable("x", "429", retry_after_ms)


def test_requests_stand_apart() -> None:
    venue = Scripted(1, 2, 3)
    http = venue.paced(pause_sec=1)

    async def three() -> list[Any]:
        return [await http.get_json("u") for _ in range(3)]

    assert asyncio.run(three()) == [1, 2, 3]
    assert venue.asked_at == [0, 1, 2]


def test_a_busy_venue_is_asked_later_and_later() -> None:
    venue = Scripted(busy(), busy(), "answer")
    assert asyncio.run(venue.paced().get_json("u")) == "answer"
    assert venue.asked_at == [0, 1, 3]


def test_the_venue_may_name_the_wait_within_reason() -> None:
    venue = Scripted(busy(7_000), busy(9_999_000), "answer")
    asyncio.run(venue.paced().get_json("u"))
    assert venue.asked_at == [0, 7, 27]


def test_the_last_failure_is_raised() -> None:
    venue = Scripted(busy(), busy(), busy())
    with pytest.raises(VenueUnavailable):
        asyncio.run(venue.paced().get_json("u"))
    assert len(venue.asked_at) == 3


def test_a_refusal_is_not_repeated() -> None:
    venue = Scripted(VenueRefused("x", "400", 400))
    with pytest.raises(VenueRefused):
        asyncio.run(venue.paced().get_json("u"))
    assert venue.asked_at == [0]
