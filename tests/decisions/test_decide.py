"""The decide stage: lanes of their own, failures that stay with their run, bounded numbers, no database."""

import asyncio
import pickle
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import SettableClock
from clash_pipeline.decisions import artifacts, decide, packet
from clash_pipeline.decisions.answer import Answer, AnswerInvalid
from clash_pipeline.decisions.calls import Allowance, Call
from clash_pipeline.decisions.engines.choice import PLAIN, opened
from clash_pipeline.decisions.engines.engine import Decision, Engine
from clash_pipeline.decisions.runs import Claim, Decided, Prepared
from clash_pipeline.settings import load
from tests.fakes import packets

NOW = 1_753_100_000_000


class Fake:
    """An engine that takes a while, or fails in a way of its choice; counts how many it does at once."""

    def __init__(self, name: str, *, slots: int = 8, wait_sec: float = 0.0, error: Exception | None = None) -> None:
        self.name, self.slots = name, slots
        self.now = self.most = 0
        self._wait_sec, self._error = wait_sec, error

    async def decide(self, packet: Any, until: float | None = None) -> Decision:
        """Hold, after the wait."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self._wait_sec)
        finally:
            self.now -= 1
        if self._error:
            raise self._error
        return Decision(Answer(action="hold"), call=Call(model="m") if self.name == "model" else None)


def prepared(store: MemoryStore, engine: str, run_id: int = 1, *, tier: int | None = None) -> Prepared:
    """A run whose packet is stored; with a tier, one that may ask until NOW + 1 s."""
    claim = Claim(run_id, 1, 1, 1, 1, "main", "BTC", NOW, "due", 300, engine)
    stored = artifacts.put(store, claim, "packet", packet.encode(packets.made_up()))
    allowance = None if tier is None else Allowance(run_id, tier, "m", NOW + 1_000)
    return Prepared(claim, stored, allowance=allowance)


def decided(store: MemoryStore, *items: Prepared, engines: dict[str, Engine], **more: Any) -> list[Decided]:
    return asyncio.run(decide.decide(store, items, engines=engines, **more))


def test_each_engine_has_as_many_at_once_as_it_has_slots() -> None:
    store, engine = MemoryStore(), Fake("model", slots=3, wait_sec=0.01)
    items = [prepared(store, "model", number, tier=1) for number in range(1, 21)]
    found = decided(store, *items, engines={"model/1": engine})
    assert engine.most == 3
    assert all(item.response is not None for item in found)
    assert [item.call_id for item in found] == list(range(1, 21))


@pytest.mark.parametrize(
    ("error", "code"),
    [(AnswerInvalid("no", "answer_truncated"), "answer_truncated"), (KeyError("c"), "engine_failed")],
)
def test_a_failing_engine_fails_its_own_run_only(error: Exception, code: str) -> None:
    store = MemoryStore()
    engines: dict[str, Engine] = {"rules": Fake("rules", error=error), "hold": Fake("hold")}
    bad, good = decided(store, prepared(store, "rules"), prepared(store, "hold", 2), engines=engines)
    assert (bad.response, bad.error) == (None, code)
    assert (good.response is not None, good.error) == (True, None)


def test_a_model_is_not_asked_without_an_allowance_that_still_holds() -> None:
    store, engine = MemoryStore(), Fake("model")
    clock = SettableClock(NOW + 1_000)
    without = prepared(store, "model")
    late = prepared(store, "model", 2, tier=1)
    refused = replace(prepared(store, "model", 3), refused="breaker_open")
    other = prepared(store, "model", 4, tier=2)
    found = decided(store, without, late, refused, other, engines={"model/1": engine}, clock=clock)
    assert [item.error for item in found] == ["not_reserved", "allowance_expired", "breaker_open", "engine_unknown"]
    assert engine.most == 0
    clock.set(NOW + 999)
    (in_time,) = decided(store, late, engines={"model/1": engine}, clock=clock)
    assert in_time.response is not None


def test_who_waits_for_a_slot_waits_no_longer_than_the_wave() -> None:
    """The deadline is of models; rules and hold need no patience, and wait in lanes of their own."""
    store = MemoryStore()
    engines: dict[str, Engine] = {"model/1": Fake("model", slots=1, wait_sec=0.2), "hold": Fake("hold")}
    items = [prepared(store, "model", 1, tier=1), prepared(store, "model", 2, tier=1), prepared(store, "hold", 3)]
    found = decided(store, *items, engines=engines, patience_sec=0.05)
    assert [item.error for item in found] == [None, "model_busy", None]


def test_a_packet_that_cannot_be_read_or_found_fails_its_run() -> None:
    store = MemoryStore()
    item = prepared(store, "hold")
    broken = artifacts.put(store, item.claim, "packet", b"{}")
    gone = replace(item.packet, key="nowhere")
    found = decided(store, replace(item, packet=broken), replace(item, packet=gone), engines=dict(PLAIN))
    assert [made.error for made in found] == ["packet_unreadable", "store_unavailable"]


def test_an_answer_out_of_bounds_never_becomes_a_response() -> None:
    class Wild(Fake):
        async def decide(self, packet: Any, until: float | None = None) -> Decision:
            return Decision(Answer(action="open_long", size_pct=Decimal(101)), trace={"said": "101"})

    store = MemoryStore()
    (found,) = decided(store, prepared(store, "rules"), engines={"rules": Wild("rules")})
    assert (found.response, found.error) == (None, "answer_invalid")
    assert found.trace is not None


def test_what_passes_between_the_stages_can_be_pickled() -> None:
    store = MemoryStore()
    item = prepared(store, "model", tier=1)
    (found,) = decided(store, item, engines={"model/1": Fake("model")})
    assert pickle.loads(pickle.dumps((item, found))) == (item, found)


def test_without_a_key_there_is_no_model_to_ask_and_no_client_is_loaded() -> None:
    async def lanes() -> list[str]:
        async with opened(load({})) as engines:
            return sorted(engines)

    assert asyncio.run(lanes()) == ["hold", "rules"]
