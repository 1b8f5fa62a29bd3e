"""What strategies read by name: Polymarket slugs and DefiLlama subjects, which the crawls may not bring by themselves.

Market memory asks for these whatever their size. Versions are immutable, so each is decoded once.
"""

import json
from typing import Any, NamedTuple

import msgspec
import structlog

from clash_pipeline.clock import DAY_MS
from clash_pipeline.clones.compiled import decode
from clash_pipeline.storage.sqlite import Connection, Database

DRAFT_MS = DAY_MS
"""A draft saved within this counts too, so that its creator sees what a block would read before publishing."""

log = structlog.get_logger(__name__)


class Named(NamedTuple):
    """Slugs of markets and events, and scope and subject of DefiLlama rows."""

    markets: frozenset[str] = frozenset()
    subjects: frozenset[tuple[str, str]] = frozenset()

    def plus(self, *others: "Named") -> "Named":
        """These and those of others."""
        return Named(
            self.markets.union(*(other.markets for other in others)),
            self.subjects.union(*(other.subjects for other in others)),
        )


class NamedReads:
    """Everything that active versions and fresh drafts of clones that are not retired name."""

    def __init__(self, clash: Database) -> None:
        self._clash = clash
        self._known: dict[int, Named] = {}

    def at(self, now_ms: int) -> Named:
        """What is named at a time; asked again and again, it reads only what is new."""
        with self._clash.read() as connection:
            active = [row[0] for row in connection.execute(_ACTIVE)]
            known = {
                version_id: self._known.get(version_id) or _of_version(connection, version_id) for version_id in active
            }
            drafts = [_of_draft(row[0]) for row in connection.execute(_DRAFTS, (now_ms - DRAFT_MS,))]
        self._known = known
        return Named().plus(*known.values(), *drafts)


def _of_version(connection: Connection, version_id: int) -> Named:
    """What a version names; one that cannot be read names nothing, and is the trouble of its own runs."""
    content = connection.execute("SELECT compiled FROM clone_versions WHERE id = ?", (version_id,)).fetchone()[0]
    try:
        compiled = decode(content)
    except (ValueError, msgspec.MsgspecError) as error:
        log.warning("version_unreadable", version_id=version_id, error=type(error).__name__)
        return Named()
    return Named(frozenset(compiled.markets), frozenset(compiled.subjects))


def _of_draft(content: str) -> Named:
    """What the blocks of a draft name, whether they are connected yet or not; its form was checked at save."""
    nodes: list[dict[str, Any]] = json.loads(content)["nodes"]
    blocks = [block for node in nodes for block in node["config"].get("blocks", ())]
    slugs = {slug for block in blocks for name in ("marketSlug", "eventSlug") if (slug := block.get(name))}
    subjects = {(block["scope"], block["subject"]) for block in blocks if block.get("scope") and block.get("subject")}
    return Named(frozenset(slugs), frozenset(subjects))


_ACTIVE = """
    SELECT v.id FROM clone_versions v WHERE v.is_active = 1 AND NOT EXISTS (
      SELECT 1 FROM clone_retirements r WHERE r.clone_id = v.clone_id AND r.reinstated_at IS NULL
    )
"""
_DRAFTS = """
    SELECT c.draft FROM clones c WHERE c.draft IS NOT NULL AND c.draft_updated_at >= ? AND NOT EXISTS (
      SELECT 1 FROM clone_retirements r WHERE r.clone_id = c.id AND r.reinstated_at IS NULL
    )
"""
