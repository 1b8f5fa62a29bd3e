"""A real virtual machine under a chain of blocks: revm, with the compiled vault deployed in it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clash_pipeline.economy.chain.contract import Vault, keccak
from clash_pipeline.replay.chain import CHAIN_ID, Done, RawLog, Tx

HERE = Path(__file__).parent
DEPLOYER = "0x" + "d0" * 20
RICH = 10**24


@cache
def artifact() -> dict[str, Any]:
    """What the compiler made of the vault."""
    made: dict[str, Any] = json.loads((HERE / "SignedVault.json").read_text("utf-8"))
    return made


@dataclass(frozen=True)
class History:
    """Every transaction so far, with height and time: the state is what they make of an empty machine."""

    before: tuple[tuple[Tx, int, int], ...] = ()


class Revm:
    """Runs the history of a block again wherever it is asked for; histories in tests are short."""

    def __init__(self) -> None:
        self.contract = str(self._fresh(0, 1)[1]).lower()
        self._kept: tuple[History | None, Any] = (None, None)

    def start(self) -> History:
        return History()

    def execute(
        self, state: History, txs: Iterable[Tx], chain_id: int, number: int, time_sec: int
    ) -> tuple[list[Done], History]:
        machine = self._at(state)
        done: list[Done] = []
        first_log = 0
        for tx in txs:
            logs = _run(machine, tx, number, time_sec)
            done.append(Done(tx, logs is not None, logs or (), first_log))
            first_log += len(logs or ())
        made = History((*state.before, *((each.tx, number, time_sec) for each in done)))
        self._kept = (made, machine)
        return done, made

    def read(self, state: History, chain_id: int, to: str, content: bytes) -> bytes | None:
        try:
            return bytes(self._at(state).message_call(DEPLOYER, to, calldata=content, is_static=True))
        except RuntimeError:
            return None

    def code(self, address: str) -> bytes:
        machine = self._at(History())
        padded, hashed = bytes(machine.get_code(address) or b""), machine.basic(address).code_hash
        return next((padded[:end] for end in range(len(padded), 0, -1) if keccak(padded[:end]) == bytes(hashed)), b"")

    def _at(self, state: History) -> Any:
        known, machine = self._kept
        if known is None or known != state:
            machine, _ = self._fresh(0, 1)
            for tx, number, time_sec in state.before:
                _run(machine, tx, number, time_sec)
            self._kept = (state, machine)
        return machine

    def _fresh(self, number: int, time_sec: int) -> tuple[Any, str]:
        from pyrevm import EVM, BlockEnv, CfgEnv, Env

        machine = EVM(env=Env(cfg=CfgEnv(chain_id=CHAIN_ID)), spec_id="SHANGHAI")
        machine.set_block_env(BlockEnv(number=number, timestamp=time_sec))
        machine.set_balance(DEPLOYER, RICH)
        return machine, machine.deploy(DEPLOYER, bytes.fromhex(artifact()["bytecode"][2:]))

    def vault(self, resolver: str) -> Vault:
        """What a client pins."""
        return Vault(CHAIN_ID, self.contract, resolver, "0x" + keccak(self.code(self.contract)).hex())


def _run(machine: Any, tx: Tx, number: int, time_sec: int) -> tuple[RawLog, ...] | None:
    """The events of a transaction, or None when it failed."""
    from pyrevm import BlockEnv

    machine.set_block_env(BlockEnv(number=number, timestamp=time_sec))
    machine.set_balance(tx.sender, RICH)
    try:
        machine.message_call(tx.sender, tx.to, calldata=tx.content, value=tx.value)
    except RuntimeError:
        return None
    return tuple(RawLog(log.address.lower(), tuple(log.topics), bytes(log.data[1])) for log in machine.result.logs)
