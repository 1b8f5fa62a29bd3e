"""Budgets of models: reserved in the database before a call, settled after it (09 §5.2.4).

*Decide* needs no database, so both ends stand on the box of record: `reserve` gives each prepared run an allowance or a
refusal, *decide* carries the allowance, `settle` books what the call really took. A reservation that nobody settles
expires and is given back; one that is settled after that is booked all the same, because it was paid for.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from clash_pipeline import canonical
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.decisions import spending
from clash_pipeline.decisions.calls import Allowance
from clash_pipeline.decisions.engines.breaker import ANSWERED, OUTAGES, Breaker, BreakerRule, rule_of
from clash_pipeline.decisions.engines.tiers import Tier, refusal, tiers
from clash_pipeline.decisions.prompt import SYSTEM
from clash_pipeline.decisions.runs import Decided, Prepared, Services
from clash_pipeline.decisions.spending import Amount, Delta, Sums, limits_of, scopes_of
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Row

SCHEMA_BYTES = 2_048
"""What the answer's schema adds to a prompt."""
AFTER_RESERVED = point("decisions.budgets.after_reserved")
BEFORE_SETTLED = point("decisions.budgets.before_settled")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Payer:
    """Whose call it is."""

    clone_id: int
    owner: str
    tier: int

    @property
    def scopes(self) -> dict[str, str]:
        """What it is charged to."""
        return scopes_of(self.clone_id, self.owner, self.tier)


def reserve(services: Services, prepared: Sequence[Prepared]) -> list[Prepared]:
    """Give every run that would ask a model its allowance, or why it may not ask; the others pass through."""
    asking = [item for item in prepared if item.claim.engine == "model" and item.response is None]
    if not asking:
        return list(prepared)
    now_ms = services.wall.now_ms()
    with services.clash.write() as connection:
        _release_expired(connection, now_ms)
        desk = _Desk(connection, services.settings, asking, now_ms)
        answered = {item.claim.run_id: desk.answer(item) for item in asking}
        desk.close()
    fault(AFTER_RESERVED)
    return [answered.get(item.claim.run_id, item) for item in prepared]


def settle(services: Services, decided: Iterable[Decided]) -> None:
    """Book what each call took, in place of what it had reserved; a call that is booked stays as it is."""
    asked = [item for item in decided if item.call_id is not None]
    if not asked:
        return
    fault(BEFORE_SETTLED)
    now_ms, rule = services.wall.now_ms(), rule_of(services.settings)
    known = {tier.circuit: tier for tier in tiers(services.settings).values()}
    with services.clash.write() as connection:
        circuits: dict[str, Breaker] = {}
        for item in sorted(asked, key=_ended_at):
            row = connection.execute(
                "SELECT * FROM model_calls WHERE id = ? AND state <> 'settled'", (item.call_id,)
            ).fetchone()
            if row is not None:
                _settle(connection, row, item, known.get(row["circuit"]), now_ms)
                _remember(connection, circuits, row["circuit"], item, now_ms, rule)
        _store_circuits(connection, circuits, now_ms)


def calls_of(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """The model calls of a run, oldest first."""
    rows = connection.execute("SELECT * FROM model_calls WHERE run_id = ? ORDER BY id", (run_id,))
    return [dict(row) for row in rows]


class _Desk:
    """The open books of one batch of reservations, inside one write transaction."""

    def __init__(self, connection: Connection, settings: Settings, asking: Sequence[Prepared], now_ms: int) -> None:
        self._connection, self._settings, self._now_ms = connection, settings, now_ms
        self._tiers = tiers(settings)
        self._rule = rule_of(settings)
        self._payers = _payers(connection, {item.claim.account_id for item in asking})
        self._asked = _asked_before(connection, [item.claim.run_id for item in asking])
        scopes = {scope for payer in self._payers.values() for scope in payer.scopes.values()}
        self._sums = Sums.load(connection, scopes, limits_of(settings), now_ms)
        self._circuits = _load_circuits(connection, [tier.circuit for tier in self._tiers.values()])

    def answer(self, item: Prepared) -> Prepared:
        """One run with its allowance, or refused."""
        payer = self._payers[item.claim.account_id]
        code = refusal(self._settings, payer.tier)
        if code is None and (item.claim.run_id, item.claim.token) in self._asked:
            code = "asked_before"
        if code is not None:
            return replace(item, refused=code)
        return self._reserved(item, payer, self._tiers[payer.tier])

    def close(self) -> None:
        """Write the sums and circuits."""
        self._sums.write(self._connection)
        spending.forget(self._connection, self._now_ms)
        _store_circuits(self._connection, self._circuits, self._now_ms)

    def _reserved(self, item: Prepared, payer: Payer, tier: Tier) -> Prepared:
        admitted = self._circuits.get(tier.circuit, Breaker()).admit(self._now_ms, self._rule)
        if admitted is None:
            return replace(item, refused="breaker_open")
        amount = reservation(tier, item.packet.size_bytes, self._settings.model_reserve_bytes_per_token)
        broken = self._sums.exceeded(payer.scopes, amount)
        if broken is not None:
            log.warning("budget_exhausted", limit=broken.text, clone_id=payer.clone_id, run_id=item.claim.run_id)
            return replace(item, refused=f"budget_exhausted: {broken.text}")
        self._circuits[tier.circuit] = admitted
        self._sums.add(payer.scopes, amount)
        expires_at = self._now_ms + self._settings.model_reservation_sec * SECOND_MS
        call_id = self._insert(item, payer, tier, amount, expires_at)
        last_start = expires_at - int(self._settings.model_deadline_sec * SECOND_MS)
        return replace(item, allowance=Allowance(call_id, tier.number, tier.model, last_start))

    def _insert(self, item: Prepared, payer: Payer, tier: Tier, amount: Amount, expires_at: int) -> int:
        row = self._connection.execute(
            """
            INSERT INTO model_calls (run_id, claim_token, clone_id, owner, tier, model, circuit, state, reserved_at,
                                     expires_at, reserved_tokens, reserved_cost)
            VALUES (:run, :token, :clone, :owner, :tier, :model, :circuit, 'reserved', :now, :expires, :tokens, :cost)
            RETURNING id
            """,
            {
                "run": item.claim.run_id or None, "token": item.claim.token, "clone": payer.clone_id,
                "owner": payer.owner, "tier": payer.tier, "model": tier.model, "circuit": tier.circuit,
                "now": self._now_ms, "expires": expires_at, "tokens": amount.tokens, "cost": amount.cost,
            },
        ).fetchone()  # fmt: skip
        return int(row["id"])


def reservation(tier: Tier, packet_bytes: int, bytes_per_token: int) -> Amount:
    """What a call may take: the prompt by a careful estimate, and the longest answer."""
    prompt = -(-(packet_bytes + len(SYSTEM.encode()) + SCHEMA_BYTES) // bytes_per_token)
    return Amount(prompt + tier.max_output_tokens, tier.cost(prompt, tier.max_output_tokens))


def used(item: Decided, row: Row, tier: Tier | None) -> Amount:
    """What a call is charged: nothing where nothing was generated, its usage where known, else all it reserved."""
    call = item.call
    if call is None or not call.is_billable:
        return Amount(0, 0)
    if call.prompt_tokens is None or call.completion_tokens is None or tier is None:
        return Amount(row["reserved_tokens"], row["reserved_cost"])
    cost = tier.cost(call.prompt_tokens, call.completion_tokens)
    return Amount(call.prompt_tokens + call.completion_tokens, cost)


def _settle(connection: Connection, row: Row, item: Decided, tier: Tier | None, now_ms: int) -> None:
    amount, call = used(item, row, tier), item.call
    held = Amount(row["reserved_tokens"], row["reserved_cost"]) if row["state"] == "reserved" else Amount(0, 0)
    scopes = scopes_of(row["clone_id"], row["owner"], row["tier"]).values()
    change = [
        Delta(scope, row["reserved_at"], amount.tokens - held.tokens, amount.cost - held.cost) for scope in scopes
    ]
    spending.correct(connection, change)
    connection.execute(
        """
        UPDATE model_calls
        SET state = 'settled', settled_at = :now, tokens = :tokens, cost = :cost, code = :code, served_model = :served,
            prompt_tokens = :asked, completion_tokens = :answered, attempts = :attempts, latency_ms = :latency
        WHERE id = :id
        """,
        {
            "id": row["id"], "now": now_ms, "tokens": amount.tokens, "cost": amount.cost,
            "code": None if item.response else item.error, "served": call.served_model if call else None,
            "asked": call.prompt_tokens if call else None, "answered": call.completion_tokens if call else None,
            "attempts": call.attempts if call else 0, "latency": call.latency_ms if call else None,
        },
    )  # fmt: skip


def _release_expired(connection: Connection, now_ms: int) -> None:
    rows = connection.execute(
        """
        UPDATE model_calls SET state = 'expired' WHERE state = 'reserved' AND expires_at <= ?
        RETURNING clone_id, owner, tier, reserved_at, reserved_tokens, reserved_cost
        """,
        (now_ms,),
    ).fetchall()
    spending.correct(
        connection,
        [
            Delta(scope, row["reserved_at"], -row["reserved_tokens"], -row["reserved_cost"])
            for row in rows
            for scope in scopes_of(row["clone_id"], row["owner"], row["tier"]).values()
        ],
    )
    if rows:
        log.warning("reservations_expired", calls=len(rows))


def _payers(connection: Connection, account_ids: Iterable[int]) -> dict[int, Payer]:
    """Who pays for the runs of each account, and with which model: the frozen one where there is one."""
    rows = connection.execute(
        """
        SELECT a.id, a.clone_id, c.owner, coalesce(a.model_tier, c.model_tier) AS model_tier
        FROM prop_accounts a JOIN clones c ON c.id = a.clone_id WHERE a.id IN (SELECT value FROM json_each(?))
        """,
        (json.dumps(sorted(account_ids)),),
    )
    return {row["id"]: Payer(row["clone_id"], row["owner"], row["model_tier"]) for row in rows}


def _asked_before(connection: Connection, run_ids: Sequence[int]) -> set[tuple[int, int]]:
    rows = connection.execute(
        "SELECT run_id, claim_token FROM model_calls WHERE run_id IN (SELECT value FROM json_each(?))",
        (json.dumps(run_ids),),
    )
    return {(row["run_id"], row["claim_token"]) for row in rows}


def _load_circuits(connection: Connection, circuits: Sequence[str]) -> dict[str, Breaker]:
    rows = connection.execute(
        "SELECT circuit, breaker FROM model_circuits WHERE circuit IN (SELECT value FROM json_each(?))",
        (canonical.text(circuits),),
    )
    return {row["circuit"]: msgspec.json.decode(row["breaker"], type=Breaker) for row in rows}


def _store_circuits(connection: Connection, circuits: dict[str, Breaker], now_ms: int) -> None:
    connection.executemany(
        """
        INSERT INTO model_circuits (circuit, breaker, updated_at) VALUES (?, ?, ?)
        ON CONFLICT (circuit) DO UPDATE SET breaker = excluded.breaker, updated_at = excluded.updated_at
        WHERE breaker <> excluded.breaker
        """,
        [(circuit, canonical.text(breaker), now_ms) for circuit, breaker in circuits.items()],
    )


def _remember(
    connection: Connection, circuits: dict[str, Breaker], circuit: str, item: Decided, now_ms: int, rule: BreakerRule
) -> None:
    if circuit not in circuits:
        circuits[circuit] = _load_circuits(connection, [circuit]).get(circuit, Breaker())
    code = None if item.response else item.error
    if code in OUTAGES:
        circuits[circuit] = circuits[circuit].after_failure(_ended_at(item) or now_ms, rule)
    elif code in ANSWERED and item.call is not None:
        circuits[circuit] = circuits[circuit].after_success()
    else:
        circuits[circuit] = circuits[circuit].unprobed()


def _ended_at(item: Decided) -> int:
    """When the call ended; 0 for one that never began."""
    return item.call.started_at + item.call.latency_ms if item.call else 0
