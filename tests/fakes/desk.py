"""A trading desk for tests: one account, prices set by hand, orders placed in one line."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from clash_pipeline.clock import SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.prop import accounts, intake, policy, views
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.intake import ANY_TIME
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.proposal import ActionResult, Proposal
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from clash_pipeline.units import USD
from tests.fakes import market_rows


@dataclass
class Desk:
    """Places orders under a new run id each, at the clock's time."""

    settings: Settings
    clock: SettableClock
    clash: Database
    market: Database
    venue: PaperVenue
    account_id: int = 0
    run_id: int = field(default=0)

    def open(
        self, *, balance_usd: int = 100_000, kind: Any = "sandbox", ends_at: int | None = None,
        terms: Policy | None = None, **limits: Any,
    ) -> int:  # fmt: skip
        """An account of another clone, with other terms or some limits changed; it becomes the one that trades."""
        terms = msgspec.structs.replace(terms or policy.sandbox(self.settings), **limits)
        now_ms = self.clock.now_ms()
        clone_id = clones.create(self.clash, f"Clone {self.account_id + 1}", engine="rules", now_ms=now_ms)
        with self.clash.write() as connection:
            self.account_id = accounts.open_account(
                connection, clone_id, kind, terms, start_balance=balance_usd * USD, now_ms=now_ms,
                actor="test", ends_at=ends_at, parent_id=None if kind == "sandbox" else 1,
            )  # fmt: skip
        return self.account_id

    def price(self, symbol: str, price: str, *, day_volume: str = "1000000000") -> None:
        """A fresh mid and mark; the impact prices are the mid, so that slippage is 0.5 bp and impact."""
        now_ms = self.clock.now_ms()
        market_rows.mid(self.market, symbol, price, now_ms)
        market_rows.context(self.market, symbol, now_ms, mark=price, day_volume=day_volume, impact=(price, price))

    def order(
        self, action: str, symbol: str = "BTC", size_pct: str = "10", leverage: int = 1,
        *, stop: str | None = None, target: str | None = None, instant: Instant = ANY_TIME,
    ) -> ActionResult:  # fmt: skip
        """One action under a run of its own; `stop` and `target` are percent of the execution price."""
        self.run_id += 1
        return self.submit(Proposal(symbol, action, size_pct, leverage, stop, target), instant=instant)[0]

    def submit(self, *proposals: Proposal, instant: Instant = ANY_TIME) -> list[ActionResult]:
        """Some actions under the present run."""
        return intake.submit(
            self.clash, self.account_id, self.run_id, proposals, self.venue, now_ms=self.clock.now_ms(),
            instant=instant,
        )  # fmt: skip

    def view(self) -> dict[str, Any]:
        """The account as people see it."""
        with self.clash.read() as connection:
            return views.account_view(connection, self.account_id, tail=1_000)
