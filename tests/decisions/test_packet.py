"""The packet: the same bytes in another process, everything said, nothing patched over, artifacts that verify."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline import canonical
from clash_pipeline.archive.choice import store_from
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import artifacts, decide, packet, views, waves
from clash_pipeline.decisions.packet import Packet
from tests.fakes.world import RISING, World

CHILD = """
import sys
from clash_pipeline.clock import SettableClock
from clash_pipeline.decisions import packet, prepare, runs, waves
from clash_pipeline.services import Services
from clash_pipeline.settings import load

made = []
encode = packet.encode
packet.encode = lambda content: made.append(encode(content)) or made[-1]
settings = load({"CLASH_HOME": sys.argv[1]})
built = Services(settings, SettableClock(int(sys.argv[2])))
waves.prepare(built, waves.due(built, clone_id=1, force=True), worker="child")
print(packet.canonical.sha256(made[0]))
"""


def prepared(world: World) -> tuple[waves.Decided, Packet]:
    """The packet of one forced run, and its decision."""
    (item,), _ = waves.prepare(world, waves.due(world, clone_id=1, force=True), worker="w")
    (decided,) = asyncio.run(waves.decide(world.store, [item]))
    return decided, packet.decode(artifacts.get(world.store, item.packet))


def test_another_process_makes_the_same_packet(world: World) -> None:
    """The same databases copied aside: the same hash, under another hash seed."""
    import shutil

    world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    world.clash.close()
    world.market.close()
    copy = world.settings.home.with_name("copy")
    shutil.copytree(world.settings.home, copy)
    world.store = store_from(world.settings)
    _, made = prepared(world)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(copy), str(world.clock.now_ms())],
        env={"PYTHONHASHSEED": "11", "PATH": ""}, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == canonical.digest(made), done.stderr


def test_the_packet_says_who_what_and_what_was_missing(world: World) -> None:
    world.clone("BTC", "ETH")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    _, made = prepared(world)
    assert (made.schema, made.identity.symbol) == ("decision_v1", "BTC")
    assert [(one.symbol, one.rank, one.skipped) for one in made.universe] == [
        ("BTC", 1, None), ("ETH", None, "no_fresh_data"),
    ]  # fmt: skip
    assert (made.asset.price.reference, made.asset.price.reference_source) == ("100", "candle")
    assert (made.asset.price.mark, made.asset.price.mark_source) == ("100", "venue")
    fine = [section for section in made.sections if section.granularity_sec < 3_600]
    problems = {(section.source, section.channel): section.problem for section in fine}
    assert problems[("hyperliquid", "rsi")] is None
    assert problems[("polymarket", "immediate")] == "missing"
    assert made.account.room == {
        "gross": "300000", "position": "100000", "margin": "100000", "drawdown": "10000", "positions": 10,
        "orders_this_hour": 60, "min_order": "10", "volume": "5000000", "cash": "100000",
    }  # fmt: skip
    assert made.budget.estimated_tokens["total"] <= made.budget.limit_tokens == 24_000


def test_the_packet_shows_the_position_that_the_gates_will_see(world: World) -> None:
    clone_id, _ = world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    waves.run_once(world, clone_id=clone_id, force=True)
    world.clock.advance(5 * MINUTE_MS)
    world.minute("BTC", "101", **RISING)
    _, made = prepared(world)
    assert made.held is not None
    assert (made.held["side"], made.held["mark"], made.held["unrealized"]) == ("long", "101", "191.9232")
    assert made.account.recent_fills[0]["side"] == "buy"


def test_a_run_shows_what_it_read_answered_and_did(world: World) -> None:
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    (ended,) = waves.run_once(world, clone_id=clone_id, force=True).ended
    view: dict[str, Any] = views.run_view(world.clash, world.store, ended.run_id)
    assert set(view["artifacts"]) == {"packet", "prompt", "response", "apply_input"}
    assert all(f"clone-{clone_id}/run-{ended.run_id}" in item["key"] for item in view["artifacts"].values())
    assert view["response"]["answer"]["action"] == "open_long"
    assert view["apply_input"]["account"]["revision"] == 1
    assert view["apply_input"]["quotes"]["BTC"]["references"][0]["text"] == "100"
    assert view["actions"][0].fills[0].side == "buy"
    assert view["run"]["account_id"] == account_id
    assert view["run"]["response_hash"] == view["artifacts"]["response"]["sha256"]


def test_a_response_to_another_packet_fails_the_run(world: World) -> None:
    world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    decided, _ = prepared(world)
    assert decided.response is not None
    content = json.loads(artifacts.get(world.store, decided.response))
    forged = artifacts.put(
        world.store, decided.claim, "response", canonical.encode(content | {"packet_hash": "0" * 64})
    )
    swapped = waves.Decided(decided.claim, forged)
    waves.record(world, [swapped])
    (ended,) = waves.apply(world, [swapped])
    assert (ended.state, ended.reason, ended.effective) == ("failed", "response_invalid", "hold")


def test_an_engine_that_answers_nonsense_fails_its_run_alone(world: World) -> None:
    from decimal import Decimal

    from clash_pipeline.decisions.answer import Answer
    from clash_pipeline.decisions.engines.engine import Decision

    class Wild:
        name, slots = "rules", 1

        async def decide(self, packet: Packet, until: float | None = None) -> Decision:
            size_pct = Decimal("NaN" if packet.identity.symbol == "BTC" else "10")
            return Decision(Answer(action="open_long", size_pct=size_pct))

    world.clone("BTC", "ETH")
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", **RISING)
    items, _ = waves.prepare(world, waves.due(world, clone_id=1, force=True), worker="w")
    decided = asyncio.run(decide.decide(world.store, items, engines={"rules": Wild()}))
    waves.record(world, decided)
    ended = {run.symbol: (run.state, run.reason) for run in waves.apply(world, decided)}
    assert ended == {"BTC": ("failed", "answer_invalid"), "ETH": ("completed", "filled")}


# what a read looks like in a packet


def test_rows_count_minutes_before_the_newest_and_floats_keep_seven_digits() -> None:
    from clash_pipeline.decisions.sections import shown
    from clash_pipeline.decisions.texts import Texts
    from clash_pipeline.market.read_plan import ReadEntry
    from clash_pipeline.market.retrieval import Section

    entry = ReadEntry("BTC", "BTC", "hyperliquid", "macd", 3_600, 60, 60, "auto")
    rows = ((60_000, None, "1.10"), (120_000, 118234.56789, "2"), (300_000, -0.000123456, "3"))
    found = shown(Section(entry, ("t", "macd", "c"), rows, 300_000, 10, None, 5), Texts())
    assert found.columns == ("ago_min", "macd", "c")
    assert found.rows == ((4, None, "1.10"), (3, 118234.6, "2"), (0, 0.0, "3"))
    assert (found.newest_t, found.age_ms, found.found, found.expected) == (300_000, 10, 3, 5)


@pytest.mark.parametrize(
    ("column", "short"),
    [
        ((60.123456789, 40.1), [60.12346, 40.1]),
        ((1.23456789e-9,), [1.234568e-9]),
        ((123_456_789_012.34,), [123_456_789_012.0]),
        ((float("inf"), 1.0, None), [None, 1.0, None]),
        ((0.0, None), [0.0, None]),
    ],
)
def test_floats_are_shortened_by_the_largest_of_their_column(
    column: tuple[float | None, ...], short: list[float | None]
) -> None:
    from clash_pipeline.decisions.sections import rounded

    assert rounded([column]) == [short]
