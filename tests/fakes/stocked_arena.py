"""The same system with an Arena: things bought and paid for, an audition, a race that was settled and one on sale.

`owner` has purchases 1 and 3 (an audition, tickets), audition 1 of clone 3, and what race 1 owes; `other` bought too.
"""

from dataclasses import dataclass

from pydantic import SecretStr

from clash_pipeline import clone_desk
from clash_pipeline.arena import auditions, entry
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.clones import moderation, public_profiles
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.economy import pools
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.identity import users
from tests.fakes.api_client import T0
from tests.fakes.stocked_api import StockedApi
from tests.fakes.till import TERMS, TICKET, Till

CHAIN = {
    "chain_urls": SecretStr("http://127.0.0.1:1,http://127.0.0.2:1"), "chain_id": TERMS.chain_id,
    "chain_contract": TERMS.contract, "chain_resolver": TERMS.resolver, "chain_native": TERMS.asset,
}  # fmt: skip
SETTLED, ON_SALE = 1, 2


@dataclass
class StockedArena(StockedApi):
    """The system, its people and its races."""

    def __post_init__(self) -> None:
        self.settings = self.settings.model_copy(update=CHAIN)
        super().__post_init__()
        self.till = Till(self.services.clash)
        with self.services.clash.write() as connection:
            self.users = [users.of_wallet(connection, one.address, now_ms=T0) for one in (self.owner, self.other)]
        self._audition()
        self._house()
        self._race(SETTLED, T0 - 8 * HOUR_MS)
        self.till.settle([1, 2, *self.house], race_id=SETTLED, now_ms=T0)
        self._race(ON_SALE, T0 - HOUR_MS)

    def _audition(self) -> None:
        """The owner's third clone is bought an audition and is in it."""
        graph = simple_graph(("BTC",), prompt="Hold still.").wire()
        made = clone_desk.create(self.services, "Candidate", graph, engine="rules", owner=f"user:{self.users[0]}")
        self.candidate = made.clone_id
        self._show(self.candidate, "Cia")
        self.till.pay(Wanted(self.users[0], "audition", self.candidate), now_ms=T0)
        with self.services.clash.write() as connection:
            auditions.submit(connection, self.services.settings, self.candidate, actor="test", now_ms=T0)

    def _house(self) -> None:
        self.house = []
        for number, symbol in enumerate(("BTC", "ETH")):
            graph = simple_graph((symbol,), prompt=f"House {number}.").wire()
            made = clone_desk.create(self.services, f"House {number}", graph, engine="rules")
            self._show(made.clone_id, ("Dex", "Eda")[number])
            self.house.append(made.clone_id)
            with self.services.clash.write() as connection:
                entry.admit(connection, self.services.settings, made.clone_id, actor="test", now_ms=T0)

    def _race(self, race_id: int, opens_at: int) -> None:
        """A pool of four clones, on which owner and other bought tickets."""
        field = [
            PoolClone(1, self.users[0]),
            PoolClone(2, self.users[1]),
            *(PoolClone(one, None) for one in self.house),
        ]
        with self.services.clash.write() as connection:
            pools.open_pool(
                connection, race_id, field, price_wei=TICKET, opens_at=opens_at, closes_at=opens_at + 6 * HOUR_MS,
                hidden_from=opens_at + 6 * HOUR_MS - 30 * MINUTE_MS, now_ms=opens_at,
            )  # fmt: skip
        for user, clone_id, count in ((self.users[0], 2, 2), (self.users[1], 1, 3)):
            wanted = Wanted(user, "ticket", clone_id, race_id=race_id, count=count)
            self.till.pay(wanted, now_ms=opens_at + HOUR_MS)

    def _show(self, clone_id: int, name: str) -> None:
        with self.services.clash.write() as connection:
            profile = public_profiles.submit(connection, clone_id, name, actor="test", now_ms=T0)
            moderation.approve(connection, profile.id, actor="test", now_ms=T0)
