"""Tenant isolation: what is private to one clone never shows in another's packet, prompt, key, reason or log (X7)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import pytest
from structlog.testing import capture_logs

from clash_pipeline.clones import clones
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.decisions import artifacts, packet, prompt, waves
from clash_pipeline.market import listing
from tests.fakes.briefing import briefing
from tests.fakes.world import RISING, World


@dataclass(frozen=True)
class Tenant:
    """A clone whose every private text carries a canary of its own."""

    clone_id: int
    account_id: int
    canary: str


def tenant(world: World, number: int, *, engine: str = "hold") -> Tenant:
    """A clone with its canary in its name, node ids, edge ids, custom prompt and layout."""
    canary, now_ms = f"canary-{number:05}-x", world.clock.now_ms()
    content = json.dumps(simple_graph(("BTC", "ETH"), prompt=f"secret plan {canary}").wire())
    for name in ("stream-1", "assets-1", "prompt-1", '"e1"', '"e2"'):
        content = content.replace(name, f'"{canary}-{name[1:-1]}"' if name[0] == '"' else f"{canary}-{name}")
    with world.market.read() as connection:
        listed = listing.read(connection)
    clone_id = clones.create(world.clash, f"Clone {canary}", engine="hold", now_ms=now_ms, owner=f"owner-{canary}")
    clones.save_draft(world.clash, clone_id, json.loads(content), listed, now_ms=now_ms)
    clones.publish(world.clash, clone_id, listed, now_ms=now_ms)
    clones.set_trading(world.clash, clone_id, True, now_ms=now_ms)
    return Tenant(clone_id, world.account(clone_id), canary)


@dataclass(frozen=True)
class Seen:
    """Everything that may be seen of one run, as one text."""

    clone_id: int
    account_id: int
    text: str


def of_runs(world: World) -> Iterator[Seen]:
    """What every run left: its row, its artifact keys, its packet and its prompt."""
    with world.clash.read() as connection:
        rows = connection.execute("SELECT * FROM decision_runs ORDER BY id").fetchall()
        stored = {row["id"]: waves.runs.artifacts_of(connection, row["id"]) for row in rows}
    for row in rows:
        parts = [json.dumps(dict(row))]
        for artifact in stored[row["id"]].values():
            parts += [artifact.key, artifacts.get(world.store, artifact).decode()]
        yield Seen(row["clone_id"], row["account_id"], "\n".join(parts))


def leaks(world: World, tenants: list[Tenant], seen: list[Seen]) -> list[str]:
    """Every canary that shows in what belongs to another clone; and a run that does not even show its own."""
    by_clone = {one.clone_id: one for one in tenants}
    found = []
    for one in seen:
        shown = {other.canary for other in tenants if other.canary in one.text}
        own = by_clone[one.clone_id].canary
        found += [f"{canary} of another clone in a run of {own}" for canary in sorted(shown - {own})]
        found += [] if own in shown else [f"{own} is missing: the check looks at nothing"]
    return found


def market(world: World) -> None:
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)


def isolated(world: World, pairs: int) -> None:
    """Prepare and finish one wave of so many clones, some of which may not run or cannot."""
    market(world)
    tenants = [tenant(world, number) for number in range(pairs + 1)]
    for one in tenants[1::5]:
        clones.set_trading(world.clash, one.clone_id, False, now_ms=world.clock.now_ms())
    with world.clash.write() as connection:
        connection.execute("UPDATE clones SET engine = 'rules' WHERE id % 2 = 0")
    due = [run for one in tenants for run in waves.due(world, clone_id=one.clone_id, force=True)]
    assert len(due) == 2 * len(tenants)
    with capture_logs() as logs:
        prepared, ended = waves.prepare(world, due, worker="w")
    assert len(prepared) + len(ended) == len(due)
    assert len(ended) == 2 * len(tenants[1::5])
    assert leaks(world, tenants, list(of_runs(world))) == []
    assert not [line for line in logs if "canary" in repr(line)]
    assert not [one for one in prepared if "canary" in one.packet.key]


def test_fifty_pairs_of_clones_see_nothing_of_each_other(world: World) -> None:
    isolated(world, 50)


@pytest.mark.soak
def test_a_thousand_pairs_of_clones_see_nothing_of_each_other(world: World) -> None:
    isolated(world, 1_000)


def test_trouble_with_a_private_graph_is_not_told_in_its_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that names no such branch: the reason and the log carry a code, not the node's id."""
    from clash_pipeline.decisions import looking

    market(world)
    one = tenant(world, 1)
    with world.market.read() as connection:
        listing.read(connection)
    monkeypatch.setattr(looking, "branch_of", lambda version, branch_id: {}[branch_id])
    with capture_logs() as logs:
        waves.prepare(world, waves.due(world, clone_id=one.clone_id, force=True), worker="w")
    with world.clash.read() as connection:
        reasons = {row["reason"] for row in connection.execute("SELECT reason FROM decision_runs")}
    assert reasons == {"branch_unusable (KeyError)"}
    assert logs
    assert "canary" not in repr(logs)


def test_control_a_leak_is_found(world: World) -> None:
    """A packet of one clone with the prompt of another."""
    market(world)
    a, b = tenant(world, 1), tenant(world, 2)
    of_a, of_b = (briefing(world, one.account_id) for one in (a, b))
    leaking = of_b.told(of_a.run.asset.prompt)
    asset = msgspec.structs.replace(leaking.run.asset, prompt=of_a.run.asset.prompt + of_b.run.asset.prompt)
    made = replace(leaking, run=replace(leaking.run, asset=asset)).packet()
    for content in (packet.encode(made), prompt.encode(prompt.assemble(made))):
        found = leaks(world, [a, b], [Seen(b.clone_id, b.account_id, content.decode())])
        assert found == [f"{a.canary} of another clone in a run of {b.canary}"]
