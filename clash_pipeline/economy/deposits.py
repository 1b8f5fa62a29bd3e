"""Deposits of the chain, each used once (09 §4.4, §4.6 step 8)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VerifiedDeposit:
    """A deposit that is final and said alike by every endpoint; addresses and hashes in lower case, time in ms."""

    chain_id: int
    contract: str
    depositor: str
    resolver: str
    asset: str
    nonce: int
    amount_wei: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_time_ms: int
    evidence_hash: str
    evidence_key: str
