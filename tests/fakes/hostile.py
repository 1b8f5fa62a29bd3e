"""A siege (M3): many purchases at once on one chain, each with a twist of its own, under endpoints that fail and lie.

The oracle knows nothing of the product: it reads the chain's own state at the end. Wrong grants are purchases that were
granted without exactly what was quoted lying in the vault; lost deposits are those that ended neither granted nor owed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.economy import purchases
from clash_pipeline.economy.purchases import GRACE_MS, Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyError
from clash_pipeline.replay.chain import Tx
from clash_pipeline.replay.chain_vault import CONTRACT, RESOLVER, deposit_log
from clash_pipeline.storage.sqlite import Database
from tests.fakes.chained import Chained
from tests.fakes.till import wallet

PEOPLE = 8
STRANGER = wallet(77)
LIES = (
    "amount", "state", "no deposit", "status", "no receipt", "hidden logs", "forged log", "removed", "other fork",
    "no finality", "hasty", "chain id", "code", "wrong id", "error", "other method", "quantity", "large", "html",
)  # fmt: skip


@dataclass
class Siege:
    """One chain, its purchases and what was done to each."""

    chained: Chained
    chance: random.Random
    size: int
    first_race: int
    choice: "tuple[Twist, ...]"
    is_fair: bool = False
    twists: Counter[str] = field(default_factory=Counter)
    asked: list[Purchase] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    again: list[Callable[[], object]] = field(default_factory=list)

    def run(self) -> list[str]:
        """Quote, pay, besiege, calm down; what is wrong in the end."""
        self._quote()
        for purchase in self.asked:
            self._pay(purchase)
        self._besiege()
        self._calm()
        return list(self.problems())

    # what people do

    def _quote(self) -> None:
        till = self.chained.till
        people = [till.person(number) for number in range(1, PEOPLE + 1)]
        field_ = till.race(people[:4], race_id=self.first_race)
        own = till.clone(f"Own {self.first_race}", people[4])
        with self.chained.clash.write() as connection:
            self.asked.append(self._quoted(connection, Wanted(people[4], "audition", own)))
            for _ in range(self.size - 1):
                wanted = Wanted(self.chance.choice(people), "ticket", self.chance.choice(field_),
                                race_id=self.first_race, count=self.chance.choice((1, 1, 1, 2)))  # fmt: skip
                self.asked.append(self._quoted(connection, wanted))

    def _quoted(self, connection: Any, wanted: Wanted) -> Purchase:
        return self.chained.till.quote_in(connection, wanted, now_ms=self.chained.clock.now_ms())

    def _pay(self, purchase: Purchase) -> None:
        twist = self.chance.choice(self.choice)
        self.twists[twist.__name__] += 1
        tx_hash = twist(self, purchase)
        if tx_hash is not None and self.chance.random() < 0.6:
            self._hint(purchase, tx_hash if self.chance.random() < 0.8 else tx_hash.upper().replace("0X", "0x"))

    def _hint(self, purchase: Purchase, tx_hash: str) -> None:
        try:
            with self.chained.clash.write() as connection:
                purchases.hint(connection, purchase.id, tx_hash, now_ms=self.chained.clock.now_ms())
        except EconomyError:
            self.twists["refused hint"] += 1

    # what the weather does

    def _besiege(self) -> None:
        chain = self.chained.chain
        for _ in range(6):
            self._weather()
            chain.mine(self.chance.randrange(1, 3))
            if self.chance.random() < 0.5:
                self._reorganise()
            for act in self.again:
                act()
            self.again.clear()
            self.chained.step(self.chance.choice((2_000, 30_000)))

    def _weather(self) -> None:
        """At most one endpoint misbehaves at a time; what two say alike is believed, and must be."""
        for view in self.chained.views.values():
            view.behind, view.is_down, view.lies = 0, False, set()
        if self.is_fair:
            return
        view = self.chance.choice(list(self.chained.views.values()))
        match self.chance.randrange(5):
            case 0:
                view.is_down = True
            case 1:
                view.behind = self.chance.randrange(1, 6)
            case 2 | 3:
                view.lies = set(self.chance.sample(LIES, self.chance.choice((1, 1, 2))))

    def _reorganise(self) -> None:
        """Blocks that are not final are replaced; some transactions never come back."""
        chain = self.chained.chain
        depth = min(self.chance.randrange(1, chain.finality_blocks + 1), len(chain.blocks) - 1)
        gone = chain.reorganise(depth, lambda tx: tx.hash not in self.dropped)
        self.dropped -= {tx.hash for tx in gone}

    def _calm(self) -> None:
        for view in self.chained.views.values():
            view.behind, view.is_down, view.lies = 0, False, set()
        self.chained.chain.mine(6)
        for later_ms in (6 * MINUTE_MS, 6 * MINUTE_MS, DAY_MS):
            self.chained.step(later_ms)

    # what is true

    def problems(self) -> Iterator[str]:
        """Wrong grants and lost deposits, by the chain's own state."""
        truth = self._deposits()
        with self.chained.clash.read() as connection:
            rows = {
                (row["depositor"], int(row["nonce"])): row
                for row in connection.execute("SELECT * FROM chain_deposits WHERE chain_id = ?", (self._chain_id,))
            }
            wallets = {row["address"]: row["user_id"] for row in connection.execute("SELECT * FROM wallets")}
            owed = {
                (row["purchase_id"], row["deposit_id"]): int(row["amount_wei"])
                for row in connection.execute("SELECT * FROM payables WHERE kind = 'refund'")
            }
        for purchase in self.asked:
            stands = self.chained.get(purchase)
            if stands.state == "granted" and not self._is_right(stands, truth, wallets):
                yield f"granted without its deposit: {stands}"
        for (payer, nonce), (amount, _) in truth.items():
            row = rows.get((payer, nonce))
            if nonce in self.doubled:
                continue
            if row is None or int(row["amount_wei"]) != amount:
                yield f"{amount} wei of {payer} with nonce {nonce} are not in the books"
            elif row["outcome"] != "granted":
                key = (row["purchase_id"], None) if row["outcome"] == "refund_due" else (None, row["id"])
                if owed.get(key) != amount:
                    yield f"{amount} wei of {payer} are neither granted nor owed"
        for key in rows.keys() - truth.keys():
            yield f"a deposit in the books that nobody made: {key}"

    def _is_right(self, granted: Purchase, truth: dict[Any, tuple[int, int]], wallets: dict[str, int]) -> bool:
        for (payer, nonce), (amount, time_ms) in truth.items():
            if nonce == granted.nonce and wallets.get(payer) == granted.user_id:
                in_time = time_ms <= granted.expires_at + GRACE_MS
                return amount == granted.amount_wei and in_time and nonce not in self.doubled
        return False

    @property
    def _chain_id(self) -> int:
        return self.chained.vault.chain_id

    def _deposits(self) -> dict[tuple[str, int], tuple[int, int]]:
        """What lies in the vault for us: amount and block time, by payer and nonce."""
        chain, found = self.chained.chain, {}
        for block in chain.blocks:
            before = chain.blocks[block.number - 1].state.deposits if block.number else {}
            for key in block.state.deposits.keys() - before.keys():
                payer, _, resolver, nonce = key
                if resolver == self.chained.vault.resolver:
                    found[payer, nonce] = (block.state.deposits[key], block.time_sec * 1_000)
        return found


def storm(
    clash: Database,
    seed: int,
    *,
    batches: int,
    size: int,
    change: Callable[[Chained], None] = lambda _: None,
    twists: "tuple[Twist, ...]" = (),
    is_fair: bool = False,
) -> tuple[list[str], Counter[str]]:
    """So many sieges on one database; every problem, and how often each twist was tried."""
    problems: list[str] = []
    tried: Counter[str] = Counter()
    for batch in range(batches):
        chained = Chained(clash, seed=seed * 1_000_003 + batch)
        chained.move_to(40_000 + (seed % 90) * 1_000 + batch)
        change(chained)
        siege = Siege(
            chained, random.Random(f"{seed}/{batch}"), size, (seed % 90 + 1) * 1_000 + batch, twists or TWISTS, is_fair
        )
        problems += [f"seed {seed} batch {batch}: {problem}" for problem in siege.run()]
        tried += siege.twists
    return problems, tried


# the twists

Twist = Callable[[Siege, Purchase], str | None]


def honest(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(purchase)


def one_wei_less(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(purchase, amount_wei=purchase.amount_wei - 1)


def one_wei_more(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(purchase, amount_wei=purchase.amount_wei + 1)


def never_paid(siege: Siege, purchase: Purchase) -> None:
    return None


def unknown_hash(siege: Siege, purchase: Purchase) -> str:
    return f"0x{siege.chance.getrandbits(256):064x}"


def by_a_stranger(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(purchase, by=STRANGER)


def by_another_user(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(purchase, by=wallet(1 + purchase.user_id % PEOPLE))


def to_another_resolver(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.chain.deposit(purchase.wallet, RESOLVER, purchase.nonce, purchase.amount_wei)


def with_another_nonce(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.pay(replace(purchase, nonce=purchase.nonce + 10**9))


def another_contract(siege: Siege, purchase: Purchase) -> str:
    log = deposit_log(purchase.wallet, purchase.nonce, purchase.amount_wei, resolver=purchase.resolver,
                      address="0x" + "66" * 20)  # fmt: skip
    return siege.chained.chain.send(purchase.wallet, "0x" + "66" * 20, purchase.amount_wei, b"", forged=[log])


def another_asset(siege: Siege, purchase: Purchase) -> str:
    log = deposit_log(purchase.wallet, purchase.nonce, purchase.amount_wei, resolver=purchase.resolver,
                      asset="0x" + "77" * 20, address="0x" + "66" * 20)  # fmt: skip
    return siege.chained.chain.send(purchase.wallet, "0x" + "66" * 20, purchase.amount_wei, b"", forged=[log])


def plain_transfer(siege: Siege, purchase: Purchase) -> str:
    return siege.chained.chain.send(purchase.wallet, CONTRACT, purchase.amount_wei, b"")


def failed(siege: Siege, purchase: Purchase) -> str:
    chain = siege.chained.chain
    return chain.send(purchase.wallet, CONTRACT, purchase.amount_wei, b"\1\2\3\4", is_doomed=True)


def paid_twice(siege: Siege, purchase: Purchase) -> str:
    siege.chained.pay(purchase)
    return siege.chained.pay(purchase)


def dropped(siege: Siege, purchase: Purchase) -> str:
    """Mined, then left out by a reorganisation if one comes in time."""
    tx_hash = siege.chained.pay(purchase)
    siege.dropped.add(tx_hash)
    return tx_hash


def dropped_later(siege: Siege, purchase: Purchase) -> str:
    """The same, after it was looked at for the first time."""
    tx_hash = siege.chained.pay(purchase)
    siege.again.append(lambda: siege.dropped.add(tx_hash))
    return tx_hash


def replaced(siege: Siege, purchase: Purchase) -> str:
    """Dropped from the pool, paid by another transaction later."""
    tx_hash = siege.chained.pay(purchase)
    siege.chained.chain.drop(tx_hash)
    siege.again.append(lambda: siege.chained.pay(purchase))
    return tx_hash


def deposit_of_somebody_else(siege: Siege, purchase: Purchase) -> str | None:
    """The hint names the transaction of another purchase, often of the same price."""
    waiting: list[Tx] = siege.chained.chain._waiting
    return siege.chance.choice(waiting).hash if waiting else None


def late(siege: Siege, purchase: Purchase) -> None:
    siege.again.append(lambda: siege.again.append(lambda: siege.chained.pay(purchase)))


TWISTS: tuple[Twist, ...] = (
    honest, honest, honest, one_wei_less, one_wei_more, never_paid, unknown_hash, by_a_stranger, by_another_user,
    to_another_resolver, with_another_nonce, another_contract, another_asset, plain_transfer, failed, paid_twice,
    dropped, dropped_later, replaced, deposit_of_somebody_else, late,
)  # fmt: skip
