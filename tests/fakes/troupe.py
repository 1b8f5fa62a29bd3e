"""A troupe for the tests of the Arena: clones with a face that were paid for, their auditions, and how those end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from clash_pipeline.arena import admin, auditions, criteria, entry
from clash_pipeline.arena.auditions import Audition
from clash_pipeline.arena.criteria import Finding, Judge, Verdict
from clash_pipeline.arena.entry import Synced
from clash_pipeline.arena.slots import Occupant
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock, minute_of
from clash_pipeline.clones import clones, moderation, public_profiles
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.prop import admin as prop_admin
from clash_pipeline.prop import intake
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.marks import mark_all
from clash_pipeline.prop.proposal import ActionResult, Proposal
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.steady_venue import SteadyVenue, listed
from tests.fakes.till import Till

ADMIN = "root"
PASSED: Judge = lambda *_: Verdict((Finding("profit_target", True, 1, 1, "rate"),), None)  # noqa: E731
FAILED: Judge = lambda *_: Verdict((Finding("profit_target", False, 2, 1, "rate"),), "profit_target")  # noqa: E731


@dataclass
class Troupe:
    """The parts, and counters that make every clone another one."""

    settings: Settings
    clock: SettableClock
    clash: Database
    till: Till
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]
    runs: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # clones

    def clone(self, *, is_paid: bool = True, is_house: bool = False, face: str = "approved", owner: int = 0) -> int:
        """A published clone of an owner of its own, or of `owner`; `face` is approved, submitted or none."""
        number = next(self.numbers)
        person = None if is_house else self.till.person(owner or 1_000 + number)
        clone_id = self.till.clone(f"Player {number}", person)
        graph, registry = simple_graph(("BTC",), cadence_sec=300 + 60 * number), {"BTC": listed("BTC")}
        clones.save_draft(self.clash, clone_id, graph.wire(), registry, now_ms=self.now)
        clones.publish(self.clash, clone_id, registry, now_ms=self.now)
        if face != "none":
            self.show(clone_id, f"Player {number}", is_approved=face == "approved")
        if is_paid and person is not None:
            self.pay(clone_id, person)
        return clone_id

    def show(self, clone_id: int, name: str, *, is_approved: bool = True) -> None:
        """A public profile."""
        with self.clash.write() as connection:
            made = public_profiles.submit(connection, clone_id, name, actor="ada", now_ms=self.now)
            if is_approved:
                moderation.approve(connection, made.id, actor=ADMIN, now_ms=self.now)

    def publish(self, clone_id: int, cadence_sec: int) -> None:
        """Another version."""
        registry = {"BTC": listed("BTC")}
        clones.save_draft(
            self.clash, clone_id, simple_graph(("BTC",), cadence_sec=cadence_sec).wire(), registry, now_ms=self.now
        )
        clones.publish(self.clash, clone_id, registry, now_ms=self.now)

    def pay(self, clone_id: int, person: int, purpose: str = "audition") -> int:
        """A granted audition or retry; the purchase."""
        return self.till.pay(Wanted(person, purpose, clone_id), now_ms=self.now).id  # type: ignore[arg-type]

    def owner_of(self, clone_id: int) -> int:
        """The user who owns a clone."""
        with self.clash.read() as connection:
            return int(clones.get(connection, clone_id).owner.removeprefix("user:"))

    # auditions

    def submit(self, clone_id: int) -> Audition:
        with self.clash.write() as connection:
            return auditions.submit(connection, self.settings, clone_id, actor="ada", now_ms=self.now)

    def retry(self, audition_id: int) -> Audition:
        with self.clash.write() as connection:
            return auditions.retry(connection, self.settings, audition_id, actor="ada", now_ms=self.now)

    def get(self, audition_id: int) -> Audition:
        with self.clash.read() as connection:
            return auditions.get(connection, audition_id)

    def trade(self, audition: Audition, *asked: Proposal, price: str = "100") -> list[ActionResult]:
        """Orders of the tick a minute ago on the account of an audition, all filled."""
        assert audition.account_id is not None
        done = intake.submit(
            self.clash, audition.account_id, next(self.runs), list(asked), SteadyVenue(price), now_ms=self.now,
            instant=Instant(minute_of(self.now) - MINUTE_MS),
        )  # fmt: skip
        assert [result.status for result in done] == ["filled"] * len(asked), done
        return done

    def mark(self, audition: Audition, price: str) -> None:
        """A mark at a price."""
        assert audition.account_id is not None
        assert not mark_all(self.clash, SteadyVenue(price), [audition.account_id], self.now).left

    def busy_day(
        self, audition: Audition, *, hours: Sequence[int] = (0, 1, 2, 3), pct: str = "20", gain: int = 4
    ) -> None:
        """A long position opened and closed in each of some hours, at a gain of some percent, then the fixing."""
        for hour in hours:
            self.clock.set(audition.starts_at + hour * HOUR_MS + MINUTE_MS)
            self.trade(audition, Proposal("BTC", "open_long", pct, 1))
            self.mark(audition, "100")
            self.clock.advance(10 * MINUTE_MS)
            self.trade(audition, Proposal("BTC", "close"), price=str(100 + gain))
            self.mark(audition, str(100 + gain))
        self.end(audition)

    def end(self, audition: Audition, price: str = "100") -> None:
        """The end of the window."""
        self.clock.set(audition.ends_at + MINUTE_MS)
        self.mark(audition, price)

    def cut_short(self, audition: Audition) -> None:
        """The account of an audition, ended by hand."""
        assert audition.account_id is not None
        prop_admin.complete(
            self.clash, SteadyVenue(), audition.account_id, actor=ADMIN, reason="enough", now_ms=self.now
        )

    def judge(self, judge: Judge = criteria.judge) -> list[Audition]:
        return auditions.evaluate_due(self.clash, self.now, judge=judge)

    def passed(self, **kind: object) -> int:
        """A clone that has passed its audition just now."""
        clone_id = self.clone(**kind)  # type: ignore[arg-type]
        self.cut_short(self.submit(clone_id))
        (judged,) = self.judge(PASSED)
        assert judged.state == "passed"
        return clone_id

    # the arena

    def sync(self) -> Synced:
        return entry.sync(self.clash, self.settings, self.now)

    def house(self) -> int:
        """A house clone in a slot."""
        clone_id = self.clone(is_house=True)
        admin.admit(self.clash, self.settings, clone_id, actor=ADMIN, reason="to fill the field", now_ms=self.now)
        return clone_id

    def occupants(self) -> list[Occupant]:
        from clash_pipeline.arena import slots

        with self.clash.read() as connection:
            return slots.occupants(connection)
