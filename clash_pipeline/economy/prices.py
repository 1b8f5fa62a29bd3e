"""What things cost, in wei: audition fees by model tier and capacity, upgrades by difference, tickets flat (02, 05)."""

from collections.abc import Mapping
from dataclasses import dataclass

from clash_pipeline.clones.entitlements import CAPACITY_ORDER, MODEL_TIERS, Purchased
from clash_pipeline.settings import Settings
from clash_pipeline.units import parse_scaled

ETHER_DECIMALS = 18
Cell = tuple[int, str]
"""Model tier and capacity tier."""


@dataclass(frozen=True)
class Prices:
    """The price list of the day; an open quote keeps the prices it was made at."""

    fees: Mapping[Cell, int]
    ticket_wei: int

    def fee(self, model_tier: int, capacity_tier: str) -> int:
        """The full audition fee of a cell: what a first audition and a retry cost."""
        return self.fees[model_tier, capacity_tier]

    def difference(self, base: Purchased, target: Purchased) -> int:
        """What an upgrade costs; zero or less where a cell is not dearer than the one that was bought."""
        return self.fee(target.model_tier, target.capacity_tier) - self.fee(base.model_tier, base.capacity_tier)


def of(settings: Settings) -> Prices:
    """The price list of some settings."""
    rows = zip(MODEL_TIERS, (settings.fees_model_1, settings.fees_model_2, settings.fees_model_3), strict=True)
    fees = {
        (tier, capacity): ether(text)
        for tier, row in rows
        for capacity, text in zip(CAPACITY_ORDER, row.split(","), strict=True)
    }
    return Prices(fees, ether(settings.ticket_price_eth))


def ether(text: str) -> int:
    """Decimal text of ether as wei.

    Raises:
        UnitError: not a plain decimal of at most 18 places.
    """
    return parse_scaled(text.strip(), ETHER_DECIMALS, max_int_digits=9, name="ether")


def upgraded(base: Purchased, wanted: Purchased) -> Purchased:
    """The component-wise maximum: what a clone has once an upgrade is granted, and so what it must pay for.

    Priced by what it asked for alone, two cheap upgrades would add up to a dear cell.
    """
    capacity = max(base.capacity_tier, wanted.capacity_tier, key=CAPACITY_ORDER.index)
    return Purchased(capacity, max(base.model_tier, wanted.model_tier))
