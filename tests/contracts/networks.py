"""One chain for a test, whoever runs it: the model, a real machine in this process, or a real node beside it.

What a test does goes over JSON-RPC, as the product's own calls do, so that the three are held to the same answers.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import Vault, Withdrawal
from clash_pipeline.economy.chain.link import HttpLink
from clash_pipeline.economy.chain.rpc import Endpoint, Receipt
from clash_pipeline.replay.chain import CHAIN_ID, Chain, Machine
from clash_pipeline.replay.chain_server import hosted_chain
from clash_pipeline.replay.chain_vault import ModelVault
from clash_pipeline.replay.chain_vault import vault as model_vault
from clash_pipeline.replay.chain_views import ChainView
from tests.contracts import anvil, evm

START_SEC = 1_753_100_000
FUNDED = "0x" + "f0" * 20


@dataclass
class Network:
    """Two addresses of one chain, and what its people do."""

    urls: tuple[str, str]
    vault: Vault
    client: httpx.Client

    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        """What the product asks."""
        first, second = (
            Endpoint(HttpLink(name, url, self.client, timeout_sec=10, max_bytes=4_194_304))
            for name, url in zip("ab", self.urls, strict=True)
        )
        return first, second

    def ask(self, method: str, *parameters: Any) -> Any:
        """A method that only development chains have."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        answer = self.client.post(self.urls[0], content=body, headers={"Content-Type": "application/json"}).json()
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, sender: str, content: bytes, value: int = 0) -> Receipt:
        """A call of the vault that is mined and final."""
        name = self._sent(sender, content, value)
        self.mine(4)
        return self._receipt(name)

    def send_all(self, contents: Iterable[bytes]) -> list[Receipt]:
        """Calls of the vault, mined in their order, fifty to a block, and final."""
        names = []
        for content in contents:
            names.append(self._sent(FUNDED, content))
            if len(names) % 50 == 0:
                self.mine(1)
        self.mine(4)
        return [self._receipt(name) for name in names]

    def _sent(self, sender: str, content: bytes, value: int = 0) -> str:
        asked = {"from": sender, "to": self.vault.address, "data": "0x" + content.hex(), "value": hex(value)}
        return str(self.ask("eth_sendTransaction", {**asked, "gas": hex(500_000)}))

    def _receipt(self, name: str) -> Receipt:
        receipt = self.endpoints()[0].receipt(name)
        assert receipt is not None
        return receipt

    def deposit(self, sender: str, nonce: int, amount_wei: int) -> Receipt:
        return self.send(sender, words.deposit(self.vault.resolver, nonce), amount_wei)

    def withdraw(self, allowed: Withdrawal, signature: bytes, resolver: str | None = None) -> Receipt:
        return self.send(FUNDED, words.withdraw(resolver or self.vault.resolver, allowed, signature))

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.ask("evm_mine")


@contextmanager
def of_machine(machine: Machine, vault: Vault) -> Iterator[Network]:
    """A chain of ours under this machine."""
    chain = Chain(machine)
    views = {name: ChainView(chain, name) for name in "ab"}
    with hosted_chain(views) as url, httpx.Client() as client:
        yield Network((f"{url}/a", f"{url}/b"), vault, client)


@contextmanager
def of_anvil(resolver: str) -> Iterator[Network]:
    """A real node, with the vault deployed."""
    with anvil.running(timestamp=START_SEC) as url, httpx.Client() as client:
        empty = Vault(CHAIN_ID, "0x" + "00" * 20, resolver, "")
        network = Network((url, url.replace("127.0.0.1", "localhost")), empty, client)
        for person in (FUNDED, *(PEOPLE)):
            network.ask("anvil_setBalance", person, hex(10**24))
        made = {"from": FUNDED, "data": evm.artifact()["bytecode"], "gas": hex(3_000_000)}
        name = network.ask("eth_sendTransaction", made)
        network.mine(1)
        address = network.ask("eth_getTransactionReceipt", name)["contractAddress"].lower()
        code = network.endpoints()[0].code(address)
        network.mine(4)
        network.vault = Vault(CHAIN_ID, address, resolver, "0x" + words.keccak(code).hex())
        yield network


PEOPLE = tuple("0x" + f"{number:02x}" * 20 for number in range(0x21, 0x25))
"""Addresses that have enough to pay with."""


@contextmanager
def network_of(kind: str, resolver: str) -> Iterator[Network]:
    """The chain of a name: model, revm or anvil."""
    if kind == "anvil":
        with of_anvil(resolver) as network:
            yield network
        return
    machine: Machine = ModelVault() if kind == "model" else evm.Revm()
    pinned = model_vault(resolver=resolver) if isinstance(machine, ModelVault) else machine.vault(resolver)  # type: ignore[attr-defined]
    with of_machine(machine, pinned) as network:
        yield network
