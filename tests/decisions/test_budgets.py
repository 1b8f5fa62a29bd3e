"""Budgets of models: reserved before, settled after, never broken, and nothing leaks (X4)."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from clash_pipeline.clock import DAY_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.decisions import budgets
from clash_pipeline.decisions.runs import Prepared
from clash_pipeline.decisions.spending import limits_of
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import IntegrityError, one
from tests.fakes.forking import ROOT
from tests.fakes.spending import MODEL, NOW, answered, broken, unbooked, wanting, with_models
from tests.fakes.world import World


def models(world: World, **limits: object) -> World:
    """The world with two models and these limits; every other limit is out of reach."""
    far = {f"{scope}_tokens_{span}": 10**12 for scope in SCOPES for span in ("minute", "day")}
    rich = {f"{scope}_usd_{span}": 1_000_000 for scope in SCOPES for span in ("minute", "day")}
    return replace(world, settings=with_models(str(world.settings.home), **{**far, **rich, **limits}))


SCOPES = ("clone", "user", "tier", "system")
RESERVED = -(-(1_000 + len(budgets.SYSTEM.encode()) + 2_048) // 2) + 2_000
"""Tokens that one run of `spending.wanting` reserves: 1,000 bytes of packet, the system text, the schema, an answer."""


def wanted(world: World, runs: int, *, name: str = "Ada", start: int = 0) -> list[Prepared]:
    clone_id, account_id = world.clone("BTC", name=name)
    return wanting(world.clash, account_id, clone_id, range(start, start + runs))


def spent(world: World, scope: str = "system") -> int:
    with world.clash.read() as connection:
        return int(one(connection, "SELECT tokens FROM model_spending WHERE scope = ? AND span = 'day'", (scope,)) or 0)


def test_a_reservation_is_in_the_books_before_the_call_and_trued_up_after_it(world: World) -> None:
    world = models(world)
    (item,) = budgets.reserve(world, wanted(world, 1))
    assert item.allowance is not None
    assert spent(world) == RESERVED
    budgets.settle(world, [answered(item, 700, 50)])
    assert spent(world) == 750
    with world.clash.read() as connection:
        (call,) = budgets.calls_of(connection, item.claim.run_id)
        assert unbooked(connection) == []
    assert (call["state"], call["prompt_tokens"], call["completion_tokens"], call["tokens"]) == (
        "settled",
        700,
        50,
        750,
    )
    assert call["cost"] == 700 * 100 + 50 * 400  # 1 USD a million is 100 units of 1e-8 a token


@pytest.mark.parametrize("span", ["minute", "day"])
@pytest.mark.parametrize("scope", SCOPES)
def test_each_limit_refuses_the_run_that_would_break_it(world: World, scope: str, span: str) -> None:
    world = models(world, **{f"{scope}_tokens_{span}": 2 * RESERVED})
    items = budgets.reserve(world, wanted(world, 3))
    assert [item.refused for item in items] == [None, None, f"budget_exhausted: {scope} tokens a {span}"]
    assert [item.allowance is None for item in items] == [False, False, True]


@pytest.mark.parametrize("span", ["minute", "day"])
def test_cost_is_bounded_exactly(world: World, span: str) -> None:
    """One reservation costs its prompt at 1 USD and its answer at 4 USD a million tokens."""
    cost = (RESERVED - 2_000) * 100 + 2_000 * 400
    for most, allowed in ((2 * cost, 2), (2 * cost - 1, 1)):
        bounded = models(world, **{f"clone_usd_{span}": f"0.{most:08d}"})
        items = budgets.reserve(bounded, wanted(bounded, 3, name=f"Ada {most}"))
        assert sum(item.allowance is not None for item in items) == allowed


def test_a_clone_that_spent_its_share_leaves_the_others_theirs(world: World) -> None:
    world = models(world, clone_tokens_minute=RESERVED)
    items = budgets.reserve(world, [*wanted(world, 2, name="Ada"), *wanted(world, 2, name="Bea")])
    assert [item.allowance is not None for item in items] == [True, False, True, False]


def test_a_minute_is_any_sixty_seconds_and_a_day_is_a_utc_day(world: World) -> None:
    world = models(world, system_tokens_minute=RESERVED, system_tokens_day=2 * RESERVED)
    runs = iter(wanted(world, 5))

    def allowed() -> str | None:
        (item,) = budgets.reserve(world, [next(runs)])
        if item.allowance:
            budgets.settle(world, [answered(item, RESERVED - 100, 100)])
        return item.refused

    assert allowed() is None
    world.clock.advance(MINUTE_MS - 1)
    assert allowed() == "budget_exhausted: system tokens a minute"
    world.clock.advance(1 + SECOND_MS)
    assert allowed() is None
    world.clock.advance(2 * MINUTE_MS)
    assert allowed() == "budget_exhausted: system tokens a day"
    world.clock.advance(DAY_MS)
    assert allowed() is None


def test_a_killed_worker_leaks_nothing(world: World) -> None:
    """Reserved, never settled: the reservation expires, and its share can be used again."""
    world = models(world, system_tokens_day=RESERVED)
    first, second = wanted(world, 2)
    assert budgets.reserve(world, [first])[0].allowance is not None
    assert budgets.reserve(world, [second])[0].allowance is None
    world.clock.advance(world.settings.model_reservation_sec * SECOND_MS)
    assert budgets.reserve(world, [second])[0].allowance is not None
    with world.clash.read() as connection:
        assert unbooked(connection) == []


def test_what_settles_after_its_reservation_expired_is_booked_all_the_same(world: World) -> None:
    world = models(world)
    first, second = wanted(world, 2)
    (item,) = budgets.reserve(world, [first])
    world.clock.advance(world.settings.model_reservation_sec * SECOND_MS)
    budgets.reserve(world, [second])
    for _ in range(2):
        budgets.settle(world, [answered(item, 700, 50)])
    assert spent(world) == RESERVED + 750
    with world.clash.read() as connection:
        assert unbooked(connection) == []


def test_an_expired_allowance_is_not_used_by_a_worker_that_woke_late(world: World) -> None:
    """The last question goes out a whole deadline before the reservation expires."""
    world = models(world)
    (item,) = budgets.reserve(world, wanted(world, 1))
    assert item.allowance is not None
    assert item.allowance.expires_at == NOW + 300_000 - 45_000


def test_unknown_usage_is_charged_as_reserved_and_a_call_that_never_went_out_is_free(world: World) -> None:
    world = models(world)
    unknown, never = budgets.reserve(world, wanted(world, 2))
    budgets.settle(world, [answered(unknown, None, None, code="model_timeout")])
    assert spent(world) == 2 * RESERVED
    gone = answered(never, None, None, code="model_busy")
    budgets.settle(world, [replace(gone, call=None)])
    assert spent(world) == RESERVED


def test_a_run_asks_once_a_claim(world: World) -> None:
    world = models(world)
    (item,) = wanted(world, 1)
    budgets.reserve(world, [item])
    assert budgets.reserve(world, [item])[0].refused == "asked_before"
    again = replace(item, claim=replace(item.claim, token=2))
    assert budgets.reserve(world, [again])[0].allowance is not None


def test_without_a_key_or_a_model_of_its_tier_a_run_is_refused(world: World, settings: Settings) -> None:
    (item,) = wanted(world, 1)
    assert budgets.reserve(world, [item])[0].refused == "key_missing"
    with world.clash.write() as connection:
        connection.execute("UPDATE clones SET model_tier = 3")
    assert budgets.reserve(models(world), [item])[0].refused == "model_unset"


def test_the_circuit_outlives_the_wave_and_lets_one_probe_through(world: World) -> None:
    """Five timeouts of one wave close the model for the next; after a minute one run of many is the probe."""
    world = models(world)
    runs = wanted(world, 20)
    items = budgets.reserve(world, runs[:5])
    budgets.settle(world, [answered(item, None, None, code="model_timeout", at=NOW) for item in items])
    assert {item.refused for item in budgets.reserve(world, runs[5:8])} == {"breaker_open"}
    world.clock.advance(MINUTE_MS + SECOND_MS)
    tried = budgets.reserve(world, runs[8:12])
    assert [item.refused for item in tried] == [None, "breaker_open", "breaker_open", "breaker_open"]
    budgets.settle(world, [answered(tried[0], 700, 50, at=world.clock.now_ms())])
    assert {item.refused for item in budgets.reserve(world, runs[12:16])} == {None}


def test_what_was_reserved_or_settled_cannot_be_changed(world: World) -> None:
    world = models(world)
    (item,) = budgets.reserve(world, wanted(world, 1))
    budgets.settle(world, [answered(item, 700, 50)])
    for statement in (
        "UPDATE model_calls SET cost = 0",
        "UPDATE model_calls SET reserved_tokens = 0",
        "UPDATE model_calls SET state = 'reserved', settled_at = NULL, tokens = NULL, cost = NULL",
        "DELETE FROM model_calls",
    ):
        with pytest.raises(IntegrityError), world.clash.write() as connection:
            connection.execute(statement)


TIGHT = {
    "clone_tokens_minute": 15 * RESERVED, "clone_tokens_day": 40 * RESERVED, "user_tokens_minute": 35 * RESERVED,
    "tier_tokens_minute": 25 * RESERVED, "system_tokens_minute": 40 * RESERVED, "system_tokens_day": 120 * RESERVED,
    "clone_usd_minute": "0.40", "system_usd_minute": "0.90", "system_usd_day": "5", "reservation_sec": 60,
}  # fmt: skip


def spend(world: World, *, rounds: int, seed: int, how: str = "") -> Settings:
    """Eight workers on one database; the settings with the limits they had."""
    given = {f"CLASH_MODEL_{name.upper()}": str(value) for name, value in TIGHT.items()}
    home = str(world.settings.home)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.spending", home, "8", str(rounds), str(seed), how],
        cwd=ROOT, env={**os.environ, **MODEL, **given}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return with_models(home, **TIGHT)


def outcome(world: World, chosen: Settings) -> tuple[list[str], list[str], int, int]:
    """Broken limits, wrong sums, calls allowed, calls that expired."""
    with world.clash.read() as connection:
        states = dict(connection.execute("SELECT state, count(*) FROM model_calls GROUP BY state").fetchall())
        return (
            broken(connection, limits_of(chosen)),
            unbooked(connection),
            sum(states.values()),
            states.get("expired", 0),
        )


def four_clones(world: World) -> None:
    for name, tier in (("Ada", 1), ("Bea", 1), ("Cid", 2), ("Dot", 2)):
        clone_id, _ = world.clone("BTC", name=name)
        with world.clash.write() as connection:
            connection.execute("UPDATE clones SET model_tier = ? WHERE id = ?", (tier, clone_id))


def test_eight_workers_never_break_a_budget(world: World) -> None:
    four_clones(world)
    exceeded, wrong, calls, expired = outcome(world, spend(world, rounds=60, seed=1))
    assert (exceeded, wrong) == ([], [])
    assert calls > 100
    assert expired > 0


def test_control_workers_that_do_not_look_break_the_budgets(world: World) -> None:
    four_clones(world)
    exceeded, _, _, _ = outcome(world, spend(world, rounds=20, seed=1, how="unchecked"))
    assert len(exceeded) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_eight_workers_never_break_a_budget_in_the_long_run(world: World, seed: int) -> None:
    four_clones(world)
    exceeded, wrong, calls, expired = outcome(world, spend(world, rounds=200, seed=seed))
    assert (exceeded, wrong) == ([], [])
    assert calls > 100
    assert expired > 0
