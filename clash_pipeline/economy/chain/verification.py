"""Whether a transaction is a deposit of ours: a pure decision over what two endpoints answered (09 §4.6).

First it is settled what both say alike of a final, canonical block; then what was found is compared with what was
quoted. Whatever is missing, late or told in two ways stays pending; nothing is ever decided by one endpoint.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import Event, Vault
from clash_pipeline.economy.chain.rpc import Block, Endpoint, EndpointTrouble, Log, Receipt

LEAST_ENDPOINTS = 2
DepositKey = tuple[str, str, str, int]


@dataclass(frozen=True)
class Finality:
    """When a block counts: what the chain calls finalized, or also so many blocks of depth up to an amount."""

    depth: int | None = None
    most_wei: int = 0


FINAL = Finality()
"""Only what the chain itself calls finalized."""


@dataclass(frozen=True)
class Terms:
    """What was quoted; `pays_until` is the latest block time, grace included."""

    wallets: frozenset[str]
    nonce: int
    amount_wei: int
    pays_until: int


@dataclass(frozen=True)
class Heads:
    """How far an endpoint sees: its newest final block, and the newest of all where depth counts."""

    finalized: Block
    latest: Block


@dataclass(frozen=True)
class Sight:
    """What one endpoint says of a transaction; `deposited` is the vault's own state after the receipt's block."""

    endpoint: str
    heads: Heads
    receipt: Receipt | None
    canonical: Block | None
    deposited: Mapping[DepositKey, int]


@dataclass(frozen=True)
class Pending:
    """Not known yet; `is_alarming` where honest endpoints would not differ so."""

    reason: str
    is_alarming: bool = False


@dataclass(frozen=True)
class Found:
    """A deposit of ours that is final on every endpoint."""

    event: Event
    log_index: int
    tx_hash: str
    block: Block


@dataclass(frozen=True)
class Settled:
    """What all endpoints say alike of a final transaction."""

    receipt: Receipt
    block: Block
    found: tuple[Found, ...]
    doubled: frozenset[DepositKey]


MismatchCode = Literal[
    "tx_failed",
    "no_deposit",
    "contract_mismatch",
    "nonce_mismatch",
    "ambiguous_deposit",
    "resolver_mismatch",
    "asset_mismatch",
    "depositor_mismatch",
    "amount_mismatch",
]


@dataclass(frozen=True)
class Mismatch:
    """Final, and not what was quoted; `found` where it is money of ours all the same."""

    code: MismatchCode
    found: Found | None = None


@dataclass(frozen=True)
class Late:
    """Exactly what was quoted, after the quote's end."""

    found: Found


@dataclass(frozen=True)
class Verified:
    """Exactly what was quoted, in time."""

    found: Found


Outcome = Pending | Mismatch | Late | Verified


def heads_of(endpoint: Endpoint, finality: Finality = FINAL) -> Heads:
    """How far an endpoint sees; the newest block is asked for only where depth counts.

    Raises:
        EndpointTrouble: it did not answer, or not as it must.
    """
    finalized = endpoint.finalized()
    return Heads(finalized, finalized if finality.depth is None else endpoint.latest())


def look(endpoint: Endpoint, vault: Vault, tx_hash: str, heads: Heads) -> Sight:
    """Ask one endpoint everything that the decision needs.

    Raises:
        EndpointTrouble: it did not answer, or not as it must.
    """
    receipt = endpoint.receipt(tx_hash)
    if receipt is None:
        return Sight(endpoint.name, heads, None, None, {})
    canonical = endpoint.block(receipt.block_number)
    deposited = {}
    for _, event in events_of(receipt, vault):
        content = words.get_deposit(event.party, event.asset, event.resolver, event.nonce)
        deposited[key_of(event)] = endpoint.word(vault.address, content, receipt.block_hash)
    return Sight(endpoint.name, heads, receipt, canonical, deposited)


def settle(vault: Vault, sights: Sequence[Sight], finality: Finality = FINAL) -> Settled | Pending | Mismatch:
    """What every endpoint says alike, once it is final (steps 2 to 4, 6 and 7)."""
    if len(sights) < LEAST_ENDPOINTS:
        return Pending("endpoint_down")
    receipts = [sight.receipt for sight in sights]
    first = receipts[0]
    if first is None or any(receipt is None for receipt in receipts):
        return Pending("not_seen")
    is_final = all(first.block_number <= sight.heads.finalized.number for sight in sights)
    if any(receipt != first for receipt in receipts):
        return Pending("endpoints_disagree", is_alarming=is_final)
    if any(log.is_removed for log in first.logs):
        return Pending("not_canonical", is_alarming=is_final)
    if not is_final and not _is_deep_enough(vault, sights, first, finality):
        return Pending("not_final")
    block = sights[0].canonical
    if block is None or any(sight.canonical != block for sight in sights) or block.hash != first.block_hash:
        return Pending("not_canonical", is_alarming=True)
    return _read(vault, sights, first, block)


def judge(settled: Settled, terms: Terms, vault: Vault) -> Outcome:
    """Compare what was found with what was quoted (step 5); one wei off is wrong."""
    named = [found for found in settled.found if found.event.nonce == terms.nonce]
    if not named:
        return Mismatch(_absent(settled, vault))
    own = [found for found in named if _is_ours(found.event, vault)]
    if not own:
        event = named[0].event
        return Mismatch("asset_mismatch" if event.resolver == vault.resolver else "resolver_mismatch")
    found = next((each for each in own if each.event.party in terms.wallets), own[0])
    if key_of(found.event) in settled.doubled:
        return Mismatch("ambiguous_deposit")
    if found.event.party not in terms.wallets:
        return Mismatch("depositor_mismatch", found)
    if found.event.amount_wei != terms.amount_wei:
        return Mismatch("amount_mismatch", found)
    return Late(found) if found.block.time_ms > terms.pays_until else Verified(found)


def ours(settled: Settled, vault: Vault) -> tuple[Found, ...]:
    """The deposits of a transaction that are money of ours, whoever they were meant for."""
    return tuple(
        found
        for found in settled.found
        if _is_ours(found.event, vault) and found.event.amount_wei > 0 and key_of(found.event) not in settled.doubled
    )


def events_of(receipt: Receipt, vault: Vault) -> list[tuple[Log, Event]]:
    """The deposits that a receipt tells of; what has not a deposit's form is left out, and `settle` notices."""
    found = []
    for log in receipt.logs:
        if words.is_event(log, words.DEPOSIT_TEXT, vault.address):
            with suppress(words.ContractInvalid):
                found.append((log, words.event(log)))
    return found


def key_of(event: Event) -> DepositKey:
    """What the vault knows a deposit by."""
    return (event.party, event.asset, event.resolver, event.nonce)


def sighted(
    around: Sequence[tuple[Endpoint, Heads]], vault: Vault, tx_hash: str
) -> tuple[list[Sight], list[EndpointTrouble]]:
    """What each endpoint says of a transaction, and the trouble of those that say nothing usable."""
    sights: list[Sight] = []
    troubles: list[EndpointTrouble] = []
    for endpoint, heads in around:
        try:
            sights.append(look(endpoint, vault, tx_hash, heads))
        except EndpointTrouble as error:
            troubles.append(error)
    return sights, troubles


# how it is decided


def _read(vault: Vault, sights: Sequence[Sight], receipt: Receipt, block: Block) -> Settled | Pending | Mismatch:
    if not receipt.is_success:
        return Mismatch("tx_failed")
    told = [log for log in receipt.logs if words.is_event(log, words.DEPOSIT_TEXT, vault.address)]
    events = events_of(receipt, vault)
    if len(told) != len(events):
        return Pending("malformed_event", is_alarming=True)
    keys = [key_of(event) for _, event in events]
    doubled = frozenset(key for key in keys if keys.count(key) > 1)
    for _, event in events:
        states = {sight.deposited.get(key_of(event)) for sight in sights}
        if states != {event.amount_wei} and key_of(event) not in doubled:
            return Pending("state_differs", is_alarming=True)
    found = tuple(Found(event, log.log_index, receipt.tx_hash, block) for log, event in events)
    return Settled(receipt, block, found, doubled)


def _is_deep_enough(vault: Vault, sights: Sequence[Sight], receipt: Receipt, finality: Finality) -> bool:
    """Small amounts may count by depth, where the policy of the chain says so."""
    if finality.depth is None:
        return False
    paid = sum(event.amount_wei for _, event in events_of(receipt, vault))
    depths = [sight.heads.latest.number - receipt.block_number for sight in sights]
    return paid <= finality.most_wei and min(depths) >= finality.depth


def _absent(settled: Settled, vault: Vault) -> MismatchCode:
    if settled.found:
        return "nonce_mismatch"
    topic = words.topic(words.DEPOSIT_TEXT)
    elsewhere = any(log.topics[:1] == (topic,) and log.address != vault.address for log in settled.receipt.logs)
    return "contract_mismatch" if elsewhere else "no_deposit"


def _is_ours(event: Event, vault: Vault) -> bool:
    return event.resolver == vault.resolver and event.asset == vault.native
