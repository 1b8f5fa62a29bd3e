"""A stand-in chain as one endpoint shows it: JSON-RPC in bytes, late, down, or lying in a way of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.rpc import EndpointSilent, EndpointWrong
from clash_pipeline.replay.chain import Chain, Done, Mined, RawLog

UNKNOWN_BLOCK = -32_001
REVERTED = 3
NO_SUCH_METHOD = -32_601
BAD_PARAMETERS = -32_602
LARGE = "0x" + "00" * 12_000_000
FAR_HASH = "0x" + "fa" * 32

Answer = dict[str, Any]


class RpcError(Exception):
    """An error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ChainView:
    """One endpoint of a chain. `behind` blocks are not seen yet; `lies` names what it says wrong (LIES)."""

    def __init__(self, chain: Chain, name: str = "a", *, follows_clock: bool = False) -> None:
        self.chain = chain
        self.name = name
        self.behind = 0
        self.is_down = False
        self.lies: set[str] = set()
        self.asked: dict[str, int] = {}
        self._follows_clock = follows_clock

    def exchange(self, body: bytes) -> bytes:
        """The answer to a body, as a client's transport inside one process.

        Raises:
            EndpointSilent: it is down.
            EndpointWrong: the answer is larger than anybody reads.
        """
        if self.is_down:
            raise EndpointSilent(self.name, "ConnectError")
        answer = self.answer(body)
        if len(answer) > 4_194_304:
            raise EndpointWrong(self.name, "sent more than 4194304 bytes")
        return answer

    def answer(self, body: bytes) -> bytes:
        """The JSON-RPC answer to a body."""
        asked = msgspec.json.decode(body)
        method, parameters = asked["method"], asked["params"]
        self.asked[method] = self.asked.get(method, 0) + 1
        with self.chain.lock:
            if self._follows_clock:
                self.chain.catch_up()
            made: Answer = {"jsonrpc": "2.0", "id": asked["id"]}
            try:
                made["result"] = self._result(method, parameters)
            except RpcError as error:
                made["error"] = {"code": error.code, "message": str(error)}
            for lie in sorted(self.lies):
                made = LIES[lie](self, method, parameters, made)
        return b"<html>busy</html>" if made.get("html") else msgspec.json.encode(made)

    @property
    def head(self) -> int:
        """The height it has seen."""
        return max(len(self.chain.blocks) - 1 - self.behind, 0)

    def block(self, tag: str) -> Mined | None:
        """The canonical block of a height or tag."""
        if tag == "latest":
            return self.chain.blocks[self.head]
        if tag == "finalized":
            return self.chain.blocks[max(self.head - self.chain.finality_blocks, 0)]
        number = int(tag, 16)
        return self.chain.blocks[number] if number <= self.head else None

    def _result(self, method: str, parameters: list[Any]) -> Any:
        made = METHODS.get(method)
        if made is None:
            raise RpcError(NO_SUCH_METHOD, "no such method")
        return made(self, *parameters)


# the methods


def _by_number(view: ChainView, tag: str, _: bool = False) -> Any:
    found = view.block(tag)
    return None if found is None else header(found)


def _by_hash(view: ChainView, name: str, _: bool = False) -> Any:
    found = view.chain.by_hash.get(name)
    return None if found is None or found.number > view.head else header(found)


def _receipt(view: ChainView, name: str) -> Any:
    block = view.chain.places.get(name)
    if block is None or block.number > view.head:
        return None
    done = next(done for done in block.done if done.tx.hash == name)
    return {
        "transactionHash": name, "blockNumber": hex(block.number), "blockHash": block.hash,
        "status": hex(done.is_success), "from": done.tx.sender, "to": done.tx.to, "logs": logs_of(block, done),
    }  # fmt: skip


def _call(view: ChainView, asked: dict[str, str], at: Any) -> str:
    found = view.chain.by_hash.get(at["blockHash"]) if isinstance(at, dict) else view.block(at)
    if found is None or found.number > view.head:
        raise RpcError(UNKNOWN_BLOCK, "block not found")
    chain = view.chain
    answer = chain.machine.read(found.state, chain.chain_id, asked["to"].lower(), bytes.fromhex(asked["data"][2:]))
    if answer is None:
        raise RpcError(REVERTED, "execution reverted")
    return "0x" + answer.hex()


def _logs(view: ChainView, asked: dict[str, Any]) -> list[Answer]:
    first, last = int(asked["fromBlock"], 16), min(int(asked["toBlock"], 16), view.head)
    return [
        log
        for block in view.chain.blocks[first : last + 1]
        for done in block.done
        for log in logs_of(block, done)
        if log["address"] == asked["address"] and _fits(log["topics"], asked["topics"])
    ]


def _send(view: ChainView, asked: dict[str, str]) -> str:
    value, content = int(asked.get("value", "0x0"), 16), bytes.fromhex(asked.get("data", "0x")[2:])
    return view.chain.send(asked["from"].lower(), asked["to"].lower(), value, content)


def _mine(view: ChainView) -> str:
    return hex(view.chain.mine().number)


METHODS: Mapping[str, Callable[..., Any]] = {
    "eth_chainId": lambda view: hex(view.chain.chain_id),
    "eth_blockNumber": lambda view: hex(view.head),
    "eth_getCode": lambda view, address, block="latest": "0x" + view.chain.machine.code(address.lower()).hex(),
    "eth_getBlockByNumber": _by_number,
    "eth_getBlockByHash": _by_hash,
    "eth_getTransactionReceipt": _receipt,
    "eth_call": _call,
    "eth_getLogs": _logs,
    "eth_sendTransaction": _send,
    "evm_mine": _mine,
}


def header(block: Mined) -> Answer:
    """A block as it is answered."""
    return {
        "number": hex(block.number), "hash": block.hash, "parentHash": block.parent_hash,
        "timestamp": hex(block.time_sec), "transactions": [done.tx.hash for done in block.done],
    }  # fmt: skip


def logs_of(block: Mined, done: Done) -> list[Answer]:
    """The events of a transaction as they are answered."""
    return [log_of(log, block, done.tx.hash, done.first_log + index) for index, log in enumerate(done.logs)]


def log_of(log: RawLog, block: Mined, tx_hash: str, index: int) -> Answer:
    """One of them."""
    return {
        "address": log.address, "topics": list(log.topics), "data": "0x" + log.data.hex(), "removed": False,
        "blockNumber": hex(block.number), "blockHash": block.hash, "transactionHash": tx_hash, "logIndex": hex(index),
    }  # fmt: skip


def _fits(topics: list[str], wanted: list[str | None]) -> bool:
    return len(topics) >= len(wanted) and all(w is None or w == t for w, t in zip(wanted, topics, strict=False))


# the lies


def _of(methods: str, change: Callable[[Any], Any]) -> Callable[[ChainView, str, Any, Answer], Answer]:
    """A lie about the results of some methods, where there are any."""

    def told(_: ChainView, method: str, __: Any, made: Answer) -> Answer:
        if method not in methods.split() or made.get("result") is None:
            return made
        return {**made, "result": change(made["result"])}

    return told


def _more(logs: list[Answer]) -> list[Answer]:
    return [{**log, "data": log["data"][:66] + f"{int(log['data'][66:], 16) + 1:064x}"} for log in logs]


def _forged(view: ChainView, method: str, parameters: Any, made: Answer) -> Answer:
    """A deposit that nobody made, in the last block asked for."""
    if method != "eth_getLogs" or "result" not in made:
        return made
    block = view.chain.blocks[min(int(parameters[0]["toBlock"], 16), view.head)]
    topics = [parameters[0]["topics"][0], *(words.address_topic("0x" + "ab" * 20) for _ in range(3))]
    topics = [given or topics[place] for place, given in enumerate([*parameters[0]["topics"], *[None] * 4][:4])]
    log = log_of(RawLog(parameters[0]["address"], tuple(topics), (1).to_bytes(64)), block, FAR_HASH, 7)
    return {**made, "result": [*made["result"], log]}


def _no_finality(_: ChainView, method: str, parameters: Any, made: Answer) -> Answer:
    if method == "eth_getBlockByNumber" and parameters[0] == "finalized":
        return {"jsonrpc": "2.0", "id": made["id"], "error": {"code": BAD_PARAMETERS, "message": "unknown tag"}}
    return made


def _hasty(view: ChainView, method: str, parameters: Any, made: Answer) -> Answer:
    """What is newest is called final."""
    if method == "eth_getBlockByNumber" and parameters[0] == "finalized":
        return {**made, "result": header(view.chain.blocks[view.head])}
    return made


def _hidden(hidden: str) -> Callable[[ChainView, str, Any, Answer], Answer]:
    return lambda _, method, __, made: {**made, "result": None} if method == hidden else made


RECEIPT = "eth_getTransactionReceipt"
LIES: Mapping[str, Callable[[ChainView, str, Any, Answer], Answer]] = {
    # about the chain
    "amount": lambda view, method, parameters, made: _of("eth_getLogs", _more)(
        view,
        method,
        parameters,
        _of(RECEIPT, lambda r: {**r, "logs": _more(r["logs"])})(view, method, parameters, made),
    ),
    "state": _of("eth_call", lambda word: "0x" + (b"\1" * (len(word) // 2 - 1)).hex()),
    "no deposit": _of("eth_call", lambda word: "0x" + "00" * 32 if len(word) == 66 else word),
    "status": _of(RECEIPT, lambda receipt: {**receipt, "status": hex(1 - int(receipt["status"], 16))}),
    "no receipt": _hidden(RECEIPT),
    "hidden logs": _of("eth_getLogs", lambda _: []),
    "forged log": _forged,
    "removed": _of(RECEIPT, lambda r: {**r, "logs": [{**log, "removed": True} for log in r["logs"]]}),
    "other fork": _of("eth_getBlockByNumber", lambda block: {**block, "hash": FAR_HASH}),
    "no finality": _no_finality,
    "hasty": _hasty,
    # about everything
    "chain id": _of("eth_chainId", lambda _: "0x1"),
    "code": _of("eth_getCode", lambda _: "0x00"),
    "wrong id": lambda _, __, ___, made: {**made, "id": made["id"] + 1},
    "error": lambda _, __, ___, made: {"jsonrpc": "2.0", "id": made["id"], "error": {"code": -32_000, "message": "no"}},
    "other method": lambda _, __, ___, made: {**made, "result": {"gasUsed": "0x5208"}},
    "quantity": lambda _, __, ___, made: {**made, "result": "0x"},
    "large": lambda _, __, ___, made: {**made, "result": LARGE},
    "html": lambda _, __, ___, made: {"html": True, "id": made["id"]},
}
"""What an endpoint can be told to say wrong."""
