"""What bodies are made of: camelCase objects without unknown fields, strict types, bounded and visible text."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from clash_pipeline.clock import iso
from clash_pipeline.market import text


class Given(BaseModel):
    """A request body: `"1"` is no number, 1.0 and true are no integers, unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class Shown(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, from_attributes=True)


def _visible(value: str) -> str:
    """Refused rather than repaired: what somebody typed must be what is kept."""
    if text.clean(value, max_bytes=4 * len(value) + 4) != value.strip():
        raise PydanticCustomError("text_not_allowed", "has characters that are not visible text")
    return value.strip()


Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_visible)]
"""One line of visible text."""
Time = Annotated[int, PlainSerializer(iso, return_type=str, when_used="json")]
"""Milliseconds inside, ISO-8601 with Z on the wire."""

_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def _id(value: Any) -> Any:
    if isinstance(value, str) and not _ID.fullmatch(value):
        raise PydanticCustomError("id", "is not an id")
    return value


Id = Annotated[int, BeforeValidator(_id)]
"""An id in a path: plain decimal digits, nothing that also happens to be read as a number."""

Limit = Annotated[int, BeforeValidator(_id), Field(ge=1, le=200)]
"""How many items a page has."""
