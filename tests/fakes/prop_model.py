"""A prop account as a page of plain Python: what one fill, one funding hour and one mark must do, in fractions.

It shares no code with `clash_pipeline.prop`. It is told which fills happened and at which price, and says what they
must have cost and made; it is told the prices, and says what an account is worth and whether it must be liquidated.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

UNIT = 10**8
"""One USD, and one hundred percent."""
FEES = {"perp": 45_000, "spot": 70_000}
PRICE_DECIMALS = {"perp": 6, "spot": 8}


@dataclass(frozen=True)
class Asset:
    """What the model knows of an asset."""

    kind: str
    sz_decimals: int
    max_leverage: int

    @property
    def price_decimals(self) -> int:
        """Decimals of a price of a coin whose sizes have none."""
        return PRICE_DECIMALS[self.kind]

    def usd(self, price: int, size: int) -> int:
        """Notional of a scaled price and a scaled size, in 1e-8 USD; exact by the venue's grid."""
        exact = Fraction(price * size * UNIT, 10 ** PRICE_DECIMALS[self.kind])
        assert exact.denominator == 1
        return int(exact)

    def mark(self, price: Fraction, side: int) -> int:
        """The scaled mark, rounded against the holder."""
        scaled = price * 10 ** (PRICE_DECIMALS[self.kind] - self.sz_decimals)
        return floor(scaled) if side > 0 else ceil(scaled)


@dataclass
class Holding:
    """A signed size and what it cost, the last mark, and the sums of the account's life."""

    size: int = 0
    cost: int = 0
    marked: int | None = None
    realized: int = 0
    fees: int = 0
    funding: int = 0

    @property
    def side(self) -> int:
        return (self.size > 0) - (self.size < 0)


@dataclass
class Model:
    """One account."""

    assets: dict[str, Asset]
    start: int
    max_drawdown: Fraction
    is_trailing: bool = True
    balance: int = 0
    peak: int = 0
    state: str = "active"
    holdings: dict[str, Holding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.balance = self.peak = self.start

    def fill(self, symbol: str, is_buy: bool, size: int, price: int) -> tuple[int, int]:
        """Apply a fill; returns the fee and the realized profit that it must have."""
        asset, held = self.assets[symbol], self.holdings.setdefault(symbol, Holding())
        notional, side = asset.usd(price, size), 1 if is_buy else -1
        fee = ceil(Fraction(notional * FEES[asset.kind], UNIT))
        made = 0
        if held.side in (0, side):
            held.cost += notional
        else:
            assert size <= abs(held.size), "a fill never crosses zero"
            share = Fraction(held.cost * size, abs(held.size))
            released = floor(share) if held.side > 0 else ceil(share)
            made = held.side * (notional - released)
            held.cost -= released
        held.size += side * size
        held.marked = None if held.size == 0 else held.marked
        held.realized, held.fees = held.realized + made, held.fees + fee
        self.balance += made - fee
        return fee, made

    def fund(self, symbol: str, oracle: Fraction, rate_e10: int) -> int:
        """One funding hour on what is held; returns its effect on the balance."""
        held, asset = self.holdings[symbol], self.assets[symbol]
        size = Fraction(held.size, 10**asset.sz_decimals)
        amount = floor(-size * oracle * Fraction(rate_e10, 10**10) * UNIT)
        held.funding += amount
        self.balance += amount
        return amount

    def mark(self, prices: dict[str, Fraction]) -> None:
        """Mark what is held and has a price."""
        for symbol, held in self.holdings.items():
            if held.size and symbol in prices:
                held.marked = self.assets[symbol].mark(prices[symbol], held.side)

    @property
    def equity(self) -> int:
        """Balance and what the holdings would make at their marks."""
        return self.balance + sum(held.side * (self.value(symbol) - held.cost) for symbol, held in self.open())

    def value(self, symbol: str) -> int:
        """Notional of a holding at its mark."""
        held = self.holdings[symbol]
        return held.cost if held.marked is None else self.assets[symbol].usd(held.marked, abs(held.size))

    def open(self) -> list[tuple[str, Holding]]:
        """What is held."""
        return [(symbol, held) for symbol, held in self.holdings.items() if held.size]

    @property
    def must_be_liquidated(self) -> bool:
        """Whether equity is under maintenance margin or under the drawdown limit."""
        peak = max(self.peak, self.equity) if self.is_trailing else self.start
        maintenance = sum(
            ceil(Fraction(self.value(symbol), 2 * self.assets[symbol].max_leverage))
            for symbol, _ in self.open()
            if self.assets[symbol].kind == "perp"
        )
        return self.equity < peak - floor(peak * self.max_drawdown) or (bool(self.open()) and self.equity < maintenance)
