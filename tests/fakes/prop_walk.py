"""A walk through everything that can happen to an account: each step on the engine and on the model, then compared.

The seed decides everything, so that a failure is repeated by its seed; `trace` is what was done.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Any

import msgspec

from clash_pipeline import faults
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, hour_of
from clash_pipeline.clones import clones
from clash_pipeline.prop import accounts, admin, desk, funding, intake, marks, policy, results, snapshots, triggers
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.proposal import ActionResult, PayloadConflict, Proposal
from clash_pipeline.prop.rates import HourKey
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Connection, IntegrityError, Row
from tests.fakes.paper_prices import PaperPrices, perp, spot
from tests.fakes.prop_model import UNIT, Asset, Model

ASSETS = {"BTC": perp("BTC", 3, 40), "DOGE": perp("DOGE", 0, 10), "PURR/USDC": spot("PURR/USDC", 1)}
MODELS = {symbol: Asset(asset.kind, asset.sz_decimals, asset.max_leverage) for symbol, asset in ASSETS.items()}
PRICES = {"BTC": "97123.5", "DOGE": "0.23417", "PURR/USDC": "0.18312"}
START = 100_000 * UNIT
exact = lru_cache(maxsize=64)(Fraction)
"""A price as a fraction."""
Step = tuple[Any, ...]
"""The name of a step and its arguments."""
RATES = (125_000, -125_000, 1, 40_000_000)
LATE = 0.2
"""How often an hour passes whose rate is not known: it stays due as long as the account lives."""
WHO = {"actor": "ann", "reason": "walk"}
BREAKS = (
    intake.AFTER_ACTION, *desk.FAULT_POINTS, marks.AFTER_FUNDING, marks.AFTER_POSITIONS, snapshots.AFTER_SNAPSHOT,
    funding.AFTER_HOUR, triggers.AFTER_TRIGGER, results.AFTER_ENDED, results.AFTER_FROZEN, "storage.before_commit",
)  # fmt: skip


def step(method: Callable[..., None]) -> Callable[..., None]:
    """Write a step down, unless it is part of another one."""

    @wraps(method)
    def written(walk: "Walk", *arguments: Any) -> None:
        if walk.depth == 0:
            walk.trace.append((method.__name__, *arguments))
        walk.depth += 1
        try:
            method(walk, *arguments)
        finally:
            walk.depth -= 1

    return written


class Walk:
    """One engine, one model, one seed."""

    def __init__(self, settings: Settings, now_ms: int) -> None:
        self.settings = settings
        self.clash = open_clash(settings)
        self.now_ms = now_ms
        self.venue = PaperPrices(dict(ASSETS), dict(PRICES))
        self.clone_id = clones.create(self.clash, "Ada", engine="rules", now_ms=now_ms)
        self.run_id = self.opened = 0
        self.halted = False
        self.last: tuple[Proposal, ...] = ()
        self.answer: list[ActionResult] = []
        self.trace: list[Step] = []
        self.depth = 0
        self.open()

    def open(self) -> None:
        """A fresh account, and a fresh model of it."""
        terms = policy.sandbox(self.settings)
        self.opened += 1
        if self.opened % 2 == 0:  # only maintenance margin ends this one, and a gap may cost more than all of it
            terms = msgspec.structs.replace(terms, max_drawdown=UNIT, max_position_pct=500, max_gross_pct=500)
        self.account_id = accounts.open_sandbox(
            self.clash, self.clone_id, terms, start_balance_usd=START // UNIT, now_ms=self.now_ms
        )
        self.model = Model(MODELS, START, Fraction(terms.max_drawdown, UNIT))
        self.seen_fill, self.seen_seq, self.booked = self._newest_fill(), 0, 0
        self.unfunded: list[HourKey] = []

    @step
    def submit(self, *proposals: Proposal) -> None:
        """New proposals; refused as a whole where the account may not trade."""
        self.run_id, self.last = self.run_id + 1, proposals
        self._mark_model()
        self.answer = self._submitted(proposals)
        if self.model.state != "active" or self.halted:
            assert {one.status for one in self.answer} == {"rejected"}
        self._applied_fills()
        self.compare()

    @step
    def repeat(self) -> None:
        """The same run again: the first answer, and nothing else."""
        if self.last:
            again = self._submitted(self.last)
            assert [(one.action_id, one.fills) for one in again] == [(one.action_id, one.fills) for one in self.answer]
            assert all(one.is_repeat for one in again)
        self.compare()

    @step
    def contradict(self) -> None:
        """The same run with another payload: a conflict, and nothing else."""
        if self.last:
            try:
                self._submitted((*self.last, Proposal("BTC", "hold")))
            except PayloadConflict:
                self.compare()
            else:
                raise AssertionError("another payload under the same key was taken")

    @step
    def flip(self, symbol: str) -> None:
        """Open the other side of what is held."""
        held = self.model.holdings.get(symbol)
        action = "open_short" if held and held.side > 0 else "open_long"
        self.submit(Proposal(symbol, action, "20", 2))

    @step
    def move_price(self, symbol: str, thousandths: int) -> None:
        """A price moves by so many thousandths, and keeps more decimals than its grid has."""
        moved = Fraction(self.venue.prices[symbol] or PRICES[symbol]) * (1000 + thousandths) / 1000
        floor, ceiling = Fraction(PRICES[symbol]) / 20, Fraction(PRICES[symbol]) * 20
        self.venue.prices[symbol] = f"{float(min(max(moved, floor), ceiling)):.9f}"

    @step
    def tick(self, minutes: int) -> None:
        """Time passes, and the account is marked."""
        self.now_ms += minutes * MINUTE_MS
        self._marked()

    @step
    def hour(self, rate_e10: int) -> None:
        """The next full hour passes, with one rate for every perp."""
        hour = hour_of(self.now_ms) + HOUR_MS
        keys = [HourKey(symbol, hour) for symbol in ASSETS]
        self.venue.rates |= dict.fromkeys(keys, rate_e10)
        self.unfunded += keys
        self.now_ms = hour + 10_000
        self._marked()

    @step
    def act(self, name: str) -> None:
        """Pause, resume, lock or unlock."""
        move: Any = {"pause": admin.pause, "resume": admin.resume, "lock": admin.lock, "unlock": admin.unlock}[name]
        self.model.state = move(self.clash, self.account_id, now_ms=self.now_ms, **WHO).state
        self.compare()

    @step
    def switch(self, is_thrown: bool) -> None:
        """Throw the kill switch of all, or take it back."""
        changed = (admin.halt if is_thrown else admin.release)(self.clash, now_ms=self.now_ms, **WHO)
        assert changed == (is_thrown != self.halted)
        self.halted = is_thrown
        self.compare()

    @step
    def end(self, name: str) -> None:
        """An operator ends the account; the next one begins."""
        end: Any = {"complete": admin.complete, "liquidate": admin.liquidate}[name]
        end(self.clash, self.venue, self.account_id, now_ms=self.now_ms, **WHO)
        self._settle_model_funding()
        self._ended()

    @step
    def reopen(self) -> None:
        """The process dies and another one opens the file."""
        self.clash.close()
        self.clash = open_clash(self.settings)
        self.compare()

    @step
    def break_at(self, place: str, is_flip: bool) -> None:
        """Something breaks in the middle of a submission or a mark: all of it or nothing."""
        before = self._bytes()
        faults.arm(f"{place}:raise")
        try:
            self.flip("BTC") if is_flip else self.tick(1)
        except faults.InjectedFault:
            assert self._bytes() == before, f"half a step was left behind at {place}"
            self.last = ()
        finally:
            faults.arm("")
        self._applied_fills()
        self.compare()

    def remove(self) -> None:
        """Close the file and delete it: thousands of them would fill a memory file system."""
        self.clash.close()
        shutil.rmtree(self.settings.home)

    def full_audit(self) -> None:
        """Every invariant of every account."""
        report = audit(self.clash)
        assert report.is_clean, report.differences[:3]

    def compare(self) -> None:
        """The account and the model say the same; what was booked since is a chain that adds up."""
        with self.clash.read() as connection:
            account = connection.execute(
                "SELECT state, balance, high_water_mark, ledger_seq FROM prop_accounts WHERE id = ?", (self.account_id,)
            ).fetchone()
            rows = connection.execute(
                "SELECT symbol, size, cost, realized, fees, funding FROM prop_positions WHERE account_id = ?",
                (self.account_id,),
            )
            held = {row[0]: row[1:] for row in rows.fetchall()}
            self._booked(connection, account["ledger_seq"])
        assert account["balance"] == self.model.balance == START + self.booked
        assert (account["state"], account["high_water_mark"]) == (self.model.state, self.model.peak)
        for symbol, one in self.model.holdings.items():
            assert held[symbol] == (one.size, one.cost, one.realized, one.fees, one.funding)

    def _submitted(self, proposals: tuple[Proposal, ...]) -> list[ActionResult]:
        return intake.submit(self.clash, self.account_id, self.run_id, proposals, self.venue, now_ms=self.now_ms)

    def _marked(self) -> None:
        self._settle_model_funding()
        self._mark_model()
        triggered = self._triggered()
        snapshot = marks.mark(self.clash, None, self.account_id, self.now_ms, execution=self.venue)  # type: ignore[arg-type]
        self._applied_fills(until_liquidation=True)
        assert not triggered & {symbol for symbol, _ in self.model.open()}, "a stop or target was passed over"
        if self.model.must_be_liquidated:
            assert snapshot is None, "an account in breach was kept"
            self._ended()
            return
        assert snapshot is not None, "an account without a breach was ended"
        assert snapshot.equity == self.model.equity
        self.model.peak = max(self.model.peak, self.model.equity)
        self.compare()

    def _triggered(self) -> set[str]:
        """What the marks have reached, by the prices that are armed."""
        with self.clash.read() as connection:
            held = accounts.positions(connection, self.account_id)
        reached = set()
        for symbol, one in self.model.open():
            mark, stop, target = one.marked or 0, held[symbol].stop, held[symbol].target
            is_past_stop = stop is not None and one.side * (mark - stop) <= 0
            is_past_target = target is not None and one.side * (mark - target) >= 0
            if (is_past_stop or is_past_target) and not self.halted:
                reached.add(symbol)
        return reached

    def _ended(self) -> None:
        """Flat, frozen, not below zero; the next account begins."""
        self._applied_fills()
        with self.clash.read() as connection:
            result = results.get(connection, self.account_id)
        assert result is not None
        shortfall = max(-self.model.balance, 0)
        self.model.balance += shortfall
        assert not self.model.open()
        assert (result.final_equity, result.shortfall) == (self.model.balance, shortfall)
        sums = [(one.realized, one.fees, one.funding) for one in self.model.holdings.values()]
        assert (
            (result.realized, result.fees, result.funding) == tuple(map(sum, zip(*sums, strict=True))) if sums else True
        )
        self.model.state, self.last = result.state, ()
        with self.clash.read() as connection:
            self.model.peak = accounts.get(connection, self.account_id).high_water_mark
        self.compare()
        self.now_ms += MINUTE_MS
        self.open()

    def _settle_model_funding(self) -> None:
        """What the model owes for hours that got their rate; every other hour stays due."""
        for key in sorted(self.unfunded):
            held = self.model.holdings.get(key.symbol)
            if held is not None and held.size and MODELS[key.symbol].kind == "perp":
                self.model.fund(key.symbol, Fraction(self.venue.prices[key.symbol] or "0"), self.venue.rates[key])
        self.unfunded.clear()

    def _mark_model(self) -> None:
        self.model.mark({symbol: exact(price) for symbol, price in self.venue.prices.items() if price})

    def _applied_fills(self, *, until_liquidation: bool = False) -> None:
        """Tell the model which fills happened, and check what each cost and made."""
        for row in self._new_fills(until_liquidation=until_liquidation):
            fee, made = self.model.fill(row["symbol"], row["side"] == "buy", row["size"], row["price"])
            assert (row["fee"], row["realized"]) == (fee, made)
            self.seen_fill = row["id"]
        self._mark_model()

    def _new_fills(self, *, until_liquidation: bool) -> list[Row]:
        with self.clash.read() as connection:
            rows = connection.execute(
                """
                SELECT f.id, f.symbol, f.side, f.size, f.price, f.fee, f.realized, o.origin FROM prop_fills f
                JOIN prop_orders o ON o.id = f.order_id WHERE f.account_id = ? AND f.id > ? ORDER BY f.id
                """,
                (self.account_id, self.seen_fill),
            ).fetchall()
        return [row for row in rows if not (until_liquidation and row["origin"] == "liquidation")]

    def _newest_fill(self) -> int:
        with self.clash.read() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM prop_fills").fetchone()[0])

    def _booked(self, connection: Connection, head: int) -> None:
        """Add what the ledger has booked since the last look; its groups are numbered without a hole."""
        if self.seen_seq == head:
            return
        groups, first, newest = connection.execute(
            "SELECT count(*), min(seq), max(seq) FROM prop_ledger_groups WHERE account_id = ? AND seq > ?",
            (self.account_id, self.seen_seq),
        ).fetchone()
        assert (groups, first, newest) == (head - self.seen_seq, self.seen_seq + 1, head)
        self.booked += connection.execute(
            "SELECT coalesce(sum(amount), 0) FROM prop_ledger WHERE account_id = ? AND seq > ?",
            (self.account_id, self.seen_seq),
        ).fetchone()[0]
        self.seen_seq = head

    def _bytes(self) -> list[tuple[object, ...]]:
        with self.clash.read() as connection:
            rows = connection.execute(
                "SELECT revision, balance, ledger_hash, positions_hash, state FROM prop_accounts WHERE id = ?",
                (self.account_id,),
            ).fetchall()
        return [tuple(row) for row in rows]


def random_proposal(source: random.Random) -> Proposal:
    """Something an engine could ask for, sensible or not."""
    symbol = source.choice([*ASSETS, "BTC"])
    action = source.choice(("open_long", "open_short", "increase", "reduce", "close", "open_long", "open_short"))
    size = source.choice(("0.01", "1", "7.5", "20", "50", "90", "100", "101", "nan"))
    stop = source.choice((None, None, None, "1", "3.25", "0"))
    return Proposal(symbol, action, size, source.choice((1, 1, 2, 5, 5, 6)), stop, source.choice((None, "2", "10")))


def random_step(walk: Walk, source: random.Random) -> None:
    """One step, chosen with weights that keep accounts trading and let each thing happen."""
    if (walk.halted or walk.model.state != "active") and source.random() < 0.3:
        walk.switch(False) if walk.halted else walk.act("resume")
        return
    roll = source.randrange(1000)
    if roll < 300:
        walk.submit(*(random_proposal(source) for _ in range(source.choice((1, 1, 2)))))
    elif roll < 480:
        walk.move_price(source.choice(list(ASSETS)), source.choice((-400, -170, -60, -20, -5, 5, 20, 60, 170, 300)))
    elif roll < 680:
        minutes = source.choice((1, 1, 1, 7))
        if hour_of(walk.now_ms + minutes * MINUTE_MS) == hour_of(walk.now_ms) or source.random() < LATE:
            walk.tick(minutes)
        else:
            walk.hour(source.choice(RATES))
    elif roll < 740:
        walk.flip(source.choice(list(ASSETS)))
    elif roll < 765:
        side = source.choice(("open_long", "open_short"))
        walk.submit(Proposal("DOGE", side, "100", 5), *[Proposal("DOGE", "increase", "100", 5)] * 3)
    elif roll < 820:
        walk.hour(source.choice(RATES))
    elif roll < 870:
        walk.repeat()
    elif roll < 900:
        walk.contradict()
    elif roll < 930:
        walk.act(source.choice(("pause", "resume", "lock", "unlock")))
    elif roll < 945:
        walk.switch(not walk.halted)
    elif roll < 985:
        walk.break_at(source.choice(BREAKS), source.random() < 0.5)
    elif roll < 990:
        walk.reopen()
    else:
        walk.end(source.choice(("complete", "liquidate")))


def replay(walk: Walk, steps: Sequence[Step]) -> bool:
    """Take the steps again; whether one of them fails."""
    try:
        for name, *arguments in steps:
            getattr(walk, name)(*arguments)
        walk.full_audit()
    except (AssertionError, StorageError, IntegrityError):
        return True
    return False


def shrunk(make: Callable[[], Walk], steps: Sequence[Step]) -> list[Step]:
    """The fewest steps that still fail, found by leaving out halves, quarters and so on."""
    kept, chunk = list(steps), max(len(steps) // 2, 1)
    while chunk:
        at = 0
        while at < len(kept):
            without = kept[:at] + kept[at + chunk :]
            if replay(make(), without):
                kept = without
            else:
                at += chunk
        chunk //= 2
    return kept
