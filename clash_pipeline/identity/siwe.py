"""Sign-in with Ethereum: the message that we write, and who signed it (EIP-4361; 09 §5.3).

The server writes the whole message and knows it again by its hash, so nothing of what comes back is ever parsed to
decide anything. The strict parser only finds words for a message that is not ours.
"""

import re
from dataclasses import dataclass
from typing import Self

from clash_pipeline.clock import iso
from clash_pipeline.identity.addresses import checksummed
from clash_pipeline.identity.ethereum import eth_account

MESSAGE_BYTES = 2_048
VERSION = "1"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SIGNATURE = re.compile(r"0x[0-9a-f]{130}", re.ASCII)
_FORM = re.compile(
    r"(?P<domain>[a-z0-9.:\[\]-]{1,253}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n"
    r"\n(?P<statement>[\x20-\x7e]{1,280})\n\n"
    r"URI: (?P<uri>[\x21-\x7e]{1,512})\n"
    r"Version: 1\n"
    r"Chain ID: (?P<chain_id>[1-9][0-9]{0,17})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,64})\n"
    r"Issued At: (?P<issued_at>[0-9TZ:.+-]{20,35})\n"
    r"Expiration Time: (?P<expires_at>[0-9TZ:.+-]{20,35})",
    re.ASCII,
)


class SignatureInvalid(ValueError):
    """Not a signature, or not one that this curve and Ethereum's rules allow."""


@dataclass(frozen=True)
class Site:
    """What every message says of us; from the settings, never from a request."""

    domain: str
    uri: str
    statement: str


@dataclass(frozen=True)
class Message:
    """The fields of a sign-in message; times in ms."""

    site: Site
    address: str
    chain_id: int
    nonce: str
    issued_at: int
    expires_at: int

    def text(self) -> str:
        """Exactly what is signed."""
        return "\n".join(
            (
                f"{self.site.domain} wants you to sign in with your Ethereum account:",
                checksummed(self.address),
                "",
                self.site.statement,
                "",
                f"URI: {self.site.uri}",
                f"Version: {VERSION}",
                f"Chain ID: {self.chain_id}",
                f"Nonce: {self.nonce}",
                f"Issued At: {iso(self.issued_at)}",
                f"Expiration Time: {iso(self.expires_at)}",
            )
        )


@dataclass(frozen=True)
class Parsed:
    """A message of the right form, as text; it proves nothing."""

    domain: str
    address: str
    statement: str
    uri: str
    chain_id: str
    nonce: str
    issued_at: str
    expires_at: str

    @classmethod
    def of(cls, text: str) -> Self | None:
        """The fields of a message, or None when it has not exactly our form; linear in its length."""
        found = _FORM.fullmatch(text) if len(text) <= MESSAGE_BYTES else None
        return None if found is None else cls(**found.groupdict())


def signer(text: str, signature: str) -> str:
    """The address, in lower case, whose key signed the text as a personal message (EIP-191).

    Raises:
        SignatureInvalid: not 65 bytes of hexadecimal, r or s out of range, s in the upper half, v not 0, 1, 27 or 28,
            or no point of the curve.
    """
    lowered = signature.lower()
    if signature[:2] != "0x" or not _SIGNATURE.fullmatch(lowered):
        raise SignatureInvalid("a signature is 0x and 130 hexadecimal digits")
    r, s, v = int(lowered[2:66], 16), int(lowered[66:130], 16), int(lowered[130:], 16)
    parity = {0: 0, 1: 1, 27: 0, 28: 1}.get(v)
    if parity is None or not 0 < r < CURVE_ORDER or not 0 < s <= CURVE_ORDER // 2:
        raise SignatureInvalid("the signature is out of range")
    return _recovered(text, r, s, parity)


def _recovered(text: str, r: int, s: int, parity: int) -> str:
    library = eth_account()
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    try:
        recovered = library.Account.recover_message(library.messages.encode_defunct(text=text), vrs=(27 + parity, r, s))
    except (BadSignature, ValidationError, ValueError, TypeError):
        raise SignatureInvalid("the signature is no point of the curve") from None
    return str(recovered).lower()
