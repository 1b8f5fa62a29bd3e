"""What was seen when a deposit was verified, kept for later: nodes forget receipts after some days (09 F7)."""

from typing import Any

from clash_pipeline import canonical
from clash_pipeline.archive.artifacts import Artifact, put_artifact
from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import iso
from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.economy.chain.rpc import Block, Log, Receipt
from clash_pipeline.economy.chain.verification import Settled, Sight

KIND = "deposit_evidence"


def put(store: ArtifactStore, vault: Vault, settled: Settled, sights: list[Sight]) -> Artifact:
    """Store receipt, header and every endpoint's answers; raises what `put_artifact` raises."""
    day = iso(settled.block.time_ms)[:10]
    return put_artifact(store, KIND, body(vault, settled, sights), f"chain/{vault.chain_id}/{day}")


def body(vault: Vault, settled: Settled, sights: list[Sight]) -> bytes:
    """The same as canonical JSON; amounts and nonces as text."""
    return canonical.encode(
        {
            "vault": vars(vault),
            "receipt": _receipt(settled.receipt),
            "block": vars(settled.block),
            "answers": [_sight(sight) for sight in sights],
        }
    )


def _sight(sight: Sight) -> dict[str, Any]:
    return {
        "endpoint": sight.endpoint,
        "finalized": vars(sight.heads.finalized),
        "latest": vars(sight.heads.latest),
        "receipt": None if sight.receipt is None else _receipt(sight.receipt),
        "canonical": _block(sight.canonical),
        "deposited": [[*key[:3], str(key[3]), str(wei)] for key, wei in sorted(sight.deposited.items())],
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {**vars(receipt), "logs": [_log(log) for log in receipt.logs]}


def _log(log: Log) -> dict[str, Any]:
    return {**vars(log), "topics": list(log.topics), "data": "0x" + log.data.hex()}


def _block(block: Block | None) -> dict[str, Any] | None:
    return None if block is None else vars(block)
