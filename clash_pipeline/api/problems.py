"""Problem details (RFC 9457): every refusal has a stable code, names field and limit, and echoes nothing of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TITLES: Mapping[int, str] = {
    400: "The request cannot be read",
    401: "Sign in first",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This cannot be done here",
    406: "The answer cannot be given in that form",
    408: "The request came too slowly",
    409: "This does not fit what is there",
    412: "Somebody changed it meanwhile",
    413: "The request is too large",
    415: "The content type is not understood",
    422: "Something in the request is not acceptable",
    428: "Say which version you changed",
    429: "Too many requests",
    431: "The headers are too large",
    500: "Something went wrong on our side",
    503: "Not possible right now",
}


class Problem(Exception):
    """A refusal on its way to the client; raised anywhere below a route.

    `detail` is written by us and holds no value that the client sent; `pointer` is a JSON pointer into the body, or
    `?name` of a query parameter; `more` are further members, such as the list of a graph's problems.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def response(self, request_id: str) -> Response:
        """The problem as an answer."""
        body: dict[str, Any] = {
            "type": f"urn:clash:problem:{self.code}",
            "title": TITLES.get(self.status, "The request was refused"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "requestId": request_id,
        }
        if self.pointer is not None:
            body["pointer"] = self.pointer
        return Response(msgspec.json.encode(body | self.more), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def not_found(what: str = "resource") -> Problem:
    """Absent and foreign things answer alike."""
    return Problem(404, "not_found", f"There is no such {what}.")


def unauthorised() -> Problem:
    """No token, a bad one, an expired one: the same body, whatever is wrong with it."""
    return Problem(
        401, "unauthorised", "A valid access token is needed.", headers={"www-authenticate": 'Bearer realm="clash"'}
    )


def unavailable(code: str, detail: str, *, retry_after_sec: int = 1) -> Problem:
    """Nothing was changed; the same request may succeed later."""
    return Problem(503, code, detail, headers={"retry-after": str(retry_after_sec)})


def payout_paused() -> Problem:
    """A switch, a cap, a silent chain or no signer: deliberate, so no answer of a failing server."""
    return Problem(409, "payout_paused", "Nothing is paid out now; what is owed stays owed.")


def rate_limited(wait_sec: int) -> Problem:
    """Too many requests; when there is room again."""
    headers = {"retry-after": str(max(wait_sec, 1))}
    return Problem(429, "rate_limited", "Too many requests in a minute.", headers=headers)
