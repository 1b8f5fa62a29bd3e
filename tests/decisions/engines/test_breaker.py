"""The breaker as a value: five failures in a minute, a minute of silence, one probe."""

from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.decisions.engines.breaker import Breaker, BreakerRule

RULE = BreakerRule()
NOW = 1_753_100_000_000


def failed(breaker: Breaker, *times: int) -> Breaker:
    for at in times:
        breaker = breaker.after_failure(NOW + at, RULE)
    return breaker


def test_four_failures_in_a_minute_are_bad_luck_and_five_are_an_outage() -> None:
    four = failed(Breaker(), 0, 1, 2, 3)
    assert four.admit(NOW + 4, RULE) is not None
    assert failed(four, 59_999).admit(NOW + 60_000, RULE) is None


def test_failures_far_apart_never_open_it() -> None:
    assert failed(Breaker(), *range(0, 600_000, 15_000)).opened_at is None


def test_one_probe_goes_out_and_its_success_closes_the_circuit() -> None:
    opened = failed(Breaker(), 0, 0, 0, 0, 0)
    assert opened.admit(NOW + 59_999, RULE) is None
    probing = opened.admit(NOW + 60_000, RULE)
    assert probing is not None
    assert probing.admit(NOW + 60_001, RULE) is None
    assert probing.after_success() == Breaker()
    assert failed(probing, 60_010).admit(NOW + 120_009, RULE) is None
    assert probing.unprobed().admit(NOW + 60_002, RULE) is not None


def test_a_probe_that_never_came_back_is_replaced() -> None:
    probing = failed(Breaker(), 0, 0, 0, 0, 0).admit(NOW + 60_000, RULE)
    assert probing is not None
    assert probing.admit(NOW + 120_000, RULE) is not None


def test_a_clock_set_back_by_an_hour_does_not_close_it_for_an_hour() -> None:
    assert failed(Breaker(), 0, 0, 0, 0, 0).admit(NOW - 3_600_000, RULE) is not None


@given(st.lists(st.tuples(st.integers(1, 90_000), st.booleans()), max_size=200))
def test_an_open_circuit_always_lets_somebody_through_within_two_windows(steps: list[tuple[int, bool]]) -> None:
    breaker, now = Breaker(), NOW
    for step, works in steps:
        now += step
        admitted = breaker.admit(now, RULE)
        if admitted is not None:
            breaker = admitted.after_success() if works else admitted.after_failure(now, RULE)
        assert len(breaker.failures) <= RULE.failures
    assert breaker.admit(now + RULE.open_ms, RULE) is not None
