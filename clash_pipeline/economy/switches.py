"""The kill switch of signing: thrown by a person or by a broken equation, taken back by a person only."""

from clash_pipeline.storage.sqlite import Connection

SIGNING = "signing"
RECONCILIATION = "reconciliation"


def is_thrown(connection: Connection) -> str | None:
    """Why nothing is signed now, or None."""
    row = connection.execute(
        "SELECT is_thrown, reason FROM economy_switches WHERE name = ? ORDER BY id DESC LIMIT 1", (SIGNING,)
    ).fetchone()
    return str(row["reason"]) if row is not None and row["is_thrown"] else None


def throw(connection: Connection, *, actor: str, reason: str, now_ms: int) -> bool:
    """Stop all signing; False when it is stopped already."""
    if is_thrown(connection) is not None:
        return False
    _write(connection, True, actor, reason, now_ms)
    return True


def release(connection: Connection, *, actor: str, reason: str, now_ms: int) -> bool:
    """Let signing go on; False when it was not stopped."""
    if is_thrown(connection) is None:
        return False
    _write(connection, False, actor, reason, now_ms)
    return True


def _write(connection: Connection, thrown: bool, actor: str, reason: str, now_ms: int) -> None:
    connection.execute(
        "INSERT INTO economy_switches (name, is_thrown, actor, reason, at) VALUES (?, ?, ?, ?, ?)",
        (SIGNING, int(thrown), actor, reason, now_ms),
    )
