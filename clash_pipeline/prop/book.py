"""What an account is worth: balance and marked positions. The gates, the marks and the packet ask this same object."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import margin
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import Rounding


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

    def maintenance(self, listing: Listing) -> int:
        """Maintenance margin of the perps, by their tiers; spot needs none."""
        return sum(
            margin.maintenance(listing[position.symbol].tiers, position.value)
            for position in self.positions.values()
            if position.kind == "perp" and position.symbol in listing
        )

    def with_position(self, position: Position) -> "Book":
        """The same book after a position changed."""
        changed = {**self.positions, position.symbol: position}
        return replace(self, positions={symbol: held for symbol, held in changed.items() if held.size})

    def marked(self, quotes: Mapping[str, Quote], policy: Policy, now_ms: int) -> "Book":
        """Every position at its newest mark; one without a mark keeps the last one (a missing price marks nothing)."""
        return replace(
            self,
            positions={
                symbol: marked(position, quotes.get(symbol), policy, now_ms)
                for symbol, position in self.positions.items()
            },
        )


def marked(position: Position, quote: Quote | None, policy: Policy, now_ms: int) -> Position:
    """A position at its newest mark, rounded against the account; unchanged when there is none."""
    reference = quote.mark(policy, now_ms) if quote else None
    price = reference.price if reference else None
    if reference is None or price is None:
        return position
    rounding = Rounding.FLOOR if position.size > 0 else Rounding.CEIL
    mark = price.scaled(position.grid.px_decimals, rounding)
    return position.marked(mark, reference.source, reference.at) if mark > 0 else position
