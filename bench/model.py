"""Asking models: 10,000 calls of a second each against a loopback server in a process of its own, and what one costs.

The floor is the same requests over bare sockets. Both keep as many calls in flight as the machine's descriptors allow.
"""

import asyncio
import multiprocessing
import random
import resource
import signal
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from bench.harness import Bench, Contender
from clash_pipeline.clock import SystemClock
from clash_pipeline.decisions.engines.breaker import BreakerRule
from clash_pipeline.decisions.engines.choice import opened
from clash_pipeline.decisions.engines.completion import request_body
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.engines.model import ModelEngine
from clash_pipeline.decisions.engines.tiers import tiers
from clash_pipeline.decisions.prompt import SCHEMA, SYSTEM, Prompt
from clash_pipeline.settings import Settings, load

PROMPT_BYTES = 24_000
IDEAL = "bare sockets"


class Given(NamedTuple):
    """A server that answers after a while, and the settings that lead to it."""

    url: str
    settings: Settings
    calls: int
    slots: int
    figures: dict[str, float]


def benches(quick: bool) -> tuple[Bench, ...]:
    """Ten thousand calls of a second at 512 connections and at once; and short ones, for the cost of a call."""
    calls = 500 if quick else 10_000
    sizes = ((calls, min(512, calls), 1.0), (calls, calls, 1.0), (calls // 5, 64, 0.0))
    return tuple(_bench(calls, slots, delay_sec) for calls, slots, delay_sec in sizes)


def _bench(calls: int, slots: int, delay_sec: float) -> Bench:
    prepare = partial(given, calls, slots, delay_sec)
    contenders = (
        Contender(IDEAL, "floor", prepare, bare, figures),
        Contender("clash model engine", "ours", prepare, ours, figures),
    )
    ideal_sec = -(-calls // slots) * delay_sec
    title = f"{calls:,} model calls of {delay_sec:g} s, {slots:,} at a time (ideal {ideal_sec:g} s)"
    return Bench(f"model_{calls}_{slots}", title, "calls", contenders, 1, is_long=True, aim=0.5, aim_of=IDEAL)


def given(calls: int, slots: int, delay_sec: float) -> Given:
    """A server process, which ends with this one."""
    _allow_descriptors()
    receiving, sending = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(sending, delay_sec), daemon=True)
    process.start()
    url = receiving.recv()
    settings = load(
        {
            "CLASH_MODEL_URL": url,
            "CLASH_MODEL_KEY": "bench",
            "CLASH_MODEL_1": "clash-replay",
            "CLASH_MODEL_1_PRICES": "1,4",
            "CLASH_MODEL_CONCURRENCY": str(slots),
            "CLASH_MODEL_DEADLINE_SEC": "280",
        }
    )
    return Given(url, settings, calls, slots, {})


def ours(state: Given) -> int:
    """The engine with its client, breaker, bounds, parsing and trace; a gate as the wave has it."""
    decisions = asyncio.run(_ask(state))
    failed = [decision.code for decision in decisions if decision.answer is None]
    if failed:
        raise RuntimeError(f"{len(failed)} of {state.calls} calls failed, the first with {failed[0]}")
    state.figures["peak RSS MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return state.calls


def bare(state: Given) -> int:
    """The same bytes over a socket a slot, kept open; the answers are read and dropped."""
    asyncio.run(_ask_bare(state))
    state.figures["peak RSS MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return state.calls


def figures(state: Given) -> Mapping[str, float]:
    """What was noted down while it ran."""
    return state.figures


async def _ask(state: Given) -> list[Decision]:
    gate, prompt = asyncio.Semaphore(state.slots), _prompt()
    async with opened(state.settings, clock=SystemClock(), rng=random.Random(1)) as engines:
        engine = engines["model/1"]
        assert isinstance(engine, ModelEngine)
        engine._rule = BreakerRule(failures=10**9)

        async def one() -> Decision:
            async with gate:
                decision = await engine.answer(prompt)
                return decision._replace(trace=None)

        return await asyncio.gather(*(one() for _ in range(state.calls)))


async def _ask_bare(state: Given) -> None:
    parts = urlsplit(state.url)
    body = msgspec.json.encode(request_body(tiers(state.settings)[1], _prompt()))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
    left = iter(range(state.calls))

    async def slot() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in left:
            writer.write(head.encode() + body)
            headers = await reader.readuntil(b"\r\n\r\n")
            size = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
        writer.close()

    await asyncio.gather(*(slot() for _ in range(state.slots)))


def _prompt() -> Prompt:
    return Prompt(SCHEMA, "0" * 64, SYSTEM, "x" * PROMPT_BYTES, PROMPT_BYTES // 4)


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 24_000)), hard))


def _serve(sending: Any, delay_sec: float) -> None:
    from clash_pipeline.replay.model_server import ModelServer, served
    from clash_pipeline.replay.personas import answer

    _allow_descriptors()
    said = answer("hold", why="a bench")
    with served(ModelServer(lambda asked: said, delay_sec=delay_sec)) as url:
        sending.send(url)
        signal.pause()
