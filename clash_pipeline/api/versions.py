"""ETags: who changes a thing says which version of it they saw, so that no update is lost."""

from fastapi import Request

from clash_pipeline import canonical
from clash_pipeline.api.problems import Problem


def etag(value: object) -> str:
    """The strong ETag of a value's canonical JSON."""
    return f'"{canonical.digest(value)[:32]}"'


def require_match(request: Request, current: str) -> None:
    """Refuse a change of another version than the present one.

    Raises:
        Problem: 428 without `If-Match`, 412 with a stale one.
    """
    given = request.headers.get("if-match")
    if given is None:
        raise Problem(428, "if_match_required", "Send the ETag that you changed as If-Match.")
    if given.strip() != "*" and current not in [part.strip() for part in given.split(",")]:
        raise Problem(412, "stale", "It was changed since you read it.", headers={"etag": current})


def is_unchanged(request: Request, current: str) -> bool:
    """Whether the client already has this version (`If-None-Match`), so that 304 will do."""
    given = request.headers.get("if-none-match", "")
    return current in [part.strip().removeprefix("W/") for part in given.split(",")]
