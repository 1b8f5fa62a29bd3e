"""A service that keeps the resolver's key and signs typed data over JSON-RPC (09 §4.8)."""

from typing import Protocol

from pydantic import SecretStr

from clash_pipeline.economy.chain.contract import Vault, Withdrawal, typed_text
from clash_pipeline.economy.chain.rpc import Endpoint

MOST_BYTES = 65_536
"""Largest answer read from a signer."""


class Signable(Protocol):
    """What is signed."""

    @property
    def vault(self) -> Vault:
        """The vault that it is for."""
        ...

    @property
    def allowed(self) -> Withdrawal:
        """What is allowed."""
        ...


class RemoteSigner:
    """Asks a service that keeps the resolver's key, in JSON-RPC; its address may carry a secret and is never shown."""

    __slots__ = ("_address", "_method", "_timeout_sec", "_url")

    def __init__(self, address: str, url: SecretStr, method: str, *, timeout_sec: float) -> None:
        self._address, self._url, self._method, self._timeout_sec = address, url, method, timeout_sec

    @property
    def address(self) -> str:
        """Our resolver, whose key the service must have."""
        return self._address

    def sign(self, row: Signable) -> bytes:
        """The signature of a row's typed data.

        Raises:
            EndpointTrouble: the service said nothing, or no signature.
        """
        import httpx

        from clash_pipeline.economy.chain.link import HttpLink

        with httpx.Client() as client:
            link = HttpLink(
                "signer", self._url.get_secret_value(), client, timeout_sec=self._timeout_sec, max_bytes=MOST_BYTES
            )
            message = typed_text(row.vault, row.allowed)
            return Endpoint(link).signature(self._method, self._address, message)

    def __repr__(self) -> str:
        return f"RemoteSigner({self._address})"
