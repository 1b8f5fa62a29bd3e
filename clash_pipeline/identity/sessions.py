"""Sessions: short access tokens, and refresh tokens that are used once each (09 §5.3).

A refresh token names its session and its place in the row of them, and proves both with a key that only the server has;
so every token ever issued can be told from an invented one without storing any. A token that was already used revokes
the whole session, except the immediate parent within ten seconds while its successor is unused: the answer was lost on
its way, and the same successor is given again.
"""

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from clash_pipeline import canonical
from clash_pipeline.clock import DAY_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.identity import challenges, users
from clash_pipeline.storage.sqlite import Connection, Database, Row

ACCESS_MS = 10 * MINUTE_MS
REFRESH_MS = 30 * DAY_MS
LOST_ANSWER_MS = 10 * SECOND_MS
ISSUER = "clash-of-clones"
AUDIENCE = "clash-api"
KEY_BYTES = 32
_REFRESH = re.compile(r"(?P<id>[0-9a-f]{32})\.(?P<counter>0|[1-9][0-9]{0,9})\.(?P<proof>[0-9a-f]{64})", re.ASCII)

Reason = Literal["logout", "reuse", "expired", "operator"]


class SessionRefused(ValueError):
    """No live session stands behind this token; why is never told to the one who asks."""


@dataclass(frozen=True)
class Keys:
    """The two secrets of sessions, both derived from the one that is configured."""

    access: bytes
    refresh: bytes

    @classmethod
    def of(cls, secret: bytes) -> "Keys":
        """Derive both.

        Raises:
            ValueError: fewer than 32 bytes.
        """
        if len(secret) < KEY_BYTES:
            raise ValueError(f"a session key has at least {KEY_BYTES} bytes, not {len(secret)}")
        return cls(_mac(secret, "access"), _mac(secret, "refresh"))

    def __repr__(self) -> str:
        return "Keys(…)"


@dataclass(frozen=True)
class Tokens:
    """What a client keeps: both tokens, and until when each is good."""

    access: str
    access_expires_at: int
    refresh: str
    refresh_expires_at: int

    def __repr__(self) -> str:
        return "Tokens(…)"


@dataclass(frozen=True)
class Session:
    """A live session."""

    id: str
    user_id: int
    address: str


def sign_in(
    clash: Database, keys: Keys, message: str, signature: str, *, session_id: str, now_ms: int
) -> tuple[Session, Tokens]:
    """Open a session for the wallet that signed a live challenge; of many at once, one succeeds.

    `session_id` is 32 hexadecimal digits from a secure source.

    Raises:
        ChallengeUnknown, SignatureInvalid: as `challenges.signed_by`.
    """
    address, digest = challenges.signed_by(clash, message, signature, now_ms=now_ms)
    with clash.write() as connection:
        challenges.consume(connection, digest, now_ms=now_ms)
        user_id = users.of_wallet(connection, address, now_ms=now_ms)
        session = Session(session_id, user_id, address)
        refresh = _refresh_token(keys, session_id, 0)
        connection.execute(
            """
            INSERT INTO auth_sessions
              (id, user_id, address, counter, token_hash, rotated_at, created_at, expires_at)
            VALUES (?, ?, ?, 0, ?, ?, ?, ?)
            """,
            (session_id, user_id, address, _hash(refresh), now_ms, now_ms, now_ms + REFRESH_MS),
        )
    return session, _tokens(keys, session, refresh, now_ms, now_ms + REFRESH_MS)


def refresh(clash: Database, keys: Keys, token: str, *, now_ms: int) -> tuple[Session, Tokens]:
    """Exchange a refresh token for its successor and a new access token.

    Raises:
        SessionRefused: invented, expired, revoked, or used before (which revokes the session).
    """
    session_id, counter = _proved(keys, token)
    with clash.write() as connection:
        row = _row(connection, session_id)
        if row is None or row["revoked_at"] is not None or row["expires_at"] <= now_ms:
            raise SessionRefused("the session has ended")
        is_lost_answer = counter == row["counter"] - 1 and now_ms - row["rotated_at"] <= LOST_ANSWER_MS
        was_used_before = counter != row["counter"] and not is_lost_answer
        if was_used_before:
            _revoke(connection, session_id, "reuse", now_ms)
        elif not is_lost_answer:
            _rotate(connection, keys, session_id, counter, now_ms)
    if was_used_before:  # raised after the commit, for the revocation must last
        raise SessionRefused("the token was used before")
    session = Session(row["id"], row["user_id"], row["address"])
    return session, _tokens(keys, session, _refresh_token(keys, session_id, counter + 1), now_ms, row["expires_at"])


def log_out(clash: Database, session_id: str, *, now_ms: int, reason: Reason = "logout") -> bool:
    """End a session at once; False when it had ended."""
    with clash.write() as connection:
        return _revoke(connection, session_id, reason, now_ms)


def of_access_token(connection: Connection, keys: Keys, token: str, *, now_ms: int) -> Session:
    """The live session of an access token; its row is read each time, so that logging out acts at once.

    Raises:
        SessionRefused: forged, of another kind, expired, or its session has ended.
    """
    claims = _claims(keys, token, now_ms)
    session = of_id(connection, str(claims["sid"]), now_ms=now_ms)
    if str(session.user_id) != claims["sub"]:
        raise SessionRefused("the token names another user")
    return session


def of_id(connection: Connection, session_id: str, *, now_ms: int) -> Session:
    """A live session by its id, for callers of this process that proved it before.

    Raises:
        SessionRefused: it has ended.
    """
    row = _row(connection, session_id)
    if row is None or row["revoked_at"] is not None or row["expires_at"] <= now_ms:
        raise SessionRefused("the session has ended")
    return Session(row["id"], row["user_id"], row["address"])


def is_live(connection: Connection, session_id: str, *, now_ms: int) -> bool:
    """Whether a session goes on: what an answer that lasts asks from time to time."""
    row = _row(connection, session_id)
    return row is not None and row["revoked_at"] is None and row["expires_at"] > now_ms


def forget(clash: Database, *, now_ms: int) -> int:
    """Drop the rows of sessions that ended by time; returns how many."""
    with clash.write() as connection:
        return connection.execute("DELETE FROM auth_sessions WHERE expires_at <= ?", (now_ms - DAY_MS,)).rowcount


def _tokens(keys: Keys, session: Session, refresh_token: str, now_ms: int, expires_at: int) -> Tokens:
    import jwt

    until = min(now_ms + ACCESS_MS, expires_at)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(session.user_id),
        "sid": session.id,
        "iat": now_ms // SECOND_MS,
        "exp": until // SECOND_MS,
    }
    return Tokens(jwt.encode(claims, keys.access, algorithm="HS256"), until, refresh_token, expires_at)


def _claims(keys: Keys, token: str, now_ms: int) -> dict[str, object]:
    import jwt

    if not token.isascii() or len(token) > 2_048:
        raise SessionRefused("not a token of ours")
    try:
        claims = jwt.decode(
            token,
            keys.access,
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            # the time is ours to judge: it may be a replayed one
            options={"require": ["exp", "sid", "sub", "iat"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        raise SessionRefused("not a token of ours") from None
    if not isinstance(claims["exp"], int) or claims["exp"] * SECOND_MS <= now_ms:
        raise SessionRefused("the token has expired")
    return dict(claims)


def _proved(keys: Keys, token: str) -> tuple[str, int]:
    found = _REFRESH.fullmatch(token)
    if found is None:
        raise SessionRefused("not a token of ours")
    session_id, counter = found["id"], int(found["counter"])
    if not hmac.compare_digest(token, _refresh_token(keys, session_id, counter)):
        raise SessionRefused("not a token of ours")
    return session_id, counter


def _rotate(connection: Connection, keys: Keys, session_id: str, counter: int, now_ms: int) -> None:
    following = _hash(_refresh_token(keys, session_id, counter + 1))
    changed = connection.execute(
        "UPDATE auth_sessions SET counter = ?, token_hash = ?, rotated_at = ? WHERE id = ? AND counter = ?",
        (counter + 1, following, now_ms, session_id, counter),
    )
    if changed.rowcount != 1:
        raise SessionRefused("the token was used meanwhile")


def _revoke(connection: Connection, session_id: str, reason: Reason, now_ms: int) -> bool:
    changed = connection.execute(
        "UPDATE auth_sessions SET revoked_at = ?, revoked_reason = ? WHERE id = ? AND revoked_at IS NULL",
        (now_ms, reason, session_id),
    )
    return changed.rowcount == 1


def _row(connection: Connection, session_id: str) -> Row | None:
    found: Row | None = connection.execute("SELECT * FROM auth_sessions WHERE id = ?", (session_id,)).fetchone()
    return found


def _refresh_token(keys: Keys, session_id: str, counter: int) -> str:
    proof = hmac.new(keys.refresh, f"{session_id}.{counter}".encode(), sha256).hexdigest()
    return f"{session_id}.{counter}.{proof}"


def _mac(secret: bytes, purpose: str) -> bytes:
    return hmac.new(secret, f"clash/{purpose}/1".encode(), sha256).digest()


def _hash(token: str) -> str:
    return canonical.sha256(token.encode())
