"""Users and their wallets: the first sign-in of a wallet makes its user."""

from clash_pipeline.storage.sqlite import Connection, one


def of_wallet(connection: Connection, address: str, *, now_ms: int) -> int:
    """The user of a wallet in lower case, made where there is none; inside the caller's transaction."""
    found: int | None = one(connection, "SELECT user_id FROM wallets WHERE address = ?", (address,))
    if found is not None:
        return found
    user_id: int = one(connection, "INSERT INTO users (created_at) VALUES (?) RETURNING id", (now_ms,))
    connection.execute(
        "INSERT INTO wallets (address, user_id, is_primary, added_at) VALUES (?, ?, 1, ?)", (address, user_id, now_ms)
    )
    return user_id


def wallets(connection: Connection, user_id: int) -> list[str]:
    """The wallets of a user, the primary one first."""
    rows = connection.execute(
        "SELECT address FROM wallets WHERE user_id = ? ORDER BY is_primary DESC, added_at, address", (user_id,)
    )
    return [row["address"] for row in rows]


def primary_wallet(connection: Connection, user_id: int) -> str | None:
    """Where money of a user goes when no purchase says otherwise."""
    found: str | None = one(connection, "SELECT address FROM wallets WHERE user_id = ? AND is_primary = 1", (user_id,))
    return found
