"""A small world for the thread from packet to ledger: both databases, a store, a clock, clones that trade."""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock, minute_of
from clash_pipeline.clones import clones
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.market import listing
from clash_pipeline.prop import accounts, policy
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from clash_pipeline.units import USD
from tests.fakes import market_rows

RISING = {"rsi14": 60.0, "bb_upper": 103.0, "bb_middle": 99.0, "bb_lower": 95.0, "sma20": 99.0, "ema20": 99.5}
"""Indicators of a trend upwards at a close of 100, for `World.minute`."""


@dataclass
class World:
    """The parts that the stages ask for, as `services.Services` has them."""

    settings: Settings
    clock: SettableClock
    clash: Database
    market: Database
    store: ArtifactStore

    @property
    def wall(self) -> SettableClock:
        """Here the time of processes is the market's."""
        return self.clock

    def minute(self, symbol: str, close: str, *, hist: float = 0.0, hist_before: float = 0.0, **values: float) -> None:
        """The minute that has just closed, with its indicators and a fresh mark."""
        t = minute_of(self.clock.now_ms()) - MINUTE_MS
        market_rows.candle(self.market, symbol, t, close)
        market_rows.indicators(self.market, symbol, t - MINUTE_MS, **{**values, "macd_hist": hist_before})
        market_rows.indicators(self.market, symbol, t, **{**values, "macd_hist": hist})
        market_rows.context(self.market, symbol, self.clock.now_ms(), mark=close)

    def clone(
        self, *symbols: str, engine: Literal["hold", "rules"] = "rules", name: str = "Ada", cadence_sec: int = 300
    ) -> tuple[int, int]:
        """A published clone that trades these assets in a sandbox account; returns (clone id, account id)."""
        now_ms = self.clock.now_ms()
        with self.market.read() as connection:
            listed = listing.read(connection)
        clone_id = clones.create(self.clash, name, engine=engine, now_ms=now_ms)
        graph = simple_graph(symbols, cadence_sec=cadence_sec)
        clones.save_draft(self.clash, clone_id, graph.wire(), listed, now_ms=now_ms)
        clones.publish(self.clash, clone_id, listed, now_ms=now_ms)
        clones.set_trading(self.clash, clone_id, True, now_ms=now_ms)
        return clone_id, self.account(clone_id)

    def account(self, clone_id: int) -> int:
        """The clone's sandbox account."""
        return accounts.open_sandbox(
            self.clash,
            clone_id,
            policy.sandbox(self.settings),
            start_balance_usd=self.settings.start_balance_usd,
            now_ms=self.clock.now_ms(),
        )

    def race(self, clone_id: int, *, kind: Literal["race", "audition"] = "race", hours: int = 6) -> int:
        """An account of the clone in race number 1, or in an audition, that begins now; returns its id."""
        now_ms = self.clock.now_ms()
        terms = policy.race(self.settings) if kind == "race" else policy.audition(self.settings)
        with self.clash.write() as connection:
            return accounts.open_account(
                connection, clone_id, kind, terms, start_balance=self.settings.start_balance_usd * USD, now_ms=now_ms,
                actor="test", parent_id=1, starts_at=now_ms, ends_at=now_ms + hours * HOUR_MS,
            )  # fmt: skip
