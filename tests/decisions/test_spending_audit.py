"""The audit of model budgets: clean through reserving, settling, expiring and forgetting; a wrong sum is named."""

from dataclasses import replace

import pytest

from clash_pipeline.clock import DAY_MS, MINUTE_MS, day_of
from clash_pipeline.decisions import budgets
from clash_pipeline.decisions.audit import audit
from tests.fakes.spending import answered, wanting, with_models
from tests.fakes.world import World

DAY = "span = 'day' AND scope = 'system'"


@pytest.fixture
def spent(world: World) -> World:
    """Of four calls one was answered, one failed after it was billed, one expired and one is still reserved."""
    clone_id, account_id = world.clone("BTC")
    world = replace(world, settings=with_models(str(world.settings.home)))
    answering, failing, dropped, open_one = wanting(world.clash, account_id, clone_id, range(4))
    (lost,) = budgets.reserve(world, [dropped])
    assert lost.allowance is not None
    world.clock.advance(world.settings.model_reservation_sec * 1_000)
    first, second, _ = budgets.reserve(world, [answering, failing, open_one])
    budgets.settle(world, [answered(first, 700, 50), answered(second, None, None, code="model_timeout")])
    return world


def named(world: World, *statements: str) -> list[str]:
    """What the audit of everything says of budgets, after changes to their rows."""
    with world.clash.write() as connection:
        for statement in statements:
            connection.execute(statement)
    found = audit(world.clash).differences
    return [f"{each.row} {each.message}" for each in found if each.invariant == "budget"]


def test_sums_of_calls_in_every_state_are_clean(spent: World) -> None:
    assert named(spent) == []


def test_seconds_that_were_forgotten_are_no_difference(spent: World) -> None:
    assert named(spent, "DELETE FROM model_spending WHERE span = 'second' AND scope <> 'system'") == []


def test_a_day_with_nothing_left_in_it_is_clean(world: World) -> None:
    """All that the first day reserved has expired: its sums stay, at zero."""
    clone_id, account_id = world.clone("BTC")
    world = replace(world, settings=with_models(str(world.settings.home)))
    early, late = wanting(world.clash, account_id, clone_id, range(2))
    budgets.reserve(world, [early])
    world.clock.advance(DAY_MS + MINUTE_MS)
    budgets.reserve(world, [late])
    assert named(world) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"UPDATE model_spending SET tokens = tokens + 1 WHERE {DAY}", "(system, day, {day}) has "),
        (f"UPDATE model_spending SET cost = cost - 1 WHERE {DAY}", "(system, day, {day}) has "),
        ("DELETE FROM model_spending WHERE span = 'day' AND scope = 'clone/1'", "(clone/1, day, {day}) is missing"),
        ("UPDATE model_spending SET tokens = 0 WHERE span = 'second' AND scope = 'tier/1'", "(tier/1, second, "),
        (f"INSERT INTO model_spending VALUES ('user/nobody', 'day', {DAY_MS}, 5, 0)", "(user/nobody, day, 86400000) h"),
    ],
)
def test_control_a_wrong_sum_is_named(spent: World, statement: str, said: str) -> None:
    (found, *others) = named(spent, statement)
    assert f"model_spending{said.format(day=day_of(spent.wall.now_ms()))}" in found
    assert others == [] or "second" in said


def test_control_a_call_that_was_never_charged_is_named_in_each_of_its_scopes(spent: World) -> None:
    found = named(
        spent,
        """
        INSERT INTO model_calls (claim_token, clone_id, owner, tier, model, circuit, state, reserved_at, expires_at,
                                 reserved_tokens, reserved_cost)
        SELECT 0, clone_id, owner, tier, model, circuit, 'reserved', reserved_at - 1000, expires_at, 7, 9
        FROM model_calls WHERE state = 'settled' LIMIT 1
        """,
    )
    assert {each.split(",")[0].removeprefix("model_spending(") for each in found} == {
        "system", "tier/1", "user/operator", "clone/1",
    }  # fmt: skip
