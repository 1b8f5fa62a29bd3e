"""The model engine: one question to one model, one retry where that can help, and never a guess (03, 09 §5.2).

What the model says is untrusted: a valid answer is only the schema's fields, everything else a code and a trace.
"""

import asyncio
import random
from typing import Any, Protocol

import structlog

from clash_pipeline.clock import Clock
from clash_pipeline.decisions.answer import AnswerInvalid
from clash_pipeline.decisions.calls import Call
from clash_pipeline.decisions.engines import completion
from clash_pipeline.decisions.engines.breaker import ANSWERED, OUTAGES, Breaker, BreakerRule
from clash_pipeline.decisions.engines.completion import ResponseMalformed
from clash_pipeline.decisions.engines.engine import Decision
from clash_pipeline.decisions.engines.failure import ModelFailed
from clash_pipeline.decisions.engines.tiers import Tier
from clash_pipeline.decisions.packet import Packet
from clash_pipeline.decisions.prompt import Prompt, assemble

ATTEMPTS = 2
PROMPT_TOKENS_SLACK = 4_096
"""What an endpoint may count besides the prompt's own bytes: the schema, and its own framing."""
TRACE_SCHEMA = "trace_v1"

log = structlog.get_logger(__name__)


class Received(Protocol):
    """What came back of an attempt, filled while it comes."""

    status: int | None
    body: bytearray


class Asking(Protocol):
    """One attempt to ask; `client.ModelClient` is one, and tests bring their own."""

    async def ask(self, body: dict[str, Any], received: Any) -> bytes:
        """The body of the response.

        Raises:
            ModelFailed: there is none.
        """
        ...


class Attempt:
    """One attempt as it will stand in the trace."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = bytearray()
        self.code: str | None = None

    def traced(self) -> dict[str, Any]:
        """For the archive; bytes that are no UTF-8 are shown as replaced."""
        return {"status": self.status, "code": self.code, "body": self.body.decode("utf-8", "replace")}


class ModelEngine:
    """One tier's model at one endpoint. The breaker is of this engine, the waves' own one stands in the database."""

    name = "model"

    def __init__(
        self,
        tier: Tier,
        client: Asking,
        clock: Clock,
        rng: random.Random,
        *,
        slots: int,
        deadline_sec: float,
        backoff_sec: float,
        rule: BreakerRule,
    ) -> None:
        self.tier = tier
        self.slots = slots
        self.breaker = Breaker()
        self._client = client
        self._clock = clock
        self._rng = rng
        self._deadline_sec = deadline_sec
        self._backoff_sec = backoff_sec
        self._rule = rule

    async def decide(self, packet: Packet, until: float | None = None) -> Decision:
        """Ask once, at most twice; the decision or its code is there by the deadline."""
        return await self.answer(assemble(packet), until)

    async def answer(self, prompt: Prompt, until: float | None = None) -> Decision:
        """The same for a prompt."""
        started_at = self._clock.now_ms()
        admitted = self.breaker.admit(started_at, self._rule)
        if admitted is None:
            return Decision(None, "breaker_open", Call(model=self.tier.model, started_at=started_at))
        self.breaker = admitted
        deadline = asyncio.get_running_loop().time() + self._deadline_sec
        attempts: list[Attempt] = []
        try:
            decision = await self._decided(prompt, min(deadline, until or deadline), attempts, started_at)
        except BaseException:
            self.breaker = self.breaker.unprobed()
            raise
        self._remember(decision.code)
        return decision

    async def _decided(self, prompt: Prompt, deadline: float, attempts: list[Attempt], started_at: int) -> Decision:
        body = completion.request_body(self.tier, prompt)
        found, code, is_billable = None, None, True
        try:
            async with asyncio.timeout_at(deadline):
                found = completion.read(await self._asked(body, deadline, attempts))
        except TimeoutError:
            code = "model_timeout"
        except ModelFailed as failed:
            code, is_billable = failed.code, failed.is_billable
        except ResponseMalformed:
            code = "response_malformed"
        answer = None
        if found is not None:
            try:
                answer = completion.answer_of(found)
            except AnswerInvalid as invalid:
                code = invalid.code
                log.info("answer_invalid", code=code, error=str(invalid))
        if attempts and attempts[-1].code is None:
            attempts[-1].code = code
        call = self._call(found, prompt, len(attempts), started_at, is_billable and bool(attempts))
        return Decision(answer, code, call, self._trace(prompt, call, code, attempts))

    async def _asked(self, body: dict[str, Any], deadline: float, attempts: list[Attempt]) -> bytes:
        """The first attempt, and a second one where nothing was generated and there is time left for it."""
        while True:
            attempt = Attempt()
            attempts.append(attempt)
            try:
                return await self._client.ask(body, attempt)
            except ModelFailed as failed:
                attempt.code = failed.code
                wait_sec = self._wait_sec(failed)
                has_time = asyncio.get_running_loop().time() + wait_sec < deadline
                if not failed.is_transient or failed.is_billable or len(attempts) == ATTEMPTS or not has_time:
                    raise
            await asyncio.sleep(wait_sec)

    def _wait_sec(self, failed: ModelFailed) -> float:
        """Full jitter, on top of what the endpoint asked for."""
        return (failed.wait_sec or 0.0) + self._rng.random() * self._backoff_sec

    def _call(
        self, found: completion.Completion | None, prompt: Prompt, attempts: int, started_at: int, is_billable: bool
    ) -> Call:
        most_prompt = len(prompt.system.encode()) + len(prompt.user.encode()) + PROMPT_TOKENS_SLACK
        usage = found and completion.usage_of(
            found, most_prompt=most_prompt, most_completion=self.tier.max_output_tokens
        )
        return Call(
            model=self.tier.model,
            served_model=completion.served_model(found) if found else None,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            attempts=attempts,
            started_at=started_at,
            latency_ms=max(self._clock.now_ms() - started_at, 0),
            is_billable=is_billable,
        )

    def _trace(self, prompt: Prompt, call: Call, code: str | None, attempts: list[Attempt]) -> dict[str, Any]:
        return {
            "schema": TRACE_SCHEMA,
            "packet_hash": prompt.packet_hash,
            "endpoint": self.tier.endpoint,
            "code": code,
            "call": call,
            "attempts": [attempt.traced() for attempt in attempts],
        }

    def _remember(self, code: str | None) -> None:
        if code in OUTAGES:
            was_open = self.breaker.opened_at is not None
            self.breaker = self.breaker.after_failure(self._clock.now_ms(), self._rule)
            if not was_open and self.breaker.opened_at is not None:
                log.warning("circuit_opened", circuit=self.tier.circuit, code=code)
        elif code in ANSWERED:
            self.breaker = self.breaker.after_success()
