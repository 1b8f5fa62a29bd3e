"""Careers: what a clone did in the Arena: settled races, stays in slots, and the tickets it attracted."""

from collections.abc import Iterable

import msgspec

from clash_pipeline.arena import slots
from clash_pipeline.clock import DAY_MS
from clash_pipeline.clones import clones
from clash_pipeline.economy import pools
from clash_pipeline.storage.sqlite import Connection, Row

PODIUM = 3


class Career(msgspec.Struct, frozen=True):
    """A career; returns are rates of 1e-8, None before the first race; PnL is 1e-8 USD, wei is decimal text.

    `days` are whole days in slots, `in_arena_ms` the exact time; `model_tier` is None unless a model decides.
    """

    races: int
    wins: int
    podiums: int
    best_return: int | None
    worst_return: int | None
    pnl: int
    tickets: int
    tickets_by_others: int
    tickets_wei: str
    royalties_wei: str
    days: int
    in_arena_ms: int
    engine: str
    model_tier: int | None


def of(connection: Connection, clone_id: int, *, now_ms: int) -> Career:
    """The career of a clone up to now.

    Raises:
        CloneUnknown: no such clone.
    """
    clone = clones.get(connection, clone_id)
    raced, sold = _raced(connection, clone_id), _sold(connection, clone_id)
    returns = [row["return_rate"] for row in raced]
    stayed = sum((stay.left_at or now_ms) - stay.entered_at for stay in slots.history(connection, clone_id))
    return Career(
        races=len(raced),
        wins=sum(row["rank"] == 1 for row in raced),
        podiums=sum(row["rank"] <= PODIUM for row in raced),
        best_return=max(returns, default=None),
        worst_return=min(returns, default=None),
        pnl=sum(row["pnl"] for row in raced),
        tickets=sum(row["tickets"] for row in sold),
        tickets_by_others=sum(row["by_others"] for row in sold),
        tickets_wei=_total(row["tickets"] * pools.get(connection, row["race_id"]).price_wei for row in sold),
        royalties_wei=_royalties(connection, clone_id),
        days=stayed // DAY_MS,
        in_arena_ms=stayed,
        engine=clone.engine,
        model_tier=clone.model_tier if clone.engine == "model" else None,
    )


def decode(text: str) -> Career:
    """A stored career."""
    return msgspec.json.decode(text, type=Career)


def _raced(connection: Connection, clone_id: int) -> list[Row]:
    """Every settled race that the clone started in, with its rank and its frozen result."""
    return connection.execute(
        """
        SELECT e.race_id, e.rank, r.return_rate, r.pnl
        FROM race_entrants e JOIN races s ON s.id = e.race_id AND s.state IN ('settled', 'archived')
        JOIN prop_results r ON r.account_id = e.account_id
        WHERE e.clone_id = ? AND e.rank IS NOT NULL ORDER BY e.race_id
        """,
        (clone_id,),
    ).fetchall()


def _sold(connection: Connection, clone_id: int) -> list[Row]:
    return connection.execute(
        "SELECT race_id, tickets, by_others FROM clone_demand WHERE clone_id = ? ORDER BY race_id", (clone_id,)
    ).fetchall()


def _royalties(connection: Connection, clone_id: int) -> str:
    rows = connection.execute("SELECT amount_wei FROM payables WHERE kind = 'royalty' AND clone_id = ?", (clone_id,))
    return _total(int(row["amount_wei"]) for row in rows)


def _total(amounts: Iterable[int]) -> str:
    return str(sum(amounts))
