"""A chain that stands in for a real one: blocks, forks, finality. What its transactions do, a machine says.

Everything follows from the seed, the clock and what was sent, so that a test reads the truth here and compares it with
what the product believed.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from clash_pipeline.clock import Clock, SettableClock
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, Withdrawal

CHAIN_ID = 31_337
BLOCK_SEC = 2
FINALITY_BLOCKS = 3
GENESIS = "0x" + "00" * 32


@dataclass(frozen=True)
class RawLog:
    """An event before it has a place in a block."""

    address: str
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True)
class Tx:
    """What somebody sent; `forged` are events that another contract emits, beside whatever the call does."""

    hash: str
    sender: str
    to: str
    value: int
    content: bytes
    forged: tuple[RawLog, ...] = ()
    is_doomed: bool = False


@dataclass(frozen=True)
class Done:
    """A transaction in a block."""

    tx: Tx
    is_success: bool
    logs: tuple[RawLog, ...]
    first_log: int


@dataclass(frozen=True)
class Mined:
    """A block, and the state after it."""

    number: int
    hash: str
    parent_hash: str
    time_sec: int
    done: tuple[Done, ...]
    state: Any


class Machine(Protocol):
    """What a chain's transactions do and its views answer; a state never changes, a new one is made."""

    contract: str
    """The vault's address, in lower case."""

    def start(self) -> Any:
        """The state before the first block."""
        ...

    def execute(
        self, state: Any, txs: Iterable[Tx], chain_id: int, number: int, time_sec: int
    ) -> tuple[list[Done], Any]:
        """A block's transactions, and the state after them."""
        ...

    def read(self, state: Any, chain_id: int, to: str, content: bytes) -> bytes | None:
        """What a view answers; None where it reverts."""
        ...

    def code(self, address: str) -> bytes:
        """The code of an address."""
        ...


class Chain:
    """One canonical line of blocks, and those that were left behind."""

    def __init__(
        self,
        machine: Machine,
        clock: Clock | None = None,
        *,
        seed: int = 1,
        chain_id: int = CHAIN_ID,
        block_sec: int = BLOCK_SEC,
        finality_blocks: int = FINALITY_BLOCKS,
    ) -> None:
        self.machine = machine
        self.clock = clock or SettableClock(1_753_100_000_000)
        self.chain_id = chain_id
        self.finality_blocks = finality_blocks
        self.lock = threading.RLock()
        self._seed = seed
        self._block_sec = block_sec
        self._sent = 0
        self._waiting: list[Tx] = []
        start = self.clock.now_ms() // 1000
        self.blocks = [Mined(0, _digest("genesis", seed, chain_id), GENESIS, start, (), machine.start())]
        self.by_hash = {self.blocks[0].hash: self.blocks[0]}
        self.places: dict[str, Mined] = {}

    # what people do

    def deposit(self, sender: str, resolver: str, nonce: int, amount_wei: int) -> str:
        """Pay the vault; the hash of the transaction, which waits for a block."""
        return self.send(sender, self.machine.contract, amount_wei, words.deposit(resolver, nonce))

    def withdraw(self, resolver: str, allowed: Withdrawal, signature: bytes, sender: str = NATIVE) -> str:
        """Take what was allowed; who sends it does not matter."""
        return self.send(sender, self.machine.contract, 0, words.withdraw(resolver, allowed, signature))

    def send(
        self, sender: str, to: str, value: int, content: bytes, *,
        forged: Iterable[RawLog] = (), is_doomed: bool = False,
    ) -> str:  # fmt: skip
        """Any transaction; one that is doomed fails whatever it asks for."""
        with self.lock:
            self._sent += 1
            name = _digest("tx", self._seed, self.chain_id, self._sent, sender, to, value, content.hex())
            self._waiting.append(Tx(name, sender, to, value, content, tuple(forged), is_doomed))
            return name

    def drop(self, tx_hash: str) -> None:
        """Forget a transaction that waits."""
        with self.lock:
            self._waiting = [tx for tx in self._waiting if tx.hash != tx_hash]

    # what time does

    def mine(self, blocks: int = 1) -> Mined:
        """The next blocks, one after another in time; the first takes all that waits."""
        with self.lock:
            for _ in range(blocks):
                self._append(self._waiting, self.head.time_sec + self._block_sec)
                self._waiting = []
            return self.head

    def catch_up(self) -> None:
        """Every block that is due by the clock."""
        with self.lock:
            now_sec = self.clock.now_ms() // 1000
            while self.head.time_sec + self._block_sec <= now_sec:
                self.mine()

    def reorganise(self, depth: int, keeps: Callable[[Tx], bool] = lambda tx: True) -> list[Tx]:
        """Replace the last blocks by others of the same times, without what is not kept; what was left out."""
        with self.lock:
            gone = self.blocks[-depth:]
            del self.blocks[-depth:]
            left = [done.tx for block in gone for done in block.done if not keeps(done.tx)]
            for block in gone:
                for done in block.done:
                    self.places.pop(done.tx.hash, None)
                self._append([done.tx for done in block.done if keeps(done.tx)], block.time_sec, salt=block.hash)
            return left

    # what is true

    @property
    def head(self) -> Mined:
        """The newest block."""
        return self.blocks[-1]

    @property
    def finalized(self) -> Mined:
        """The newest block that counts as final."""
        return self.blocks[max(len(self.blocks) - 1 - self.finality_blocks, 0)]

    def _append(self, txs: Iterable[Tx], time_sec: int, salt: str = "") -> None:
        parent = self.head
        done, state = self.machine.execute(parent.state, txs, self.chain_id, parent.number + 1, time_sec)
        name = _digest("block", self._seed, parent.hash, time_sec, salt, *(each.tx.hash for each in done))
        block = Mined(parent.number + 1, name, parent.hash, time_sec, tuple(done), state)
        self.blocks.append(block)
        self.by_hash[name] = block
        self.places.update({each.tx.hash: block for each in done})


def _digest(*parts: object) -> str:
    return "0x" + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
