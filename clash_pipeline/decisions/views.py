"""What a person or a program sees of a decision run: what it read, what was answered, what the gates said."""

import json
from collections.abc import Mapping
from typing import Any

from clash_pipeline.archive.stores import ArtifactStore, StoreError
from clash_pipeline.decisions import artifacts, budgets, runs
from clash_pipeline.decisions import packet as packets
from clash_pipeline.decisions import prompt as prompts
from clash_pipeline.decisions.packet import Packet
from clash_pipeline.decisions.prompt import Prompt
from clash_pipeline.decisions.runs import ArtifactRef
from clash_pipeline.prop import answers
from clash_pipeline.storage.sqlite import Connection, Database
from clash_pipeline.units import usd_text


class RunUnknown(LookupError):
    """There is no such decision run."""


def run_view(clash: Database, store: ArtifactStore, run_id: int) -> dict[str, Any]:
    """One run with its artifacts, its model calls and the actions it led to; what cannot be read says why.

    Raises:
        RunUnknown: no such run.
    """
    with clash.read() as connection:
        row = connection.execute("SELECT * FROM decision_runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise RunUnknown(f"there is no decision run {run_id}")
        stored = runs.artifacts_of(connection, run_id)
        calls = budgets.calls_of(connection, run_id)
        results = answers.results_of(connection, row["account_id"], run_id)
    return {
        "run": dict(row),
        "artifacts": {
            kind: {"key": item.key, "sha256": item.sha256, "size_bytes": item.size_bytes, "store": item.store}
            for kind, item in stored.items()
        },
        "calls": [call_view(call) for call in calls],
        "packet": _content(store, stored.get("packet")),
        "prompt": _content(store, stored.get("prompt")),
        "response": _content(store, stored.get("response")),
        "trace": _content(store, stored.get("trace")),
        "apply_input": _content(store, stored.get("apply_input")),
        "actions": results,
    }


def call_view(call: Mapping[str, Any]) -> dict[str, Any]:
    """One model call: who was asked and who answered, attempts, tokens, latency; costs in USD, None is unknown."""
    cost = call["cost"]
    return {
        "id": call["id"],
        "state": call["state"],
        "code": call["code"],
        "tier": call["tier"],
        "model": call["model"],
        "served_model": call["served_model"],
        "circuit": call["circuit"],
        "attempts": call["attempts"],
        "latency_ms": call["latency_ms"],
        "prompt_tokens": call["prompt_tokens"],
        "completion_tokens": call["completion_tokens"],
        "tokens": call["tokens"],
        "cost": None if cost is None else usd_text(cost),
        "reserved_tokens": call["reserved_tokens"],
        "reserved_cost": usd_text(call["reserved_cost"]),
        "reserved_at": call["reserved_at"],
        "settled_at": call["settled_at"],
    }


def packet_of(clash: Database, store: ArtifactStore, run_id: int) -> tuple[Packet, Prompt]:
    """The packet of a run and the prompt that was made of it.

    Raises:
        RunUnknown: no such run, or it never had a packet; says which state it is in.
        StoreError: the store does not have it, or it is damaged.
    """
    with clash.read() as connection:
        row = connection.execute("SELECT state, reason FROM decision_runs WHERE id = ?", (run_id,)).fetchone()
        stored = runs.artifacts_of(connection, run_id)
    if row is None:
        raise RunUnknown(f"there is no decision run {run_id}")
    if "packet" not in stored:
        raise RunUnknown(f"decision run {run_id} has no packet: {row['state']}, {row['reason']}")
    packet = packets.decode(artifacts.get(store, stored["packet"]))
    return packet, prompts.assemble(packet, stored["packet"].sha256)


def latest_runs(
    connection: Connection,
    *,
    clone_id: int | None = None,
    limit: int = 50,
    before: int = 2**62,
    symbol: str | None = None,
    state: str | None = None,
) -> list[dict[str, Any]]:
    """The newest runs with an id below `before`, newest first, of one clone or of all, of one symbol or state."""
    rows = connection.execute(
        """
        SELECT id, account_id, clone_id, branch, symbol, tick, kind, engine, state, reason, effective, finished_at,
               dagster_run_id
        FROM decision_runs
        WHERE id < :before AND (:clone IS NULL OR clone_id = :clone) AND (:symbol IS NULL OR symbol = :symbol)
          AND (:state IS NULL OR state = :state)
        ORDER BY id DESC LIMIT :limit
        """,
        {"clone": clone_id, "limit": limit, "before": before, "symbol": symbol, "state": state},
    )
    return [dict(row) for row in rows]


def _content(store: ArtifactStore, artifact: ArtifactRef | None) -> Any:
    if artifact is None:
        return None
    try:
        return json.loads(artifacts.get(store, artifact))
    except StoreError as error:
        return {"unreadable": str(error)}
