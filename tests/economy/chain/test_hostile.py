"""A hostile chain (M3): whatever it says, nothing is granted that was not paid, and nothing that was paid is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.chain.rpc import Endpoint
from clash_pipeline.economy.chain.verification import Finality
from clash_pipeline.replay.chain import Mined
from clash_pipeline.replay.chain_views import ChainView
from clash_pipeline.storage.files import CLASH_APPLICATION_ID
from clash_pipeline.storage.sqlite import Database
from tests.fakes.chained import Chained
from tests.fakes.hostile import TWISTS, dropped_later, storm


@pytest.fixture
def quick(migrated_home: Path, tmp_path: Path) -> Database:
    """A database that need not survive a power cut."""
    (tmp_path / "clash.db").write_bytes((migrated_home / "clash.db").read_bytes())
    return Database(tmp_path / "clash.db", application_id=CLASH_APPLICATION_ID, synchronous="NORMAL")


@pytest.mark.parametrize("seed", range(5))
def test_five_thousand_scenarios(quick: Database, seed: int) -> None:
    problems, tried = storm(quick, seed, batches=5, size=200)
    assert problems == []
    assert tried.total() >= 1_000
    assert {twist.__name__ for twist in TWISTS} <= set(tried)
    assert audit(quick).is_clean


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_scenarios(quick: Database, seed: int) -> None:
    problems, tried = storm(quick, seed, batches=50, size=200)
    assert problems == []
    assert tried.total() >= 10_000


def believes_the_latest_block(chained: Chained) -> None:
    chained.parts = replace(chained.parts, chain=replace(chained.parts.chain, finality=Finality(0, 10**30)))


class Hasty(ChainView):
    """An endpoint that calls final what is newest."""

    def block(self, tag: str) -> Mined | None:
        return super().block("latest" if tag == "finalized" else tag)


def hears_one_voice_twice(chained: Chained) -> None:
    view = Hasty(chained.chain, "a")
    chained.views = {"a": view}
    endpoints = (Endpoint(view), Endpoint(view))
    chained.parts = replace(chained.parts, chain=replace(chained.parts.chain, endpoints=endpoints))


@pytest.mark.parametrize("weaker", [believes_the_latest_block, hears_one_voice_twice])
def test_control_a_weaker_rule_grants_what_nobody_paid(quick: Database, weaker: object) -> None:
    problems, _ = storm(quick, 3, batches=16, size=4, change=weaker, twists=(dropped_later,), is_fair=True)  # type: ignore[arg-type]
    assert any("granted without its deposit" in problem or "nobody made" in problem for problem in problems)
