"""The books around one submission: what it wrote, and an account set up as the submission saw it."""

import json
from dataclasses import dataclass
from typing import Any

from clash_pipeline import canonical
from clash_pipeline.decisions.submission import ApplyInput
from clash_pipeline.prop import accounts
from clash_pipeline.storage.sqlite import Connection

Rows = dict[str, list[dict[str, Any]]]
"""Rows by table, each as its columns."""


def rows_of(connection: Connection, account_id: int, run_id: int) -> Rows:
    """What a run left in the books: whole rows of its actions, orders, fills and ledger groups, ids included."""
    values = {"account": account_id, "run": run_id}
    found = {
        "prop_decision_actions": connection.execute(
            "SELECT * FROM prop_decision_actions WHERE account_id = :account AND run_id = :run ORDER BY id", values
        ),
        "prop_orders": connection.execute(
            """
            SELECT o.* FROM prop_decision_actions a JOIN prop_orders o ON o.action_id = a.id
            WHERE a.account_id = :account AND a.run_id = :run ORDER BY o.id
            """,
            values,
        ),
        "prop_fills": connection.execute(
            """
            SELECT f.* FROM prop_decision_actions a JOIN prop_orders o ON o.action_id = a.id
            JOIN prop_fills f ON f.order_id = o.id WHERE a.account_id = :account AND a.run_id = :run ORDER BY f.id
            """,
            values,
        ),
        "prop_ledger_groups": connection.execute(
            """
            SELECT g.* FROM prop_decision_actions a JOIN prop_orders o ON o.action_id = a.id
            JOIN prop_fills f ON f.order_id = o.id
            JOIN prop_ledger_groups g ON g.account_id = f.account_id AND g.seq = f.ledger_seq
            WHERE a.account_id = :account AND a.run_id = :run ORDER BY g.seq
            """,
            values,
        ),
        "prop_ledger": connection.execute(
            """
            SELECT l.* FROM prop_decision_actions a JOIN prop_orders o ON o.action_id = a.id
            JOIN prop_fills f ON f.order_id = o.id
            JOIN prop_ledger l ON l.account_id = f.account_id AND l.seq = f.ledger_seq
            WHERE a.account_id = :account AND a.run_id = :run ORDER BY l.seq, l.line
            """,
            values,
        ),
    }
    return {table: rows for table, cursor in found.items() if (rows := [dict(row) for row in cursor])}


@dataclass(frozen=True)
class FirstIds:
    """The ids that the first rows of a submission got; 1 where it wrote none."""

    action: int
    order: int
    fill: int


def first_ids(connection: Connection, given: ApplyInput) -> FirstIds:
    """The ids of the first rows that a stored submission wrote."""
    row = connection.execute(
        """
        SELECT coalesce(min(a.id), 1), coalesce(min(o.id), 1), coalesce(min(f.id), 1)
        FROM json_each(?) r CROSS JOIN prop_decision_actions a ON a.run_id = r.value AND a.account_id = ?
        LEFT JOIN prop_orders o ON o.action_id = a.id LEFT JOIN prop_fills f ON f.order_id = o.id
        """,
        (json.dumps([action.run_id for action in given.actions]), given.account.id),
    ).fetchone()
    return FirstIds(*row)


def set_up(scratch: Connection, given: ApplyInput, first: FirstIds) -> None:
    """The account as it was seen, and rows in front of those that come, so that these get the ids they had."""
    account, now_ms = given.account, given.now_ms
    scratch.execute(
        """
        INSERT INTO clones (id, owner, name, engine, model_tier, is_trading, created_at, updated_at)
        VALUES (?, 'replay', 'replay', 'hold', 1, 0, 0, 0)
        """,
        (account.clone_id,),
    )
    scratch.execute(
        """
        INSERT INTO prop_accounts
          (id, clone_id, kind, parent_id, state, start_balance, balance, high_water_mark, policy, policy_hash,
           starts_at, ends_at, revision, ledger_seq, ledger_hash, funded_through, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            account.id, account.clone_id, account.kind, account.parent_id, account.state, account.start_balance,
            account.balance, account.high_water_mark, canonical.text(account.policy), account.policy.digest,
            account.starts_at, account.ends_at, account.revision, account.head.seq, account.head.hash,
            account.funded_through, account.created_at, now_ms,
        ),
    )  # fmt: skip
    for position in given.positions.values():
        accounts.store_position(scratch, account.id, position, now_ms=now_ms)
    if account.halted is not None:
        whom, _, reason = account.halted.partition(": ")
        scratch.execute(
            "INSERT INTO prop_halts (account_id, actor, reason, halted_at) VALUES (?, 'replay', ?, ?)",
            (None if whom == "all accounts" else account.id, reason, now_ms),
        )
    _write_before(scratch, given, first)


def _write_before(scratch: Connection, given: ApplyInput, first: FirstIds) -> None:
    """The opening orders of the last hour, and one action, order and fill with the ids just before the first."""
    account_id, now_ms = given.account.id, given.now_ms
    scratch.execute(
        """
        INSERT INTO prop_decision_actions
          (id, account_id, run_id, action_index, symbol, action, payload, payload_hash, status, reject_code, figures,
           created_at)
        VALUES (?, ?, 0, 0, '', '', '', ?, 'filled', NULL, '', 0)
        """,
        (first.action - 1, account_id, canonical.ZERO_HASH),
    )
    openings = given.opened_last_hour
    scratch.executemany(
        """
        INSERT INTO prop_orders
          (id, account_id, origin, action_id, leg, trigger_minute, symbol, side, size, sz_decimals, leverage,
           is_opening, created_at)
        VALUES (?, ?, 'admin', NULL, 0, ?, '', 'buy', 1, 0, 1, ?, ?)
        """,
        [
            (first.order - 1 - number, account_id, number, int(number < openings), now_ms)
            for number in range(max(openings, 1))
        ],
    )
    scratch.execute(
        """
        INSERT INTO prop_fills
          (id, order_id, account_id, symbol, side, size, sz_decimals, price, px_decimals, notional, fee, fee_rate,
           fee_schedule, slippage, slippage_rate, reference_price, price_source, price_at, price_age_ms, inputs,
           realized, size_after, cost_after, ledger_seq, filled_at)
        VALUES (?, ?, ?, '', 'buy', 1, 0, 1, 0, 1, 0, 0, '', 0, 0, '1', 'mid', 0, 0, '', 0, 0, 0, -1, 0)
        """,
        (first.fill - 1, first.order - 1, account_id),
    )
