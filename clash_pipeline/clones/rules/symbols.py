"""Symbols, categories and subcategories: what is named is listed, and overrides are of what is traded."""

from collections.abc import Collection, Iterable, Iterator

from clash_pipeline.clones import lookalikes
from clash_pipeline.clones.problems import Problem, escaped
from clash_pipeline.clones.rules import Subject
from clash_pipeline.clones.selection import is_of_groups
from clash_pipeline.market.listing import Listing

SHOWN = 8
"""Known names listed where none is close."""


def known_symbols(subject: Subject) -> Iterator[Problem]:
    """Every symbol that is named is listed, and what is traded is not delisted."""
    listing = subject.listing
    for at, selection in subject.selections():
        config, base = selection.config, f"{at}/config"
        for place, symbol in enumerate(config.explicitly_enabled_symbols):
            pointer = f"{base}/explicitlyEnabledSymbols/{place}"
            yield from _unlisted(listing, symbol, pointer)
            if symbol in listing and listing[symbol].is_delisted:
                yield Problem("symbol_delisted", pointer, f"{symbol} is no longer traded on Hyperliquid.")
        for place, symbol in enumerate(config.explicitly_disabled_symbols):
            yield from _unlisted(listing, symbol, f"{base}/explicitlyDisabledSymbols/{place}")
    for at, stream in subject.streams():
        for place, block in enumerate(stream.config.blocks):
            if block.context_symbol is not None:
                yield from _unlisted(listing, block.context_symbol, f"{at}/config/blocks/{place}/contextSymbol")
    for pointer, symbol, _ in _overrides(subject):
        yield from _unlisted(listing, symbol, pointer)


def used_overrides(subject: Subject) -> Iterator[Problem]:
    """An override belongs to an asset that its stream reaches or its prompt trades."""
    for pointer, symbol, reached in _overrides(subject):
        if symbol not in reached and symbol in subject.listing:
            yield Problem("override_unselected", pointer, f"{symbol} has settings here, and is not among the assets.")


def known_groups(subject: Subject) -> Iterator[Problem]:
    """Every category and subcategory exists, and the selected ones have an asset that can be traded."""
    for kind, pointer, name, is_selected in _groups(subject):
        known = _known(kind, subject.listing)
        if name not in known:
            yield Problem("category_unknown", pointer, f"There is no {kind} {name}.{_instead(name, known)}")
        elif is_selected and name not in _tradable(kind, subject.listing):
            yield Problem("group_empty", pointer, f"The {kind} {name} has no perp now; spot pairs are named.", 1, 0)


def _overrides(subject: Subject) -> Iterator[tuple[str, str, Collection[str]]]:
    """The place of each override by asset, its symbol, and the symbols that its node reaches."""
    for at, stream in subject.streams():
        reached = subject.reach.symbols_of_stream(stream)
        for symbol in sorted(stream.config.asset_overrides):
            yield f"{at}/config/assetOverrides/{escaped(symbol)}", symbol, reached
    for at, prompt in subject.prompts():
        claimed = subject.reach.claims(prompt)
        for symbol in sorted(prompt.config.asset_overrides):
            yield f"{at}/config/assetOverrides/{escaped(symbol)}", symbol, claimed


def _groups(subject: Subject) -> Iterator[tuple[str, str, str, bool]]:
    """Kind, place and name of each group, and whether its assets are traded."""
    for at, selection in subject.selections():
        config = selection.config
        for kind, field, names in (
            ("category", "highLevelCategories", config.high_level_categories),
            ("subcategory", "subcategories", config.subcategories),
        ):
            for place, name in enumerate(names):
                yield kind, f"{at}/config/{field}/{place}", name, True
    for at, stream in subject.streams():
        for place, group in enumerate(stream.config.group_profiles):
            base = f"{at}/config/groupProfiles/{place}"
            for kind, named in (("category", group.category), ("subcategory", group.subcategory)):
                if named is not None:
                    yield kind, f"{base}/{kind}", named, False


def _known(kind: str, listing: Listing) -> set[str]:
    """The groups of the listed assets and those of the taxonomy, which may have no listed asset."""
    from clash_pipeline.market.taxonomy import taxonomy

    places = taxonomy().subcategories
    of_taxonomy: Iterable[str] = places if kind == "category" else (name for names in places.values() for name in names)
    return {getattr(asset, kind) for asset in listing.values()}.union(of_taxonomy)


def _tradable(kind: str, listing: Listing) -> set[str]:
    return {getattr(asset, kind) for asset in listing.values() if is_of_groups(asset)}


def _instead(name: str, known: Collection[str]) -> str:
    close = lookalikes.near(name, known)
    if close:
        return lookalikes.suggestion(close)
    names = sorted(known)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" Known are {', '.join(names[:SHOWN])}{more}."


def _unlisted(listing: Listing, symbol: str, pointer: str) -> Iterator[Problem]:
    if symbol not in listing:
        instead = lookalikes.suggestion(lookalikes.near(symbol, listing))
        yield Problem("symbol_unknown", pointer, f"Hyperliquid lists no asset {symbol}.{instead}")
