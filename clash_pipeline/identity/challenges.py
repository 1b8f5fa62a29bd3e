"""Challenges: a message written for one address, to be signed once within five minutes."""

import random
from dataclasses import dataclass

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.identity import siwe
from clash_pipeline.identity.siwe import MESSAGE_BYTES, Message, SignatureInvalid, Site
from clash_pipeline.storage.sqlite import Connection, Database

LIVES_MS = 5 * MINUTE_MS
NONCE_CHARACTERS = 22
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
OPEN_AT_MOST = 20
"""Unused challenges of one address that may wait at a time; older ones make room."""


class ChallengeUnknown(ValueError):
    """Not a message that waits for its signature: never ours, changed, expired, used, or somebody else's."""


@dataclass(frozen=True)
class Challenge:
    """A message to sign, and until when."""

    message: str
    nonce: str
    issued_at: int
    expires_at: int


def issue(clash: Database, site: Site, address: str, chain_id: int, *, now_ms: int, source: random.Random) -> Challenge:
    """Write a new message for an address in lower case; `source` must be a secure one outside of tests."""
    nonce = "".join(source.choices(ALPHABET, k=NONCE_CHARACTERS))
    now_ms -= now_ms % 1_000
    message = Message(site, address, chain_id, nonce, now_ms, now_ms + LIVES_MS).text()
    with clash.write() as connection:
        _make_room(connection, address, now_ms)
        connection.execute(
            """
            INSERT INTO auth_challenges (message_hash, address, chain_id, issued_at, expires_at)
            VALUES (?, ?, ?, ?, ?)
            """,
            (canonical.sha256(message.encode()), address, chain_id, now_ms, now_ms + LIVES_MS),
        )
    return Challenge(message, nonce, now_ms, now_ms + LIVES_MS)


def signed_by(clash: Database, message: str, signature: str, *, now_ms: int) -> tuple[str, str]:
    """The address that a live challenge was written for, and the challenge's hash, when its owner signed it.

    Raises:
        ChallengeUnknown: there is no such live challenge.
        SignatureInvalid: the signature is malformed or another key's.
    """
    content = message.encode(errors="replace")
    if len(content) > MESSAGE_BYTES or not message.isascii() or "\r" in message:
        raise ChallengeUnknown("this is not a message that was issued here")
    digest = canonical.sha256(content)
    with clash.read() as connection:
        row = connection.execute(
            "SELECT address FROM auth_challenges WHERE message_hash = ? AND used_at IS NULL AND expires_at > ?",
            (digest, now_ms),
        ).fetchone()
    if row is None:
        raise ChallengeUnknown("this message is not waiting for a signature")
    if siwe.signer(message, signature) != row["address"]:
        raise SignatureInvalid("another key signed this message")
    return row["address"], digest


def consume(connection: Connection, digest: str, *, now_ms: int) -> None:
    """Use a challenge up, inside the transaction of what it allows; of many at once, one succeeds.

    Raises:
        ChallengeUnknown: used or expired meanwhile.
    """
    changed = connection.execute(
        "UPDATE auth_challenges SET used_at = ? WHERE message_hash = ? AND used_at IS NULL AND expires_at > ?",
        (now_ms, digest, now_ms),
    )
    if changed.rowcount != 1:
        raise ChallengeUnknown("this message was signed in with already, or has expired")


def _make_room(connection: Connection, address: str, now_ms: int) -> None:
    connection.execute("DELETE FROM auth_challenges WHERE expires_at <= ?", (now_ms - LIVES_MS,))
    connection.execute(
        """
        DELETE FROM auth_challenges WHERE message_hash IN (
          SELECT message_hash FROM auth_challenges WHERE address = ? AND used_at IS NULL
          ORDER BY issued_at DESC, message_hash LIMIT -1 OFFSET ?)
        """,
        (address, OPEN_AT_MOST - 1),
    )
