"""The run budget of a frozen account: what its capacity tier has, a tick, and no operator's grant lifts it (11, 2)."""

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import branches, waves
from clash_pipeline.market import listing
from tests.fakes import market_rows
from tests.fakes.world import RISING, World

TIERS = {"starter": 3, "builder": 6, "pro": 10}
TICK_MS = 300_000


def lifted(world: World, tier: str, assets: int) -> int:
    """A clone of a tier that trades so many assets, which an operator has allowed; returns its id."""
    symbols = [f"A{number:02}" for number in range(assets)]
    for symbol in symbols:
        market_rows.list_asset(world.market, symbol, sz_decimals=2, max_leverage=20)
        world.minute(symbol, "100", **RISING)
    now_ms = world.clock.now_ms()
    with world.market.read() as connection:
        listed = listing.read(connection)
    clone_id = clones.create(world.clash, "Ada", engine="hold", now_ms=now_ms)
    with world.clash.write() as connection:
        if tier != "starter":
            entitlements.grant(connection, clone_id, tier, 1, source="debug", ref="1", now_ms=now_ms)  # type: ignore[arg-type]
        entitlements.grant_candidates(connection, clone_id, 25, ref="o", now_ms=now_ms)
    graph = simple_graph(tuple(symbols), cadence_sec=60).wire()
    prompt = next(node for node in graph["nodes"] if node["type"] == "trading_prompt")
    prompt["config"]["candidatePolicy"] = {"maxCandidates": 25}
    clones.save_draft(world.clash, clone_id, graph, listed, now_ms=now_ms)
    clones.publish(world.clash, clone_id, listed, now_ms=now_ms)
    clones.set_trading(world.clash, clone_id, True, now_ms=now_ms)
    return clone_id


def tick(world: World, account_id: int) -> tuple[list[str], list[tuple[str, str]]]:
    """What an account decides about at the next common tick, and what it skips."""
    world.clock.set(world.clock.now_ms() // TICK_MS * TICK_MS + TICK_MS)
    with world.market.read() as connection:
        symbols = [symbol for symbol in listing.read(connection) if symbol.startswith("A")]
    for symbol in symbols:
        world.minute(symbol, "100", **RISING)
    due = [run for run in waves.due(world, account_id=account_id) if run.tick == world.clock.now_ms()]
    prepared, ended = waves.prepare(world, due, worker="w")
    return [item.claim.symbol for item in prepared], [(run.symbol, run.reason) for run in ended]


@pytest.mark.parametrize("kind", ["race", "audition"])
@pytest.mark.parametrize(("tier", "limit"), TIERS.items())
def test_a_frozen_account_decides_about_as_many_assets_as_its_tier_has(
    world: World, tier: str, limit: int, kind: str
) -> None:
    """One more than the tier has: the last one by name is skipped, at each tick, with the figure."""
    account_id = world.race(lifted(world, tier, limit + 1), kind=kind)  # type: ignore[arg-type]
    for _ in range(2):
        prepared, skipped = tick(world, account_id)
        assert prepared == [f"A{number:02}" for number in range(limit)]
        assert skipped == [(f"A{limit:02}", f"run_budget: {limit} a tick")]


def test_what_the_tier_has_is_decided_about(world: World) -> None:
    account_id = world.race(lifted(world, "starter", 3))
    assert tick(world, account_id) == (["A00", "A01", "A02"], [])


def test_a_sandbox_has_what_the_operator_allowed(world: World) -> None:
    account_id = world.account(lifted(world, "starter", 4))
    prepared, skipped = tick(world, account_id)
    assert (len(prepared), skipped) == (4, [])


def test_an_hour_has_twelve_ticks_however_fast_the_prompt_is(world: World) -> None:
    """Cadence at least 300 s: 3 assets make 36 runs an hour, looked for each minute."""
    account_id = world.race(lifted(world, "starter", 4))
    world.clock.set(world.clock.now_ms() // TICK_MS * TICK_MS + TICK_MS)
    found = []
    for _ in range(60):
        due = waves.due(world, account_id=account_id)
        found += [run for run in due if run.symbol != "A03"]
        waves.prepare(world, due, worker="w")
        world.clock.advance(MINUTE_MS)
    assert len({(run.symbol, run.tick) for run in found}) == 36


def test_control_without_the_budget_the_grant_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "beyond_run_budget", lambda *_: frozenset())
    account_id = world.race(lifted(world, "starter", 4))
    assert len(tick(world, account_id)[0]) == 4
