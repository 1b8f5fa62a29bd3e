"""Replay a run: stored packet, response and apply_input must give the same gates, fills and hashes again (03; 09 X6).

The account is set up in a scratch database as the apply_input saw it, with the ids that came next, so that every row
and every link of the ledger's hash chain can be compared as a whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import msgspec

from clash_pipeline import canonical
from clash_pipeline.archive.stores import ArtifactStore, StoreCorrupt, StoreMissing
from clash_pipeline.decisions import artifacts, rebuilding, runs, submission
from clash_pipeline.decisions import decide as deciding
from clash_pipeline.decisions.answer import AnswerInvalid
from clash_pipeline.decisions.rebuilding import Rows
from clash_pipeline.decisions.runs import ArtifactRef
from clash_pipeline.decisions.scratch import scratch_database, undone
from clash_pipeline.decisions.submission import ApplyInput
from clash_pipeline.decisions.views import RunUnknown
from clash_pipeline.prop import accounts, intake
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.storage.sqlite import Connection, Database, Row

Verdict = Literal["same", "differs", "impossible"]
SHOWN = 80
"""Characters of a value in a difference."""


@dataclass(frozen=True)
class Replay:
    """What a replay found: the verdict, how many rows were compared, and what differs or is missing."""

    run_id: int
    verdict: Verdict
    rows: int
    differences: tuple[str, ...]


class Impossible(Exception):
    """The run cannot be replayed: it is still open, or something it left is gone."""


class Replayer:
    """Replays runs of one system, each in a transaction of the scratch database that is undone."""

    def __init__(self, clash: Database, store: ArtifactStore, scratch: Database) -> None:
        self._clash = clash
        self._store = store
        self._scratch = scratch

    def replay(self, run_id: int) -> Replay:
        """Replay one run.

        Raises:
            RunUnknown: no such run.
            StoreUnavailable: the artifact store does not answer.
        """
        try:
            with self._clash.read() as connection:
                compared, differences = self._compare(connection, _run(connection, run_id))
        except Impossible as error:
            return Replay(run_id, "impossible", 0, (str(error),))
        return Replay(run_id, "differs" if differences else "same", compared, tuple(differences))

    def _compare(self, connection: Connection, run: Row) -> tuple[int, list[str]]:
        kept = runs.artifacts_of(connection, run["id"])
        differences = list(_index_differences(run, kept))
        stored = rebuilding.rows_of(connection, run["account_id"], run["id"])
        bodies: dict[str, bytes] = {}
        for kind, artifact in kept.items():
            try:
                bodies[kind] = artifacts.get(self._store, artifact)
            except StoreMissing:
                raise Impossible(f"its {kind} is gone from the store: {artifact.key}") from None
            except StoreCorrupt as error:
                differences.append(f"{kind}: {error}")
        if differences:
            return 0, differences
        proposal = _proposal(run, bodies, differences)
        if "apply_input" not in bodies:
            if proposal is not None and run["state"] == "completed":
                raise Impossible("it asked for an action and has no apply_input")
            differences += [f"{table}: {len(rows)} rows, but nothing was submitted" for table, rows in stored.items()]
            return 1, differences
        given = _given(bodies["apply_input"])
        differences += _input_differences(connection, given, run, proposal)
        again = self._again(connection, given, run["id"])
        differences += _row_differences(stored, again)
        return sum(map(len, stored.values())), differences

    def _again(self, connection: Connection, given: ApplyInput, run_id: int) -> Rows:
        """The rows that the same submission writes now."""
        with undone(self._scratch) as scratch:
            rebuilding.set_up(scratch, given, rebuilding.first_ids(connection, given))
            for action in given.actions:
                intake.submit_within(
                    scratch, given.account.id, action.run_id, [action.proposal], given.quotes, now_ms=given.now_ms,
                    instant=submission.instant(action.tick, given.fill_minute),
                )  # fmt: skip
            return rebuilding.rows_of(scratch, given.account.id, run_id)


@contextmanager
def replayer(clash: Database, store: ArtifactStore) -> Iterator[Replayer]:
    """A replayer with a scratch database for as long as it is needed."""
    with scratch_database() as scratch:
        yield Replayer(clash, store, scratch)


# what was stored


def _run(connection: Connection, run_id: int) -> Row:
    row: Row | None = connection.execute("SELECT * FROM decision_runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise RunUnknown(f"there is no decision run {run_id}")
    if row["finished_at"] is None:
        raise Impossible(f"it is still {row['state']}: {row['reason']}")
    return row


def _index_differences(run: Row, kept: Mapping[str, ArtifactRef]) -> Iterator[str]:
    for kind in ("packet", "response"):
        indexed = kept[kind].sha256 if kind in kept else None
        if run[f"{kind}_hash"] != indexed:
            yield f"{kind}: the run says {_short(run[f'{kind}_hash'])}, the index {_short(indexed)}"


def _proposal(run: Row, bodies: Mapping[str, bytes], differences: list[str]) -> Proposal | None:
    """What the response asks for; a response that is refused must have ended its run as such."""
    if "response" not in bodies or "packet" not in bodies:
        if run["state"] == "completed":
            raise Impossible("it has no packet or no response")
        return None
    try:
        response = deciding.decode(bodies["response"], canonical.sha256(bodies["packet"]))
    except AnswerInvalid as error:
        if run["reason"] != "response_invalid":
            differences.append(f"response: {error}, but the run {run['state']}: {run['reason']}")
        return None
    return response.answer.proposal(run["symbol"])


def _given(body: bytes) -> ApplyInput:
    try:
        return submission.decode(body)
    except msgspec.MsgspecError as error:
        raise Impossible(f"its apply_input cannot be read: {str(error)[:SHOWN]}") from None


def _input_differences(connection: Connection, given: ApplyInput, run: Row, proposal: Proposal | None) -> Iterator[str]:
    """Whether the apply_input is of this run: its response, what that asks for, and the account's terms."""
    action = next((action for action in given.actions if action.run_id == run["id"]), None)
    if action is None:
        yield "apply_input: it does not list this run"
        return
    if action.response_hash != run["response_hash"]:
        yield f"apply_input: response {_short(action.response_hash)}, the run says {_short(run['response_hash'])}"
    if action.proposal != proposal:
        yield f"apply_input: asks for {_shown(action.proposal)}, the response for {_shown(proposal)}"
    terms = accounts.get(connection, run["account_id"])
    if (given.account.id, given.policy_hash) != (terms.id, terms.policy_hash):
        yield f"apply_input: of account {given.account.id} under policy {_short(given.policy_hash)}"
    if given.account.policy.digest != given.policy_hash:
        yield "apply_input: its policy does not hash to its policy_hash"


# the comparison


def _row_differences(stored: Rows, again: Rows) -> Iterator[str]:
    for table in sorted(stored.keys() | again.keys()):
        before, after = stored.get(table, []), again.get(table, [])
        if len(before) != len(after):
            yield f"{table}: {len(before)} rows were stored, {len(after)} come out"
        for one, other in zip(before, after, strict=False):
            where = one.get("id", f"{one.get('seq')}")
            for column in one:
                if one[column] != other[column]:
                    seen, made = _shown(one[column]), _shown(other[column])
                    yield f"{table}({where}).{column}: {seen} was stored, {made} comes out"


def _short(digest: str | None) -> str:
    return "nothing" if digest is None else f"{digest[:12]}…"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else canonical.text(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
