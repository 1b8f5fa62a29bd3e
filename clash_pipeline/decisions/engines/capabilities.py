"""What each model takes: how structured output is asked for, whether it has a temperature, what its limit is called.

A model that no row names gets `plain`: the schema stands in the system text, and the answer is parsed as strictly.
"""

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

Structured = Literal["json_schema", "json_object", "none"]


class Capability(NamedTuple):
    """How a request to a model is written."""

    name: str
    structured: Structured
    has_temperature: bool
    limit_name: Literal["max_tokens", "max_completion_tokens"]
    max_output_tokens: int


CAPABILITIES: dict[str, Capability] = {
    each.name: each
    for each in (
        Capability("schema", "json_schema", True, "max_completion_tokens", 16_000),
        Capability("reasoning", "json_schema", False, "max_completion_tokens", 16_000),
        Capability("schema_old", "json_schema", True, "max_tokens", 8_000),
        Capability("object", "json_object", True, "max_tokens", 8_000),
        Capability("plain", "none", True, "max_tokens", 4_000),
    )
}
BY_MODEL: tuple[tuple[str, str], ...] = (
    ("gpt-3.5*", "object"),
    ("gpt-4-*", "object"),
    ("gpt-4o*", "schema"),
    ("gpt-4.1*", "schema"),
    ("gpt-[5-9]*", "reasoning"),
    ("o[1-9]*", "reasoning"),
    ("gemini-*", "schema_old"),
    ("mistral-*", "schema_old"),
    ("llama*", "schema_old"),
    ("qwen*", "object"),
    ("deepseek*", "object"),
    ("claude-*", "plain"),
    ("clash-*", "schema"),  # the replayed model
)
"""The first pattern that fits the id, without a provider's prefix, decides."""


def capability_of(model: str, takes: str = "auto") -> Capability:
    """The row a setting names, or the one of the model's id.

    Raises:
        KeyError: the setting names no row; the message lists them.
    """
    if takes != "auto":
        if takes not in CAPABILITIES:
            raise KeyError(f"{takes[:40]!r} is no row of the capability table: {', '.join(CAPABILITIES)} or auto")
        return CAPABILITIES[takes]
    plain_id = model.rpartition("/")[2].lower()
    return CAPABILITIES[next((row for pattern, row in BY_MODEL if fnmatchcase(plain_id, pattern)), "plain")]
