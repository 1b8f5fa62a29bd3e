"""What the tests of sign-in share: a site, keys, a wallet, and a hand that signs in."""

import random
from dataclasses import dataclass, field

import pytest

from clash_pipeline.identity import challenges, sessions
from clash_pipeline.identity.challenges import Challenge
from clash_pipeline.identity.sessions import Keys, Session, Tokens
from clash_pipeline.identity.siwe import Site
from clash_pipeline.storage.sqlite import Database
from tests.fakes.wallet import Wallet

SITE = Site("clash.example", "https://clash.example/sign-in", "Sign in to Clash of Clones.")
KEYS = Keys.of(b"k" * 32)
T0 = 1_773_307_200_000


@dataclass
class Door:
    """Signs wallets in, at a time that the test says."""

    clash: Database
    source: random.Random = field(default_factory=lambda: random.Random(7))

    def challenge(self, wallet: Wallet, now_ms: int = T0, chain_id: int = 4326) -> Challenge:
        """A new message for a wallet."""
        return challenges.issue(self.clash, SITE, wallet.address, chain_id, now_ms=now_ms, source=self.source)

    def verify(self, message: str, signature: str, now_ms: int = T0) -> tuple[Session, Tokens]:
        """Bring a signed message back."""
        session_id = f"{self.source.getrandbits(128):032x}"
        return sessions.sign_in(self.clash, KEYS, message, signature, session_id=session_id, now_ms=now_ms)

    def enter(self, wallet: Wallet, now_ms: int = T0) -> tuple[Session, Tokens]:
        """The whole way."""
        message = self.challenge(wallet, now_ms).message
        return self.verify(message, wallet.sign(message), now_ms)


@pytest.fixture
def door(clash: Database) -> Door:
    """A door into an empty house."""
    return Door(clash)
