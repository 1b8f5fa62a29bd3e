"""The model engine against an endpoint that may do anything: an answer, or a code within the deadline."""

import asyncio
import random
import time
from collections.abc import Iterator

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.decisions.engines import client  # noqa: F401  # its libraries load here, not within a deadline
from clash_pipeline.decisions.engines.breaker import OUTAGES
from clash_pipeline.decisions.engines.choice import opened
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.engines.model import ModelEngine
from clash_pipeline.decisions.prompt import SCHEMA, SYSTEM, Prompt
from clash_pipeline.replay.model_server import served
from clash_pipeline.settings import Settings, load
from tests.fakes.llm_server import HOLD, LONG, MODES, HostileServer

NOW = 1_753_100_000_000
PROMPT = Prompt(SCHEMA, "0" * 64, SYSTEM, 'identity: {"symbol":"BTC"}\n', 700)
DEADLINE_SEC = 0.25
"""For the modes that never answer; the others have five seconds, and need none of them."""


def settings_for(url: str, **changed: str) -> Settings:
    """A tier 1 at an address, with small waits."""
    given = {
        "CLASH_MODEL_URL": url,
        "CLASH_MODEL_KEY": "canary-key-51f2",
        "CLASH_MODEL_1": "clash-replay",
        "CLASH_MODEL_1_PRICES": "1.00,4.00",
        "CLASH_MODEL_DEADLINE_SEC": "5",
        "CLASH_MODEL_BACKOFF_SEC": "0.01",
    }
    return load({**given, **{f"CLASH_MODEL_{name.upper()}": value for name, value in changed.items()}})


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A server whose mode the test chooses; `url` is its address."""
    made = HostileServer()
    with served(made) as url:
        made.url = url
        yield made


def ask(server: HostileServer, times: int = 1, clock: SettableClock | None = None, **changed: str) -> list[Decision]:
    """Some decisions of a fresh engine, one after the other."""
    chosen = settings_for(server.url, **changed)

    async def asked() -> list[Decision]:
        async with opened(chosen, clock=clock or SettableClock(NOW), rng=random.Random(1)) as engines:
            engine = engines["model/1"]
            assert isinstance(engine, ModelEngine)
            return [await engine.answer(PROMPT) for _ in range(times)]

    return asyncio.run(asked())


def test_a_good_answer_is_a_decision_with_what_it_took(server: HostileServer) -> None:
    (decision,) = ask(server)
    assert decision.answer is not None
    assert (decision.code, decision.answer.action, f"{decision.answer.size_pct}") == (None, "open_long", "10")
    assert decision.call is not None
    assert (decision.call.model, decision.call.served_model, decision.call.attempts) == (
        "clash-replay", "clash-replay", 1,
    )  # fmt: skip
    size = len((SYSTEM + PROMPT.user).encode())
    assert decision.call.prompt_tokens == -(-size // 4)
    assert decision.call.completion_tokens == -(-len(LONG) // 4)


@pytest.mark.parametrize(
    ("mode", "code", "attempts"),
    [
        ("refuse", "model_refused", 1),
        ("filtered", "model_refused", 1),
        ("truncate", "answer_truncated", 1),
        ("complete_but_truncated", "answer_truncated", 1),
        ("tool_call", "answer_invalid", 1),
        ("trickle", "model_timeout", 1),
        ("trickle_error", "model_timeout", 1),
        ("slow_header", "model_timeout", 1),
        ("silent", "model_timeout", 1),
        ("storm", "model_rate_limited", 2),
        ("error", "model_unavailable", 2),
        ("wrong_model", "model_unknown", 1),
        ("wrong_key", "key_refused", 1),
        ("bad_request", "request_refused", 1),
        ("redirect", "model_unavailable", 1),
        ("reset", "model_unavailable", 1),
        ("cut", "model_unavailable", 1),
        ("huge", "response_too_large", 1),
        ("huge_error", "response_too_large", 1),
        ("zipped", "response_malformed", 1),
        ("huge_header", "model_unavailable", 1),
        ("not_http", "model_unavailable", 1),
    ],
)
def test_every_failure_has_its_code_within_the_deadline(
    server: HostileServer, mode: str, code: str, attempts: int
) -> None:
    server.mode = mode
    deadline_sec = DEADLINE_SEC if code == "model_timeout" else 5.0
    started = time.monotonic()
    (decision,) = ask(server, deadline_sec=str(deadline_sec))
    assert time.monotonic() - started < deadline_sec + 1
    assert (decision.answer, decision.code) == (None, code)
    assert decision.call is not None
    assert decision.call.attempts == attempts == server.asked
    assert decision.trace is not None
    assert len(decision.trace["attempts"]) == attempts


def test_control_without_a_deadline_of_our_own_a_trickle_holds_on(server: HostileServer) -> None:
    """The client's timeout is of one read, and each byte comes in time (09 F13)."""
    server.mode = "trickle"
    started = time.monotonic()
    (decision,) = ask(server, deadline_sec="0.7")
    assert decision.code == "model_timeout"
    assert time.monotonic() - started > 0.6, "the read timeout alone would have ended this at once"


def test_every_mode_is_tested() -> None:
    tested = {"obey", "adversary", "malformed", "headers", "once_error", "stall_one"}
    marks = test_every_failure_has_its_code_within_the_deadline.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} | tested == set(MODES)


def test_headers_that_lie_change_nothing(server: HostileServer) -> None:
    server.mode = "headers"
    assert [decision.code for decision in ask(server, times=2)] == [None, None]


def test_what_came_before_the_cut_is_in_the_trace(server: HostileServer) -> None:
    for mode in ("trickle", "cut"):
        server.mode = mode
        (decision,) = ask(server, deadline_sec="0.4")
        assert decision.trace is not None
        (attempt,) = decision.trace["attempts"]
        assert attempt["status"] == 200
        assert attempt["body"].startswith('{"id"')


def test_one_retry_helps_where_nothing_was_generated(server: HostileServer) -> None:
    server.mode = "once_error"
    (decision,) = ask(server)
    assert decision.answer is not None
    assert decision.call is not None
    assert (decision.call.attempts, server.asked) == (2, 2)


@pytest.mark.parametrize(("retry_after", "asked"), [("0", 2), ("6", 1), ("9" * 400, 2), ("soon", 2), ("-5", 2)])
def test_retry_after_is_kept_within_the_deadline(server: HostileServer, retry_after: str, asked: int) -> None:
    """A wait beyond the deadline is not begun; what is no short number is not waited for."""
    server.mode, server.retry_after = "storm", retry_after
    started = time.monotonic()
    (decision,) = ask(server, deadline_sec="5")
    assert (decision.code, server.asked) == ("model_rate_limited", asked)
    assert time.monotonic() - started < 4, "nobody waited for what the endpoint asked"


def test_a_port_where_nobody_listens_is_unavailable(server: HostileServer) -> None:
    server.url = "http://127.0.0.1:9/v1"
    (decision,) = ask(server)
    assert (decision.code, decision.call and decision.call.is_billable) == ("model_unavailable", False)


def test_the_circuit_opens_after_five_failures_and_one_probe_closes_it(server: HostileServer) -> None:
    server.mode = "wrong_model"
    clock = SettableClock(NOW)
    chosen = settings_for(server.url)

    async def asked() -> list[str | None]:
        codes = []
        async with opened(chosen, clock=clock, rng=random.Random(1)) as engines:
            engine = engines["model/1"]
            assert isinstance(engine, ModelEngine)
            codes += [(await engine.answer(PROMPT)).code for _ in range(7)]
            server.mode = "scripted"
            clock.advance(59_999)
            codes.append((await engine.answer(PROMPT)).code)
            clock.advance(1)
            codes += [(await engine.answer(PROMPT)).code for _ in range(2)]
        return codes

    failed, refused = "model_unknown", "breaker_open"
    assert asyncio.run(asked()) == [failed] * 5 + [refused] * 3 + [None, None]
    assert server.asked == 7
    assert failed in OUTAGES


def test_answers_that_are_no_decisions_do_not_open_the_circuit(server: HostileServer) -> None:
    server.mode = "refuse"
    assert {decision.code for decision in ask(server, times=7)} == {"model_refused"}


def test_the_key_is_sent_and_shown_nowhere(server: HostileServer, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    server.persona = lambda asked: seen.append(asked.headers["authorization"]) or HOLD  # type: ignore[func-returns-value]
    decisions = ask(server)
    server.mode = "wrong_key"
    decisions += ask(server)
    assert seen == ["Bearer canary-key-51f2"]
    printed = capsys.readouterr()
    shown = repr(decisions) + repr(settings_for(server.url)) + printed.out + printed.err
    assert "canary-key-51f2" not in shown
