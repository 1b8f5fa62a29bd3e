"""One proposal before the gates: the account as it stands, what memory says, and everything that follows from both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from clash_pipeline.market.listing import Listed
from clash_pipeline.prop import orders, risk, stops
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book, marked
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Position, after_fill
from clash_pipeline.prop.pricing import Quote, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.prop.stops import Armed

Figures = dict[str, str | int | None]


@dataclass(frozen=True)
class Rejection:
    """Why an action was refused."""

    code: str
    figures: Figures


@dataclass(frozen=True)
class Instant:
    """What a run knows of its own time: the tick it was due at, and the newest datum that its packet held."""

    tick: int | None = None
    newest_datum_at: int | None = None


@dataclass(frozen=True)
class Case:
    """A proposal, the account's book at the newest marks, the quotes of everything asked for or held."""

    account: Account
    book: Book
    proposal: Proposal
    quotes: Mapping[str, Quote]
    position: Position
    opened_last_hour: int
    now_ms: int
    instant: Instant = field(default_factory=Instant)

    @property
    def quote(self) -> Quote | None:
        """What memory says of the asset asked for."""
        return self.quotes.get(self.proposal.symbol)

    @property
    def is_spot(self) -> bool:
        """Whether the asset asked for is a spot pair; an unknown one is not."""
        return self.quote is not None and self.quote.asset is not None and self.quote.asset.kind == "spot"

    @cached_property
    def listing(self) -> dict[str, Listed]:
        """What the registry says of the assets asked for or held."""
        return {symbol: quote.asset for symbol, quote in self.quotes.items() if quote.asset}

    @cached_property
    def fill_minute(self) -> int | None:
        """The minute at whose close this run is filled, where the account has a common instant."""
        return None if self.instant.tick is None else self.account.policy.fill_minute(self.instant.tick)

    @property
    def filled_as_of(self) -> int:
        """The moment that counts for the account's window: the common instant, or now."""
        delay, tick = self.account.policy.fill_delay_ms, self.instant.tick
        return tick + delay if delay and tick is not None else self.now_ms

    @property
    def newest_datum_at(self) -> int | None:
        """What the decision knew last."""
        return self.instant.newest_datum_at

    @cached_property
    def reference(self) -> Reference | None:
        """The price that would be traded on."""
        if self.quote is None or self.why_no_close is not None:
            return None
        return self.quote.fill_reference(self.account.policy, self.now_ms)

    @cached_property
    def why_no_close(self) -> str | None:
        """Why there is no common close to trade on; None where there is one, or none is needed."""
        if not self.account.policy.fill_delay_ms:
            return None
        if self.fill_minute is None:
            return "no tick"
        common = self.quote.common if self.quote else None
        return "not quoted" if common is None or common.minute != self.fill_minute else common.why

    @cached_property
    def amount(self) -> int | None:
        """The size or notional that is asked for."""
        return orders.requested(self.proposal, self.position, self.book.equity)

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The orders it means, priced."""
        if self.quote is None or self.quote.asset is None or self.reference is None or self.amount is None:
            return ()
        policy = self.account.policy
        return orders.legs(
            self.proposal, self.position, self.amount, self.quote.asset, self.reference, self.quote.liquidity,
            cap=policy.slippage_cap, now_ms=self.now_ms,
        )  # fmt: skip

    @cached_property
    def opening(self) -> Leg | None:
        """The leg that raises exposure, if there is one."""
        return next((leg for leg in self.legs if leg.is_opening), None)

    @cached_property
    def armed(self) -> Armed:
        """The stop and target of the position after the opening leg."""
        if self.opening is None:
            return Armed()
        side = 1 if self.opening.is_buy else -1
        return stops.armed(self.proposal, self.position, side, self.opening.price, self.position.grid)

    @cached_property
    def is_full_close(self) -> bool:
        """Whether nothing of the position would be left and nothing new opened."""
        return self.opening is None and all(leg.size == abs(self.position.size) for leg in self.legs)

    @cached_property
    def after(self) -> Book:
        """The book after all legs, every position at its mark; one that has none is marked at its own fill."""
        position, book = self.position, self.book
        for leg in self.legs:
            effect = after_fill(
                position, is_buy=leg.is_buy, size=leg.size, price=leg.price, fee=leg.fee,
                leverage=self.proposal.leverage, now_ms=self.now_ms,
            )  # fmt: skip
            position = effect.position
            book = Book(book.balance + effect.realized - leg.fee, book.positions)
        position = marked(position, self.quote, self.account.policy, self.now_ms)
        if position.mark is None and self.legs:
            position = position.marked(self.legs[-1].price, "fill", self.now_ms)
        return book.with_position(position)

    @property
    def held_after(self) -> Position:
        """The position after all legs; as it was where nothing is left of it."""
        return self.after.positions.get(self.proposal.symbol, self.position)

    @cached_property
    def notional_after(self) -> int:
        """The position's notional after all legs, at the price it is traded at."""
        held = self.after.positions.get(self.proposal.symbol)
        return held.grid.notional(self.legs[-1].price, abs(held.size)) if held else 0

    @property
    def equity_floor(self) -> int:
        """The equity below which the drawdown limit ends the account."""
        peak = max(self.account.high_water_mark, self.book.equity)
        return self.account.policy.equity_floor(self.account.start_balance, peak)

    def six_hour_volatility(self, symbol: str) -> int:
        """σ6h of an asset; the policy's worst class where it is not known."""
        return risk.volatility(self.quotes.get(symbol), self.account.policy)

    @cached_property
    def risk_after(self) -> int:
        """Σ |notional| × σ6h after all legs: the traded position at its own price, the others at their marks."""
        others = [held for symbol, held in self.after.positions.items() if symbol != self.proposal.symbol]
        own = risk.of(self.notional_after, self.six_hour_volatility(self.proposal.symbol))
        return own + risk.at_risk(others, self.quotes, self.account.policy)
