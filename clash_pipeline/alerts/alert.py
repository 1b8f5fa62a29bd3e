"""An alert as a value, and what the rules may look at."""

from dataclasses import dataclass
from typing import Literal, Protocol

from clash_pipeline.clock import Clock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

Severity = Literal["warning", "critical"]


class Parts(Protocol):
    """What watching asks of the services."""

    @property
    def settings(self) -> Settings:
        """Limits, and the channels that are told."""
        ...

    @property
    def clock(self) -> Clock:
        """The time of the market."""
        ...

    @property
    def wall(self) -> Clock:
        """The time of processes."""
        ...

    @property
    def clash(self) -> Database:
        """Accounts, decisions, workers and the alerts themselves."""
        ...

    @property
    def market(self) -> Database:
        """The market memory."""
        ...


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
