"""A completion on the wire: the body of a request, and the answer read out of a response. Pure, and trusts nothing."""

from typing import Any

import msgspec

from clash_pipeline import canonical
from clash_pipeline.decisions import answer
from clash_pipeline.decisions.answer import Answer, AnswerInvalid
from clash_pipeline.decisions.engines.tiers import Tier
from clash_pipeline.decisions.prompt import Prompt
from clash_pipeline.market import text

SERVED_NAME_BYTES = 128
SCHEMA_NAME = "decision"


class ResponseMalformed(ValueError):
    """The body is not a completion; the message says what is missing, never what was there."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the endpoint counted them."""

    prompt_tokens: int
    completion_tokens: int


class Message(msgspec.Struct, frozen=True):
    """What the model said."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One answer, and why it ended."""

    message: Message
    finish_reason: str | None = None


class Completion(msgspec.Struct, frozen=True):
    """The part of a chat completion that is read; usage is looked at on its own, so that it cannot spoil an answer."""

    choices: list[Choice]
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


def request_body(tier: Tier, prompt: Prompt) -> dict[str, Any]:
    """The JSON of a request, written as the model's capability says."""
    capability = tier.capability
    body: dict[str, Any] = {
        "model": tier.model,
        "messages": [
            {"role": "system", "content": _system(tier, prompt)},
            {"role": "user", "content": prompt.user},
        ],
        "n": 1,
        "stream": False,
        capability.limit_name: tier.max_output_tokens,
    }
    if capability.has_temperature:
        body["temperature"] = 0
    if capability.structured == "json_schema":
        wanted = {"name": SCHEMA_NAME, "strict": True, "schema": answer.schema()}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif capability.structured == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def read(body: bytes) -> Completion:
    """The completion in a response.

    Raises:
        ResponseMalformed: not JSON, or without exactly one choice.
    """
    try:
        found = msgspec.json.decode(body, type=Completion)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ResponseMalformed("the response is no chat completion") from None
    if len(found.choices) != 1:
        raise ResponseMalformed(f"the response has {len(found.choices)} choices, not 1")
    return found


def answer_of(completion: Completion) -> Answer:
    """The decision in a completion.

    Raises:
        AnswerInvalid: refused, cut off, a tool call, empty, or no decision; with its code.
    """
    (choice,) = completion.choices
    message = choice.message
    if message.refusal or choice.finish_reason == "content_filter":
        raise AnswerInvalid("the model refused to answer", "model_refused")
    if choice.finish_reason == "length":
        raise AnswerInvalid("the answer was cut off at the limit of tokens", "answer_truncated")
    if choice.finish_reason != "stop" or message.tool_calls:
        raise AnswerInvalid("the answer did not end as an answer does")
    if not message.content or not message.content.strip():
        raise AnswerInvalid("the answer is empty")
    return answer.parse(message.content.encode("utf-8", "replace"))


def served_model(completion: Completion) -> str | None:
    """The model that answered, as the endpoint calls it; None where it does not say."""
    return text.clean(completion.model, max_bytes=SERVED_NAME_BYTES) or None if completion.model else None


def usage_of(completion: Completion, *, most_prompt: int, most_completion: int) -> Usage | None:
    """The tokens used; None when the endpoint does not say, or says what cannot be."""
    try:
        usage = msgspec.json.decode(completion.usage, type=Usage | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if usage is None:
        return None
    is_possible = 0 < usage.prompt_tokens <= most_prompt and 0 <= usage.completion_tokens <= most_completion
    return usage if is_possible else None


def _system(tier: Tier, prompt: Prompt) -> str:
    if tier.capability.structured == "json_schema":
        return prompt.system
    return f"{prompt.system}\n\nAnswer with one JSON object of this JSON Schema and nothing else:\n{_SCHEMA_TEXT}"


_SCHEMA_TEXT = canonical.text(answer.schema())
