"""Tokens of operators: shown once, kept as a hash, bound to scopes, ended at once, and each use is written down."""

import pytest

from clash_pipeline.identity import service_tokens
from clash_pipeline.identity.service_tokens import TokenError, TokenRefused
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError
from tests.identity.conftest import T0

SECRET = bytes(range(32))


def _made(clash: Database, name: str = "ops", **more: object) -> str:
    arguments: dict[str, object] = {"secret": SECRET, "actor": "operator", "now_ms": T0} | more
    return service_tokens.create(clash, name, ("moderation", "accounts"), **arguments)[1]  # type: ignore[arg-type]


def _found(connection: Connection, text: str, now_ms: int = T0) -> service_tokens.ServiceToken:
    return service_tokens.of_text(connection, text, now_ms=now_ms)


def test_a_token_is_found_by_its_text_and_stored_as_a_hash(clash: Database) -> None:
    text = _made(clash)
    with clash.read() as connection:
        assert _found(connection, text).scopes == ("accounts", "moderation")
        stored = repr([tuple(row) for row in connection.execute("SELECT * FROM service_tokens")])
    assert text not in stored
    assert SECRET.hex() not in stored


def test_a_revoked_or_expired_token_is_refused(clash: Database) -> None:
    text = _made(clash, expires_at=T0 + 10)
    other = _made(clash, "other", secret=bytes(32))
    assert service_tokens.revoke(clash, "other", now_ms=T0)
    assert not service_tokens.revoke(clash, "other", now_ms=T0)
    with clash.read() as connection:
        for refused, now_ms in ((text, T0 + 10), (other, T0), (text.upper(), T0), ("", T0), (text + " ", T0)):
            with pytest.raises(TokenRefused):
                _found(connection, refused, now_ms)
        assert [token.name for token in service_tokens.live(connection, now_ms=T0)] == ["ops"]


def test_what_makes_no_token(clash: Database) -> None:
    _made(clash)
    with pytest.raises(TokenError, match="live token named ops"):
        _made(clash)
    with pytest.raises(TokenError, match="not everything"):
        service_tokens.create(clash, "x", ("everything",), secret=SECRET, actor="a", now_ms=T0)
    with pytest.raises(TokenError, match="32 random bytes, not 4"):
        service_tokens.create(clash, "x", ("health",), secret=b"1234", actor="a", now_ms=T0)


def test_uses_are_written_down_for_good(clash: Database) -> None:
    text = _made(clash)
    with clash.write() as connection:
        token = _found(connection, text)
        service_tokens.used(connection, token, "moderation", "POST /api/v1/admin/profiles/{id}/approve", 200, now_ms=T0)
    with pytest.raises(IntegrityError, match="append-only"), clash.write() as connection:
        connection.execute("DELETE FROM service_token_uses")
