"""Where an asset belongs: category, subcategory and the words it is searched by, read from `taxonomy.yaml`.

The file is data that a person edits; it is checked when it is read. What it does not know is `uncategorised`, or stands
where its rule for spot tokens puts it, and has no search terms until a person gave it a place: a ticker alone finds too
much (BAGS, TEST and HAPPY are listed tokens).
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

UNCATEGORISED: Final = "uncategorised"


class TaxonomyError(ValueError):
    """The file contradicts itself; the message names the place."""


@dataclass(frozen=True)
class Place:
    """One asset's place and its words; `name` is what a person calls it."""

    category: str
    subcategory: str
    name: str
    search_terms: tuple[str, ...]
    is_by_rule: bool = False

    @property
    def is_known(self) -> bool:
        """Whether a person gave the asset its place."""
        return self.category != UNCATEGORISED and not self.is_by_rule


@dataclass(frozen=True)
class Taxonomy:
    """The whole file: titles and subcategories of the categories, and the places of perps and spot tokens."""

    titles: dict[str, str]
    subcategories: dict[str, tuple[str, ...]]
    perps: dict[str, Place]
    spot: dict[str, Place]
    same_as: dict[str, str]
    """Spot tokens that are another form of a perp's coin, and that perp's symbol."""
    otherwise: tuple[str, str] | None = None
    """Category and subcategory of the spot tokens that stand nowhere else."""

    def perp(self, symbol: str) -> Place:
        """The place of a perp; a leading k (per 1,000 coins) may be missing or superfluous in the file."""
        short = symbol.removeprefix("k") if symbol[1:].isupper() else symbol
        return self.perps.get(symbol) or self.perps.get(short) or self.perps.get(f"k{symbol}") or _unknown(symbol)

    def spot_token(self, token: str) -> Place:
        """The place of a spot pair by its base token."""
        return self.spot.get(token) or self._by_rule(token)

    def _by_rule(self, token: str) -> Place:
        return _unknown(token) if self.otherwise is None else Place(*self.otherwise, token, (), is_by_rule=True)


@cache
def taxonomy() -> Taxonomy:
    """The taxonomy of this release, read once.

    Raises:
        TaxonomyError: the file contradicts itself.
    """
    import yaml

    return parse(yaml.safe_load(files(__package__).joinpath("taxonomy.yaml").read_text(encoding="utf-8")))


def parse(document: Any) -> Taxonomy:
    """Check a decoded taxonomy file and turn it into places.

    Raises:
        TaxonomyError: a ticker that is no text or stands in two places, an unknown category, a dangling reference.
    """
    words = frozenset(_texts("ordinary_words", document.get("ordinary_words") or []))
    categories: dict[str, Any] = document["categories"]
    perps = _places({category: body["subcategories"] for category, body in categories.items()}, words)
    spot_section = document.get("spot") or {}
    taken = frozenset(term.upper() for place in perps.values() for term in place.search_terms)
    spot = _places(spot_section.get("places") or {}, words | taken)
    for category in {place.category for place in spot.values()} - categories.keys():
        raise TaxonomyError(f"spot: there is no category {category}")
    same_as: dict[str, str] = spot_section.get("same_as") or {}
    for token, symbol in same_as.items():
        if symbol not in perps or token in spot:
            raise TaxonomyError(f"spot: {token} cannot be the same as {symbol}")
        spot[token] = _with_term(perps[symbol], token, words)
    titles = {category: str(body["title"]) for category, body in categories.items()}
    subcategories = _subcategories(titles, perps, spot, categories)
    return Taxonomy(
        titles, subcategories, perps, spot, dict(same_as), _otherwise(spot_section.get("otherwise"), subcategories)
    )


def _otherwise(rule: dict[str, str] | None, subcategories: dict[str, tuple[str, ...]]) -> tuple[str, str] | None:
    if rule is None:
        return None
    category, subcategory = rule.get("category", ""), rule.get("subcategory", "")
    if subcategory not in subcategories.get(category, ()):
        raise TaxonomyError(f"spot.otherwise: there is no subcategory {category}.{subcategory}")
    return category, subcategory


def _places(tree: dict[str, Any], words: frozenset[str]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for category, subcategories in tree.items():
        for subcategory, tickers in subcategories.items():
            for ticker, names in tickers.items():
                _texts(f"{category}.{subcategory}", [ticker, *names])
                if ticker in places or not names:
                    raise TaxonomyError(f"{category}.{subcategory}: {ticker} stands twice or has no name")
                place = Place(category, subcategory, names[0], tuple(names))
                places[ticker] = _with_term(place, ticker, words)
    return places


def _with_term(place: Place, ticker: str, words: frozenset[str]) -> Place:
    known = {term.lower() for term in place.search_terms}
    if ticker in words or ticker.lower() in known:
        return place
    return Place(place.category, place.subcategory, place.name, (*place.search_terms, ticker))


def _subcategories(
    titles: dict[str, str], perps: dict[str, Place], spot: dict[str, Place], categories: dict[str, Any]
) -> dict[str, tuple[str, ...]]:
    found = {category: dict.fromkeys(categories[category]["subcategories"]) for category in titles}
    for place in (*perps.values(), *spot.values()):
        found[place.category].setdefault(place.subcategory)
    return {category: tuple(names) for category, names in found.items()}


def _texts(where: str, values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise TaxonomyError(f"{where}: {value!r} is read as {type(value).__name__}; put it in quotes")
    return values


def _unknown(ticker: str) -> Place:
    return Place(UNCATEGORISED, UNCATEGORISED, ticker, ())
