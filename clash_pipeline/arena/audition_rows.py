"""Auditions as they are stored, and reading them back."""

from dataclasses import dataclass

from clash_pipeline.arena import criteria
from clash_pipeline.arena.criteria import Finding, Rules
from clash_pipeline.arena.refusals import ArenaUnknown
from clash_pipeline.storage.sqlite import Connection, Row

OPEN = frozenset({"submitted", "running"})


@dataclass(frozen=True)
class Audition:
    """An audition as stored; `findings` are empty until it was judged, `cause` names the criterion that failed it."""

    id: int
    clone_id: int
    purchase_id: int
    retry_of: int | None
    version_id: int
    compiled_hash: str
    account_id: int | None
    state: str
    submitted_at: int
    submitted_by: str
    starts_at: int
    ends_at: int
    rules: Rules
    rules_hash: str
    result_hash: str | None
    findings: tuple[Finding, ...]
    cause: str | None
    ended_at: int | None
    ended_by: str | None
    reason: str | None

    @property
    def is_open(self) -> bool:
        """Whether it was neither judged nor voided."""
        return self.state in OPEN


def get(connection: Connection, audition_id: int) -> Audition:
    """One audition.

    Raises:
        ArenaUnknown: no such audition.
    """
    row = connection.execute("SELECT * FROM auditions WHERE id = ?", (audition_id,)).fetchone()
    if row is None:
        raise ArenaUnknown(f"there is no audition {audition_id}")
    return _audition(row)


def open_of(connection: Connection, clone_id: int) -> Audition | None:
    """The audition that a clone is in, if any."""
    row = connection.execute(
        "SELECT * FROM auditions WHERE clone_id = ? AND state IN ('submitted', 'running')", (clone_id,)
    ).fetchone()
    return None if row is None else _audition(row)


def every(connection: Connection, *, clone_id: int | None = None, limit: int = 100) -> list[Audition]:
    """The newest auditions, of all clones or of one, newest first."""
    rows = connection.execute(
        "SELECT * FROM auditions WHERE ?1 IS NULL OR clone_id = ?1 ORDER BY id DESC LIMIT ?2", (clone_id, limit)
    )
    return [_audition(row) for row in rows]


def _audition(row: Row) -> Audition:
    stored = dict(row)
    said = stored.pop("criteria")
    del stored["criteria_hash"]
    return Audition(
        **{
            **stored,
            "rules": criteria.decode(stored["rules"]),
            "findings": criteria.findings_from(said) if said else (),
        }
    )
