"""Decision runs as rows: what is due, who claimed it, and how it ended. One row is account × branch × symbol × tick.

A claim carries a fencing token; every later write names the token it claimed with, so that a worker that was stopped
past its claim cannot write any more (09 §4.9).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, Clock
from clash_pipeline.decisions.calls import Allowance, Call
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.sqlite import Connection, Database, Row

RunKind = Literal["due", "forced"]
EndState = Literal["completed", "failed", "skipped"]
MAX_ATTEMPTS = 5
"""A run that was taken up this often and never ended is parked as failed (09 W5)."""
EXPIRES_AFTER_CADENCES = 2
"""A decision older than this is not applied any more (09 W3)."""


class Services(Protocol):
    """The parts that the stages need; `services.Services` has them, tests may bring their own."""

    @property
    def settings(self) -> Settings:
        """Figures and paths."""
        ...

    @property
    def clock(self) -> Clock:
        """Where the time of the market comes from."""
        ...

    @property
    def wall(self) -> Clock:
        """Where the time of processes and of paid endpoints comes from: never a replayed one."""
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
    attempts: int = 1

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


def tick_of(now_ms: int, cadence_sec: int, phase_ms: int) -> int:
    """The newest tick of a grid: floor((now − phase) / cadence) × cadence + phase (03 Cadence)."""
    cadence_ms = cadence_sec * SECOND_MS
    return (now_ms - phase_ms) // cadence_ms * cadence_ms + phase_ms


def phase_of(account_id: int, account_kind: str, cadence_sec: int) -> int:
    """Sandboxes are spread over the cadence by account id, in minutes; races and auditions share one grid (03, 11)."""
    return 0 if account_kind != "sandbox" else account_id % max(cadence_sec // 60, 1) * MINUTE_MS


def claim(
    connection: Connection, due: Due, *, worker: str, now_ms: int, ttl_ms: int, dagster_run_id: str | None
) -> Claim | None:
    """Claim a run, new or left behind, inside the caller's transaction; None when somebody else has it."""
    values = {
        "account": due.account_id, "clone": due.clone_id, "version": due.version_id, "branch": due.branch,
        "symbol": due.symbol, "tick": due.tick, "kind": due.kind, "cadence": due.cadence_sec, "engine": due.engine,
        "worker": worker, "until": now_ms + ttl_ms, "dagster": dagster_run_id, "now": now_ms,
    }  # fmt: skip
    row = connection.execute(
        """
        INSERT INTO decision_runs
          (account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, state, reason, attempts,
           claimed_by, claim_token, claimed_until, dagster_run_id, created_at)
        VALUES (:account, :clone, :version, :branch, :symbol, :tick, :kind, :cadence, :engine, 'queued', 'claimed', 1,
                :worker, 1, :until, :dagster, :now)
        ON CONFLICT (account_id, branch, symbol, tick) DO UPDATE SET
          attempts = attempts + 1, claimed_by = :worker, claim_token = claim_token + 1, claimed_until = :until,
          dagster_run_id = coalesce(:dagster, dagster_run_id)
        WHERE state IN ('queued', 'running') AND claimed_until < :now
        RETURNING *
        """,
        values,
    ).fetchone()
    return None if row is None else claim_of(row)


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


def left_behind(connection: Connection, *, now_ms: int, clone_id: int | None, account_id: int | None) -> list[Due]:
    """Unfinished runs whose claim has run out, oldest first."""
    rows = connection.execute(
        """
        SELECT account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, id AS run_id
        FROM decision_runs
        WHERE state IN ('queued', 'running') AND claimed_until < :now
          AND (:clone IS NULL OR clone_id = :clone) AND (:account IS NULL OR account_id = :account)
        ORDER BY id
        """,
        {"now": now_ms, "clone": clone_id, "account": account_id},
    )
    return [Due(**dict(row)) for row in rows]


def undelivered_ids(connection: Connection, *, now_ms: int) -> set[int]:
    """Runs that have a response, lack an apply, and belong to no living worker."""
    rows = connection.execute(
        """
        SELECT id FROM decision_runs
        WHERE state = 'running' AND response_hash IS NOT NULL AND claimed_until < ?
        """,
        (now_ms,),
    )
    return {row["id"] for row in rows}


def exists(connection: Connection, account_id: int, branch: str, symbol: str, tick: int) -> bool:
    """Whether the run of a tick was claimed, whatever became of it."""
    found = connection.execute(
        "SELECT 1 FROM decision_runs WHERE account_id = ? AND branch = ? AND symbol = ? AND tick = ?",
        (account_id, branch, symbol, tick),
    ).fetchone()
    return found is not None


def _fenced(rows: int, held: Claim) -> None:
    if rows != 1:
        raise LeaseLost(f"decision run {held.run_id} has passed to another worker or has ended; this one stops")
