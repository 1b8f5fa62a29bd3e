"""Tokens of operators and services: random, scoped, hashed, and every use of one written down (09 §5.3.7)."""

import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

from clash_pipeline import canonical
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError, Row, one

Scope = Literal["accounts", "arena", "economy", "health", "ingestion", "moderation"]
SCOPES: tuple[str, ...] = get_args(Scope)
PREFIX = "clash_"
SECRET_BYTES = 32
_TOKEN = re.compile(r"clash_[0-9a-f]{64}", re.ASCII)


class TokenError(ValueError):
    """A token that cannot be made or found; one line for a person."""


class TokenRefused(ValueError):
    """Not a live token, or one without the scope."""


@dataclass(frozen=True)
class ServiceToken:
    """A token as stored; its text is known only to whoever was given it."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: int
    created_by: str
    expires_at: int | None


def create(
    clash: Database,
    name: str,
    scopes: tuple[str, ...],
    *,
    secret: bytes,
    actor: str,
    now_ms: int,
    expires_at: int | None = None,
) -> tuple[ServiceToken, str]:
    """A new token, and its text, which is shown once; `secret` is 32 bytes from a secure source.

    Raises:
        TokenError: no scope, an unknown one, too short a secret, or a live token of that name.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise TokenError(f"scopes are some of {', '.join(SCOPES)}{f', not {unknown[0]}' if unknown else ''}")
    if len(secret) < SECRET_BYTES:
        raise TokenError(f"a token has {SECRET_BYTES} random bytes, not {len(secret)}")
    text = f"{PREFIX}{secret.hex()}"
    kept = tuple(sorted(set(scopes)))
    try:
        with clash.write() as connection:
            identifier: int = one(
                connection,
                """
                INSERT INTO service_tokens (name, scopes, token_hash, created_at, created_by, expires_at)
                VALUES (?, ?, ?, ?, ?, ?) RETURNING id
                """,
                (name, json.dumps(kept), canonical.sha256(text.encode()), now_ms, actor, expires_at),
            )
    except IntegrityError:
        raise TokenError(f"there is a live token named {name}, or the name is not 1 to 64 characters") from None
    return ServiceToken(identifier, name, kept, now_ms, actor, expires_at), text


def revoke(clash: Database, name: str, *, now_ms: int) -> bool:
    """End a token at once; False when no live one has that name."""
    with clash.write() as connection:
        changed = connection.execute(
            "UPDATE service_tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (now_ms, name)
        )
    return changed.rowcount == 1


def live(connection: Connection, *, now_ms: int) -> list[ServiceToken]:
    """Every token that works now, by name."""
    rows = connection.execute(
        """
        SELECT id, name, scopes, created_at, created_by, expires_at FROM service_tokens
        WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) ORDER BY name
        """,
        (now_ms,),
    )
    return [_token(row) for row in rows]


def of_text(connection: Connection, text: str, *, now_ms: int) -> ServiceToken:
    """The live token of a text; looked up by its hash, so no secret is ever compared character by character.

    Raises:
        TokenRefused: malformed, unknown, revoked or expired.
    """
    row = None
    if _TOKEN.fullmatch(text):
        row = connection.execute(
            """
            SELECT id, name, scopes, created_at, created_by, expires_at FROM service_tokens
            WHERE token_hash = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
            """,
            (canonical.sha256(text.encode()), now_ms),
        ).fetchone()
    if row is None:
        raise TokenRefused("not a live token")
    return _token(row)


def used(connection: Connection, token: ServiceToken, scope: str, action: str, status: int, *, now_ms: int) -> None:
    """Write a use down."""
    connection.execute(
        "INSERT INTO service_token_uses (token_id, scope, action, status, used_at) VALUES (?, ?, ?, ?, ?)",
        (token.id, scope, action[:200], status, now_ms),
    )


def _token(row: Row) -> ServiceToken:
    return ServiceToken(**{**dict(row), "scopes": tuple(json.loads(row["scopes"]))})
