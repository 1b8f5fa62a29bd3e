"""Leases with fencing tokens: one holder at a time, and a stale holder cannot write.

A lease lives in the same file as the data it protects, so that the check is part of the protected transaction.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.sqlite import Connection, Database, one


@dataclass(frozen=True)
class Lease:
    """What a holder carries into every protected transaction."""

    name: str
    holder: str
    token: int
    until_ms: int


def this_process() -> str:
    """The name under which this process holds leases: host and process id."""
    return f"{platform.node()}:{os.getpid()}"


def is_gone(holder: str) -> bool:
    """Whether a holder named by `this_process` was a process of this machine and has ended; unknown names live."""
    host, _, pid = holder.rpartition(":")
    if host != platform.node() or not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def acquire(
    database: Database,
    name: str,
    holder: str,
    *,
    now_ms: int,
    ttl_ms: int,
    has_ended: Callable[[str], bool] = is_gone,
) -> Lease:
    """Take a free or expired lease, that of a process that has ended, or renew our own.

    A renewal keeps the token; a change of hands raises it.

    Raises:
        LeaseLost: somebody else holds it; the message says who and until when.
    """
    with database.write() as connection:
        connection.execute(
            "INSERT INTO leases (name, holder, token, until_ms) VALUES (?, '', 0, 0) ON CONFLICT DO NOTHING", (name,)
        )
        holding = str(one(connection, "SELECT holder FROM leases WHERE name = ?", (name,)))
        row = connection.execute(
            """
            UPDATE leases SET token = token + (holder <> :me), holder = :me, until_ms = :until
            WHERE name = :name AND (until_ms < :now OR holder IN (:me, '') OR :ended) RETURNING token
            """,
            {"me": holder, "until": now_ms + ttl_ms, "now": now_ms, "name": name, "ended": has_ended(holding)},
        ).fetchone()
        if row is None:
            held = connection.execute("SELECT holder, until_ms FROM leases WHERE name = ?", (name,)).fetchone()
            left = (held["until_ms"] - now_ms) / 1000
            raise LeaseLost(f"{name} is held by {held['holder']} for another {left:.0f} s")
    return Lease(name, holder, row["token"], now_ms + ttl_ms)


def release(database: Database, lease: Lease) -> None:
    """Give a lease back early; nothing happens when it has already changed hands."""
    with database.write() as connection:
        connection.execute(
            "UPDATE leases SET until_ms = 0, holder = '' WHERE name = ? AND token = ? AND holder = ?",
            (lease.name, lease.token, lease.holder),
        )


def require(connection: Connection, lease: Lease) -> None:
    """Fence: call inside the protected transaction.

    Raises:
        LeaseLost: the token moved on; the transaction must be given up.
    """
    if (
        one(connection, "SELECT token FROM leases WHERE name = ? AND holder = ?", (lease.name, lease.holder))
        != lease.token
    ):
        raise LeaseLost(f"{lease.name} has passed to another holder; this one stops")
