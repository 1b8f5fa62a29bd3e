"""Decide, anywhere: packet in, response out. Needs the artifact store and the engines, never the database.

What a model may spend was reserved on the box of record before, and comes with the run as its allowance.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from clash_pipeline import canonical
from clash_pipeline.archive.stores import ArtifactStore, StoreError
from clash_pipeline.clock import Clock
from clash_pipeline.decisions import answer, artifacts, packet
from clash_pipeline.decisions.answer import Answer, AnswerInvalid
from clash_pipeline.decisions.engines.choice import PLAIN, lane, opened
from clash_pipeline.decisions.engines.engine import Decision, Engine
from clash_pipeline.decisions.runs import ArtifactRef, Decided, Prepared, Services

SCHEMA = "response_v1"

log = structlog.get_logger(__name__)


class Response(msgspec.Struct, frozen=True):
    """What is archived of a decision: who answered what to which packet."""

    schema: str
    engine: str
    packet_hash: str
    answer: Answer


@dataclass(frozen=True)
class Lane:
    """What waits together: an engine, its free slots, and when the last of its decisions must be there."""

    engine: Engine
    gate: asyncio.Semaphore
    until: float | None


async def decide_all(services: Services, prepared: Sequence[Prepared]) -> list[Decided]:
    """Decide with every engine that the settings give, each wave within the models' deadline."""
    async with opened(services.settings, clock=services.wall) as engines:
        return await decide(
            services.store,
            prepared,
            engines=engines,
            clock=services.wall,
            patience_sec=services.settings.model_deadline_sec,
        )


async def decide(
    store: ArtifactStore,
    prepared: Sequence[Prepared],
    *,
    engines: Mapping[str, Engine] = PLAIN,
    clock: Clock | None = None,
    patience_sec: float | None = None,
) -> list[Decided]:
    """One response a run, in bounded numbers; a failure is the run's own and delays no other.

    Whatever a model does, its runs are decided or failed after `patience_sec`. With a clock, an allowance that has
    expired is no longer used. A run that was decided before keeps its response.
    """
    until = None if patience_sec is None else asyncio.get_running_loop().time() + patience_sec
    lanes = {
        name: Lane(engine, asyncio.Semaphore(engine.slots), until if engine.name == "model" else None)
        for name, engine in engines.items()
    }
    made = await asyncio.gather(*(_one(store, item, lanes, clock) for item in prepared), return_exceptions=True)
    return [_kept(item, result) for item, result in zip(prepared, made, strict=True)]


def decode(content: bytes, packet_hash: str) -> Response:
    """A stored response, checked against the packet it answers.

    Raises:
        AnswerInvalid: not a response, or one to another packet.
    """
    try:
        response = msgspec.json.decode(content, type=Response)
    except msgspec.DecodeError as error:
        raise AnswerInvalid(f"the response is unreadable: {str(error)[:200]}") from None
    if response.packet_hash != packet_hash:
        raise AnswerInvalid("the response answers another packet")
    answer.checked(response.answer)
    return response


def _kept(item: Prepared, result: Decided | BaseException) -> Decided:
    """A fault of an engine is the failure of its run; being cancelled is nobody's failure."""
    if isinstance(result, Decided):
        return result
    if not isinstance(result, Exception):
        raise result
    log.error("engine_failed", run_id=item.claim.run_id, engine=item.claim.engine, error=type(result).__name__)
    return _without(item, "engine_failed")


def _without(item: Prepared, code: str) -> Decided:
    return Decided(item.claim, None, code, call_id=item.allowance.call_id if item.allowance else None)


async def _one(store: ArtifactStore, item: Prepared, lanes: Mapping[str, Lane], clock: Clock | None) -> Decided:
    if item.response is not None:
        return replace(_without(item, ""), response=item.response, error=None)
    if item.refused is not None:
        return _without(item, item.refused)
    if item.claim.engine == "model" and item.allowance is None:
        return _without(item, "not_reserved")
    chosen = lanes.get(lane(item.claim.engine, item.allowance.tier if item.allowance else None))
    if chosen is None:
        return _without(item, "engine_unknown")
    try:
        async with asyncio.timeout_at(chosen.until):
            await chosen.gate.acquire()
    except TimeoutError:
        return _without(item, "model_busy")
    try:
        if clock is not None and item.allowance is not None and clock.now_ms() >= item.allowance.expires_at:
            return _without(item, "allowance_expired")
        return await _decide(store, item, chosen)
    finally:
        chosen.gate.release()


async def _decide(store: ArtifactStore, item: Prepared, chosen: Lane) -> Decided:
    try:
        content = await asyncio.to_thread(artifacts.get, store, item.packet)
        decision = await chosen.engine.decide(packet.decode(content), chosen.until)
    except AnswerInvalid as invalid:
        return _without(item, invalid.code)
    except msgspec.DecodeError:
        return _without(item, "packet_unreadable")
    except StoreError:
        return _without(item, "store_unavailable")
    return await _stored(store, item, chosen.engine.name, decision)


async def _stored(store: ArtifactStore, item: Prepared, engine: str, decision: Decision) -> Decided:
    """The decision with its artifacts; what a call took is kept whatever becomes of them."""
    found = replace(_without(item, decision.code or ""), call=decision.call)
    try:
        if decision.trace is not None:
            found = replace(found, trace=await _put(store, item, "trace", decision.trace))
        if decision.answer is None:
            return found
        body = Response(SCHEMA, engine, item.packet.sha256, answer.checked(decision.answer))
        return replace(found, response=await _put(store, item, "response", body), error=None)
    except AnswerInvalid as invalid:
        return replace(found, error=invalid.code)
    except StoreError:
        return replace(found, error="store_unavailable")


async def _put(store: ArtifactStore, item: Prepared, kind: str, value: Any) -> ArtifactRef:
    return await asyncio.to_thread(artifacts.put, store, item.claim, kind, canonical.encode(value))
