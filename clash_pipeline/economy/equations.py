"""The equations of reconciliation between the books and the chain: E1, E5 and E6 of 09 §4.11, decided purely."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clash_pipeline.economy import ledger
from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Row


class Moved(NamedTuple):
    """A deposit or a withdrawal, by which both sides know it; `party` paid or was paid."""

    party: str
    nonce: int
    amount_wei: int
    tx_hash: str
    log_index: int


@dataclass(frozen=True)
class ChainSide:
    """What every endpoint says alike at one final block: events from block `first` on, and the vault's own state."""

    number: int
    first: int
    deposits: tuple[Moved, ...]
    withdrawals: tuple[Moved, ...]
    balance_wei: int
    states: Mapping[int, int]
    """What the vault says of deposit rows whose events were not read again, by row id."""


@dataclass(frozen=True)
class Books:
    """Our side, up to the same block."""

    deposits: tuple[Row, ...]
    withdrawals: tuple[Row, ...]
    taken: tuple[Row, ...]
    frozen: frozenset[int]
    owed_wei: int
    pools_wei: int
    held_wei: int
    later_wei: int
    """What came in later blocks, which the books know and the chain was not asked about."""


def books(connection: Connection, vault: Vault, through: int) -> Books:
    """Read our side of a vault, from one snapshot."""
    deposits = connection.execute(
        "SELECT * FROM chain_deposits WHERE chain_id = ? AND contract = ? AND resolver = ? ORDER BY id",
        (vault.chain_id, vault.address, vault.resolver),
    ).fetchall()
    withdrawals = connection.execute(
        "SELECT * FROM chain_withdrawals WHERE chain_id = ? AND contract = ? AND resolver = ? AND block_number <= ? "
        "ORDER BY id",
        (vault.chain_id, vault.address, vault.resolver, through),
    ).fetchall()
    taken = connection.execute(
        """
        SELECT * FROM payables p WHERE p.chain_id = ? AND p.asset = ? AND p.state = 'claimed' AND NOT EXISTS
          (SELECT 1 FROM chain_withdrawals w WHERE w.payable_id = p.id AND w.block_number > ?) ORDER BY p.id
        """,
        (vault.chain_id, vault.native, through),
    ).fetchall()
    frozen = frozenset(row["deposit_id"] for row in connection.execute("SELECT deposit_id FROM frozen_deposits"))
    return Books(
        tuple(row for row in deposits if row["block_number"] <= through),
        tuple(withdrawals),
        tuple(taken),
        frozen,
        owed_wei=_sum(connection, _OWED, vault),
        pools_wei=_sum(connection, _POOLS, vault),
        held_wei=_sum(connection, _HELD, vault),
        later_wei=ledger.wei_sum(row["amount_wei"] for row in deposits if row["block_number"] > through),
    )


_OWED = "SELECT amount_wei FROM payables WHERE chain_id = ? AND asset = ? AND state <> 'claimed'"
_POOLS = "SELECT balance_wei FROM wei_balances WHERE chain_id = ? AND asset = ? AND account GLOB 'race:*:pool'"
_HELD = "SELECT balance_wei FROM wei_balances WHERE chain_id = ? AND asset = ? AND account GLOB 'purchase:*:held'"


def e1(side: ChainSide, ours: Books) -> Iterator[Difference]:
    """Deposits to our resolver are the deposit rows, and what the vault holds is what came less what left."""
    standing = [row for row in ours.deposits if row["id"] not in ours.frozen]
    rows = {_moved(row, "depositor"): row["id"] for row in standing if row["block_number"] >= side.first}
    yield from _compared("E1", "chain_deposits", rows, side.deposits)
    for row in standing:
        if row["id"] in side.states and side.states[row["id"]] != int(row["amount_wei"]):
            what = f"{row['amount_wei']} wei here, {side.states[row['id']]} in the vault"
            yield Difference("E1", f"chain_deposits({row['id']})", what)
    came, left = (ledger.wei_sum(row["amount_wei"] for row in each) for each in (standing, ours.withdrawals))
    if side.balance_wei != came - left:
        what = f"holds {side.balance_wei} wei at block {side.number}, {came} came and {left} left"
        yield Difference("E1", "vault", what)


def e5(side: ChainSide, ours: Books) -> Iterator[Difference]:
    """What the vault holds is enough for everything that is owed, staked and held."""
    needed = ours.owed_wei + ours.pools_wei + ours.held_wei - ours.later_wei
    if side.balance_wei < needed:
        parts = f"{ours.owed_wei} owed, {ours.pools_wei} in pools, {ours.held_wei} held"
        yield Difference("E5", "vault", f"holds {side.balance_wei} wei, {needed} are needed: {parts}")


def e6(side: ChainSide, ours: Books) -> Iterator[Difference]:
    """Withdrawals on the chain are the withdrawal rows, and these are the payables that were taken."""
    rows = {_moved(row, "recipient"): row["id"] for row in ours.withdrawals if row["block_number"] >= side.first}
    yield from _compared("E6", "chain_withdrawals", rows, side.withdrawals)
    taken = {row["id"]: row for row in ours.taken}
    for row in ours.withdrawals:
        payable = taken.pop(row["payable_id"], None)
        where = f"chain_withdrawals({row['id']})"
        if payable is None:
            yield Difference("E6", where, "belongs to no payable that was taken")
        elif (payable["amount_wei"], payable["recipient"]) != (row["amount_wei"], row["recipient"]):
            yield Difference("E6", where, f"is not what payable {payable['id']} owed")
    for payable_id in taken:
        yield Difference("E6", f"payables({payable_id})", "is claimed, and no withdrawal took it")


EQUATIONS = (e1, e5, e6)
STOPPING = frozenset({"E1", "E5"})
"""A difference in these also stops signing."""


def differences(side: ChainSide, ours: Books) -> list[Difference]:
    """Everything in which the chain and the books differ."""
    return [difference for equation in EQUATIONS for difference in equation(side, ours)]


def _compared(name: str, table: str, rows: Mapping[Moved, int], events: Sequence[Moved]) -> Iterator[Difference]:
    """Both sides by all their fields: what is on one side only."""
    told = set(events)
    for moved, row_id in rows.items():
        if moved not in told:
            yield Difference(
                name, f"{table}({row_id})", f"{moved.amount_wei} wei with nonce {moved.nonce}: not on the chain"
            )
    for moved in _missing(events, rows):
        yield Difference(name, moved.tx_hash, f"{moved.amount_wei} wei with nonce {moved.nonce}: not in {table}")


def _missing(events: Iterable[Moved], rows: Mapping[Moved, int]) -> Iterator[Moved]:
    return (moved for moved in events if moved not in rows)


def _moved(row: Row, party: str) -> Moved:
    nonce = row["nonce"] if party == "depositor" else row["contract_nonce"]
    return Moved(row[party], int(nonce), int(row["amount_wei"]), row["tx_hash"], row["log_index"])


def _sum(connection: Connection, statement: str, vault: Vault) -> int:
    rows = connection.execute(statement, (vault.chain_id, vault.native))
    return ledger.wei_sum(row[0] for row in rows)
