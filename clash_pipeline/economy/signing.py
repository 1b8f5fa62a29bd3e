"""The signer of payouts: one object with one method, which knows the key and says nothing of it (09 §4.8).

The key comes from the settings, that is from the environment, into this one object of one process. Whoever signs, here
or elsewhere, what comes back is checked: its form, its half of the curve, and the address behind it.
"""

import resource
from dataclasses import dataclass
from typing import NoReturn, Protocol

from pydantic import SecretStr

from clash_pipeline.economy.chain.contract import Vault, Withdrawal, digest, typed_data
from clash_pipeline.economy.chain.remote_signer import RemoteSigner
from clash_pipeline.economy.chain.signatures import recovered
from clash_pipeline.identity.ethereum import eth_account
from clash_pipeline.identity.siwe import SignatureInvalid
from clash_pipeline.settings import Settings, SettingsError


@dataclass(frozen=True)
class AuthorisationRow:
    """What is signed: exactly the stored row, and the vault it is for."""

    vault: Vault
    allowed: Withdrawal
    digest: str


class SignerBroken(RuntimeError):
    """A signer answered something that is no signature of our resolver over this row."""


class Signer(Protocol):
    """Signs authorisations; a key in this process, or a service that keeps it elsewhere."""

    @property
    def address(self) -> str:
        """Whose signatures these are: our resolver, in lower case."""
        ...

    def sign(self, row: AuthorisationRow) -> bytes:
        """The 65 bytes of a row's signature; the same row gives the same bytes (RFC 6979)."""
        ...


class KeySigner:
    """Signs with a key that this process holds."""

    __slots__ = ("_address", "_key")

    def __init__(self, key: SecretStr) -> None:
        _refuse_core_dumps()
        self._key = key
        self._address = str(eth_account().Account.from_key(key.get_secret_value()).address).lower()

    @property
    def address(self) -> str:
        """The address of the key."""
        return self._address

    def sign(self, row: AuthorisationRow) -> bytes:
        """The signature of a row's typed data."""
        library = eth_account()
        message = library.messages.encode_typed_data(full_message=typed_data(row.vault, row.allowed))
        return bytes(library.Account.sign_message(message, self._key.get_secret_value()).signature)

    def __repr__(self) -> str:
        return f"KeySigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not copied or stored")


def signer_from(settings: Settings) -> KeySigner | RemoteSigner | None:
    """The signer of the settings; None where there is neither a key nor a service.

    Raises:
        SettingsError: the key is not the resolver's.
    """
    if settings.payout_signer_url is not None:
        return RemoteSigner(
            settings.chain_resolver, settings.payout_signer_url, settings.payout_signer_method,
            timeout_sec=settings.chain_timeout_sec,
        )  # fmt: skip
    if settings.payout_key is None:
        return None
    signer = KeySigner(settings.payout_key)
    if signer.address != settings.chain_resolver:
        pinned = settings.chain_resolver or "not set"
        raise SettingsError(f"CLASH_PAYOUT_KEY signs for {signer.address}, CLASH_CHAIN_RESOLVER is {pinned}")
    return signer


def signed(signer: Signer, row: AuthorisationRow) -> bytes:
    """A signature that the vault will take.

    Raises:
        SignerBroken: the row's digest is not that of its fields, or the signature is malformed or somebody else's.
    """
    expected = digest(row.vault, row.allowed)
    if row.digest != "0x" + expected.hex():
        raise SignerBroken("the digest of the authorisation is not that of its fields")
    signature = signer.sign(row)
    try:
        found = recovered(expected, signature)
    except SignatureInvalid as error:
        raise SignerBroken(f"the signer answered no signature: {error}") from None
    if found != row.vault.resolver:
        raise SignerBroken(f"the signature is of {found}, the resolver is {row.vault.resolver}")
    return signature


def _refuse_core_dumps() -> None:
    """A crash must not write the key to a disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
