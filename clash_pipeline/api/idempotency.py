"""`Idempotency-Key`: a repeat of a request that creates or pays gets the first answer (09 §4.4)."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from fastapi import Request, Response

from clash_pipeline import canonical
from clash_pipeline.api.principals import Principal
from clash_pipeline.api.problems import Problem
from clash_pipeline.clock import DAY_MS
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection, Database, Row

HEADER = "idempotency-key"
KEPT_MS = 7 * DAY_MS
_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where a key counts: for one principal, method and route."""

    principal: str
    method: str
    route: str
    key: str


class InFlight:
    """Keys whose first request is being worked on in this process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._places: set[Place] = set()

    def enter(self, place: Place) -> None:
        """Begin.

        Raises:
            Problem: 409 when another request with this key has not ended.
        """
        with self._guard:
            if place in self._places:
                detail = "A request with this key is being worked on."
                raise Problem(409, "request_in_progress", detail, headers={"retry-after": "1"})
            self._places.add(place)

    def leave(self, place: Place) -> None:
        """End."""
        with self._guard:
            self._places.discard(place)


def once(request: Request, body: object, work: Callable[[], object], *, status: int = 201) -> Response:
    """Do the work and keep its answer in one transaction; a repeat of the key gets that answer again.

    `work` returns a JSON-ready value; what it refuses is not kept, so that the same key may be used again.

    Raises:
        Problem: 400 without a usable key, 409 while the first is under way, 422 when the key came with another body.
    """
    services: Services = request.app.state.services
    flight: InFlight = request.app.state.in_flight
    place = _place(request)
    fingerprint = canonical.digest({"path": request.url.path, "body": body})
    flight.enter(place)
    try:
        return _once(services.clash, place, fingerprint, work, status, services.wall.now_ms())
    finally:
        flight.leave(place)


def once_beside(request: Request, body: object, work: Callable[[], object], *, status: int = 201) -> Response:
    """The same for work that asks a model or a store: it runs outside of any transaction, its answer is kept after it.

    Only for what may be done twice without harm, should the process end between the two.

    Raises:
        Problem: as `once`.
    """
    services: Services = request.app.state.services
    flight: InFlight = request.app.state.in_flight
    place = _place(request)
    fingerprint = canonical.digest({"path": request.url.path, "body": body})
    flight.enter(place)
    try:
        with services.clash.read() as connection:
            kept = _kept(connection, place)
        if kept is not None:
            return _repeated(kept, fingerprint)
        content = msgspec.json.encode(work())
        with services.clash.write() as connection:
            kept = _kept(connection, place)
            if kept is None:
                _keep(connection, place, fingerprint, status, content, services.wall.now_ms())
        return _answer(status, content) if kept is None else _repeated(kept, fingerprint)
    finally:
        flight.leave(place)


def forget(clash: Database, *, now_ms: int) -> int:
    """Drop the answers of more than seven days ago; returns how many."""
    with clash.write() as connection:
        return connection.execute("DELETE FROM idempotency_keys WHERE created_at <= ?", (now_ms - KEPT_MS,)).rowcount


def _once(
    clash: Database, place: Place, fingerprint: str, work: Callable[[], object], status: int, now_ms: int
) -> Response:
    with clash.read() as connection:
        kept = _kept(connection, place)
    if kept is None:
        with clash.together() as connection:
            kept = _kept(connection, place)
            if kept is None:
                content = msgspec.json.encode(work())
                _keep(connection, place, fingerprint, status, content, now_ms)
                return _answer(status, content)
    return _repeated(kept, fingerprint)


def _repeated(kept: Row, fingerprint: str) -> Response:
    if kept["fingerprint"] != fingerprint:
        raise Problem(422, "idempotency_key_reused", "This key came with another request before.")
    return _answer(kept["status"], kept["body"].encode(), {"idempotency-replayed": "true"})


def _place(request: Request) -> Place:
    principal: Principal = request.state.principal
    key = request.headers.get(HEADER)
    if key is None:
        raise Problem(400, "idempotency_key_required", "Send an Idempotency-Key, so that a repeat does no harm.")
    if not _KEY.fullmatch(key):
        detail = "An Idempotency-Key has 16 to 128 letters, digits, hyphens or underscores."
        raise Problem(400, "idempotency_key_invalid", detail)
    return Place(principal.name, request.method, request.scope["route"].path, key)


def _kept(connection: Connection, place: Place) -> Row | None:
    found: Row | None = connection.execute(
        """
        SELECT fingerprint, status, body FROM idempotency_keys
        WHERE principal = ? AND method = ? AND route = ? AND key = ?
        """,
        (place.principal, place.method, place.route, place.key),
    ).fetchone()
    return found


def _keep(connection: Connection, place: Place, fingerprint: str, status: int, content: bytes, now_ms: int) -> None:
    connection.execute(
        """
        INSERT INTO idempotency_keys (principal, method, route, key, fingerprint, status, body, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (place.principal, place.method, place.route, place.key, fingerprint, status, content.decode(), now_ms),
    )


def _answer(status: int, content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers=headers, media_type="application/json")
