"""The OpenAPI document of the application: what FastAPI knows, and what our guards, limits and refusals add to it.

The contract that people read is `doc/openapi/client-api.openapi.yaml`; a test compares the two in both directions.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from clash_pipeline.api.problems import MEDIA_TYPE, TITLES
from clash_pipeline.api.routing import SERVICE, USER, GuardedRoute

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
CREATES, VERSIONED, REFUSES, SENDS = "creates", "versioned", "refuses", "sends"
ALWAYS = (422, 429, 431, 500, 503)
"""Unknown query parameters, rates, headers too large, our own defects, a busy database."""
BODY = (400, 408, 413, 415)
SCHEMES = {
    "userToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "serviceToken": {"type": "apiKey", "in": "header", "name": "x-service-token"},
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "requestId": {"type": "string"},
        "pointer": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
        "problems": {"type": "array", "items": {"$ref": "#/components/schemas/GraphProblem"}},
    },
}
FIELD_ERROR = {
    "type": "object",
    "required": ["code", "pointer", "detail"],
    "properties": {"code": {"type": "string"}, "pointer": {"type": "string"}, "detail": {"type": "string"}},
}


def creates(endpoint: Endpoint) -> Endpoint:
    """It takes an `Idempotency-Key`, because a repeat must do no harm (09 §4.4)."""
    return _marked(endpoint, CREATES, True)


def versioned(endpoint: Endpoint) -> Endpoint:
    """It takes `If-Match`, so that no update is lost."""
    return _marked(endpoint, VERSIONED, True)


def refuses(*statuses: int) -> Callable[[Endpoint], Endpoint]:
    """It has these refusals beside those that every route of its kind has."""
    return lambda endpoint: _marked(endpoint, REFUSES, statuses)


def sends(*media_types: str) -> Callable[[Endpoint], Endpoint]:
    """Its answer is a file or a stream of one of these types, no JSON of ours."""
    return lambda endpoint: _marked(endpoint, SENDS, media_types)


def _marked(endpoint: Endpoint, mark: str, value: object) -> Endpoint:
    endpoint.__dict__[mark] = value
    return endpoint


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Let the application know its document; it is made when somebody asks."""
    routes = [route for router in routers for route in router.routes if isinstance(route, GuardedRoute)]
    app.openapi = cache(lambda: document(app, routes))  # type: ignore[method-assign]


def document(app: FastAPI, routes: Iterable[GuardedRoute]) -> dict[str, Any]:
    """The whole document as plain objects."""
    made = get_openapi(title=app.title, version=app.version, routes=app.routes, separate_input_output_schemas=False)
    for route in routes:
        if route.include_in_schema:
            for method in route.methods or ():
                _complete(made["paths"][route.path_format][method.lower()], route)
    schemas = made["components"]["schemas"]
    found: dict[str, Any] = {}
    _name_graph(made, found)
    schemas |= found
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas |= {"Problem": PROBLEM, "FieldError": FIELD_ERROR}
    made["components"]["securitySchemes"] = SCHEMES
    return made


def _name_graph(made: Any, schemas: dict[str, Any]) -> None:
    """Give the graph, which is documented but not validated by its model, its name among the schemas."""
    for inner in made.values() if isinstance(made, dict) else made:
        if isinstance(inner, dict) and inner.get("title") == "Graph" and "properties" in inner:
            schemas.setdefault("Graph", dict(inner))
            inner.clear()
            inner["$ref"] = "#/components/schemas/Graph"
        elif isinstance(inner, dict | list):
            _name_graph(inner, schemas)


def _complete(operation: dict[str, Any], route: GuardedRoute) -> None:
    marks = route.endpoint.__dict__
    kind = route.access.partition(":")[0]
    operation["security"] = {USER: [{"userToken": []}], SERVICE: [{"serviceToken": []}]}.get(kind, [])
    operation.setdefault("parameters", []).extend(_headers(marks))
    if not operation["parameters"]:
        del operation["parameters"]
    operation.update(marks.get("describes", {}))
    success = next(iter(status for status in operation["responses"] if status.startswith("2")))
    if media_types := marks.get(SENDS):
        operation["responses"][success]["content"] = {media_type: {} for media_type in media_types}
    operation["responses"] = {success: operation["responses"][success]} | {
        str(status): {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(set(_refusals(route, marks, kind)))
    }
    if 304 in marks.get(REFUSES, ()):
        operation["responses"]["304"] = {"description": "It is as you know it"}


def _headers(marks: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if marks.get(CREATES):
        pattern = {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,128}$"}
        yield {"name": "Idempotency-Key", "in": "header", "required": True, "schema": pattern}
    if marks.get(VERSIONED):
        yield {"name": "If-Match", "in": "header", "required": True, "schema": {"type": "string"}}
    if 304 in marks.get(REFUSES, ()):
        yield {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}


def _refusals(route: GuardedRoute, marks: dict[str, Any], kind: str) -> Iterator[int]:
    yield from ALWAYS
    yield from {USER: (401,), SERVICE: (401, 403, 404)}.get(kind, ())
    if route.body_field is not None or "describes" in marks:
        yield from BODY
    if "{" in route.path:
        yield 404
    if marks.get(CREATES):
        yield from (400, 409)
    if marks.get(VERSIONED):
        yield from (412, 428)
    yield from (status for status in marks.get(REFUSES, ()) if status != 304)
