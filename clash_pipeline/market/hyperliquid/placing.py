"""Where the listed assets stand in the taxonomy, and which of them no person has placed yet."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from clash_pipeline.market.hyperliquid.registry import Asset
from clash_pipeline.market.taxonomy import UNCATEGORISED, Taxonomy, taxonomy


class Group(msgspec.Struct, frozen=True):
    """One subcategory: how many perps and spot pairs stand in it."""

    category: str
    title: str
    subcategory: str
    perps: int
    spot: int
    symbols: tuple[str, ...]


class Unplaced(msgspec.Struct, frozen=True):
    """A listed asset that no person has placed; `reason` is `uncategorised` or `by_rule`."""

    symbol: str
    token: str
    kind: str
    reason: str


class Placing(msgspec.Struct, frozen=True):
    """Every listed asset by subcategory, and those that wait for a person."""

    assets: int
    groups: tuple[Group, ...]
    unplaced: tuple[Unplaced, ...]

    def waiting(self, reason: str) -> tuple[str, ...]:
        """The symbols that wait for one reason."""
        return tuple(each.symbol for each in self.unplaced if each.reason == reason)


def placing(listed: Iterable[Asset], places: Taxonomy | None = None) -> Placing:
    """What the registry says of the taxonomy; delisted assets do not count."""
    known = places or taxonomy()
    assets = [asset for asset in listed if not asset.is_delisted]
    by_place: dict[tuple[str, str], list[Asset]] = {}
    for asset in assets:
        by_place.setdefault((asset.category, asset.subcategory), []).append(asset)
    unplaced = (Unplaced(a.symbol, a.base_token, a.kind, why) for a in assets if (why := _waits(a, known)))
    return Placing(
        len(assets), tuple(_group(*place, by_place[place], known) for place in sorted(by_place)), tuple(unplaced)
    )


def _group(category: str, subcategory: str, assets: list[Asset], known: Taxonomy) -> Group:
    kinds = Counter(asset.kind for asset in assets)
    symbols = tuple(asset.display_name for asset in assets)
    return Group(category, known.titles.get(category, category), subcategory, kinds["perp"], kinds["spot"], symbols)


def _waits(asset: Asset, known: Taxonomy) -> str | None:
    if asset.category == UNCATEGORISED:
        return UNCATEGORISED
    return "by_rule" if (asset.category, asset.subcategory) == known.otherwise else None
