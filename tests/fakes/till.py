"""A till for the tests of the economy: people with wallets, their clones, a race on sale, and deposits that are made up
as the verifier would hand them over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from clash_pipeline.clones import clones
from clash_pipeline.economy import deposits, pools, purchases, quotes, settling
from clash_pipeline.economy.deposits import Recorded, VerifiedDeposit
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.prices import Prices, ether, of
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import PaymentTerms, Wanted
from clash_pipeline.economy.settling import Settled
from clash_pipeline.identity import users
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import Connection, Database

START = 1_753_100_000_000
TERMS = PaymentTerms(31_337, "0x" + "c0" * 20, "0x" + "5e" * 20, "0x" + "ee" * 20)
TICKET = ether("0.01")
RACE = 7
OPENS, CLOSES = START - 3_600_000, START + 3_600_000
HIDDEN = CLOSES - 1_800_000


def wallet(number: int) -> str:
    """The wallet of a person by number."""
    return f"0x{number:040x}"


def digest(number: int) -> str:
    """Something that looks like a hash."""
    return f"0x{number:064x}"


@dataclass
class Till:
    """People and clones of one database, and the counters that make everything unlike everything else."""

    clash: Database
    prices: Prices = field(default_factory=lambda: of(load({})))
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    nonces: Iterator[int] = field(default_factory=lambda: count(1_000))

    def person(self, number: int) -> int:
        """The user of a wallet."""
        with self.clash.write() as connection:
            return users.of_wallet(connection, wallet(number), now_ms=START)

    def clone(self, name: str, owner: int | None = None) -> int:
        """A clone of a user, or of the house."""
        named = "operator" if owner is None else f"user:{owner}"
        return clones.create(self.clash, name, engine="rules", now_ms=START, owner=named)

    def race(self, creators: Sequence[int | None], race_id: int = RACE, price_wei: int = TICKET) -> list[int]:
        """A race on sale with a clone of each creator; the clones."""
        made = [self.clone(f"Racer {race_id}/{number}", creator) for number, creator in enumerate(creators)]
        with self.clash.write() as connection:
            pools.open_pool(
                connection, race_id, [PoolClone(*pair) for pair in zip(made, creators, strict=True)],
                price_wei=price_wei, opens_at=OPENS, closes_at=CLOSES, hidden_from=HIDDEN, now_ms=START,
            )  # fmt: skip
        return made

    def quote(self, wanted: Wanted, *, now_ms: int = START) -> Purchase:
        """A quote at the prices of the day."""
        with self.clash.write() as connection:
            return self.quote_in(connection, wanted, now_ms=now_ms)

    def quote_in(self, connection: Connection, wanted: Wanted, *, now_ms: int = START) -> Purchase:
        return quotes.quote(connection, wanted, self.prices, TERMS, draw=lambda: next(self.nonces), now_ms=now_ms)

    def deposit(self, purchase: Purchase, **other: object) -> VerifiedDeposit:
        """The deposit that a quote asks for, with anything else told apart."""
        number = next(self.numbers)
        honest = VerifiedDeposit(
            chain_id=purchase.chain_id, contract=purchase.contract, depositor=purchase.wallet,
            resolver=purchase.resolver, asset=purchase.asset, nonce=purchase.nonce, amount_wei=purchase.amount_wei,
            tx_hash=digest(number), log_index=0, block_number=number, block_hash=digest(10**9 + number),
            block_time_ms=purchase.quoted_at + 1_000, evidence_hash=digest(number)[2:], evidence_key="",
        )  # fmt: skip
        return replace(honest, **other)  # type: ignore[arg-type]

    def record(self, found: VerifiedDeposit, *, now_ms: int = START + 60_000) -> Recorded:
        """Hand a deposit over, in a transaction of its own."""
        with self.clash.write() as connection:
            return deposits.record(connection, found, now_ms=now_ms)

    def pay(self, wanted: Wanted, *, now_ms: int = START) -> Purchase:
        """Quote, deposit and grant."""
        asked = self.quote(wanted, now_ms=now_ms)
        self.record(self.deposit(asked), now_ms=now_ms + 60_000)
        return self.get(asked.id)

    def bet(self, user_id: int, clone_id: int, tickets: int = 1, race_id: int = RACE) -> Purchase:
        """Tickets that are bought and granted."""
        return self.pay(Wanted(user_id, "ticket", clone_id, race_id=race_id, count=tickets))

    def get(self, purchase_id: int) -> Purchase:
        with self.clash.read() as connection:
            return purchases.get(connection, purchase_id)

    def settle(
        self, order: Sequence[int], *, race_id: int = RACE, is_cancelled: bool = False, now_ms: int = CLOSES + 1
    ) -> Settled:
        """Launch and settle."""
        with self.clash.write() as connection:
            pools.close_pool(connection, race_id, now_ms=now_ms)
        with self.clash.write() as connection:
            return settling.settle_race(connection, race_id, order, is_cancelled=is_cancelled, now_ms=now_ms)
