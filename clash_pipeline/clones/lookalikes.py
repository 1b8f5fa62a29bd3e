"""Tickers that only look like one: foreign letters in the place of ASCII ones, and names close to a listed one."""

import unicodedata
from collections.abc import Collection, Iterable
from difflib import get_close_matches

NEAR = 3
"""Suggestions at most."""

_CYRILLIC = dict(zip("АВЕЅІЈКМНОРСТУХԐаеіјорсухѕһԁԛԝ", "ABESIJKMHOPCTYXEaeijopcyxshdqw", strict=True))
_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρυ", "ABEZHIKMNOPTYXovpu", strict=True))
_OTHERS = {
    "ı": "i",
    "ⅼ": "l",
    "∕": "/",
    "⁄": "/",
    "＠": "@",
    "ԍ": "G",
    "Ꭺ": "A",
    "Ᏼ": "B",
    "Ꮯ": "C",
    "Ꭼ": "E",
    "Ꮋ": "H",
}
_ASCII = str.maketrans(_CYRILLIC | _GREEK | _OTHERS)


def ascii_twin(text: str) -> str | None:
    """The ASCII text that a text in other letters resembles; None where it is ASCII already or resembles nothing."""
    if text.isascii():
        return None
    bare = "".join(
        character for character in unicodedata.normalize("NFKD", text) if unicodedata.category(character) not in _HIDDEN
    )
    twin = bare.translate(_ASCII)
    return twin if twin and twin.isascii() else None


_HIDDEN = frozenset({"Mn", "Me", "Cf", "Cc"})
"""Marks and characters that show nothing."""


def foreign_letters(text: str) -> str:
    """The characters of a text that are not ASCII, with their Unicode names, for a person who cannot see them."""
    foreign = dict.fromkeys(character for character in text if not character.isascii())
    return ", ".join(_name(character) for character in list(foreign)[:4])


def near(text: str, known: Collection[str]) -> list[str]:
    """The known names closest to a text, letter case aside, the closest first."""
    folded: dict[str, str] = {}
    for name in sorted(known):
        folded.setdefault(name.casefold(), name)
    return [folded[match] for match in get_close_matches(text.casefold(), folded, NEAR, 0.6)]


def suggestion(names: Iterable[str]) -> str:
    """` Did you mean A or B?`, or nothing."""
    found = list(names)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}").capitalize()
