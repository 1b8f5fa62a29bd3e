"""The vault's words: what it is asked, what it answers, the events it emits, and what it lets pass (EIP-712).

Only words of exactly the expected count and length are read; anything else is refused, never repaired.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from clash_pipeline.economy.chain.rpc import Log
from clash_pipeline.economy.chain.wire import WORD_LIMIT

NAME = "SignedVault"
VERSION = "1"
NATIVE = "0x" + "ee" * 20
"""Stands for the chain's own coin."""
WORD = 32
DEPOSIT_TEXT = "Deposit(address,address,address,uint256,uint256)"
WITHDRAWAL_TEXT = "Withdrawal(address,address,address,uint256,uint256)"
WITHDRAWAL_FIELDS = (
    ("recipient", "address"), ("asset", "address"), ("amount", "uint256"), ("nonce", "uint256"), ("deadline", "uint256")
)  # fmt: skip
_EVENT_TOPICS = 4
_EVENT_WORDS = 2


class ContractInvalid(ValueError):
    """Words that are none of the vault's; names what was expected."""


@dataclass(frozen=True)
class Vault:
    """The one contract that counts, and our side of it. Addresses in lower case, `code_hash` is its keccak-256."""

    chain_id: int
    address: str
    resolver: str
    code_hash: str
    native: str = NATIVE


@dataclass(frozen=True)
class Event:
    """A deposit (`party` paid) or a withdrawal (`party` was paid) as the contract told it."""

    party: str
    asset: str
    resolver: str
    nonce: int
    amount_wei: int


@dataclass(frozen=True)
class Withdrawal:
    """What a resolver allows: the fields of the signed message, `deadline` in seconds."""

    recipient: str
    asset: str
    amount_wei: int
    nonce: int
    deadline: int


def keccak(content: bytes) -> bytes:
    """Ethereum's hash."""
    from eth_hash.auto import keccak as hashed

    return bytes(hashed(content))


@cache
def topic(text: str) -> str:
    """The first topic of an event's signature."""
    return "0x" + keccak(text.encode("ascii")).hex()


@cache
def selector(text: str) -> bytes:
    """The first four bytes of a call."""
    return keccak(text.encode("ascii"))[:4]


def address_topic(address: str) -> str:
    """An indexed address."""
    return "0x" + "0" * 24 + address[2:]


def is_event(log: Log, text: str, contract: str) -> bool:
    """Whether a log is this event of this contract, whatever it says."""
    return log.address == contract and bool(log.topics) and log.topics[0] == topic(text)


def event(log: Log) -> Event:
    """The fields of a deposit's or a withdrawal's log.

    Raises:
        ContractInvalid: another count of topics, another length of data, or an address with bytes before it.
    """
    if len(log.topics) != _EVENT_TOPICS or len(log.data) != _EVENT_WORDS * WORD:
        raise ContractInvalid(f"an event has {_EVENT_TOPICS} topics and {_EVENT_WORDS} words")
    party, asset, resolver = (_address(bytes.fromhex(each[2:])) for each in log.topics[1:])
    nonce, amount = (int.from_bytes(log.data[start : start + WORD]) for start in (0, WORD))
    return Event(party, asset, resolver, nonce, amount)


def get_deposit(depositor: str, asset: str, resolver: str, nonce: int) -> bytes:
    """Asks how much this depositor paid under a nonce; zero for nothing."""
    return _call("getDeposit(address,address,address,uint256)", depositor, asset, resolver, nonce)


def resolver_balance_of(resolver: str, asset: str) -> bytes:
    """Asks how much the contract holds for a resolver."""
    return _call("resolverBalanceOf(address,address)", resolver, asset)


def is_spent(resolver: str, nonce: int) -> bytes:
    """Asks whether an authorisation's nonce was used."""
    return _call("isSpent(address,uint256)", resolver, nonce)


def domain_separator() -> bytes:
    """Asks what signatures are bound to."""
    return selector("DOMAIN_SEPARATOR()")


def native() -> bytes:
    """Asks which address stands for the chain's own coin."""
    return selector("NATIVE()")


def deposit(resolver: str, nonce: int) -> bytes:
    """Pays: sent with the amount as value."""
    return _call("deposit(address,uint256)", resolver, nonce)


def withdraw(resolver: str, allowed: Withdrawal, signature: bytes) -> bytes:
    """Takes what a resolver allowed."""
    from eth_abi.abi import encode

    types = ["address", "address", "address", "uint256", "uint256", "uint256", "bytes"]
    values = [resolver, allowed.recipient, allowed.asset, allowed.amount_wei, allowed.nonce, allowed.deadline]
    return selector(f"withdraw({','.join(types)})") + bytes(encode(types, [*values, signature]))


def withdrawn(content: bytes) -> tuple[str, Withdrawal, bytes]:
    """Resolver, fields and signature of a call that `withdraw` made.

    Raises:
        ContractInvalid: another call.
    """
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    types = ["address", "address", "address", "uint256", "uint256", "uint256", "bytes"]
    if content[:4] != selector(f"withdraw({','.join(types)})"):
        raise ContractInvalid("the call is no withdrawal")
    try:
        resolver, recipient, asset, amount, nonce, deadline, signature = decode(types, content[4:])
    except DecodingError:
        raise ContractInvalid("the call's words are not those of a withdrawal") from None
    return resolver.lower(), Withdrawal(recipient.lower(), asset.lower(), amount, nonce, deadline), bytes(signature)


def typed_data(vault: Vault, allowed: Withdrawal) -> dict[str, Any]:
    """The message of EIP-712, as wallets and signers take it."""
    return {
        "domain": {
            "name": NAME, "version": VERSION, "chainId": vault.chain_id, "verifyingContract": vault.address,
        },
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"},
            ],
            "Withdrawal": [{"name": name, "type": kind} for name, kind in WITHDRAWAL_FIELDS],
        },
        "primaryType": "Withdrawal",
        "message": {
            "recipient": allowed.recipient, "asset": allowed.asset, "amount": allowed.amount_wei,
            "nonce": allowed.nonce, "deadline": allowed.deadline,
        },
    }  # fmt: skip


def typed_text(vault: Vault, allowed: Withdrawal) -> dict[str, Any]:
    """The same for a signer behind JSON: amounts as text, for not every reader has integers of 256 bits."""
    written = typed_data(vault, allowed)
    message = {name: str(value) if isinstance(value, int) else value for name, value in written["message"].items()}
    return {**written, "message": message}


def separator(chain_id: int, address: str) -> bytes:
    """What signatures for this contract on this chain are bound to."""
    domain = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    name, version = keccak(NAME.encode()), keccak(VERSION.encode())
    return keccak(domain + name + version + _word(chain_id) + _word(int(address, 16)))


def digest(vault: Vault, allowed: Withdrawal) -> bytes:
    """The 32 bytes that are signed."""
    kind = keccak(f"Withdrawal({','.join(f'{type_} {name}' for name, type_ in WITHDRAWAL_FIELDS)})".encode())
    fields = (int(allowed.recipient, 16), int(allowed.asset, 16), allowed.amount_wei, allowed.nonce, allowed.deadline)
    message = keccak(kind + b"".join(_word(field) for field in fields))
    return keccak(b"\x19\x01" + separator(vault.chain_id, vault.address) + message)


def _call(text: str, *arguments: str | int) -> bytes:
    return selector(text) + b"".join(_word(each if isinstance(each, int) else int(each, 16)) for each in arguments)


def _word(number: int) -> bytes:
    if not 0 <= number < WORD_LIMIT:
        raise ContractInvalid("a number is beyond one word")
    return number.to_bytes(WORD)


def _address(content: bytes) -> str:
    if any(content[:12]):
        raise ContractInvalid("an indexed address has 12 zero bytes before it")
    return "0x" + content[12:].hex()
