"""The audit of everything in `clash.db`: the books of prop; runs, artifacts, versions and model budgets around them."""

from collections.abc import Callable, Iterator

from clash_pipeline import canonical
from clash_pipeline.archive.artifacts import get_artifact
from clash_pipeline.archive.stores import ArtifactStore, StoreError
from clash_pipeline.decisions.spending_audit import spending_is_that_of_the_calls
from clash_pipeline.prop import audit as books
from clash_pipeline.prop.audit import Report
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Database

Check = Callable[[Connection], Iterator[Difference]]


def audit(clash: Database, store: ArtifactStore | None = None) -> Report:
    """Check every account and every run; with a store, also that every artifact is there and whole."""
    report = books.audit(clash)
    with clash.read() as connection:
        found = [difference for check in CHECKS for difference in check(connection)]
    if store is not None:
        found += stored_artifacts(clash, store)
    return Report(report.accounts, report.groups, report.fills, report.differences + tuple(found))


def actions_have_runs(connection: Connection) -> Iterator[Difference]:
    """Every action belongs to a completed run of its account and symbol, whose effect is what became of it."""
    rows = connection.execute(
        """
        SELECT a.id, a.account_id, a.symbol, a.action, a.status, a.reject_code, a.created_at, r.id AS run_id,
               r.account_id AS run_account, r.symbol AS run_symbol, r.state, r.reason, r.effective, r.finished_at,
               i.sha256 AS given
        FROM prop_decision_actions a LEFT JOIN decision_runs r ON r.id = a.run_id
        LEFT JOIN decision_artifacts i ON i.run_id = r.id AND i.kind = 'apply_input' ORDER BY a.id
        """
    )
    for row in rows:
        reason = "filled" if row["status"] == "filled" else f"rejected: {row['reject_code']}"
        where = f"prop_decision_actions({row['id']})"
        if row["run_id"] is None:
            yield Difference("run", where, "has no decision run")
        elif (row["account_id"], row["symbol"]) != (row["run_account"], row["run_symbol"]):
            yield Difference("run", where, f"is of another account or symbol than run {row['run_id']}")
        elif row["state"] != "completed":
            yield Difference("run", where, f"run {row['run_id']} is {row['state']}, not completed")
        elif row["effective"] != (row["action"] if row["status"] == "filled" else "hold"):
            yield Difference("run", where, f"run {row['run_id']} says {row['effective']} took effect")
        elif (row["reason"], row["finished_at"]) != (reason, row["created_at"]):
            message = f"ended {row['reason']!r} at {row['finished_at']}, its action was {reason} at {row['created_at']}"
            yield Difference("run", f"decision_runs({row['run_id']})", message)
        elif row["given"] is None:
            yield Difference("run", where, f"run {row['run_id']} has no apply_input in decision_artifacts")


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


def fills_have_runs(connection: Connection) -> Iterator[Difference]:
    """Every fill of a decision belongs to a run that completed, with the apply_input it was submitted on."""
    rows = connection.execute(
        """
        SELECT f.id, r.id AS run_id, r.state, r.effective, i.sha256
        FROM prop_fills f JOIN prop_orders o ON o.id = f.order_id AND o.origin = 'decision'
        LEFT JOIN prop_decision_actions a ON a.id = o.action_id
        LEFT JOIN decision_runs r ON r.id = a.run_id AND r.account_id = f.account_id AND r.symbol = f.symbol
        LEFT JOIN decision_artifacts i ON i.run_id = r.id AND i.kind = 'apply_input'
        WHERE r.id IS NULL OR r.state <> 'completed' OR r.effective = 'hold' OR i.sha256 IS NULL ORDER BY f.id
        """
    )
    for row in rows:
        said = f"run {row['run_id']} is {row['state']}, effect {row['effective']}"
        missing = "has no decision run" if row["run_id"] is None else said
        without = "its run has no apply_input" if row["run_id"] is not None and row["sha256"] is None else missing
        yield Difference("run", f"prop_fills({row['id']})", without)


def one_action_a_run(connection: Connection) -> Iterator[Difference]:
    """A completed run that did not answer hold has exactly one action; any other has none."""
    rows = connection.execute(
        """
        SELECT r.id, r.state, r.reason, count(a.id) AS actions
        FROM decision_runs r LEFT JOIN prop_decision_actions a ON a.run_id = r.id
        GROUP BY r.id HAVING actions <> (r.state = 'completed' AND r.reason <> 'hold') ORDER BY r.id
        """
    )
    for row in rows:
        yield Difference(
            "run", f"decision_runs({row['id']})", f"{row['state']} ({row['reason']}) with {row['actions']} actions"
        )


def states_are_whole(connection: Connection) -> Iterator[Difference]:
    """The times of a run go forward, and its state has what it needs; its account and version are its clone's."""
    rows = connection.execute(
        """
        SELECT r.id, 'its account or version is of another clone' AS problem
        FROM decision_runs r LEFT JOIN prop_accounts p ON p.id = r.account_id AND p.clone_id = r.clone_id
        LEFT JOIN clone_versions v ON v.id = r.version_id AND v.clone_id = r.clone_id
        WHERE p.id IS NULL OR v.id IS NULL
        UNION ALL SELECT id, 'is running without a packet' FROM decision_runs
        WHERE state = 'running' AND packet_hash IS NULL
        UNION ALL SELECT id, 'was never taken up' FROM decision_runs WHERE attempts < 1 OR claim_token < 1
        UNION ALL SELECT id, 'has an end that took no effect' FROM decision_runs
        WHERE state IN ('completed', 'failed') AND effective IS NULL
        UNION ALL SELECT id, 'failed, and yet something took effect' FROM decision_runs
        WHERE state = 'failed' AND effective <> 'hold'
        UNION ALL SELECT id, 'was filled before its common instant' FROM decision_runs
        WHERE fill_at IS NOT NULL AND state = 'completed' AND reason <> 'hold' AND finished_at < fill_at
        UNION ALL SELECT id, 'was answered after its common instant, and completed' FROM decision_runs
        WHERE fill_at IS NOT NULL AND state = 'completed' AND decided_at > fill_at
        ORDER BY 1
        """
    )
    for row in rows:
        yield Difference("run", f"decision_runs({row['id']})", row["problem"])


def targets_are_those_of_the_version(connection: Connection) -> Iterator[Difference]:
    """What is looked up for due ticks is what the versions say."""
    rows = connection.execute(
        """
        WITH compiled AS (
          SELECT v.id AS version_id, b.value ->> 'id' AS branch, s.value ->> 'symbol' AS symbol,
                 b.value ->> 'cadence_sec' AS cadence_sec
          FROM clone_versions v, json_each(v.compiled, '$.branches') b, json_each(b.value, '$.assets') s
        )
        SELECT version_id, branch, symbol FROM (
          SELECT * FROM compiled EXCEPT SELECT version_id, branch, symbol, cadence_sec FROM decision_targets
        )
        UNION
        SELECT version_id, branch, symbol FROM (
          SELECT version_id, branch, symbol, cadence_sec FROM decision_targets EXCEPT SELECT * FROM compiled
        )
        """
    )
    for row in rows:
        where = f"decision_targets({row['version_id']}, {row['branch']}, {row['symbol']})"
        yield Difference("run", where, "is not what the compiled graph says")


def runs_have_targets(connection: Connection) -> Iterator[Difference]:
    """A run is of a branch and an asset of its version, and is due or forced."""
    rows = connection.execute(
        """
        SELECT r.id, r.branch, r.symbol, r.kind FROM decision_runs r
        LEFT JOIN decision_targets t ON t.version_id = r.version_id AND t.branch = r.branch AND t.symbol = r.symbol
        WHERE t.version_id IS NULL OR r.kind NOT IN ('due', 'forced') ORDER BY r.id
        """
    )
    for row in rows:
        message = f"{row['kind']} run of {row['branch']}, {row['symbol']}: its version has none"
        yield Difference("run", f"decision_runs({row['id']})", message)


def runs_are_of_what_was_frozen(connection: Connection) -> Iterator[Difference]:
    """Version, engine and model tier of an account stand together, never on a sandbox, and its runs are of them."""
    for row in connection.execute(
        """
        SELECT id, kind, (version_id IS NOT NULL) + (engine IS NOT NULL) + (model_tier IS NOT NULL) AS parts
        FROM prop_accounts WHERE parts NOT IN (0, 3) OR (kind = 'sandbox' AND parts > 0) ORDER BY id
        """
    ):
        message = f"{row['parts']} of version, engine and model tier are frozen for a {row['kind']} account"
        yield Difference("run", f"prop_accounts({row['id']})", message)
    for row in connection.execute(
        """
        SELECT r.id, r.engine, r.version_id, a.engine AS frozen, a.version_id AS version
        FROM decision_runs r JOIN prop_accounts a ON a.id = r.account_id
        WHERE a.version_id IS NOT NULL AND (r.version_id, r.engine) IS NOT (a.version_id, a.engine) ORDER BY r.id
        """
    ):
        message = f"{row['engine']}, version {row['version_id']}; frozen: {row['frozen']}, {row['version']}"
        yield Difference("run", f"decision_runs({row['id']})", message)


def dry_runs_add_up(connection: Connection) -> Iterator[Difference]:
    """The scratch balance of a dry run is its start and its ledger."""
    rows = connection.execute(
        """
        SELECT d.id, d.start_balance + coalesce(sum(l.amount), 0) AS ledger, d.balance
        FROM clone_dry_runs d LEFT JOIN clone_dry_run_ledger l ON l.dry_run_id = d.id
        GROUP BY d.id HAVING ledger <> d.balance
        """
    )
    for row in rows:
        yield Difference(
            "dry run", f"clone_dry_runs({row['id']})", f"balance {row['balance']}, its ledger makes {row['ledger']}"
        )


def versions_hash(connection: Connection) -> Iterator[Difference]:
    """Every published version hashes to its identity."""
    for row in connection.execute("SELECT id, compiled, compiled_hash FROM clone_versions ORDER BY id"):
        if canonical.sha256(row["compiled"].encode()) != row["compiled_hash"]:
            yield Difference("I9", f"clone_versions({row['id']})", "the compiled graph does not hash to compiled_hash")


CHECKS: tuple[Check, ...] = (
    actions_have_runs,
    effects_have_actions,
    fills_have_runs,
    one_action_a_run,
    states_are_whole,
    artifacts_are_indexed,
    targets_are_those_of_the_version,
    runs_have_targets,
    runs_are_of_what_was_frozen,
    dry_runs_add_up,
    spending_is_that_of_the_calls,
    versions_hash,
)


def stored_artifacts(clash: Database, store: ArtifactStore) -> Iterator[Difference]:
    """Every indexed artifact is in its store and hashes to its index: each is read, so this takes its time."""
    with clash.read() as connection:
        rows = connection.execute(
            """
            SELECT key, sha256, min(run_id) AS run_id, min(size_bytes) AS least, max(size_bytes) AS most
            FROM decision_artifacts GROUP BY key, sha256 ORDER BY key
            """
        )
        for row in rows:
            where = f"decision_artifacts(run {row['run_id']}, {row['key']})"
            try:
                size = len(get_artifact(store, row["key"], row["sha256"]))
            except StoreError as error:
                yield Difference("artifact", where, str(error))
                continue
            if not row["least"] == row["most"] == size:
                yield Difference("artifact", where, f"has {size} bytes, the index says {row['most']}")
