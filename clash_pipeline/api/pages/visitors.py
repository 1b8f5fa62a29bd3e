"""Who looks at a page: an operator who showed a service token, a user who signed with a wallet, both, or anybody.

A browser keeps one random cookie for each; what it stands for stays in this process, so a restart signs everybody out.
The token or session behind it is read again on every request: revoking it, or logging out anywhere, acts at once.
"""

import hmac
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.identity import service_tokens, sessions
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.identity.sessions import Session, SessionRefused
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection

Kind = Literal["operator", "user"]
COOKIES: Final[dict[Kind, str]] = {"operator": "clash-operator", "user": "clash-user"}
LIFETIME_MS = 12 * HOUR_MS
MOST = 10_000
"""So many sign-ins are remembered; beyond them the oldest ends."""


@dataclass(frozen=True)
class SignIn:
    """One sign-in of a browser. `subject` is the id of a service token or of a session; `form_key` goes into forms."""

    kind: Kind
    subject: str
    form_key: str
    expires_at: int


@dataclass(frozen=True)
class Visitor:
    """Who asks for a page."""

    operator: ServiceToken | None = None
    user: Session | None = None
    form_keys: tuple[str, ...] = ()

    def may(self, scope: str) -> bool:
        """Whether an operator with the scope is signed in."""
        return self.operator is not None and scope in self.operator.scopes

    @property
    def form_key(self) -> str:
        """What forms carry, so that no other site can fill them in."""
        return self.form_keys[0] if self.form_keys else ""

    def filled_in(self, form_key: str) -> bool:
        """Whether a form was given out to this browser."""
        given = form_key.encode()
        return any(hmac.compare_digest(given, known.encode()) for known in self.form_keys)


NOBODY = Visitor()


@dataclass
class SignIns:
    """The sign-ins of one process, by the hash of their cookie."""

    source: random.Random
    is_secure: bool
    _known: "OrderedDict[str, SignIn]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def begin(self, response: Response, kind: Kind, subject: str, *, now_ms: int) -> None:
        """Remember a sign-in and give its cookie to the browser."""
        text, form_key = (f"{self.source.getrandbits(256):064x}" for _ in range(2))
        with self._lock:
            self._known[canonical.sha256(text.encode())] = SignIn(kind, subject, form_key, now_ms + LIFETIME_MS)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        response.set_cookie(
            self.name(kind), text, max_age=LIFETIME_MS // 1_000, path="/", secure=self.is_secure, httponly=True,
            samesite="strict",
        )  # fmt: skip

    def end(self, connection: HTTPConnection, response: Response, kind: Kind) -> SignIn | None:
        """Forget a sign-in, and take its cookie back; returns what it was."""
        text = connection.cookies.get(self.name(kind), "")
        response.delete_cookie(
            self.name(kind), path="/", secure=self.is_secure, httponly=True, samesite="strict"
        )  # fmt: skip
        with self._lock:
            return self._known.pop(canonical.sha256(text.encode()), None)

    def name(self, kind: Kind) -> str:
        """The cookie's name; over HTTPS one that no other host of the domain can set."""
        return f"__Host-{COOKIES[kind]}" if self.is_secure else COOKIES[kind]

    def visitor(self, connection: HTTPConnection, services: Services) -> Visitor:
        """Who asks; cookies that stand for nothing any more are as none."""
        now_ms = services.wall.now_ms()
        found = {kind: self._live(connection, kind, now_ms) for kind in COOKIES}
        if not any(found.values()):
            return NOBODY
        with services.clash.read() as reading:
            operator, user = found["operator"], found["user"]
            token = _token(reading, operator, now_ms) if operator else None
            session = _session(reading, user, now_ms) if user else None
        behind = {"operator": token, "user": session}
        return Visitor(token, session, tuple(one.form_key for kind, one in found.items() if one and behind[kind]))

    def _live(self, connection: HTTPConnection, kind: Kind, now_ms: int) -> SignIn | None:
        text = connection.cookies.get(self.name(kind))
        if text is None:
            return None
        with self._lock:
            found = self._known.get(canonical.sha256(text.encode("utf-8", "replace")))
        return found if found and found.kind == kind and found.expires_at > now_ms else None


def _token(connection: Connection, operator: SignIn, now_ms: int) -> ServiceToken | None:
    live = service_tokens.live(connection, now_ms=now_ms)
    return next((token for token in live if str(token.id) == operator.subject), None)


def _session(connection: Connection, user: SignIn, now_ms: int) -> Session | None:
    try:
        return sessions.of_id(connection, user.subject, now_ms=now_ms)
    except SessionRefused:
        return None
