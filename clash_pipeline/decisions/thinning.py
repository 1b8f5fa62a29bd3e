"""Bring a packet within its prompt budget by one documented rule, in one fixed order. Pure.

1. Reads of inclusion `auto` are thinned first, then `standard`, then `required`.
2. Within a class the longest lookback comes first, of equal ones the coarsest, then by name. Each in turn gives up half
   of its points, twice: the newest stays, and of the older ones every second.
3. If that is not enough, the reads of the class are left out in the same order, with the reason `over_budget`.
4. Required reads are never left out; they are halved in rounds until each has one point.

It stops as soon as the prompt fits. Above the budget remains only what is required: that is said in the packet.
"""

from collections.abc import Callable, Iterator

import msgspec

from clash_pipeline.clones.validation import BYTES_PER_TOKEN
from clash_pipeline.decisions import prompt
from clash_pipeline.decisions.packet import PROMINENCE, SECTION_LISTS, Budget, Packet, Thinned
from clash_pipeline.decisions.prompt import SYSTEM, tokens_of
from clash_pipeline.decisions.sections import Section

HALVINGS = 2
OVER_BUDGET = "over_budget"
Step = Callable[[Section], Section]


def fitted(packet: Packet, limit_tokens: int) -> Packet:
    """The packet with what was thinned, and its estimate; a packet within the budget keeps every row."""
    before = packet.sections
    after = _within(before, limit_tokens * BYTES_PER_TOKEN - _fixed_bytes(packet))
    used = {packet.identity.clone_name}.union(*(section.references for section in after))
    remaining = iter(after)
    lists = {place: tuple(next(remaining) for _ in getattr(packet, place)) for place in SECTION_LISTS}
    untrusted = tuple(entry for entry in packet.untrusted if entry.id in used)
    shown = msgspec.structs.replace(packet, **lists, untrusted=untrusted)
    return msgspec.structs.replace(shown, budget=_budget(shown, before, limit_tokens))


def halved(section: Section) -> Section:
    """Half of a read's points in time: the newest and every second older."""
    kept = frozenset(sorted(set(section.column("ago_min")))[::2])
    return msgspec.structs.replace(section, rows=tuple(row for row in section.rows if row[0] in kept))


def left_out(section: Section) -> Section:
    """A read without its rows, and with the reason; what it found and its age stay."""
    return msgspec.structs.replace(section, rows=(), left_out=OVER_BUDGET) if section.rows else section


def _within(before: tuple[Section, ...], limit_bytes: int) -> list[Section]:
    """The sections after as many steps as are needed, and no more."""
    after = list(before)
    total = sum(len(section.body) for section in after)
    for place, step in _steps(before):
        if total <= limit_bytes:
            break
        changed = step(after[place])
        total += len(changed.body) - len(after[place].body)
        after[place] = changed
    return after


def _steps(sections: tuple[Section, ...]) -> Iterator[tuple[int, Step]]:
    """Every step of the rule in its order: which section, and what happens to it."""
    for inclusion in PROMINENCE:
        places = [place for place, section in enumerate(sections) if section.inclusion == inclusion]
        places.sort(key=lambda place: _order(sections[place]))
        is_required = inclusion == PROMINENCE[-1]
        points = max((len(sections[place].rows) for place in places), default=0)
        for _ in range(points.bit_length() if is_required else HALVINGS):
            yield from ((place, halved) for place in places)
        if not is_required:
            yield from ((place, left_out) for place in places)


def _order(section: Section) -> tuple[int, int, str, str, str, str, str, str]:
    return (
        -section.lookback_sec, -section.granularity_sec, section.source, section.channel, section.of, section.scope,
        section.subject or "", section.market or "",
    )  # fmt: skip


def _fixed_bytes(packet: Packet) -> int:
    """The prompt without its sections: system text, account, universe, texts, headings and commas."""
    user = sum(len(line) for _, line in prompt.lines(packet))
    return len(SYSTEM.encode()) + user - sum(len(section.body) for section in packet.sections)


def _budget(packet: Packet, before: tuple[Section, ...], limit_tokens: int) -> Budget:
    sizes = {"system": len(SYSTEM.encode())} | {name: len(line) for name, line in prompt.lines(packet)}
    total = tokens_of(sum(sizes.values()))
    pairs = zip(before, packet.sections, strict=True)
    return msgspec.structs.replace(
        packet.budget,
        limit_tokens=limit_tokens,
        estimated_tokens={name: tokens_of(size) for name, size in sizes.items()} | {"total": total},
        is_over=total > limit_tokens,
        thinned=tuple(_thinned(after) for section, after in pairs if len(after.rows) < len(section.rows)),
    )


def _thinned(section: Section) -> Thinned:
    return Thinned(
        source=section.source,
        channel=section.channel,
        of=section.of,
        granularity_sec=section.granularity_sec,
        inclusion=section.inclusion,
        found=section.found,
        kept=len(section.rows),
        reason=section.left_out,
    )
