"""The application: routes behind limits, identity and rates, with every refusal as a problem document."""

import random
import secrets
from traceback import extract_tb

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clash_pipeline.api import documenting, principals, refusals, uses
from clash_pipeline.api.auth_rates import AuthRates
from clash_pipeline.api.idempotency import InFlight
from clash_pipeline.api.limits import LimitMiddleware, Limits
from clash_pipeline.api.metrics import MeterMiddleware
from clash_pipeline.api.pages import rendering, table
from clash_pipeline.api.paging import Cursors
from clash_pipeline.api.problems import Problem, rate_limited
from clash_pipeline.api.rates import Allowance
from clash_pipeline.api.routes import AREAS
from clash_pipeline.api.streaming import Streams
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.identity.sessions import Keys
from clash_pipeline.identity.siwe import Site
from clash_pipeline.services import Services

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    b"cross-origin-opener-policy": b"same-origin",
}
UNLIMITED = frozenset({"/healthz", "/readyz"})
log = structlog.get_logger(__name__)


def create_app(services: Services, secret: bytes, source: random.Random | None = None) -> FastAPI:
    """The application over some services; `secret` is the session key, `source` where nonces and ids come from.

    Raises:
        ValueError: the session key has fewer than 32 bytes.
    """
    app = FastAPI(title="Clash of Clones", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    settings, keys = services.settings, Keys.of(secret)
    app.state.services = services
    app.state.keys = keys
    app.state.site = Site(settings.api_domain, str(settings.api_url), settings.sign_in_statement)
    app.state.auth_rates = AuthRates.from_settings(settings)
    app.state.source = source or secrets.SystemRandom()
    app.state.in_flight = InFlight()
    app.state.cursors = Cursors(keys.refresh)
    app.state.streams = Streams()
    for area in AREAS:  # including a router costs each request a walk through nested routers, a fifth of its time
        app.router.routes.extend(area.routes)
    documenting.install(app, AREAS)
    table.install(app, app.state.source, str(settings.api_url))
    _answer_problems(app)
    _guard(app, services, keys)
    return app


def _answer_problems(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _respond)
    for kind in (RequestValidationError, HTTPException, *refusals.REFUSALS):
        app.add_exception_handler(kind, _respond)


def _respond(request: Request, error: Exception) -> Response:
    problem = refusals.problem_of(error)
    if problem.status == 405:  # routing names the methods of the first route with this path alone
        problem.headers["allow"] = ", ".join(_methods(request))
    return rendering.refusal(request, problem)


def _methods(request: Request) -> list[str]:
    routes = (route for route in request.app.router.routes if isinstance(route, Route))
    found = (route.methods or () for route in routes if route.path_regex.match(request.scope["path"]))
    return sorted({method for methods in found for method in methods})


def _guard(app: FastAPI, services: Services, keys: Keys) -> None:
    """The layers around the routes; the last one added is the outermost."""
    settings = services.settings
    app.add_middleware(IdentityMiddleware, services=services, keys=keys)
    limits = Limits(
        body_bytes=settings.api_body_bytes,
        image_bytes=settings.api_image_bytes,
        receive_sec=settings.api_receive_sec,
        answer_sec=settings.api_answer_sec,
    )
    app.add_middleware(LimitMiddleware, limits=limits)
    if origins := listed(settings.api_cors_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", "if-match", "if-none-match"],
            expose_headers=["etag", "retry-after", "x-request-id", "idempotency-replayed"],
        )
    app.add_middleware(OuterMiddleware, source=app.state.source)
    app.add_middleware(MeterMiddleware)


def listed(text: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


class OuterMiddleware:
    """Gives each request an id, each answer its security headers, and turns what nobody caught into a 500 problem."""

    def __init__(self, app: ASGIApp, source: random.Random) -> None:
        self._app = app
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._source.getrandbits(64):016x}"
        scope.setdefault("state", {})["request_id"] = request_id
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _with_headers(message["headers"], request_id)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            problem = _uncaught(error, request_id)
            if not begun:
                await problem.response(request_id)(scope, receive, answer)


def _uncaught(error: Exception, request_id: str) -> Problem:
    """What is told of an error around the routes: a busy store is none of ours, anything else is written down."""
    if isinstance(error, tuple(refusals.REFUSALS)):
        return refusals.problem_of(error)
    frames = reversed(extract_tb(error.__traceback__)[-6:])
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in frames)
    log.error("request_failed", request_id=request_id, error=type(error).__name__, where=where)
    return Problem(500, "internal_error", "This was written down under the request id.")


def _with_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    have = {name.lower() for name, _ in headers}
    extra = [(name, value) for name, value in HEADERS.items() if name not in have]
    if b"cache-control" not in have:
        extra.append((b"cache-control", b"no-store"))
    return [*headers, *extra, (b"x-request-id", request_id.encode())]


class IdentityMiddleware:
    """Finds out who asks, counts their requests, and writes down what a service token was used for."""

    def __init__(self, app: ASGIApp, services: Services, keys: Keys) -> None:
        self._app = app
        self._services = services
        self._keys = keys
        self._proxies = frozenset(listed(services.settings.api_trusted_proxies))
        self._reads = Allowance(services.settings.api_reads_per_minute)
        self._writes = Allowance(services.settings.api_writes_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        now_ms = self._services.wall.now_ms()
        principal = principals.of_request(
            HTTPConnection(scope), self._services.clash, self._keys, trusted_proxies=self._proxies, now_ms=now_ms
        )
        scope["state"]["principal"] = principal
        if scope["path"] not in UNLIMITED:
            allowance = self._reads if scope["method"] in ("GET", "HEAD", "OPTIONS") else self._writes
            if (wait := allowance.take(principal.name, now_ms)) is not None:
                await rate_limited(wait).response(scope["state"]["request_id"])(scope, receive, send)
                return
        if principal.service is None:
            await self._app(scope, receive, send)
        else:
            await self._audited(scope, receive, send, principal.service)

    async def _audited(self, scope: Scope, receive: Receive, send: Send, token: ServiceToken) -> None:
        failed: Problem | None = None

        async def answer(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "(no route)")
                used = scope["state"].get("scope", "(none)")
                failed = await uses.write_down(
                    self._services, token, used, scope["method"], route, message["status"]
                )  # fmt: skip
            if failed is None:
                await send(message)

        await self._app(scope, receive, answer)
        if failed is not None:
            await failed.response(scope["state"]["request_id"])(scope, receive, send)
