"""Forms: plain fields of a page of ours, read strictly, refused when another site filled them in (09 §5.3.8)."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from clash_pipeline.api.pages.visitors import Visitor
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.wire import Line

FORM_KEY = "form_key"
FIELDS = 20
MEDIA_TYPE = "application/x-www-form-urlencoded"
Model = TypeVar("Model", bound="Fields")


class Fields(BaseModel):
    """The fields of one form; every value is text, unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _said(text: str) -> str:
    if not text:
        raise ValueError("says nothing")
    return text


Reason = Annotated[Line, StringConstraints(min_length=1, strip_whitespace=True), AfterValidator(_said)]
"""Why somebody does something: one line that says something."""


def form(model: type[Model], *, needs_key: bool = True) -> Callable[[Request], Coroutine[Any, Any, Model]]:
    """A dependency that reads a form; without `needs_key` for those of people who are not signed in yet.

    Raises:
        Problem: 400, 403, 415; RequestValidationError: a field is missing, unknown, or not what it should be.
    """

    async def read(request: Request) -> Model:
        fields = _decoded(request, await request.body())
        key = fields.pop(FORM_KEY, "")
        visitor: Visitor = request.state.visitor
        if needs_key and not visitor.filled_in(key):
            raise Problem(403, "form_outdated", "This form was not given out to you, or you have signed out since.")
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            places = [{**found, "loc": ("body", *found["loc"])} for found in error.errors(include_input=False)]
            raise RequestValidationError(places) from None

    return read


def require_own_origin(request: Request, own_url: str) -> None:
    """Refuse what another site sends in a visitor's name.

    Browsers say where a form was filled in: by `Origin`, or, as our pages send no referrer, by `Sec-Fetch-Site` alone.

    Raises:
        Problem: 403.
    """
    origin = request.headers.get("origin", "null")
    if origin != "null":
        own = urlsplit(own_url)
        allowed = {f"{own.scheme}://{own.netloc}", f"{request.url.scheme}://{request.headers.get('host', '')}"}
        is_own = origin in allowed
    else:
        is_own = request.headers.get("sec-fetch-site") == "same-origin"
    if not is_own:
        raise Problem(403, "foreign_origin", "Forms are filled in on our own pages, over HTTPS or on this machine.")


def _decoded(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != MEDIA_TYPE:
        raise Problem(415, "unsupported_media_type", "Send the fields of a form, URL-encoded.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS
        )
    except ValueError:
        raise Problem(400, "malformed_form", f"These are not at most {FIELDS} URL-encoded fields.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem(400, "duplicate_key", "A field stands twice.")
    return fields
