"""Decision runs as rows: what is due, who claimed it, and how it ended. One row is account × branch × symbol × tick.

A claim carries a fencing token; every later write names the token it claimed with, so that a worker that was stopped
past its claim cannot write any more (09 §4.9).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.decisions.calls import Allowance, Call
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.parts import Clocked
from clash_pipeline.storage.sqlite import Connection, Row

RunKind = Literal["due", "forced"]
EndState = Literal["completed", "failed", "skipped"]
MAX_ATTEMPTS = 5
"""A run that was taken up this often and never ended is parked as failed (09 W5)."""
EXPIRES_AFTER_CADENCES = 2
"""A decision older than this is not applied any more (09 W3)."""


class Services(Clocked, Protocol):
    """The parts that the stages need; tests may bring their own."""

    @property
    def store(self) -> ArtifactStore:
        """Where artifacts go."""
        ...


class Due(NamedTuple):
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
    fill_at: int | None = None
    """When the answers of this tick are filled, at one price for all; None fills at the newest price (11, 1)."""


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
    attempts: int = 1
    fill_at: int | None = None

    @property
    def expires_at(self) -> int:
        """From here on the decision is too old to be applied."""
        return self.tick + EXPIRES_AFTER_CADENCES * self.cadence_sec * SECOND_MS


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
    """A run whose packet is stored: all that *decide* needs, anywhere; with the response, if it was decided before.

    A model may be asked only with an `allowance`; `refused` says why there is none.
    """

    claim: Claim
    packet: ArtifactRef
    response: ArtifactRef | None = None
    allowance: Allowance | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Decided:
    """A run with its stored response, or with the reason why there is none; and what asking a model took."""

    claim: Claim
    response: ArtifactRef | None
    error: str | None = None
    trace: ArtifactRef | None = None
    call: Call | None = None
    call_id: int | None = None


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


def claim_of(row: Row) -> Claim:
    """A claim from its row."""
    return Claim(
        run_id=row["id"],
        token=row["claim_token"],
        account_id=row["account_id"],
        clone_id=row["clone_id"],
        version_id=row["version_id"],
        branch=row["branch"],
        symbol=row["symbol"],
        tick=row["tick"],
        kind=row["kind"],
        cadence_sec=row["cadence_sec"],
        engine=row["engine"],
        attempts=row["attempts"],
        fill_at=row["fill_at"],
    )


def begin(connection: Connection, held: Claim, packet: ArtifactRef, *, now_ms: int) -> None:
    """The packet is stored: queued → running.

    Raises:
        LeaseLost: the run has passed to another worker.
    """
    _fenced(
        connection.execute(
            """
            UPDATE decision_runs SET state = 'running', reason = 'prepared', packet_hash = ?, prepared_at = ?
            WHERE id = ? AND claim_token = ? AND state = 'queued'
            """,
            (packet.sha256, now_ms, held.run_id, held.token),
        ).rowcount,
        held,
    )
    add_artifact(connection, held.run_id, packet, now_ms=now_ms)


def responded(connection: Connection, held: Claim, response: ArtifactRef, *, now_ms: int) -> None:
    """The response is stored; a run that already has one keeps it.

    Raises:
        LeaseLost: the run has passed to another worker.
    """
    require(connection, held)
    changed = connection.execute(
        """
        UPDATE decision_runs SET reason = 'decided', response_hash = ?, decided_at = ?
        WHERE id = ? AND claim_token = ? AND state = 'running' AND response_hash IS NULL
        """,
        (response.sha256, now_ms, held.run_id, held.token),
    )
    if changed.rowcount:
        add_artifact(connection, held.run_id, response, now_ms=now_ms)


def answered(connection: Connection, item: Decided, *, now_ms: int) -> None:
    """What became of asking: the response, and the trace of the model, also where there is no response.

    Raises:
        LeaseLost: the run has passed to another worker.
    """
    require(connection, item.claim)
    if item.trace is not None:
        add_artifact(connection, item.claim.run_id, item.trace, now_ms=now_ms)
    if item.response is not None:
        responded(connection, item.claim, item.response, now_ms=now_ms)


def end(
    connection: Connection, held: Claim, state: EndState, reason: str, *, effective: str | None, now_ms: int
) -> Ended:
    """Close a run, once.

    Raises:
        LeaseLost: the run has passed to another worker, or has ended.
    """
    _fenced(
        connection.execute(
            """
            UPDATE decision_runs SET state = ?, reason = ?, effective = ?, finished_at = ?
            WHERE id = ? AND claim_token = ? AND state IN ('queued', 'running')
            """,
            (state, reason, effective, now_ms, held.run_id, held.token),
        ).rowcount,
        held,
    )
    return Ended(
        held.run_id, held.account_id, held.clone_id, held.branch, held.symbol, held.tick, state, reason, effective
    )


def require(connection: Connection, held: Claim) -> None:
    """Fence: the run must still be ours and open.

    Raises:
        LeaseLost: the run has passed to another worker, or has ended.
    """
    found = connection.execute(
        "SELECT 1 FROM decision_runs WHERE id = ? AND claim_token = ? AND state IN ('queued', 'running')",
        (held.run_id, held.token),
    ).fetchone()
    _fenced(int(found is not None), held)


def add_artifact(connection: Connection, run_id: int, artifact: ArtifactRef, *, now_ms: int) -> None:
    """Index an artifact of a run; the first of a kind stays."""
    connection.execute(
        """
        INSERT INTO decision_artifacts (run_id, kind, key, sha256, size_bytes, store, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, kind) DO NOTHING
        """,
        (run_id, artifact.kind, artifact.key, artifact.sha256, artifact.size_bytes, artifact.store, now_ms),
    )


def artifacts_of(connection: Connection, run_id: int) -> dict[str, ArtifactRef]:
    """The artifacts of a run by kind."""
    rows = connection.execute(
        "SELECT kind, key, sha256, size_bytes, store FROM decision_artifacts WHERE run_id = ? ORDER BY id", (run_id,)
    )
    return {row["kind"]: ArtifactRef(**dict(row)) for row in rows}


@dataclass(frozen=True)
class Standing:
    """Where a run stands, as apply has to know it."""

    token: int
    packet_hash: str | None
    decided_at: int | None


def standing(connection: Connection, run_ids: Sequence[int]) -> dict[int, Standing]:
    """Where open runs stand, by id."""
    rows = connection.execute(
        """
        SELECT r.id, r.claim_token, r.packet_hash, r.decided_at
        FROM json_each(?) j CROSS JOIN decision_runs r ON r.id = j.value WHERE r.state IN ('queued', 'running')
        """,
        (json.dumps(run_ids),),
    )
    return {row["id"]: Standing(row["claim_token"], row["packet_hash"], row["decided_at"]) for row in rows}


def responses_of(connection: Connection, run_ids: Sequence[int]) -> dict[int, ArtifactRef]:
    """The stored responses of runs, by id."""
    rows = connection.execute(
        """
        SELECT a.run_id, a.kind, a.key, a.sha256, a.size_bytes, a.store
        FROM json_each(?) j CROSS JOIN decision_artifacts a ON a.run_id = j.value WHERE a.kind = 'response'
        """,
        (json.dumps(run_ids),),
    )
    return {row[0]: ArtifactRef(*row[1:]) for row in rows}


def _fenced(rows: int, held: Claim) -> None:
    if rows != 1:
        raise LeaseLost(f"decision run {held.run_id} has passed to another worker or has ended; this one stops")
