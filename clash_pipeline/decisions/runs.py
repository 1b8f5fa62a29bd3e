"""Decision runs as rows: what is due, who claimed it, and how it ended. One row is account × branch × symbol × tick.

A claim carries a fencing token; every later write names the token it claimed with, so that a worker that was stopped
past its claim cannot write any more (09 §4.9).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import Clock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

RunKind = Literal["due", "forced"]


class Services(Protocol):
    """The parts that the stages need; `services.Services` has them, tests may bring their own."""

    @property
    def settings(self) -> Settings:
        """Figures and paths."""
        ...

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        ...

    @property
    def clash(self) -> Database:
        """Accounts, ledger, clones and decisions."""
        ...

    @property
    def market(self) -> Database:
        """The market memory."""
        ...

    @property
    def store(self) -> ArtifactStore:
        """Where artifacts go."""
        ...


@dataclass(frozen=True)
class Due:
    """One run that should happen now; `run_id` is set when it is an interrupted one that is taken up again."""

    account_id: int
    clone_id: int
    version_id: int
    branch: str
    symbol: str
    tick: int
    kind: RunKind
    cadence_sec: int
    engine: str
    run_id: int | None = None


@dataclass(frozen=True)
class Claim:
    """A claimed run and the token that fences its writes."""

    run_id: int
    token: int
    account_id: int
    clone_id: int
    version_id: int
    branch: str
    symbol: str
    tick: int
    kind: RunKind
    cadence_sec: int
    engine: str
    packet_hash: str | None = None
    response_hash: str | None = None


@dataclass(frozen=True)
class ArtifactRef:
    """Where an artifact lies, and what it must hash to."""

    kind: str
    key: str
    sha256: str
    size_bytes: int
    store: str


@dataclass(frozen=True)
class Prepared:
    """A run whose packet is stored: all that *decide* needs, anywhere."""

    claim: Claim
    packet: ArtifactRef


@dataclass(frozen=True)
class Decided:
    """A run with its stored response, or with the reason why there is none."""

    claim: Claim
    response: ArtifactRef | None
    error: str | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: its state, the reason, and the action that took effect."""

    run_id: int
    account_id: int
    clone_id: int
    branch: str
    symbol: str
    tick: int
    state: str
    reason: str
    effective: str | None
