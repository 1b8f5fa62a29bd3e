"""An alert as a value, and what the rules may look at."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "critical"]


@dataclass(frozen=True)
class Finding:
    """What a rule found: about what, how bad, and one sentence that names value and limit."""

    subject: str
    severity: Severity
    message: str


@dataclass(frozen=True)
class Alert:
    """A finding of a rule; rule and subject make it the same alert the next time it is found."""

    rule: str
    finding: Finding

    @property
    def key(self) -> tuple[str, str]:
        """The name of the rule and the subject."""
        return (self.rule, self.finding.subject)
