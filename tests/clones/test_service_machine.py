"""The clone service against a small model: any order of acts by an owner, an operator and the arena."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clash_pipeline.clones import clones, drafts, entitlements, holds, versions
from clash_pipeline.clones.entitlements import CAPACITIES, CAPACITY_ORDER
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_clash
from clash_pipeline.storage.sqlite import Database
from tests.clones.conftest import listed
from tests.conftest import SOAK

SYMBOLS = tuple(f"A{number}" for number in range(11))
LISTING = {symbol: listed(symbol) for symbol in SYMBOLS}
TIERS = st.sampled_from(CAPACITY_ORDER)
HOLDS = st.tuples(st.sampled_from(["audition", "race"]), st.sampled_from(["1", "2"]))


@cache
def migrated() -> str:
    """A home at the current schema, to be copied; migrating again for each example would take longer than the acts."""
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home)
    migrate_all(load({"CLASH_HOME": home}))
    return home


class CloneService(RuleBasedStateMachine):
    """One clone; the model keeps plain facts and says what each act must answer."""

    clash: Database

    @initialize()
    def start(self) -> None:
        """A clone of its own in a fresh database."""
        self.folder = tempfile.TemporaryDirectory()
        shutil.copytree(migrated(), self.folder.name, dirs_exist_ok=True)
        self.clash = open_clash(load({"CLASH_HOME": self.folder.name}))
        self.now = 0
        self.id = clones.create(self.clash, "Ada", engine="hold", now_ms=self.tick())
        self.draft: tuple[int, int] | None = None  # number of assets, and where the first node stands
        self.published: list[int] = []
        self.holds: set[tuple[str, str]] = set()
        self.ended: set[tuple[str, str]] = set()
        self.grants: dict[int, tuple[str, int]] = {}
        self.bought: set[int] = set()
        self.engine, self.tier, self.is_trading = "hold", 1, False

    def teardown(self) -> None:
        """Close what was opened."""
        if hasattr(self, "clash"):
            self.clash.close()
            self.folder.cleanup()

    def tick(self) -> int:
        """Time goes on with every act."""
        self.now += 1
        return self.now

    @property
    def assets(self) -> int:
        """How many active assets the model allows."""
        tiers = ["starter", *(capacity for capacity, _ in self.grants.values())]
        return CAPACITIES[max(tiers, key=CAPACITY_ORDER.index)].assets

    @property
    def strongest(self) -> int:
        """How strong a model the model allows."""
        return max([1, *(model for _, model in self.grants.values())])

    @property
    def is_frozen(self) -> bool:
        """Whether an audition keeps it as it is; a race pins what it runs and freezes nothing."""
        return any(reason == "audition" for reason, _ in self.holds)

    def says(self, act: Callable[[], Any], *, is_allowed: bool) -> bool:
        """Whether it happened, which must be what the model expects."""
        try:
            act()
        except (CloneError, GraphInvalid):
            assert not is_allowed
            return False
        assert is_allowed
        return True

    @rule(assets=st.integers(0, len(SYMBOLS)), x=st.integers(0, 2))
    def save(self, assets: int, x: int) -> None:
        """A draft of some assets; none is unfinished, too many are invalid."""
        content = simple_graph(SYMBOLS[:assets]).wire() | {"layout": {"nodes": {"stream-1": {"x": x, "y": 0}}}}
        act = lambda: clones.save_draft(self.clash, self.id, content, LISTING, now_ms=self.tick())  # noqa: E731
        if self.says(act, is_allowed=assets <= self.assets):
            self.draft = (assets, x)

    @rule()
    def publish(self) -> None:
        """The draft becomes the version, unless something is in the way; another layout alone is no new version."""
        wanted = self.draft[0] if self.draft else 0
        is_allowed = 0 < wanted <= self.assets and self.tier <= self.strongest and not self.is_frozen
        act = lambda: clones.publish(self.clash, self.id, LISTING, now_ms=self.tick())  # noqa: E731
        if self.says(act, is_allowed=is_allowed) and self.published[-1:] != [wanted]:
            self.published.append(wanted)

    @rule(on=st.booleans())
    def trade(self, on: bool) -> None:
        """The trading toggle."""
        is_allowed = on == self.is_trading or not self.is_frozen
        if self.says(lambda: clones.set_trading(self.clash, self.id, on, now_ms=self.tick()), is_allowed=is_allowed):
            self.is_trading = on

    @rule(engine=st.sampled_from(["hold", "rules", "model"]))
    def decide_by(self, engine: Any) -> None:
        """The engine; a model needs its tier."""
        is_bounded = engine == "model" and self.tier > self.strongest
        is_allowed = engine == self.engine or not (self.is_frozen or is_bounded)
        if self.says(lambda: clones.set_engine(self.clash, self.id, engine, now_ms=self.tick()), is_allowed=is_allowed):
            self.engine = engine

    @rule(tier=st.sampled_from([3, 2, 1, 0, 4]))
    def think_by(self, tier: int) -> None:
        """The model tier, within the entitlement."""
        is_allowed = tier == self.tier or (1 <= tier <= self.strongest and not self.is_frozen)
        act = lambda: clones.set_model_tier(self.clash, self.id, tier, now_ms=self.tick())  # noqa: E731
        if self.says(act, is_allowed=is_allowed):
            self.tier = tier

    @rule(
        capacity=TIERS,
        model=st.sampled_from([3, 1, 2]),
        source=st.sampled_from(["debug", "debug", "debug", "purchase"]),
    )
    def grant(self, capacity: Any, model: int, source: Any) -> None:
        """A grant of its own reference."""
        with self.clash.write() as connection:
            now = self.tick()
            made = entitlements.grant(connection, self.id, capacity, model, source=source, ref=str(now), now_ms=now)
        self.grants[made] = (capacity, model)
        if source == "purchase":
            self.bought.add(made)

    @rule()
    def revoke(self) -> None:
        """Everything that can end does; what was bought stays."""
        for chosen in sorted(self.grants):
            with self.clash.write() as connection:
                act = lambda grant=chosen: entitlements.revoke(  # noqa: E731
                    connection, grant, actor="x", reason="x", now_ms=self.tick()
                )
                if self.says(act, is_allowed=chosen not in self.bought):
                    del self.grants[chosen]

    @rule(tier=st.sampled_from([3, 2]), assets=st.sampled_from([2, 10]))
    def outgrow(self, tier: int, assets: int) -> None:
        """What was lent is used to the full, and ends: a state that single acts reach too seldom."""
        self.grant("pro", 3, "debug")
        self.save(assets, 0)
        self.think_by(tier)
        self.revoke()

    @rule(key=HOLDS)
    def hold(self, key: tuple[Any, str]) -> None:
        """The arena holds the clone; a hold that ended never comes back."""
        with self.clash.write() as connection:
            act = lambda: holds.place(connection, self.id, *key, now_ms=self.tick())  # noqa: E731
            if self.says(act, is_allowed=key not in self.ended):
                self.holds.add(key)

    @rule(key=HOLDS)
    def release(self, key: tuple[Any, str]) -> None:
        """The arena lets it go."""
        with self.clash.write() as connection:
            assert holds.release(connection, self.id, *key, now_ms=self.tick()) == (key in self.holds)
        self.ended |= self.holds & {key}
        self.holds.discard(key)

    @invariant()
    def what_is_stored_is_what_the_model_says(self) -> None:
        """Everything that can be read agrees."""
        with self.clash.read() as connection:
            clone = clones.get(connection, self.id)
            active = clones.active_version(connection, self.id)
            draft = drafts.of(connection, self.id)
            entitlement = entitlements.effective(connection, self.id, self.now)
            history = versions.of_clone(connection, self.id)
            standing = {(hold.reason, hold.ref) for hold in holds.of(connection, self.id)}
        assert (clone.engine, clone.model_tier, clone.is_trading) == (self.engine, self.tier, self.is_trading)
        assert len(active.compiled.symbols if active else ()) == (self.published or [0])[-1]
        assert [item.number for item in history] == list(range(len(self.published), 0, -1))
        assert sum(item.is_active for item in history) == bool(self.published)
        assert (entitlement.capacity.assets, entitlement.model_tier) == (self.assets, self.strongest)
        assert entitlement.may_audition == bool(self.bought)
        assert standing == self.holds
        assert (draft is None) == (self.draft is None)
        if draft and self.draft:
            assert draft.content["layout"]["nodes"]["stream-1"]["x"] == self.draft[1]


TestCloneService = CloneService.TestCase
TestCloneService.settings = profile(profile(), max_examples=500 if SOAK else 25, stateful_step_count=40)
