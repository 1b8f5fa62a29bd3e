"""Reports by users against a shown profile: one open one for each reporter and clone; nothing follows by itself (02).

An admin dismisses a report, or upholds it; an upheld report takes down the very profile that was reported.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from clash_pipeline.clones import acts, names, public_profiles
from clash_pipeline.clones.refusals import CloneConflict, CloneUnknown, ProfileInvalid
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

Category = Literal["impersonation", "offensive", "misleading", "copyright", "other"]
CATEGORIES: tuple[str, ...] = get_args(Category)
TEXT_CHARACTERS = 1_000

AFTER_DECIDED = point("clones.reports.after_decided")


@dataclass(frozen=True)
class Report:
    """One report as stored; `profile_id` is what was shown when it was made."""

    id: int
    clone_id: int
    profile_id: int
    reporter: str
    category: str
    text: str
    state: str
    reported_at: int
    decided_by: str | None
    decided_at: int | None
    reason: str | None


def report(connection: Connection, clone_id: int, *, category: str, text: str, reporter: str, now_ms: int) -> Report:
    """Report what a clone shows; the same report again answers itself.

    Raises:
        ProfileInvalid: no such category, no text where it is needed, or too much of it.
        CloneConflict: this reporter has another open report on this clone.
        CloneUnknown: no such clone, or nothing of it is public.
    """
    if category not in CATEGORIES:
        raise ProfileInvalid(f"a report is about {', '.join(CATEGORIES)}, not {category[:40]}")
    said = names.one_line(text, "a report", TEXT_CHARACTERS)
    if category == "other" and not said:
        raise ProfileInvalid("a report about something else needs a text that says what")
    known = _open_of(connection, clone_id, reporter)
    if known is not None:
        if (known.category, known.text) != (category, said):
            raise CloneConflict(f"{reporter} already has the open report {known.id} on clone {clone_id}")
        return known
    subject = public_profiles.shown(connection, clone_id)
    if subject is None:
        raise CloneUnknown(f"clone {clone_id} has no public profile")
    identifier = _insert(connection, subject.id, clone_id, reporter, category, said, now_ms)
    acts.record(
        connection, "reported", clone_id, actor=reporter, now_ms=now_ms, reason=category, profile_id=subject.id,
        report_id=identifier,
    )  # fmt: skip
    return get(connection, identifier)


def get(connection: Connection, report_id: int) -> Report:
    """One report.

    Raises:
        CloneUnknown: no such report.
    """
    row = connection.execute("SELECT * FROM clone_profile_reports WHERE id = ?", (report_id,)).fetchone()
    if row is None:
        raise CloneUnknown(f"there is no report {report_id}")
    return _report(row)


def waiting(connection: Connection, *, limit: int = 100) -> list[Report]:
    """The open reports, oldest first."""
    rows = connection.execute(
        "SELECT * FROM clone_profile_reports WHERE state = 'open' ORDER BY reported_at, id LIMIT ?", (limit,)
    )
    return [_report(row) for row in rows]


def of_clone(connection: Connection, clone_id: int) -> list[Report]:
    """Every report on a clone, newest first."""
    rows = connection.execute("SELECT * FROM clone_profile_reports WHERE clone_id = ? ORDER BY id DESC", (clone_id,))
    return [_report(row) for row in rows]


def dismiss(connection: Connection, report_id: int, *, actor: str, reason: str, now_ms: int) -> Report:
    """Close a report without a consequence.

    Raises:
        ProfileInvalid: no reason.
        CloneConflict: it was upheld.
        CloneUnknown: no such report.
    """
    return _decide(connection, report_id, "dismissed", actor=actor, reason=reason, now_ms=now_ms)


def uphold(connection: Connection, report_id: int, *, actor: str, reason: str, now_ms: int) -> Report:
    """Close a report and take down the profile it was about, if that is still the one that is shown.

    Raises:
        ProfileInvalid: no reason.
        CloneConflict: it was dismissed.
        CloneUnknown: no such report.
    """
    return _decide(connection, report_id, "upheld", actor=actor, reason=reason, now_ms=now_ms)


def _decide(
    connection: Connection,
    report_id: int,
    state: Literal["upheld", "dismissed"],
    *,
    actor: str,
    reason: str,
    now_ms: int,
) -> Report:
    found = get(connection, report_id)
    if found.state == state:
        return found
    if found.state != "open":
        raise CloneConflict(f"report {report_id} was {found.state} and cannot be {state}")
    said = acts.needed_reason(reason, "this decision")
    connection.execute(
        """
        UPDATE clone_profile_reports SET state = ?, decided_by = ?, decided_at = ?, reason = ?
        WHERE id = ? AND state = 'open'
        """,
        (state, actor, now_ms, said, report_id),
    )
    fault(AFTER_DECIDED)
    acts.record(
        connection, state, found.clone_id, actor=actor, now_ms=now_ms, reason=said, profile_id=found.profile_id,
        report_id=report_id,
    )  # fmt: skip
    if state == "upheld":
        _take_down(connection, found, actor=actor, reason=said, now_ms=now_ms)
    return get(connection, report_id)


def _take_down(connection: Connection, upheld: Report, *, actor: str, reason: str, now_ms: int) -> None:
    subject = public_profiles.profile(connection, upheld.profile_id)
    if subject.state == "approved":
        public_profiles.move(
            connection, subject, "removed", actor=actor, reason=reason, now_ms=now_ms, report_id=upheld.id
        )


def _open_of(connection: Connection, clone_id: int, reporter: str) -> Report | None:
    row = connection.execute(
        "SELECT * FROM clone_profile_reports WHERE clone_id = ? AND reporter = ? AND state = 'open'",
        (clone_id, reporter),
    ).fetchone()
    return None if row is None else _report(row)


def _insert(
    connection: Connection, profile_id: int, clone_id: int, reporter: str, category: str, text: str, now_ms: int
) -> int:
    return int(
        one(
            connection,
            """
            INSERT INTO clone_profile_reports (profile_id, clone_id, reporter, category, text, state, reported_at)
            VALUES (?, ?, ?, ?, ?, 'open', ?) RETURNING id
            """,
            (profile_id, clone_id, reporter, category, text, now_ms),
        )
    )


def _report(row: Row) -> Report:
    return Report(**dict(row))
