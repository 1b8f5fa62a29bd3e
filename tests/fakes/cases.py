"""One proposal before the gates, built of values alone: no store, everything adjustable to the last unit."""

from dataclasses import replace
from typing import Any

from msgspec import structs

from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.case import Case
from clash_pipeline.prop.ledger import EMPTY
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Liquidity, Quote, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import USD

NOW = 1_753_100_000_000
TERMS = Policy(
    rule_set=2, symbols=None, max_leverage=5, max_position_pct=100, max_gross_pct=300, max_open_positions=10,
    min_order=10 * USD, max_orders_per_hour=60, mid_max_age_ms=15_000, candle_max_age_ms=75_000,
    mark_max_age_ms=90_000, closes_max_age_ms=600_000, slippage_cap=1_000_000, max_drawdown=10_000_000,
    has_funding=True,
)  # fmt: skip


def listed(symbol: str, kind: str = "perp", sz_decimals: int = 3, leverage: int = 40) -> Listed:
    """An asset of one margin tier."""
    return Listed(symbol, kind, sz_decimals, leverage, (Tier(0, leverage),), False, frozenset({"ohlcv"}), "c", "s")


def quote(symbol: str, price: str = "100", *, kind: str = "perp", day_volume: int | None = 10**9 * USD) -> Quote:
    """A fresh mid and mark with an impact spread of nothing and a volatility of 2 % a day."""
    return Quote(
        symbol,
        listed(symbol, kind),
        (Reference(price, "mid", NOW, NOW),),
        Liquidity(0, 2_000_000, day_volume, 168, "context"),
        Reference(price, "venue", NOW, NOW),
        None,
    )


def held(symbol: str, cost: int, *, kind: str = "perp", **more: Any) -> Position:
    """An open long that was never marked, so that it is worth its cost to the unit, at leverage 1."""
    return Position(symbol, kind, 3, size=1, cost=cost, opened_at=NOW, **more)


def case(
    action: str = "open_long", *, size_pct: str = "10", leverage: int = 1, kind: str = "perp",
    balance: int = 100_000 * USD, positions: tuple[Position, ...] = (), opened: int = 0,
    stop: str | None = None, target: str | None = None, on: Quote | None = None, **terms: Any,
) -> Case:  # fmt: skip
    """An order in BTC at 100 by an account with this balance and these positions, on these terms."""
    policy = structs.replace(TERMS, **terms)
    account = Account(
        id=1, clone_id=1, kind="sandbox", parent_id=None, state="active", start_balance=balance, balance=balance,
        high_water_mark=balance, policy=policy, policy_hash=policy.digest, starts_at=None, ends_at=None, revision=1,
        head=EMPTY, created_at=0, halted=None,
    )  # fmt: skip
    book = Book(balance, {position.symbol: position for position in positions})
    traded = on or quote("BTC", kind=kind)
    own = book.positions.get("BTC") or Position("BTC", kind, 3)
    proposal = Proposal("BTC", action, size_pct, leverage, stop, target)
    return Case(account, book, proposal, {"BTC": traded}, own, opened, NOW)


def terms(made: Case, **changes: Any) -> Case:
    """The same case on other terms."""
    policy = structs.replace(made.account.policy, **changes)
    return replace(made, account=structs.replace(made.account, policy=policy))
