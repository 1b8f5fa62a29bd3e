"""A circuit for the tests of races: a troupe in slots, a market of one price, and the clock that drives it all."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clash_pipeline.arena import clockwork, races, slots
from clash_pipeline.arena.clockwork import Moved
from clash_pipeline.arena.races import Entrant, Race
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, SettableClock, minute_of
from clash_pipeline.clones import clones
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.prop import intake
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.fixing import SETTLE_MS
from clash_pipeline.prop.marks import mark_all
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.till import Till
from tests.fakes.troupe import Troupe

RUNS = 10_000
"""Runs of the orders here, above those of a troupe."""


@dataclass
class Circuit:
    """The parts, and what is done with them at the clock's time."""

    settings: Settings
    clock: SettableClock
    clash: Database
    market: Database
    troupe: Troupe
    venue: SteadyVenue = field(default_factory=SteadyVenue)
    runs: int = RUNS
    is_heard: bool = True

    @classmethod
    def of(cls, settings: Settings, clock: SettableClock, clash: Database, market: Database) -> "Circuit":
        """One asset is listed, nobody is there yet."""
        market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
        return cls(settings, clock, clash, market, Troupe(settings, clock, clash, Till(clash)))

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # the field

    def enter(self, *, houses: int = 0, people: int = 0) -> list[int]:
        """Clones in slots, each with a face and a graph of its own, that trade."""
        made = [self.troupe.clone(is_house=number < houses) for number in range(houses + people)]
        for clone_id in made:
            clones.set_trading(self.clash, clone_id, True, now_ms=self.now)
            with self.clash.write() as connection:
                free = slots.free(slots.occupants(connection), self.settings.arena_slots)
                slots.enter(connection, clone_id, free[0], actor="test", now_ms=self.now)
        return made

    def bet(self, number: int, clone_id: int, race_id: int, count: int = 1) -> int:
        """Tickets of a person by number, quoted, deposited and granted; the user."""
        person = self.troupe.till.person(number)
        wanted = Wanted(person, "ticket", clone_id, race_id=race_id, count=count)
        self.troupe.till.pay(wanted, now_ms=self.now)
        return person

    # time

    def hear(self) -> None:
        """The market says something."""
        market_rows.mid(self.market, "BTC", self.venue.price, self.now)

    def advance(self) -> list[Moved]:
        """All that is due now."""
        if self.is_heard:
            self.hear()
        return clockwork.advance(self, self.now, execution=self.venue)

    def go(self, at_ms: int) -> list[Moved]:
        """The same at another moment."""
        self.clock.set(at_ms)
        return self.advance()

    # a race

    def race(self, race_id: int | None = None) -> Race:
        """A race, or the newest one."""
        with self.clash.read() as connection:
            found = races.last(connection) if race_id is None else races.get(connection, race_id)
        assert found is not None
        return found

    def entrants(self, race_id: int) -> list[Entrant]:
        with self.clash.read() as connection:
            return races.entrants(connection, race_id)

    def ranks(self, race_id: int) -> list[tuple[int, str | None]]:
        """(clone, class) in the order of finish."""
        ranked = sorted((one for one in self.entrants(race_id) if one.rank), key=lambda one: one.rank or 0)
        return [(one.clone_id, one.standing) for one in ranked]

    def account(self, race_id: int, clone_id: int) -> int:
        found = next(one.account_id for one in self.entrants(race_id) if one.clone_id == clone_id)
        assert found is not None
        return found

    def launch(self, race: Race) -> Race:
        """Through the close of sales to the start, which the watcher has passed."""
        self.go(race.sales_close_at)
        self.go(max(race.starts_at, race.sales_close_at + 600 * SECOND_MS))
        return self.race(race.id)

    def trade(self, race_id: int, clone_id: int, *asked: Proposal) -> None:
        """Orders of the tick a minute ago, all filled, and a mark of all that the race holds."""
        self.runs += 1
        done = intake.submit(
            self.clash, self.account(race_id, clone_id), self.runs, list(asked), self.venue, now_ms=self.now,
            instant=Instant(minute_of(self.now) - MINUTE_MS),
        )  # fmt: skip
        assert [result.status for result in done] == ["filled"] * len(asked), done

    def mark(self, race_id: int, price: str | None = None) -> None:
        """A minute passes for every account of a race, at a price."""
        self.venue.price = price or self.venue.price
        ids = [one.account_id for one in self.entrants(race_id) if one.account_id is not None]
        assert not mark_all(self.clash, self.venue, ids, self.now).left

    def run(self, race: Race, longs: Sequence[tuple[int, str]], price: str = "101") -> None:
        """A live race to its end: who goes long with how many percent, at 100, and where the price goes."""
        self.clock.set(race.starts_at + 20 * MINUTE_MS)
        for clone_id, size in longs:
            self.trade(race.id, clone_id, Proposal("BTC", "open_long", size, 2))
        self.mark(race.id)
        self.clock.set(race.ends_at - MINUTE_MS)
        self.mark(race.id, price)
        self.finish(race)

    def finish(self, race: Race) -> None:
        """The fixing, and what follows."""
        self.clock.set(race.ends_at + SETTLE_MS)
        self.mark(race.id)
        self.advance()
