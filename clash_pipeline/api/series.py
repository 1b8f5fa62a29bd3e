"""Series as charts draw them: many points, made by name and encoded once.

The model of a route documents its answer and names the fields. No point becomes such a model: what this system wrote
needs no validation, and a model for each of some hundred points costs more than reading and encoding them all.
"""

from functools import cache, lru_cache
from typing import Any

import msgspec
from fastapi import Response

from clash_pipeline.api.wire import Shown
from clash_pipeline.clock import iso

time_text = lru_cache(maxsize=8_192)(iso)
"""A time for the wire; every series is of the same minutes."""


@cache
def struct_of(shown: type[Shown]) -> type[msgspec.Struct]:
    """A struct with the fields of a response body, each of which must be given, ready for the wire: times as text."""
    names = {name: field.serialization_alias or name for name, field in shown.model_fields.items()}
    return msgspec.defstruct(shown.__name__, names, rename=names, frozen=True, gc=False)


def answer(shown: type[Shown], **fields: Any) -> Response:
    """A whole body as the answer of its route."""
    return Response(msgspec.json.encode(struct_of(shown)(**fields)), media_type="application/json")
