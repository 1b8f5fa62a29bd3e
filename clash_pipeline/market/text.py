"""Third-party text made harmless before it is stored: titles, outcomes and names that strangers wrote (09 §3.7 X8).

What is removed is listed here, not asked of the interpreter's Unicode tables, so that every Python cleans alike.
Cleaning does not make a text trustworthy: whoever shows it to a model still marks it as data (09 §5.2.1).
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

SHOWN_CHARACTERS = 280
"""The longest third-party text a packet shows."""

# ruff and reviewers alike would misread the characters themselves, so the classes are written as escapes.
_SPACES = re.compile("[\\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_REMOVED = re.compile(
    "["
    "\u0000-\u0008\u000e-\u001f\u007f-\u009f"  # control
    "\u00ad\u034f\u061c\u06dd\u070f\u08e2\u180b-\u180f"  # soft hyphen, joiners, Arabic and Mongolian format
    "\u0600-\u0605\u0890\u0891"  # Arabic number signs
    "\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"  # letters and a symbol that show nothing
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # zero width, bidi embedding, isolates, invisible operators
    "\ufe00-\ufe0f\ufeff\ufff0-\uffff\ufdd0-\ufdef"  # variation selectors, byte order mark, specials, noncharacters
    "\ud800-\udfff\ue000-\uf8ff"  # lone surrogates, private use
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # format of rare scripts
    "\U0001fffe\U0001ffff\U0002fffe-\U0002ffff\U0003fffe-\U0003ffff"
    "\U000e0000-\U0010ffff"  # tags, more variation selectors, private planes
    "]"
)
_MARK_RUN = re.compile("([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
                       "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+%()!$&'*,;=:@-]*")


def clean(text: str, *, max_bytes: int, max_characters: int | None = None) -> str:
    """One line of visible text: no control, bidi, zero-width or tag characters, NFC, bounded in UTF-8 bytes.

    A tokenizer never makes more tokens than bytes, so the bound holds for tokens too. Cleaning twice changes nothing.
    """
    visible = _REMOVED.sub("", _SPACES.sub(" ", text))[:max_bytes]  # cut first: composing long runs is quadratic
    composed = _MARK_RUN.sub(r"\1", unicodedata.normalize("NFC", visible))
    single = _SPACES.sub(" ", composed).strip()[:max_characters]
    return single.encode("utf-8")[:max_bytes].decode("utf-8", "ignore").strip()


def key(text: str, *, max_bytes: int = 200) -> str | None:
    """A venue's slug or id if it can safely stand in a key or an address, else None."""
    return text if len(text) <= max_bytes and _KEY.fullmatch(text) else None


def untrusted(identity: str, source: str, text: str) -> Mapping[str, Any]:
    """One entry of a packet's `untrusted` list: cleaned, at most 280 characters (09 §5.2.1)."""
    return {
        "id": identity,
        "source": source,
        "text": clean(text, max_bytes=4 * SHOWN_CHARACTERS, max_characters=SHOWN_CHARACTERS),
    }
