"""The audit of real money: I1 to I5, I7 and I8 on any database, and the seal of every row; a difference names its row.

Reads one snapshot and changes nothing. Sums are made in Python, from the rows that are never changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from clash_pipeline.economy import ledger_audit, purchases_audit, settlements_audit
from clash_pipeline.economy.sealing import SEAL, seal
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Database, one


@dataclass(frozen=True)
class EconomyReport:
    """What was looked at, and what is wrong."""

    purchases: int
    deposits: int
    groups: int
    payables: int
    settlements: int
    differences: tuple[Difference, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.differences


def audit(clash: Database) -> EconomyReport:
    """Check all of the economy, on one snapshot of the file."""
    with clash.read() as connection:
        found = tuple(difference for check in CHECKS for difference in check(connection))
        return EconomyReport(
            purchases=one(connection, "SELECT count(*) FROM purchases"),
            deposits=one(connection, "SELECT count(*) FROM chain_deposits"),
            groups=one(connection, "SELECT count(*) FROM wei_ledger_groups"),
            payables=one(connection, "SELECT count(*) FROM payables"),
            settlements=one(connection, "SELECT count(*) FROM settlements"),
            differences=found,
        )


def rows_are_sealed(connection: Connection) -> Iterator[Difference]:
    """S8: no column of a money row was changed behind our back."""
    for table, statement in SEALED.items():
        for row in connection.execute(statement):
            if row[SEAL] != seal(dict(row)):
                key = ", ".join(str(row[place]) for place in range(KEYS.get(table, 1)))
                yield Difference("S8", f"{table}({key})", "a column was changed after the row was written")


SEALED = {
    "purchases": "SELECT * FROM purchases ORDER BY id",
    "chain_deposits": "SELECT * FROM chain_deposits ORDER BY id",
    "tickets": "SELECT * FROM tickets ORDER BY id",
    "payables": "SELECT * FROM payables ORDER BY id",
    "settlements": "SELECT * FROM settlements ORDER BY race_id",
    "rakes": "SELECT * FROM rakes ORDER BY race_id",
    "economy_pools": "SELECT * FROM economy_pools ORDER BY race_id",
    "economy_pool_clones": "SELECT * FROM economy_pool_clones ORDER BY race_id, clone_id",
    "audition_credits": "SELECT * FROM audition_credits ORDER BY purchase_id",
    "purchase_moves": "SELECT * FROM purchase_moves ORDER BY purchase_id, seq",
    "frozen_deposits": "SELECT * FROM frozen_deposits ORDER BY deposit_id",
    "chain_withdrawals": "SELECT * FROM chain_withdrawals ORDER BY id",
}
KEYS = {"economy_pool_clones": 2, "purchase_moves": 2}
"""How many of its first columns are the key of a row, where that is not one."""
CHECKS = (*ledger_audit.CHECKS, rows_are_sealed, *purchases_audit.CHECKS, *settlements_audit.CHECKS)
