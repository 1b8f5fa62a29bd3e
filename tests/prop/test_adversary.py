"""X1: answers that fit the schema and were chosen to do harm: no limit is passed, no other account is touched.

What an account may do is said here again, from its stored policy and the rows of its fills, in plain fractions; it
shares no code with the gates.
"""

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, minute_of
from clash_pipeline.decisions.answer import parse
from clash_pipeline.prop import accounts, gates, intake, policy
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.proposal import ActionResult, Proposal
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import Row
from tests.conftest import NOW
from tests.fakes.llm_server import adversary
from tests.fakes.paper_prices import LIQUID
from tests.fakes.prop_model import UNIT, Model
from tests.fakes.prop_walk import ASSETS, MODELS, RATES, START, Walk, exact
from tests.prop.test_state_machine import IN_MEMORY

ANSWERS, SOAK_ANSWERS = 2_000, 10_000
SOAK_SEEDS = range(2, 12)
RUSH = 500
KINDS = ("sandbox", "race", "audition")
OWNED = ("prop_accounts", "prop_orders", "prop_fills", "prop_positions", "prop_ledger_groups", "prop_decision_actions")


class Attacked(Walk):
    """A walk on accounts of every kind, whose every fill is held against its policy; a bystander stands beside."""

    bystander = 0

    def open(self) -> None:
        """An account of the next kind, and a model of it; the first one of all is the bystander's."""
        kind = KINDS[self.opened % len(KINDS)]
        terms: policy.Policy = getattr(policy, kind)(self.settings)
        if kind == "sandbox":  # three assets could not reach the 300 % of its own
            terms = msgspec.structs.replace(terms, max_gross_pct=150)
        if not self.opened:
            self.bystander = self._account("sandbox", policy.sandbox(self.settings), parent_id=None)
        self.opened += 1
        self.account_id = self._account("race", terms, parent_id=self.opened)
        self.terms = json.loads(msgspec.json.encode(terms))
        is_trailing = terms.drawdown_basis == "trailing"
        self.model = Model(MODELS, START, Fraction(terms.max_drawdown, UNIT), is_trailing=is_trailing)
        self.seen_fill, self.seen_seq, self.booked = self._newest_fill(), 0, 0
        self.unfunded = []

    def attack(self, proposal: Proposal) -> None:
        """Submit one action, and hold what it did against the policy."""
        self._mark_model()
        equity, seen = self.model.equity, self.seen_fill
        self.submit(proposal)
        with self.clash.read() as connection:
            rows = connection.execute(FILLS, (self.account_id, seen)).fetchall()
            opened = connection.execute(OPENED, (self.account_id, self.now_ms - HOUR_MS)).fetchone()[0]
            held = {row["symbol"]: row for row in connection.execute(HELD, (self.account_id,))}
        for row in rows:
            assert row["symbol"] == proposal.symbol
            self._price_is_no_better(row)
            if row["is_opening"]:
                self._within_policy(row, equity, opened, held)

    def _submitted(self, proposals: tuple[Proposal, ...]) -> list[ActionResult]:
        tick = minute_of(self.now_ms) - MINUTE_MS
        instant = Instant(tick, tick) if self.terms["fill_delay_ms"] else intake.ANY_TIME
        return intake.submit(
            self.clash, self.account_id, self.run_id, proposals, self.venue, now_ms=self.now_ms, instant=instant
        )

    def _account(self, kind: Any, terms: policy.Policy, *, parent_id: int | None) -> int:
        with self.clash.write() as connection:
            return accounts.open_account(
                connection, self.clone_id, kind, terms, start_balance=START, now_ms=self.now_ms, actor="test",
                parent_id=parent_id,
            )  # fmt: skip

    def _price_is_no_better(self, row: Row) -> None:
        asset = MODELS[row["symbol"]]
        price = Fraction(row["price"], 10 ** (asset.price_decimals - asset.sz_decimals))
        spread = Fraction(1, 20_000)
        reference = exact(self.venue.prices[row["symbol"]])
        assert price >= reference * (1 + spread) if row["side"] == "buy" else price <= reference * (1 - spread)

    def _within_policy(self, row: Row, equity: int, opened: int, held: dict[str, Row]) -> None:
        terms, asset = self.terms, MODELS[row["symbol"]]
        assert 1 <= row["leverage"] <= min(terms["max_leverage"], asset.max_leverage)
        assert asset.kind == "perp" or (terms["allows_spot"] and row["side"] == "buy")
        assert row["notional"] >= terms["min_order"]
        assert LIQUID.day_volume is not None
        assert row["notional"] * UNIT <= LIQUID.day_volume * terms["max_volume_share"]
        own = asset.usd(row["price"], abs(row["size_after"]))
        others = [self.model.value(symbol) for symbol, _ in self.model.open() if symbol != row["symbol"]]
        assert own * 100 <= equity * terms["max_position_pct"]
        assert (own + sum(others)) * 100 <= equity * terms["max_gross_pct"]
        assert len(self.model.open()) <= terms["max_open_positions"]
        assert opened <= terms["max_orders_per_hour"]
        assert (
            sum(Fraction(self.model.value(s), held[s]["leverage"]) for s, _ in self.model.open()) <= self.model.equity
        )
        if terms["risk_budget"] is not None:
            at_risk = (own + sum(others)) * Fraction(LIQUID.day_volatility or 0, 2 * UNIT)
            assert at_risk <= equity * Fraction(terms["risk_budget"], UNIT)
        stop, side = held[row["symbol"]]["stop"], 1 if row["size_after"] > 0 else -1
        assert stop is None or side * (row["price"] - stop) > 0


FILLS = """
SELECT f.*, o.leverage, o.is_opening FROM prop_fills f JOIN prop_orders o ON o.id = f.order_id
WHERE f.account_id = ? AND f.id > ? AND o.origin = 'decision' ORDER BY f.id
"""
OPENED = "SELECT count(*) FROM prop_orders WHERE account_id = ? AND is_opening = 1 AND created_at > ?"
HELD = "SELECT symbol, leverage, stop FROM prop_positions WHERE account_id = ?"


@pytest.fixture
def make(migrated_home: Path) -> Iterator[Callable[[], Attacked]]:
    """An attacked desk in a home of its own."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        shutil.copytree(migrated_home, Path(folder) / "home")
        walk = Attacked(load({"CLASH_HOME": str(Path(folder) / "home")}), NOW)
        yield lambda: walk
        walk.clash.close()


def greedy(walk: Attacked, source: random.Random) -> Proposal:
    """What reaches for a limit: all that there is room for, or a little more, or hardly anything, again and again."""
    if source.random() < 0.4:
        side = source.choice(("open_long", "open_short", "increase", "increase"))
        return Proposal(source.choice(("BTC", "DOGE")), side, source.choice(("0.02", "0.02", "0.0098")), 5)
    equity = max(walk.model.equity, 1)
    gross = sum(walk.model.value(symbol) for symbol, _ in walk.model.open())
    room = walk.terms["max_gross_pct"] - Fraction(100 * gross, equity)
    share = min(max(room + source.choice((-1, 0, 1)) * Fraction(1, 1000), Fraction(1, 10**6)), Fraction(100))
    action = source.choice(("open_long", "open_short", "increase", "increase"))
    size = f"{float(share):.6f}"
    return Proposal(
        source.choice(list(ASSETS)), action, size, source.choice((1, 5, 5)), source.choice((None, None, "3"))
    )


def chosen(walk: Attacked, source: random.Random, says: Any) -> Proposal | None:
    if source.random() < 0.4:
        return greedy(walk, source)
    return parse(says(None).encode()).proposal(source.choice(list(ASSETS)))


def attack(walk: Attacked, seed: int, answers: int) -> None:
    """So many answers, while prices move, hours pass and accounts end; then every account is audited."""
    source, says, taken = random.Random(seed), adversary(seed), 0
    owned = of_bystander(walk)
    while taken < answers:
        if (proposal := chosen(walk, source, says)) is not None:
            walk.attack(proposal)
        taken += 1
        roll = source.random()
        if taken % RUSH > RUSH // 2:
            continue  # no time passes, so that the hourly rate is reached
        if roll < 0.3:
            walk.move_price(source.choice(list(ASSETS)), source.choice((-60, -20, -5, 5, 20, 60)))
        elif roll < 0.6:
            walk.tick(source.choice((1, 1, 5)))
        elif roll < 0.62:
            walk.hour(source.choice(RATES))
    assert of_bystander(walk) == owned
    walk.full_audit()


def of_bystander(walk: Attacked) -> list[tuple[object, ...]]:
    """Every row of the account that nobody was asked about."""
    found: list[tuple[object, ...]] = []
    with walk.clash.read() as connection:
        for table in OWNED:
            column = "id" if table == "prop_accounts" else "account_id"
            found += connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (walk.bystander,)).fetchall()
    return [tuple(row) for row in found]


def refusals(walk: Attacked) -> set[str]:
    with walk.clash.read() as connection:
        rows = connection.execute("SELECT DISTINCT reject_code FROM prop_decision_actions WHERE status = 'rejected'")
        return {row["reject_code"] for row in rows}


def test_two_thousand_answers_of_an_adversary_pass_no_limit(make: Callable[[], Attacked]) -> None:
    walk = make()
    attack(walk, 1, ANSWERS)
    assert walk.opened > len(KINDS), "accounts of every kind were attacked, and some to their end"
    assert {
        "symbol_not_allowed", "size_invalid", "no_position", "side_conflict", "below_min_notional",
        "leverage_exceeded", "position_limit", "exposure_limit", "insufficient_margin", "stop_invalid", "risk_budget",
        "rate_limited",
    } <= refusals(walk)  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_a_hundred_thousand_answers_of_an_adversary_pass_no_limit(make: Callable[[], Attacked], seed: int) -> None:
    attack(make(), seed, SOAK_ANSWERS)


@pytest.mark.parametrize(
    "gate",
    ["leverage_exceeded", "position_limit", "exposure_limit", "risk_budget", "rate_limited", "below_min_notional"],
)
def test_control_a_gate_that_is_open_is_found(
    make: Callable[[], Attacked], monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    monkeypatch.setattr(gates, "GATES", tuple(one for one in gates.GATES if one.__name__ != gate))
    with pytest.raises(AssertionError):
        attack(make(), 1, ANSWERS)
