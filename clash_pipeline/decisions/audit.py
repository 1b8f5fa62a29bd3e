"""The audit of everything in `clash.db`: the books of prop, and decision runs, artifacts and versions around them."""

from collections.abc import Callable, Iterator

from clash_pipeline import canonical
from clash_pipeline.prop import audit as books
from clash_pipeline.prop.audit import Difference, Report
from clash_pipeline.storage.sqlite import Connection, Database

Check = Callable[[Connection], Iterator[Difference]]


def audit(clash: Database) -> Report:
    """Check every account and every run."""
    report = books.audit(clash)
    with clash.read() as connection:
        found = [difference for check in CHECKS for difference in check(connection)]
    return Report(report.accounts, report.groups, report.fills, report.differences + tuple(found))


def actions_have_runs(connection: Connection) -> Iterator[Difference]:
    """Every action belongs to a completed run of its account and symbol, whose effect is what became of it."""
    rows = connection.execute(
        """
        SELECT a.id, a.account_id, a.symbol, a.action, a.status, r.id AS run_id, r.account_id AS run_account,
               r.symbol AS run_symbol, r.state, r.effective
        FROM prop_decision_actions a LEFT JOIN decision_runs r ON r.id = a.run_id ORDER BY a.id
        """
    )
    for row in rows:
        where = f"prop_decision_actions({row['id']})"
        if row["run_id"] is None:
            yield Difference("run", where, "has no decision run")
        elif (row["account_id"], row["symbol"]) != (row["run_account"], row["run_symbol"]):
            yield Difference("run", where, f"is of another account or symbol than run {row['run_id']}")
        elif row["state"] != "completed":
            yield Difference("run", where, f"run {row['run_id']} is {row['state']}, not completed")
        elif row["effective"] != (row["action"] if row["status"] == "filled" else "hold"):
            yield Difference("run", where, f"run {row['run_id']} says {row['effective']} took effect")


def effects_have_actions(connection: Connection) -> Iterator[Difference]:
    """A run that says that an action took effect has that action."""
    rows = connection.execute(
        """
        SELECT r.id, r.effective FROM decision_runs r
        WHERE r.state = 'completed' AND r.effective <> 'hold'
          AND NOT EXISTS (SELECT 1 FROM prop_decision_actions a WHERE a.run_id = r.id AND a.status = 'filled')
        """
    )
    for row in rows:
        yield Difference(
            "run", f"decision_runs({row['id']})", f"{row['effective']} took effect, but no action was filled"
        )


def artifacts_are_indexed(connection: Connection) -> Iterator[Difference]:
    """The hashes on a run are those of its artifacts, and a completed run has packet and response."""
    rows = connection.execute(
        """
        SELECT r.id, r.state, r.packet_hash, r.response_hash,
               (SELECT sha256 FROM decision_artifacts WHERE run_id = r.id AND kind = 'packet') AS packet,
               (SELECT sha256 FROM decision_artifacts WHERE run_id = r.id AND kind = 'response') AS response
        FROM decision_runs r ORDER BY r.id
        """
    )
    for row in rows:
        where = f"decision_runs({row['id']})"
        if (row["packet_hash"], row["response_hash"]) != (row["packet"], row["response"]):
            yield Difference("artifact", where, "packet or response hash is not that of the indexed artifact")
        if row["state"] == "completed" and row["response"] is None:
            yield Difference("artifact", where, "is completed without a response")


def versions_hash(connection: Connection) -> Iterator[Difference]:
    """Every published version hashes to its identity."""
    for row in connection.execute("SELECT id, compiled, compiled_hash FROM clone_versions ORDER BY id"):
        if canonical.sha256(row["compiled"].encode()) != row["compiled_hash"]:
            yield Difference("I9", f"clone_versions({row['id']})", "the compiled graph does not hash to compiled_hash")


CHECKS: tuple[Check, ...] = (actions_have_runs, effects_have_actions, artifacts_are_indexed, versions_hash)
