"""Decide, anywhere: packet in, response out. Needs the artifact store and an engine, never the database."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from clash_pipeline import canonical
from clash_pipeline.archive.stores import ArtifactStore, StoreError
from clash_pipeline.decisions import answer, artifacts, packet
from clash_pipeline.decisions.answer import Answer, AnswerInvalid, Engine
from clash_pipeline.decisions.engines.hold import HoldEngine
from clash_pipeline.decisions.engines.rules import RulesEngine
from clash_pipeline.decisions.runs import Decided, Prepared

SCHEMA = "response_v1"
CONCURRENCY = 8
ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in (HoldEngine(), RulesEngine())}


class Response(msgspec.Struct, frozen=True):
    """What is archived of a decision: who answered what to which packet."""

    schema: str
    engine: str
    packet_hash: str
    answer: Answer


async def decide(
    store: ArtifactStore, prepared: Sequence[Prepared], *, engines: Mapping[str, Engine] = ENGINES
) -> list[Decided]:
    """One response a run, bounded in concurrency; a failure is the run's own and delays no other.

    A run that was decided before keeps its response.
    """
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(item: Prepared) -> Decided:
        async with gate:
            return await _decide(store, item, engines)

    return list(await asyncio.gather(*(one(item) for item in prepared)))


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


async def _decide(store: ArtifactStore, item: Prepared, engines: Mapping[str, Engine]) -> Decided:
    if item.response is not None:
        return Decided(item.claim, item.response)
    engine = engines.get(item.claim.engine)
    if engine is None:
        return Decided(item.claim, None, "engine_unknown")
    try:
        content = await asyncio.to_thread(artifacts.get, store, item.packet)
        made = answer.checked(await engine.decide(packet.decode(content)))
        body = canonical.encode(Response(SCHEMA, engine.name, item.packet.sha256, made))
        return Decided(item.claim, await asyncio.to_thread(artifacts.put, store, item.claim, "response", body))
    except AnswerInvalid:
        return Decided(item.claim, None, "answer_invalid")
    except StoreError:
        return Decided(item.claim, None, "store_unavailable")
