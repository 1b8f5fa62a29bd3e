"""The vault of the stand-in chain: our contract (tests/contracts) as a model, without a virtual machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, ContractInvalid, Vault, Withdrawal
from clash_pipeline.economy.chain.signatures import recovered
from clash_pipeline.identity.siwe import SignatureInvalid
from clash_pipeline.replay.chain import CHAIN_ID, Done, RawLog, Tx

CONTRACT = "0x" + "c1a5" * 10
RESOLVER = "0x" + "5e77" * 10
CODE = b"a vault that no machine runs"

DepositKey = tuple[str, str, str, int]


def vault(chain_id: int = CHAIN_ID, resolver: str = RESOLVER) -> Vault:
    """What a client pins of this stand-in."""
    return Vault(chain_id, CONTRACT, resolver, "0x" + words.keccak(CODE).hex())


@dataclass(frozen=True)
class State:
    """What the vault remembers after a block."""

    deposits: Mapping[DepositKey, int] = field(default_factory=dict)
    balances: Mapping[str, int] = field(default_factory=dict)
    spent: frozenset[tuple[str, int]] = frozenset()
    paid: Mapping[str, int] = field(default_factory=dict)


class Reverted(Exception):
    """The contract refuses; nothing but a failed receipt remains."""


class ModelVault:
    """The machine of a chain on which nothing but the vault lives."""

    contract = CONTRACT

    def start(self) -> State:
        """Nothing was paid."""
        return State()

    def execute(
        self, state: State, txs: Iterable[Tx], chain_id: int, number: int, time_sec: int
    ) -> tuple[list[Done], State]:
        """A block's transactions; whatever is refused fails and changes nothing."""
        done: list[Done] = []
        logs_before = 0
        for tx in txs:
            try:
                if tx.is_doomed:
                    raise Reverted("doomed")
                state, emitted = _call(state, tx, chain_id, time_sec)
                each = Done(tx, True, (*emitted, *tx.forged), logs_before)
            except Reverted:
                each = Done(tx, False, (), logs_before)
            done.append(each)
            logs_before += len(each.logs)
        return done, state

    def read(self, state: State, chain_id: int, to: str, content: bytes) -> bytes | None:
        """What the vault's views answer in a state; another address answers nothing."""
        if to != CONTRACT:
            return b""
        name, rest = content[:4], content[4:]
        addresses = ["0x" + rest[start + 12 : start + 32].hex() for start in range(0, len(rest), 32)]
        number = int.from_bytes(rest[-32:])
        if name == words.domain_separator():
            return words.separator(chain_id, CONTRACT)
        if name == words.native():
            return bytes.fromhex(NATIVE[2:]).rjust(32, b"\0")
        if name == words.get_deposit(NATIVE, NATIVE, NATIVE, 0)[:4]:
            return state.deposits.get((addresses[0], addresses[1], addresses[2], number), 0).to_bytes(32)
        if name == words.resolver_balance_of(NATIVE, NATIVE)[:4]:
            return (state.balances.get(addresses[0], 0) if addresses[1] == NATIVE else 0).to_bytes(32)
        if name == words.is_spent(NATIVE, 0)[:4]:
            return int((addresses[0], number) in state.spent).to_bytes(32)
        return None

    def code(self, address: str) -> bytes:
        """Some bytes for the vault, none for anybody else."""
        return CODE if address == CONTRACT else b""


def deposit_log(
    sender: str, nonce: int, amount_wei: int, *, resolver: str = RESOLVER, asset: str = NATIVE, address: str = CONTRACT
) -> RawLog:
    """A deposit's event."""
    return _event(words.DEPOSIT_TEXT, address, sender, asset, resolver, nonce, amount_wei)


# what it does


def _call(state: State, tx: Tx, chain_id: int, time_sec: int) -> tuple[State, tuple[RawLog, ...]]:
    if tx.to != CONTRACT or not tx.content:
        return state, ()
    if tx.content[:4] == words.selector("deposit(address,uint256)") and len(tx.content) == 68:
        return _deposit(state, tx)
    try:
        resolver, allowed, signature = words.withdrawn(tx.content)
    except ContractInvalid:
        raise Reverted("no such call") from None
    return _withdraw(state, resolver, allowed, signature, chain_id, time_sec)


def _deposit(state: State, tx: Tx) -> tuple[State, tuple[RawLog, ...]]:
    resolver, nonce = "0x" + tx.content[16:36].hex(), int.from_bytes(tx.content[36:])
    key = (tx.sender, NATIVE, resolver, nonce)
    if tx.value <= 0 or key in state.deposits:
        raise Reverted("nothing paid, or the nonce is used")
    made = replace(
        state,
        deposits={**state.deposits, key: tx.value},
        balances={**state.balances, resolver: state.balances.get(resolver, 0) + tx.value},
    )
    return made, (deposit_log(tx.sender, nonce, tx.value, resolver=resolver),)


def _withdraw(
    state: State, resolver: str, allowed: Withdrawal, signature: bytes, chain_id: int, time_sec: int
) -> tuple[State, tuple[RawLog, ...]]:
    held, once = state.balances.get(resolver, 0), (resolver, allowed.nonce)
    if allowed.asset != NATIVE or time_sec > allowed.deadline or once in state.spent or held < allowed.amount_wei:
        raise Reverted("asset, deadline, nonce or balance")
    try:
        signer = recovered(words.digest(vault(chain_id, resolver), allowed), signature)
    except SignatureInvalid:
        raise Reverted("signature") from None
    if signer != resolver:
        raise Reverted("not signed by the resolver")
    made = replace(
        state,
        balances={**state.balances, resolver: held - allowed.amount_wei},
        spent=state.spent | {once},
        paid={**state.paid, allowed.recipient: state.paid.get(allowed.recipient, 0) + allowed.amount_wei},
    )
    log = _event(
        words.WITHDRAWAL_TEXT, CONTRACT, allowed.recipient, NATIVE, resolver, allowed.nonce, allowed.amount_wei
    )
    return made, (log,)


def _event(text: str, address: str, party: str, asset: str, resolver: str, nonce: int, amount_wei: int) -> RawLog:
    topics = (words.topic(text), *(words.address_topic(each) for each in (party, asset, resolver)))
    return RawLog(address, topics, nonce.to_bytes(32) + amount_wei.to_bytes(32))
