"""Texts that strangers or creators wrote, as a packet carries them: cleaned, bounded, each once, referred to by id.

Cleaning lowers odds only; what protects an account is that nothing but the answer's fields counts (09 §5.2, X1).
"""

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clones.validation import BYTES_PER_TOKEN, PROMPT_TOKENS
from clash_pipeline.market import text

UNTRUSTED_BYTES = 4_096
"""The whole `untrusted` list as JSON stays within this (09 §5.2.1)."""
CUSTOM_BYTES = PROMPT_TOKENS * BYTES_PER_TOKEN
"""A custom prompt of this many UTF-8 bytes has 4,000 tokens by our estimate (02 D)."""
_MARKS_AND_SPACE = " " + "".join(map(chr, range(0x300, 0x370)))


class Untrusted(msgspec.Struct, frozen=True):
    """One text that is data, whatever it says; rows and headings refer to it by `id`."""

    id: str
    source: str
    text: str


class Texts:
    """Collects the untrusted texts of one packet, and hands out their ids."""

    def __init__(self) -> None:
        self.entries: list[Untrusted] = []
        self.left_out: set[str] = set()
        self._ids: dict[str, str] = {}
        self._known: dict[object, str | None] = {}
        self._bytes = len("[]")

    def refer(self, source: str, raw: object) -> str | None:
        """The id under which a text stands in the list; None for an empty one, and where the list is full."""
        if raw not in self._known:
            self._known[raw] = self._referred(source, raw) if isinstance(raw, str) else None
        return self._known[raw]

    def _referred(self, source: str, raw: str) -> str | None:
        entry = text.untrusted(f"t{len(self.entries) + 1}", source, raw)
        if not entry["text"]:
            return None
        return self._ids.get(entry["text"]) or self._added(Untrusted(**entry))

    def _added(self, entry: Untrusted) -> str | None:
        size = len(canonical.encode(entry)) + len(",")
        if self._bytes + size > UNTRUSTED_BYTES:
            self.left_out.add(entry.text)
            return None
        self._bytes += size
        self.entries.append(entry)
        self._ids[entry.text] = entry.id
        return entry.id


def custom(raw: str) -> str:
    """A creator's own prompt: each line cleaned, line breaks kept, at most 16,000 bytes; twice changes nothing.

    No line begins with a combining mark: in JSON it would stand after the n of a line break, and could merge with it.
    """
    cut = raw[: 2 * CUSTOM_BYTES].splitlines()
    lines = (text.clean(line, max_bytes=CUSTOM_BYTES).lstrip(_MARKS_AND_SPACE) for line in cut)
    whole = "\n".join(lines).strip("\n")
    return whole.encode()[:CUSTOM_BYTES].decode("utf-8", "ignore").strip()
