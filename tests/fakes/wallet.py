"""A wallet in the hands of a test: a real key that really signs."""

from dataclasses import dataclass

from clash_pipeline.identity.ethereum import eth_account

Account, encode_defunct = eth_account().Account, eth_account().messages.encode_defunct


@dataclass(frozen=True)
class Wallet:
    """One key."""

    number: int = 1

    @property
    def key(self) -> bytes:
        """A key that depends on the number alone."""
        return self.number.to_bytes(32, "big")

    @property
    def address(self) -> str:
        """Its address in lower case."""
        return str(Account.from_key(self.key).address).lower()

    def sign(self, text: str) -> str:
        """The personal signature of a text."""
        return "0x" + bytes(Account.sign_message(encode_defunct(text=text), self.key).signature).hex()
