"""What bodies are made of: camelCase objects without unknown fields, strict types, bounded and visible text."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
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
_MOMENT = {"type": "string", "format": "date-time"}
Time = Annotated[int, PlainSerializer(iso, return_type=str, when_used="json"), WithJsonSchema(_MOMENT)]
"""Milliseconds inside, ISO-8601 with Z on the wire."""

Usd = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]{1,8})?$")]
"""An amount of synthetic USD as decimal text."""
Wei = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,77})$")]
"""An amount of wei as canonical decimal text."""
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
"""A price, a size or a rate as decimal text."""
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""

_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def _id(value: Any) -> Any:
    if isinstance(value, str) and not _ID.fullmatch(value):
        raise PydanticCustomError("id", "is not an id")
    return value


Id = Annotated[int, BeforeValidator(_id), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10**18 - 1})]
"""An id in a path: plain decimal digits, nothing that also happens to be read as a number."""


def _moment(value: Any) -> Any:
    """Milliseconds of an ISO-8601 time with its offset; anything else is no time."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and _ISO.fullmatch(value) else None
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year <= 2100:
        raise PydanticCustomError("time_type", "is not a time")
    return round(at.timestamp() * 1000)


_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema(_MOMENT)]
"""A time in a query: ISO-8601 with Z or an offset, of the years 2000 to 2100."""

CloneId = Annotated[Id, Path(alias="cloneId", description="The clone.")]
Symbol = Annotated[str, Path(max_length=40, description="The coin as the venue writes it: BTC, kPEPE, PURR/USDC.")]
Cursor = Annotated[str | None, Query(max_length=100, description="`nextCursor` of the page before.")]
PageSize = Annotated[int, Query(ge=1, le=200, description="Most items of a page."), BeforeValidator(_id)]
"""How many items a page has."""
Text = Annotated[str, Query(max_length=100, min_length=1)]
