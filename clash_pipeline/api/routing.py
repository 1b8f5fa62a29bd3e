"""Routes that say who may use them. A route without an answer to that question cannot be added.

In this order: unknown query parameters, who asks, the content type, strict JSON; then FastAPI looks at the request.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from clash_pipeline.api import bodies
from clash_pipeline.api.limits import QUERY_VALUE_CHARACTERS
from clash_pipeline.api.principals import Principal
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.identity import service_tokens
from clash_pipeline.services import Services

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
PUBLIC, USER, SERVICE = "public", "user", "service"


def public(endpoint: Endpoint) -> Endpoint:
    """Anybody may use it."""
    return _marked(endpoint, PUBLIC)


def for_user(endpoint: Endpoint) -> Endpoint:
    """Somebody who signed in may use it, on what is theirs."""
    return _marked(endpoint, USER)


def for_service(scope: str) -> Callable[[Endpoint], Endpoint]:
    """An operator or service whose token has the scope may use it; absent while there is no token at all."""
    if scope not in service_tokens.SCOPES:
        raise ValueError(f"there is no scope {scope}")
    return lambda endpoint: _marked(endpoint, f"{SERVICE}:{scope}")


def _marked(endpoint: Endpoint, access: str) -> Endpoint:
    endpoint.__dict__["access"] = access
    return endpoint


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    _strict: Any = None

    async def read(self) -> None:
        """Read and decode the body, before FastAPI does and would turn every trouble into the same one.

        Raises:
            Problem: 400, see `bodies.decode`.
        """
        if content := await self.body():
            self._strict = bodies.decode(content)

    async def json(self) -> Any:
        """The objects of the body."""
        return self._strict


class GuardedRoute(APIRoute):
    """A route with its access, checked before its body is read."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        access = endpoint.__dict__.get("access")
        if access is None:
            raise TypeError(f"{endpoint.__name__} ({path}) does not say who may use it")
        self.access: str = access
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Handler:
        """The handler behind all checks."""
        handle = super().get_route_handler()
        declared = {field.alias for field in self.dependant.query_params}
        takes_json = self.body_field is not None

        async def guarded(request: Request) -> Response:
            _known_query(request, declared)
            self._allowed(request)
            strict = StrictRequest(request.scope, request.receive)
            if takes_json:
                _is_json(request)
                await strict.read()
            return await handle(strict)

        return guarded

    def _allowed(self, request: Request) -> None:
        principal: Principal = request.state.principal
        kind, _, scope = self.access.partition(":")
        if kind == USER:
            principal.user()
        elif kind == SERVICE:
            services: Services = request.app.state.services
            with services.clash.read() as connection:
                if not service_tokens.live(connection, now_ms=services.wall.now_ms()):
                    raise not_found("page")
            principal.scoped(scope)
            request.state.scope = scope


def router(prefix: str, tag: str) -> APIRouter:
    """A router of guarded routes; `tag` is the area of the route table."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=GuardedRoute, generate_unique_id_function=operation_name)


def operation_name(route: Any) -> str:
    """The id of an operation: the name of its endpoint in camelCase, unique among them."""
    first, *others = str(route.name).split("_")
    return first + "".join(part.capitalize() for part in others)


def _known_query(request: Request, declared: set[str]) -> None:
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in declared:
            raise Problem(422, "unknown_parameter", "There is no such query parameter here.")
        if name in seen:
            raise Problem(422, "repeated_parameter", "A query parameter stands once.", pointer=f"?{name}")
        if len(value) > QUERY_VALUE_CHARACTERS:
            limit = f"A query value has at most {QUERY_VALUE_CHARACTERS} characters."
            raise Problem(422, "too_long", limit, pointer=f"?{name}")
        seen.add(name)


def _is_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" or "content-encoding" in request.headers:
        raise Problem(415, "unsupported_media_type", "Send application/json in UTF-8, without a content encoding.")
