"""Who asks: a user by an access token, an operator or service by a service token, or somebody by their address."""

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from starlette.requests import HTTPConnection

from clash_pipeline.api.problems import Problem, unauthorised
from clash_pipeline.identity import service_tokens, sessions
from clash_pipeline.identity.service_tokens import ServiceToken, TokenRefused
from clash_pipeline.identity.sessions import Keys, Session, SessionRefused
from clash_pipeline.storage.sqlite import Database

SERVICE_HEADER = "x-service-token"


@dataclass(frozen=True)
class Principal:
    """One who asks. `is_refused` says that a token was shown and is no good, which is not the same as none."""

    address: str
    session: Session | None = None
    service: ServiceToken | None = None
    is_refused: bool = False

    @property
    def name(self) -> str:
        """What rate limits and idempotency keys are kept by."""
        if self.session is not None:
            return f"user:{self.session.user_id}"
        if self.service is not None:
            return f"service:{self.service.id}"
        return f"address:{self.address}"

    def user(self) -> Session:
        """The session.

        Raises:
            Problem: 401 without a good one.
        """
        if self.session is None:
            raise unauthorised()
        return self.session

    def scoped(self, scope: str) -> ServiceToken:
        """The service token, when it has the scope.

        Raises:
            Problem: 401 without a token, 403 with one that may not do this.
        """
        if self.service is None:
            raise Problem(403, "forbidden", "This needs a service token.") if self.session else unauthorised()
        if scope not in self.service.scopes:
            raise Problem(403, "forbidden", f"This needs a service token with the scope {scope}.")
        return self.service


def of_request(
    connection: HTTPConnection, clash: Database, keys: Keys, *, trusted_proxies: frozenset[str], now_ms: int
) -> Principal:
    """Find out who asks; reads the session or token row each time, so that ending one acts at once."""
    address = client_address(connection, trusted_proxies)
    authorization = connection.headers.get("authorization")
    service = connection.headers.get(SERVICE_HEADER)
    if authorization is None and service is None:
        return Principal(address)
    try:
        with clash.read() as reading:
            if service is not None:
                if authorization is not None:
                    raise TokenRefused("two identities at once")
                return Principal(address, service=service_tokens.of_text(reading, service, now_ms=now_ms))
            scheme, _, token = (authorization or "").partition(" ")
            if scheme.lower() != "bearer":
                raise SessionRefused("another scheme")
            return Principal(address, session=sessions.of_access_token(reading, keys, token, now_ms=now_ms))
    except (SessionRefused, TokenRefused):
        return Principal(address, is_refused=True)


def client_address(connection: HTTPConnection, trusted_proxies: frozenset[str]) -> str:
    """The peer's address; the one a trusted proxy names, where the peer is one. Others' headers say nothing.

    Some proxies add a line of their own instead of a word to the last one, so all lines are read as one list.
    """
    peer = connection.client.host if connection.client else "unknown"
    if peer not in trusted_proxies:
        return _neighbourhood(peer) or peer
    hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    named = next((hop for part in reversed(hops) if (hop := part.strip()) not in trusted_proxies), "")
    return _neighbourhood(named) or peer


def _neighbourhood(address: str) -> str:
    """An address as it is counted: one host of IPv4, the /64 of IPv6 that a single customer has to themselves."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
