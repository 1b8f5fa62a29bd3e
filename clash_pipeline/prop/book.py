"""What an account is worth: balance and marked positions. The gates, the marks and the packet ask this same object."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import margin
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import Rounding, mul_div


@dataclass(frozen=True)
class Book:
    """A balance and the open positions by symbol; amounts in 1e-8 USD."""

    balance: int
    positions: Mapping[str, Position]

    @cached_property
    def unrealized(self) -> int:
        """Profit of the open positions at their marks."""
        return sum(position.unrealized for position in self.positions.values())

    @property
    def equity(self) -> int:
        """Balance and unrealized profit."""
        return self.balance + self.unrealized

    @cached_property
    def gross(self) -> int:
        """Notional of all positions, without sign."""
        return sum(position.value for position in self.positions.values())

    @cached_property
    def margin(self) -> int:
        """Initial margin in use."""
        return sum(margin.initial(position.value, position.leverage) for position in self.positions.values())

    @property
    def free(self) -> int:
        """Equity that no position ties up."""
        return self.equity - self.margin

    @cached_property
    def cash(self) -> int:
        """What spot may be bought with: not tied up as basis or margin, and no profit not booked yet (11, 4)."""
        spot = sum(position.cost for position in self.positions.values() if position.kind == "spot")
        perps = [position for position in self.positions.values() if position.kind != "spot"]
        tied = sum(margin.initial(position.value, position.leverage) for position in perps)
        return self.balance - spot - tied + min(sum(position.unrealized for position in perps), 0)

    def maintenance(self, listing: Listing) -> int:
        """Maintenance margin of the perps, by their tiers; spot needs none."""
        return sum(
            margin.maintenance(listing[position.symbol].tiers, position.value)
            for position in self.positions.values()
            if position.kind == "perp" and position.symbol in listing
        )

    def liquidation_price(self, symbol: str, listing: Listing) -> int | None:
        """The scaled price of one perp at which the account's equity meets its maintenance margin, all else unmoved.

        None for spot, for a symbol that is not held, listed or marked, and where no positive price does it.
        """
        held, asset = self.positions.get(symbol), listing.get(symbol)
        if held is None or asset is None or held.kind != "perp" or held.mark is None:
            return None
        return margin.liquidation_price(
            asset.tiers, price=held.mark, size=held.size, sz_factor=held.grid.notional_factor,
            margin_available=self.equity - self.maintenance(listing),
        )  # fmt: skip

    def price_at_equity(self, symbol: str, equity: int) -> int | None:
        """The scaled price of one position at which equity is `equity`, all else unmoved, rounded against the account.

        None where it is not held or not marked.
        """
        held = self.positions.get(symbol)
        if held is None or held.mark is None:
            return None
        apart = mul_div(self.equity - equity, 1, abs(held.size) * held.grid.notional_factor, Rounding.FLOOR)
        return held.mark - held.side * apart

    def with_position(self, position: Position) -> "Book":
        """The same book after a position changed."""
        changed = {**self.positions, position.symbol: position}
        return Book(self.balance, {symbol: held for symbol, held in changed.items() if held.size})

    def marked(self, quotes: Mapping[str, Quote], policy: Policy, now_ms: int) -> "Book":
        """Every position at its newest mark; one without a mark keeps the last one (a missing price marks nothing)."""
        marks = {symbol: marked(held, quotes.get(symbol), policy, now_ms) for symbol, held in self.positions.items()}
        return Book(self.balance, marks)


def marked(position: Position, quote: Quote | None, policy: Policy, now_ms: int) -> Position:
    """A position at its newest mark, rounded against the account; unchanged when there is none."""
    reference = quote.mark(policy, now_ms) if quote else None
    price = reference.price if reference else None
    if reference is None or price is None:
        return position
    rounding = Rounding.FLOOR if position.size > 0 else Rounding.CEIL
    mark = price.scaled(position.grid.px_decimals, rounding)
    return position.marked(mark, reference.source, reference.at) if mark > 0 else position
