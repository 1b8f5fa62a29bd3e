"""One look: ask every rule, raise and clear, then tell; telling comes after the transaction, and again until taken."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from clash_pipeline.alerts import store
from clash_pipeline.alerts.alert import Alert, Finding
from clash_pipeline.alerts.rules import RULES, Rule
from clash_pipeline.alerts.store import Raised
from clash_pipeline.alerts.telling import Teller
from clash_pipeline.clock import iso
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.parts import Clocked

RULE_FAILED = "rule_failed"
MOST_TOLD = 20
"""Messages of one look; a flood of more waits for the next."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Looked:
    """What a look came to; `failed` names rules that could not be asked."""

    found: tuple[Alert, ...]
    raised: int
    cleared: int
    told: int
    waiting: int
    failed: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What stands and what changed."""
        if not self.found and not self.cleared:
            return "nothing stands"
        critical = sum(alert.finding.severity == "critical" for alert in self.found)
        waiting = f", {self.waiting} wait to be told" if self.waiting else ""
        return (
            f"{len(self.found)} alerts stand, {critical} of them critical; {self.raised} new, {self.cleared} cleared"
            f"{waiting}"
        )


def look(parts: Clocked, teller: Teller, rules: Sequence[Rule] = RULES) -> Looked:
    """Ask the rules, keep what changed, and tell what nobody was told."""
    found, looked_at, failed = _ask(parts, rules)
    now_ms = parts.wall.now_ms()
    with parts.clash.write() as connection:
        raised, cleared = store.update(connection, found, looked_at, now_ms=now_ms)
    told, waiting = _tell(parts, teller, now_ms)
    return Looked(tuple(found), raised, cleared, told, waiting, tuple(failed))


def message(raised: Raised) -> tuple[str, str]:
    """Title and body of an alert, or of its end."""
    if raised.cleared_at is None:
        return f"{raised.severity}: {raised.rule} {raised.subject}", f"{raised.message}\nsince {iso(raised.raised_at)}"
    span = f"{iso(raised.raised_at)} to {iso(raised.cleared_at)}"
    return f"cleared: {raised.rule} {raised.subject}", f"it was: {raised.message}\n{span}"


def _ask(parts: Clocked, rules: Sequence[Rule]) -> tuple[list[Alert], set[str], list[str]]:
    """A rule that cannot be asked says nothing: its alerts stand, and it is an alert itself."""
    found: list[Alert] = []
    looked_at, failed = {RULE_FAILED}, []
    for rule in rules:
        try:
            found += [Alert(rule.name, finding) for finding in rule.find(parts)]
            looked_at.add(rule.name)
        except StorageError as error:
            failed.append(rule.name)
            said = f"{rule.name} could not be asked: {error}"
            found.append(Alert(RULE_FAILED, Finding(rule.name, "critical", said)))
    return found, looked_at, failed


def _tell(parts: Clocked, teller: Teller, now_ms: int) -> tuple[int, int]:
    with parts.clash.read() as connection:
        waiting = store.untold(connection)
    told = 0
    for raised in waiting[:MOST_TOLD]:
        title, body = message(raised)
        if not teller.tell(title, body, severity="cleared" if raised.cleared_at else raised.severity):
            break  # the channels are down; the next look tries again
        with parts.clash.write() as connection:
            store.told(connection, raised, now_ms=now_ms)
        told += 1
    return told, len(waiting) - told
