"""The watcher: every deposit and withdrawal of ours that is final becomes known, whoever tells us or not.

One step reads the events since the last one with every endpoint, looks up the hints of those who wait, asks the vault
itself about quotes that are about to end, and looks again at deposits that were granted an hour and a day ago.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from clash_pipeline.economy import incidents, pools, purchases
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain import looks, progress, withdrawals
from clash_pipeline.economy.chain.confirming import DISAGREE, Parts, confirm, retry
from clash_pipeline.economy.chain.contract import ContractInvalid
from clash_pipeline.economy.chain.endpoints import TOO_FEW, Circle, TooFewEndpoints, asked, circle
from clash_pipeline.economy.chain.rpc import Block, Endpoint, Log
from clash_pipeline.economy.chain.verification import Settled
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.faults import fault, point

T = TypeVar("T")
RANGE_READ = point("chain.range_read")
HIDDEN = "deposit_without_event"
WATCHER = "watcher"
DUE_AT_ONCE = 100


class Standstill(Exception):
    """A range cannot be passed now: an endpoint said nothing, or they say different things."""


@dataclass
class Step:
    """What a step did; `problem` says why it stands still."""

    through: int | None = None
    recorded: int = 0
    withdrawn: int = 0
    decided: int = 0
    waiting: int = 0
    expired: int = 0
    gone: list[int] = field(default_factory=list)
    problem: str | None = None

    def sentence(self) -> str:
        """The step in one line."""
        said = (
            f"through block {self.through}: {self.recorded} deposits, {self.withdrawn} withdrawals, "
            f"{self.decided} decided, {self.waiting} waiting, {self.expired} expired"
        )
        return f"{said}; {self.problem}" if self.problem else said


def step(parts: Parts, now_ms: int) -> Step:
    """Do once all that is due; what fails is left to the next step."""
    done = Step()
    try:
        around = circle(parts.clash, parts.chain, now_ms)
    except TooFewEndpoints as error:
        return _stand(parts, done, TOO_FEW, str(error), now_ms)
    with parts.clash.write() as connection:
        incidents.close(connection, TOO_FEW, "chain", actor=WATCHER, now_ms=now_ms)
    try:
        done.gone += looks.after_a_reorganisation(parts, around, now_ms)
        _read_on(parts, around, done, now_ms)
    except Standstill as error:
        done.problem = str(error)
    done.gone += looks.due(parts, around, now_ms)
    _glimpse(parts, around, now_ms)
    _retry(parts, around, done, now_ms)
    _expire(parts, around, done, now_ms)
    return done


# reading on


def _read_on(parts: Parts, around: Circle, done: Step, now_ms: int) -> None:
    """Range after range, up to the newest block that all call final."""
    with parts.clash.read() as connection:
        known = progress.get(connection, parts.chain.vault)
    first = parts.chain.first_block if known is None else known[0] + 1
    done.through = first - 1
    while first <= around.head.number:
        last = min(first + parts.chain.log_blocks - 1, around.head.number)
        end = _read(parts, around, first, last, done, now_ms)
        with parts.clash.write() as connection:
            progress.put(connection, parts.chain.vault, end, now_ms=now_ms)
        done.through, first = last, last + 1


def _read(parts: Parts, around: Circle, first: int, last: int, done: Step, now_ms: int) -> Block:
    """One range: its last block, once every event of it is in the books."""
    end = same(parts, around, f"block {last}", lambda endpoint: endpoint.block(last), now_ms)
    if end is None:
        raise Standstill(f"block {last} is not known to every endpoint")
    paid = same(parts, around, "deposits", lambda e: events(e, parts, words.DEPOSIT_TEXT, first, last), now_ms)
    left = same(parts, around, "withdrawals", lambda e: events(e, parts, words.WITHDRAWAL_TEXT, first, last), now_ms)
    fault(RANGE_READ)
    for tx_hash in dict.fromkeys(log.tx_hash for log in paid):
        confirmed = confirm(parts, around, tx_hash, now_ms=now_ms)
        if not isinstance(confirmed.outcome, Settled):
            raise Standstill(f"{tx_hash} has a final event and is not settled")
        done.recorded += sum(recorded.is_new for recorded in confirmed.recorded)
    for log in left:
        done.withdrawn += _withdrawn(parts, around, log, now_ms)
    return end


def same(parts: Parts, around: Circle, what: str, ask: Callable[[Endpoint], T], now_ms: int) -> T:
    """What every endpoint answers alike.

    Raises:
        Standstill: one does not answer, or another thing; the second is raised as an incident.
    """
    answers = [asked(parts.clash, each, partial(_boxed, ask, each), now_ms) for each in around.endpoints]
    given = [answer[0] for answer in answers if answer is not None]
    if len(given) < len(answers):
        raise Standstill(f"{what}: an endpoint did not answer")
    if any(answer != given[0] for answer in given):
        with parts.clash.write() as connection:
            incidents.raise_incident(connection, DISAGREE, what, "the endpoints differ", now_ms=now_ms)
        raise Standstill(f"{what}: the endpoints differ")
    return given[0]


def _boxed(ask: Callable[[Endpoint], T], endpoint: Endpoint) -> tuple[T]:
    """An answer that may be None, told from none."""
    return (ask(endpoint),)


def events(endpoint: Endpoint, parts: Parts, text: str, first: int, last: int) -> tuple[Log, ...]:
    vault = parts.chain.vault
    topics = [words.topic(text), None, None, words.address_topic(vault.resolver)]
    found = endpoint.logs(vault.address, topics, first, last)
    return tuple(log for log in found if words.is_event(log, text, vault.address) and not log.is_removed)


def _withdrawn(parts: Parts, around: Circle, log: Log, now_ms: int) -> bool:
    block = same(parts, around, f"block {log.block_number}", lambda e: e.block(log.block_number), now_ms)
    try:
        event = words.event(log)
    except ContractInvalid as error:
        raise Standstill(f"{log.tx_hash}: {error}") from None
    if block is None or block.hash != log.block_hash:
        raise Standstill(f"{log.tx_hash} is in a block that is not canonical")
    with parts.clash.write() as connection:
        return withdrawals.record(connection, parts.chain.vault, log, event, block, now_ms=now_ms)


# those who wait


def _glimpse(parts: Parts, around: Circle, now_ms: int) -> None:
    """Quotes whose deposit stands in a block that is not final become pending; one endpoint's word is enough."""
    endpoint = around.endpoints[0]
    first, last = around.head.number + 1, around.head.number + parts.chain.log_blocks
    logs = asked(parts.clash, endpoint, lambda: events(endpoint, parts, words.DEPOSIT_TEXT, first, last), now_ms)
    for log in logs or ():
        try:
            event = words.event(log)
        except ContractInvalid:
            continue
        with parts.clash.write() as connection:
            purchase = purchases.of_nonce(connection, event.nonce)
            if purchase is not None and purchase.wallet == event.party:
                purchases.see(connection, purchase.id, log.tx_hash, now_ms=now_ms)


def _retry(parts: Parts, around: Circle, done: Step, now_ms: int) -> None:
    with parts.clash.read() as connection:
        due = purchases.due(connection, now_ms=now_ms, limit=DUE_AT_ONCE)
    for purchase in due:
        is_decided = retry(parts, around, purchase, now_ms=now_ms)
        done.decided += is_decided
        done.waiting += not is_decided


def _expire(parts: Parts, around: Circle, done: Step, now_ms: int) -> None:
    """End what nobody paid, after the vault itself was asked: an event may have been kept from us."""
    with parts.clash.read() as connection:
        watched = pools.watched_ms(connection) or 0
        ending = purchases.ending(connection, now_ms=now_ms, watched_ms=watched, **parts.terms)
    if all(_is_unpaid(parts, around, purchase, now_ms) for purchase in ending):
        with parts.clash.write() as connection:
            done.expired += len(purchases.expire(connection, now_ms=now_ms, watched_ms=watched, **parts.terms))


def _is_unpaid(parts: Parts, around: Circle, purchase: Purchase, now_ms: int) -> bool:
    """Whether every endpoint says that the vault holds nothing for a purchase, at a final block."""
    vault = parts.chain.vault
    content = words.get_deposit(purchase.wallet, purchase.asset, purchase.resolver, purchase.nonce)
    amounts = looks.amounts(parts, around, content, now_ms)
    if any(amounts):
        with parts.clash.write() as connection:
            detail = f"the vault {vault.address} holds a deposit of {purchase.wallet} whose event nobody shows"
            incidents.raise_incident(connection, HIDDEN, f"purchase {purchase.id}", detail, now_ms=now_ms)
    return len(amounts) == len(around.endpoints) and not any(amounts)


def _stand(parts: Parts, done: Step, kind: str, why: str, now_ms: int) -> Step:
    with parts.clash.write() as connection:
        incidents.raise_incident(connection, kind, "chain", why, now_ms=now_ms)
    done.problem = why
    return done
