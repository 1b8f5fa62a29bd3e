"""One endpoint of a chain: typed JSON-RPC calls, and every way in which an answer may be none.

Whatever goes wrong is trouble of the endpoint. It never means that a transaction or a deposit does not exist; only a
well-formed `null` says that this endpoint does not know it now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from clash_pipeline.economy.chain import wire
from clash_pipeline.economy.chain.wire import WireInvalid, hexadecimal
from clash_pipeline.strict_json import Bounds, NotStrict, decode

T = TypeVar("T")
BOUNDS = Bounds(depth=12, values=200_000, number_characters=20)
UNKNOWN_BLOCK = -32_001
TOO_MANY = -32_005
FINALIZED = "finalized"
LATEST = "latest"


class EndpointTrouble(Exception):
    """An endpoint gave no usable answer; one line that names it."""

    def __init__(self, endpoint: str, message: str) -> None:
        super().__init__(f"{endpoint}: {message}")
        self.endpoint = endpoint


class EndpointSilent(EndpointTrouble):
    """Nothing was said: a time-out, a refused connection, too many requests. Asking again later can help."""


class EndpointWrong(EndpointTrouble):
    """Something was said that no honest endpoint says: it is not asked again until it passes its checks (09 §6.7)."""


class Transport(Protocol):
    """Carries one body to an endpoint and its answer back."""

    name: str

    def exchange(self, body: bytes) -> bytes:
        """The answer to a body.

        Raises:
            EndpointTrouble: none came, or one that is too large.
        """
        ...


@dataclass(frozen=True)
class Block:
    """A header, as far as it is needed."""

    number: int
    hash: str
    parent_hash: str
    time_ms: int


@dataclass(frozen=True)
class Log:
    """An event of a contract; `is_removed` where the endpoint says that its block is gone."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int
    is_removed: bool


@dataclass(frozen=True)
class Receipt:
    """What became of a transaction."""

    tx_hash: str
    block_number: int
    block_hash: str
    is_success: bool
    logs: tuple[Log, ...]


class Endpoint:
    """The calls that are made; each asks once and never repeats by itself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._asked = 0

    @property
    def name(self) -> str:
        """What alerts and rows call it."""
        return self._transport.name

    def chain_id(self) -> int:
        """`eth_chainId`; raises EndpointTrouble, as every call here."""
        return self._read("eth_chainId", [], lambda value: wire.quantity(value, "chain id", below=wire.BLOCK_LIMIT))

    def code(self, address: str, block: str = LATEST) -> bytes:
        """The code of a contract."""
        return self._read("eth_getCode", [address, block], lambda value: wire.data(value, "code"))

    def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a transaction; None when this endpoint has none now."""
        return self._read("eth_getTransactionReceipt", [tx_hash], lambda value: _receipt(value, tx_hash))

    def block(self, number: int) -> Block | None:
        """The canonical block of a height."""
        return self._read("eth_getBlockByNumber", [hex(number), False], lambda value: _numbered(value, number))

    def block_by_hash(self, block_hash: str) -> Block | None:
        """A block by its hash, canonical or not."""
        return self._read("eth_getBlockByHash", [block_hash, False], lambda value: _hashed(value, block_hash))

    def latest(self) -> Block:
        """The newest block, which may still go."""
        return self._head(LATEST)

    def finalized(self) -> Block:
        """The newest final block; an endpoint that does not know finality is silent about it (09 §4.6.6)."""
        try:
            return self._head(FINALIZED)
        except _ErrorAnswer as error:
            raise EndpointSilent(self.name, f"does not say what is finalized: {error}") from None

    def call(self, to: str, content: bytes, block_hash: str) -> bytes:
        """What a contract answers in the state after exactly this block (EIP-1898)."""
        return self._read("eth_call", _call(to, content, block_hash), lambda value: wire.data(value, "result"))

    def word(self, to: str, content: bytes, block_hash: str) -> int:
        """The one number that a contract's view answers."""

        def read(value: Any) -> int:
            result = wire.data(value, "result")
            if len(result) != wire.WORD_BYTES:
                raise WireInvalid(f"the view must answer {wire.WORD_BYTES} bytes")
            return int.from_bytes(result)

        return self._read("eth_call", _call(to, content, block_hash), read)

    def logs(self, address: str, topics: list[str | None], first: int, last: int) -> tuple[Log, ...]:
        """The events of a contract in a range of blocks, both ends included."""
        asked = [{"address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}]
        return self._read("eth_getLogs", asked, lambda value: _logs_between(value, first, last))

    def signature(self, method: str, address: str, message: dict[str, Any]) -> bytes:
        """What a signer that speaks JSON-RPC answers for typed data; nothing of it is checked here."""
        return self._read(method, [address, message], lambda value: wire.data(value, "signature"))

    def _head(self, tag: str) -> Block:
        found = self._read("eth_getBlockByNumber", [tag, False], _block)
        if found is None:
            raise EndpointSilent(self.name, f"knows no {tag} block")
        return found

    def _read(self, method: str, parameters: list[Any], read: Callable[[Any], T]) -> T:
        try:
            return read(self._result(method, parameters))
        except WireInvalid as error:
            raise EndpointWrong(self.name, f"{method}: {error}") from None

    def _result(self, method: str, parameters: list[Any]) -> Any:
        self._asked += 1
        asked = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": parameters}
        content = self._transport.exchange(msgspec.json.encode(asked))
        try:
            answer = decode(content, BOUNDS)
        except (NotStrict, RecursionError) as error:
            raise EndpointWrong(self.name, f"{method}: the answer is no JSON we read: {error}") from None
        if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
            raise EndpointWrong(self.name, f"{method}: the answer is not JSON-RPC 2.0")
        given = answer.get("id")
        if type(given) is not int or given != self._asked:
            raise EndpointWrong(self.name, f"{method}: the answer carries another id than the question")
        if "error" in answer:
            raise self._refusal(method, answer["error"])
        if "result" not in answer:
            raise EndpointWrong(self.name, f"{method}: the answer has neither result nor error")
        return answer["result"]

    def _refusal(self, method: str, error: Any) -> EndpointTrouble:
        code = error.get("code") if isinstance(error, dict) else None
        if code in (UNKNOWN_BLOCK, TOO_MANY):
            return EndpointSilent(self.name, f"{method}: error {code}")
        return _ErrorAnswer(self.name, f"{method}: error {code if type(code) is int else 'without a code'}")


class _ErrorAnswer(EndpointWrong):
    """An error object."""


def _call(to: str, content: bytes, block_hash: str) -> list[Any]:
    return [{"to": to, "data": hexadecimal(content)}, {"blockHash": block_hash}]


def _block(value: Any) -> Block | None:
    if value is None:
        return None
    fields = _object(value, "block")
    return Block(
        wire.quantity(fields.get("number"), "block number", below=wire.BLOCK_LIMIT),
        wire.hash32(fields.get("hash"), "block hash"),
        wire.hash32(fields.get("parentHash"), "parent hash"),
        1_000 * wire.quantity(fields.get("timestamp"), "timestamp", below=2**40),
    )


def _numbered(value: Any, number: int) -> Block | None:
    found = _block(value)
    if found is not None and found.number != number:
        raise WireInvalid("the answer is another block than the one asked for")
    return found


def _hashed(value: Any, block_hash: str) -> Block | None:
    found = _block(value)
    if found is not None and found.hash != block_hash:
        raise WireInvalid("the answer is another block than the one asked for")
    return found


def _receipt(value: Any, tx_hash: str) -> Receipt | None:
    if value is None:
        return None
    fields = _object(value, "receipt")
    status = wire.quantity(fields.get("status"), "status", below=2)
    receipt = Receipt(
        wire.hash32(fields.get("transactionHash"), "transaction hash"),
        wire.quantity(fields.get("blockNumber"), "block number", below=wire.BLOCK_LIMIT),
        wire.hash32(fields.get("blockHash"), "block hash"),
        status == 1,
        _logs(fields.get("logs")),
    )
    if receipt.tx_hash != tx_hash:
        raise WireInvalid("the receipt is of another transaction")
    place = (receipt.tx_hash, receipt.block_number, receipt.block_hash)
    if any((log.tx_hash, log.block_number, log.block_hash) != place for log in receipt.logs):
        raise WireInvalid("a log of the receipt is of another transaction or block")
    return receipt


def _logs_between(value: Any, first: int, last: int) -> tuple[Log, ...]:
    found = _logs(value)
    if any(not first <= log.block_number <= last for log in found):
        raise WireInvalid("a log is of a block outside the range asked for")
    return found


def _logs(value: Any) -> tuple[Log, ...]:
    if not isinstance(value, list):
        raise WireInvalid("logs must be a list")
    return tuple(_log(entry) for entry in value)


def _log(value: Any) -> Log:
    fields = _object(value, "log")
    topics, removed = fields.get("topics"), fields.get("removed", False)
    if not isinstance(topics, list) or len(topics) > 4:
        raise WireInvalid("topics must be a list of at most 4")
    if not isinstance(removed, bool):
        raise WireInvalid("removed must be true or false")
    return Log(
        wire.address(fields.get("address"), "address"),
        tuple(wire.hash32(topic, "topic") for topic in topics),
        wire.data(fields.get("data"), "data"),
        wire.quantity(fields.get("blockNumber"), "block number", below=wire.BLOCK_LIMIT),
        wire.hash32(fields.get("blockHash"), "block hash"),
        wire.hash32(fields.get("transactionHash"), "transaction hash"),
        wire.quantity(fields.get("logIndex"), "log index", below=2**31),
        removed,
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WireInvalid(f"the {name} must be an object")
    return value
