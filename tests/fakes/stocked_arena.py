"""The same system with an Arena: things bought and paid for, an audition, and three races run by the clock.

`owner` has purchase 1 (an audition of clone 3, which is in it) and clone 4 in the Arena. Race 1 is settled, 2 live,
3 on sale; `other` has purchase 3, tickets on clone 4 in race 1; `owner` is owed payable 4. A copy of a home
in which all that happened before is taken as it is.
"""

from dataclasses import dataclass
from itertools import count

from pydantic import SecretStr

from clash_pipeline import clone_desk
from clash_pipeline.arena import auditions, flags, slots
from clash_pipeline.arena.flags import Alike
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.clones import moderation, public_profiles
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.identity import users
from clash_pipeline.prop.proposal import Proposal
from tests.fakes.api_client import T0
from tests.fakes.circuit import Circuit
from tests.fakes.stocked_api import StockedApi
from tests.fakes.till import TERMS, Till
from tests.fakes.troupe import Troupe

CHAIN = {
    "chain_urls": SecretStr("http://127.0.0.1:1,http://127.0.0.2:1"), "chain_id": TERMS.chain_id,
    "chain_contract": TERMS.contract, "chain_resolver": TERMS.resolver, "chain_native": TERMS.asset,
}  # fmt: skip
SETTLED, LIVE, ON_SALE = 1, 2, 3
HOUSE = ("Dex", "Eda", "Fay", "Gus")
LATER = 1_000_000
BEFORE = T0 - 14 * HOUR_MS
"""The evening before: early enough for the race of midnight."""


@dataclass
class StockedArena(StockedApi):
    """The system, its people and its races."""

    def __post_init__(self) -> None:
        self.settings = self.settings.model_copy(update=CHAIN)
        super().__post_init__()
        with self.services.clash.write() as connection:
            self.users = [users.of_wallet(connection, one.address, now_ms=T0) for one in (self.owner, self.other)]
            named = dict(connection.execute(_OURS).fetchall())
        if named:
            self._take_up(named)
        else:
            self._stock()

    def _take_up(self, clone_ids: dict[str, int]) -> None:
        """What stands in a copy already; deposits from now on are like none of those in it."""
        self.till = Till(self.services.clash, numbers=count(LATER), nonces=count(LATER))
        self.candidate, self.racer = clone_ids["Candidate"], clone_ids["Racer"]
        self.house = [clone_ids[f"House {name}"] for name in HOUSE]

    def _stock(self) -> None:
        self.till = Till(self.services.clash)
        self.clock.set(BEFORE)
        self.candidate = self._clone_of(f"user:{self.users[0]}", "Candidate", "Cia")
        self.racer = self._clone_of(f"user:{self.users[0]}", "Racer", "Rae")
        for clone_id in (self.candidate, self.racer):
            self.till.pay(Wanted(self.users[0], "audition", clone_id), now_ms=BEFORE)
        self.house = [self._clone_of("operator", f"House {name}", name) for name in HOUSE]
        self._race()
        self.clock.set(T0)
        with self.services.clash.write() as connection:
            auditions.submit(connection, self.services.settings, self.candidate, actor="test", now_ms=T0)

    def bet(self, user: int, clone_id: int, race_id: int, count: int) -> None:
        """Tickets that are quoted, paid and granted now."""
        wanted = Wanted(user, "ticket", clone_id, race_id=race_id, count=count)
        self.till.pay(wanted, now_ms=self.clock.now_ms())

    def _clone_of(self, owner: str, name: str, face: str) -> int:
        """A published clone that shows a profile; its graph is like nobody else's."""
        cadence = 300 + 60 * len(name) + 60 * ord(face[0])
        graph = simple_graph(("BTC",), prompt="Hold still.", cadence_sec=cadence).wire()
        made = clone_desk.create(self.services, name, graph, engine="rules", owner=owner)
        with self.services.clash.write() as connection:
            profile = public_profiles.submit(connection, made.clone_id, face, actor="test", now_ms=BEFORE)
            moderation.approve(connection, profile.id, actor="test", now_ms=BEFORE)
        return made.clone_id

    def _race(self) -> None:
        """Five clones in slots; the owner's wins race 1, on which everybody bet."""
        parts = self.services
        with parts.clash.write() as connection:
            for number, clone_id in enumerate((self.racer, *self.house), 1):
                slots.enter(connection, clone_id, number, actor="test", now_ms=BEFORE)
        troupe = Troupe(parts.settings, self.clock, parts.clash, self.till)
        circuit = Circuit(parts.settings, self.clock, parts.clash, parts.market, troupe)
        circuit.advance()
        self.bet(self.users[1], self.racer, SETTLED, 3)
        self.bet(self.users[0], self.house[0], SETTLED, 2)
        first = circuit.launch(circuit.race(SETTLED))
        self.bet(self.users[0], self.house[1], LIVE, 1)
        circuit.run(first, [(self.racer, "50"), (self.house[0], "20")])
        second = circuit.launch(circuit.race(LIVE))
        self.clock.set(second.starts_at + 20 * MINUTE_MS)
        circuit.trade(LIVE, self.racer, Proposal("BTC", "open_short", "30", 2))
        circuit.mark(LIVE, "100.5")
        self.bet(self.users[0], self.racer, ON_SALE, 2)
        self.bet(self.users[1], self.house[2], ON_SALE, 1)
        with parts.clash.write() as connection:
            alike = Alike(self.house[0], self.house[1], (SETTLED, LIVE, ON_SALE), 9_812, 36)
            flags.write(connection, SETTLED, [alike], now_ms=self.clock.now_ms())


_OURS = "SELECT name, id FROM clones WHERE name IN ('Candidate', 'Racer') OR name LIKE 'House %'"
