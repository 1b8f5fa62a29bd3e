"""The product state of a clone: derived from facts, never stored (02). The arena supplies what only it knows."""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.clones import retirement
from clash_pipeline.storage.sqlite import Connection, one

ProductState = Literal[
    "setup_required", "configured", "audition_running", "audition_failed", "competition_eligible", "competing",
    "retired",
]  # fmt: skip


@dataclass(frozen=True)
class ProductFacts:
    """What a product state follows from; `last_audition` is the result of the newest ended one."""

    has_published: bool
    is_retired: bool = False
    has_open_audition: bool = False
    last_audition: Literal["passed", "failed", "voided"] | None = None
    has_slot: bool = False
    is_racing: bool = False


def product_state(facts: ProductFacts) -> ProductState:
    """The one state, the strongest fact first; a voided audition counts as none."""
    if facts.is_retired:
        return "retired"
    if facts.has_slot or facts.is_racing:
        return "competing"
    if facts.has_open_audition:
        return "audition_running"
    if not facts.has_published:
        return "setup_required"
    if facts.last_audition == "passed":
        return "competition_eligible"
    return "audition_failed" if facts.last_audition == "failed" else "configured"


def own_facts(connection: Connection, clone_id: int) -> ProductFacts:
    """The facts that the clone service itself knows."""
    published = one(connection, "SELECT 1 FROM clone_versions WHERE clone_id = ? AND is_active = 1", (clone_id,))
    return ProductFacts(published is not None, retirement.is_retired(connection, clone_id))
