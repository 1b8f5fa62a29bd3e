"""A till beside a chain: people who pay the vault of the stand-in, and our watcher over two of its endpoints."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import SettableClock
from clash_pipeline.economy import payables, quotes
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.endpoints import Chain as Watched
from clash_pipeline.economy.chain.rpc import Endpoint
from clash_pipeline.economy.chain.watcher import Step, step
from clash_pipeline.economy.payables import Payable
from clash_pipeline.economy.payouts import Authorisation, Limits, authorise
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import PaymentTerms, Wanted
from clash_pipeline.economy.signing import Signer
from clash_pipeline.replay.chain import CHAIN_ID, Chain
from clash_pipeline.replay.chain_vault import ModelVault, vault
from clash_pipeline.replay.chain_views import ChainView
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.till import START, Till
from tests.fakes.wallet import Account, Wallet

RESOLVER = Wallet(0x7E57)
ETH = 10**18
LIMITS = Limits(5 * ETH, 20 * ETH, 86_400_000)


class WalletSigner:
    """A signer outside of the process that prepares, as a test holds it."""

    def __init__(self, wallet: Wallet = RESOLVER) -> None:
        self.wallet = wallet
        self.asked = 0

    @property
    def address(self) -> str:
        return self.wallet.address

    def sign(self, row: object) -> bytes:
        self.asked += 1
        return bytes(Account.unsafe_sign_hash(bytes.fromhex(row.digest[2:]), self.wallet.key).signature)  # type: ignore[attr-defined]


class ChainTill(Till):
    """Quotes to the vault of the stand-in."""

    vault = vault(resolver=RESOLVER.address)

    def quote_in(self, connection: Connection, wanted: Wanted, *, now_ms: int = START) -> Purchase:
        pinned = self.vault
        terms = PaymentTerms(pinned.chain_id, pinned.address, pinned.resolver, pinned.native)
        return quotes.quote(connection, wanted, self.prices, terms, draw=lambda: next(self.nonces), now_ms=now_ms)


@dataclass
class Chained:
    """Everything of one small economy on one small chain."""

    clash: Database
    seed: int = 1
    clock: SettableClock = field(default_factory=lambda: SettableClock(START))
    names: Iterable[str] = ("a", "b")

    def __post_init__(self) -> None:
        self.till = ChainTill(self.clash)
        self.chain = Chain(ModelVault(), SettableClock(START), seed=self.seed)
        self.views = {name: ChainView(self.chain, name) for name in self.names}
        self.vault = vault(CHAIN_ID, RESOLVER.address)
        endpoints = tuple(Endpoint(view) for view in self.views.values())
        self.parts = Parts(self.clash, MemoryStore(), Watched(self.vault, endpoints))

    def move_to(self, chain_id: int) -> None:
        """A chain of another id, so that several of them can share a database."""
        self.chain.chain_id = chain_id
        self.vault = vault(chain_id, RESOLVER.address)
        self.till.vault = self.vault
        self.parts = replace(self.parts, chain=replace(self.parts.chain, vault=self.vault))

    def step(self, later_ms: int = 0) -> Step:
        """One step of the watcher, after some time."""
        self.clock.advance(later_ms)
        return step(self.parts, self.clock.now_ms())

    def settle_in(self, blocks: int = 5) -> Step:
        """Blocks until what waits is final, and a step."""
        self.chain.mine(blocks)
        return self.step(61_000)

    def pay(self, purchase: Purchase, *, by: str | None = None, amount_wei: int | None = None) -> str:
        """What the payer of a quote sends."""
        amount = purchase.amount_wei if amount_wei is None else amount_wei
        return self.chain.deposit(by or purchase.wallet, purchase.resolver, purchase.nonce, amount)

    def quote(self, wanted: Wanted) -> Purchase:
        return self.till.quote(wanted, now_ms=self.clock.now_ms())

    def get(self, purchase: Purchase) -> Purchase:
        return self.till.get(purchase.id)

    def owed(self) -> list[Payable]:
        with self.clash.read() as connection:
            return payables.every(connection, limit=1_000)

    def authorise(self, payable_id: int, signer: Signer | None = None, limits: Limits = LIMITS) -> Authorisation:
        return authorise(
            self.parts, signer or WalletSigner(), limits, payable_id, actor="test", now_ms=self.clock.now_ms()
        )

    def take(self, given: Authorisation) -> str:
        """The recipient takes what was authorised."""
        return self.chain.withdraw(given.vault.resolver, given.allowed, bytes.fromhex(given.signature[2:]))

    def incidents(self) -> list[tuple[str, str]]:
        with self.clash.read() as connection:
            rows = connection.execute("SELECT kind, ref FROM economy_incidents WHERE closed_at IS NULL ORDER BY id")
            return [tuple(row) for row in rows]
