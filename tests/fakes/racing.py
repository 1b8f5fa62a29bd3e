"""Random races for kill tests: one scenario a seed, driven over a copy of one home, by this process or by children.

Run as `python -m tests.fakes.racing` it is the parent of children that each let the clockwork advance once; a child may
be killed at a fault point, or be many at once.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from clash_pipeline import faults
from clash_pipeline.arena import cancelling, clockwork, course, finishing, opening, race_admin
from clash_pipeline.arena.races import Race
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.prop.fixing import SETTLE_MS
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows
from tests.fakes.circuit import Circuit
from tests.fakes.forking import serve
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.till import Till
from tests.fakes.troupe import Troupe

POINTS = frozenset(
    name
    for module in (opening, course, cancelling, finishing)
    for name in vars(module).values()
    if isinstance(name, str) and name in faults.REGISTERED
)
"""Where the way of a race can be cut; W6 kills at each of them."""
REMOVAL = frozenset({race_admin.AFTER_REMOVED, race_admin.AFTER_LEFT})
BEGIN = 1_753_100_000_000
HOUSES, PEOPLE = 5, 4
Fate = Literal["finished", "late", "silent", "too few", "called off", "halted"]
FATES: tuple[Fate, ...] = ("finished",) * 6 + ("late", "silent", "too few", "called off", "halted")
Advance = Callable[[Circuit], object]
"""How the clockwork is made to advance at a moment."""


@dataclass
class Scenario:
    """What happens in the first race of a seed; every figure follows from it."""

    seed: int
    chance: random.Random = field(init=False)
    fate: Fate = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.fate = FATES[self.seed % len(FATES)]

    def run(self, circuit: Circuit, advance: Advance) -> Race:
        """The race from its opening until it is over, and its clones are let go."""
        self._pause_some(circuit)
        self._at(circuit, BEGIN, advance)
        race = circuit.race(1)
        field = [one.clone_id for one in circuit.entrants(1)]
        self._sell(circuit, field)
        self._at(circuit, race.sales_close_at, advance)
        if self.fate == "silent":
            circuit.is_heard = False
        self._at(circuit, race.starts_at + (30 * MINUTE_MS if self.fate == "late" else 0), advance)
        if circuit.race(1).state == "live":
            self._race(circuit, race, field, advance)
        circuit.is_heard = True
        self._at(circuit, race.ends_at + 2 * HOUR_MS, advance)
        return circuit.race(1)

    def _at(self, circuit: Circuit, at_ms: int, advance: Advance) -> None:
        circuit.clock.set(at_ms)
        if circuit.is_heard:
            circuit.hear()
        advance(circuit)

    def _pause_some(self, circuit: Circuit) -> None:
        everybody = [one.clone_id for one in circuit.troupe.occupants()]
        for clone_id in self.chance.sample(everybody, self.chance.randint(0, len(everybody) - 4)):
            clones.set_trading(circuit.clash, clone_id, False, now_ms=circuit.now)

    def _sell(self, circuit: Circuit, field: Sequence[int]) -> None:
        for number in range(self.chance.randint(0, 5)):
            circuit.bet(1 + number, self.chance.choice(field), 1, self.chance.randint(1, 4))
        gone = len(field) - 3 if self.fate == "too few" else int(len(field) > 4 and self.chance.random() < 0.3)
        for clone_id in self.chance.sample(field, gone):
            race_admin.remove(circuit.clash, 1, clone_id, actor="root", reason="a cheat", now_ms=circuit.now)

    def _race(self, circuit: Circuit, race: Race, field: Sequence[int], advance: Advance) -> None:
        circuit.clock.set(race.starts_at + 20 * MINUTE_MS)
        started = [one.clone_id for one in circuit.entrants(1) if one.state == "started"]
        for clone_id in started:
            if self.chance.random() < 0.8:
                side = self.chance.choice(("open_long", "open_short"))
                circuit.trade(1, clone_id, Proposal("BTC", side, str(self.chance.randint(5, 90)), 2))
        circuit.mark(1)
        if self.chance.random() < 0.3:
            race_admin.remove(circuit.clash, 1, started[0], actor="root", reason="a cheat", now_ms=circuit.now)
        circuit.clock.advance(HOUR_MS)
        circuit.mark(1, str(self.chance.randint(90, 110)))
        if self.fate == "called off":
            race_admin.cancel(circuit.clash, 1, actor="root", reason="maintenance", now_ms=circuit.now)
        if self.fate == "halted":
            circuit.is_heard = False
        self._at(circuit, race.ends_at - MINUTE_MS, advance)
        circuit.clock.set(race.ends_at + SETTLE_MS)
        circuit.mark(1, str(self.chance.randint(80, 120)))
        self._at(circuit, circuit.now, advance)


# homes


def build(home: Path) -> None:
    """A home with nine clones in slots, closed."""
    migrate_all(load({"CLASH_HOME": str(home)}))
    with opened(home, first=1_000) as circuit:
        market_rows.list_asset(circuit.market, "BTC", sz_decimals=3, max_leverage=40)
        circuit.enter(houses=HOUSES, people=PEOPLE)


@contextmanager
def opened(home: Path, *, first: int = 100_000) -> Iterator[Circuit]:
    """The circuit of a home; `first` is where its nonces and deposits are numbered from."""
    settings, clock = load({"CLASH_HOME": str(home)}), SettableClock(BEGIN - HOUR_MS)
    clash, market = open_clash(settings), open_market(settings)
    till = Till(clash, numbers=count(first), nonces=count(first))
    try:
        yield Circuit(settings, clock, clash, market, Troupe(settings, clock, clash, till))
    finally:
        clash.close()
        market.close()


def copied(template: Path, to: Path) -> Path:
    """A copy of a closed home."""
    return Path(shutil.copytree(template, to))


def rows(clash: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in the order of its key."""
    with clash.read() as connection:
        names = [
            row["name"]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        ]
        return {name: sorted((tuple(row) for row in connection.execute(f"SELECT * FROM {name}")), key=repr)
                for name in names}  # fmt: skip


def in_process(circuit: Circuit) -> None:
    """Advance here."""
    clockwork.advance(circuit, circuit.now, execution=circuit.venue)


# children


def work(order: Mapping[str, Any]) -> None:
    """Advance once on a home at a time; as many processes as asked for, at once."""
    children = []
    for _ in range(order.get("others", 0)):
        child = os.fork()
        if child == 0:
            _and_exit(order)
        children.append(child)
    _advance(order)
    if any(os.waitpid(child, 0)[1] for child in children):
        os._exit(3)


def _and_exit(order: Mapping[str, Any]) -> None:
    status = 1
    try:
        _advance(order)
        status = 0
    finally:
        os._exit(status)


def _advance(order: Mapping[str, Any]) -> None:
    settings = load({"CLASH_HOME": order["home"]})
    clash, market = open_clash(settings), open_market(settings)
    if "remove" in order:
        race_admin.remove(clash, 1, order["remove"], actor="root", reason="a cheat", now_ms=order["now_ms"])
        return
    stage = Circuit(settings, SettableClock(order["now_ms"]), clash, market, None)  # type: ignore[arg-type]
    clockwork.advance(stage, order["now_ms"], execution=SteadyVenue(order["price"]))


if __name__ == "__main__":
    serve(work)
