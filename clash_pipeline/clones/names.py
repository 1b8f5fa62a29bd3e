"""Public names: cleaned, bounded, and compared by skeletons, so that nobody passes for somebody else's clone (02).

Two names are taken for each other when they look alike as they are drawn, or when they read alike in one case; one
skeleton cannot serve both, because Greek and Cyrillic letters resemble other Latin ones in capitals than in small.
"""

import unicodedata
from functools import cache
from typing import NamedTuple

from clash_pipeline.clones.refusals import ProfileInvalid
from clash_pipeline.market import text

NAME_CHARACTERS = 32
"""Longest public name after cleaning (02)."""
RAW_CHARACTERS = 4_096
"""What is longer is refused before anybody cleans it."""
SMALL_CAPITAL = "LATIN LETTER SMALL CAPITAL "


class Skeletons(NamedTuple):
    """What a name is compared by; internal, never shown."""

    seen: str
    """As it is drawn: lookalikes first, then case, with i, l, I and 1 as one."""
    read: str
    """As it is read: case first, then lookalikes."""


def public_name(given: str) -> str:
    """A public name in its stored form: one line of visible text, 1 to 32 characters, a letter or digit among them.

    Raises:
        ProfileInvalid: nothing readable is left of it, or too much; says which.
    """
    cleaned = one_line(given, "a public name", NAME_CHARACTERS)
    if not any(character.isalnum() for character in cleaned):
        raise ProfileInvalid("a public name needs a letter or a digit that can be seen")
    return cleaned


def one_line(given: str, what: str, most: int) -> str:
    """A text cleaned by the house's rules for third-party text, and bounded.

    Raises:
        ProfileInvalid: it has more characters than allowed.
    """
    cleaned = given if len(given) > RAW_CHARACTERS else text.clean(given, max_bytes=RAW_CHARACTERS)
    if len(cleaned) > most:
        raise ProfileInvalid(f"{what} has at most {most} characters, this one has {len(cleaned)}")
    return cleaned


def skeletons(name: str) -> Skeletons:
    """What a cleaned name is compared by (Unicode TS 39, case-insensitive both ways)."""
    plain = unicodedata.normalize("NFKC", name)
    drawn = _prototypes(_prototypes(plain).casefold()).replace("i", "l")
    return Skeletons(drawn, _prototypes(plain.casefold()).casefold())


def _prototypes(value: str) -> str:
    """Each character as the one it is taken for; spaces and marks without a place of their own go."""
    table = _table()
    parts = unicodedata.normalize("NFD", value)
    mapped = "".join(table.get(character, character) for character in parts)
    return unicodedata.normalize("NFD", "".join(mapped.split()))


@cache
def _table() -> dict[str, str]:
    """Unicode's confusables: character → prototype.

    The library keeps them as a graph without direction; each group is a star around its prototype, which is the one
    with more neighbours, or the sequence of several characters, or the first of two.
    """
    from confusable_homoglyphs.confusables import confusables_data  # type: ignore[import-untyped]

    found: dict[str, str] = {}
    for key, neighbours in confusables_data.items():
        source = _bare(key)
        if len(source) == 1 and len(neighbours) == 1:
            target = neighbours[0]["c"]
            if len(confusables_data[target]) > 1 or _rank(_bare(target)) < _rank(source):
                found[source] = _bare(target)
    small_capitals = {letter: base for letter in found.values() if (base := _base_of_small_capital(letter))}
    return {source: small_capitals.get(target, target) for source, target in found.items()} | small_capitals


def _rank(characters: str) -> tuple[bool, bool, str]:
    """Of two lookalikes the one with the lower rank is the prototype."""
    return len(characters) == 1, not characters.isascii(), characters


def _bare(characters: str) -> str:
    """Without the direction marks that Unicode's file puts around right-to-left characters."""
    return characters.replace("\u200e", "").replace("\u200f", "")


def _base_of_small_capital(letter: str) -> str | None:
    name = unicodedata.name(letter, "") if len(letter) == 1 else ""
    base = name.removeprefix(SMALL_CAPITAL)
    return base.lower() if name.startswith(SMALL_CAPITAL) and len(base) == 1 else None
