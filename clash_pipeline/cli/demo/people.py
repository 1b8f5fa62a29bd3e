"""The demo's people: wallets that use the API as a browser would, pay the vault, and take what is theirs from it."""

import secrets
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from clash_pipeline.cli.output import Exit, fail

if TYPE_CHECKING:
    import httpx

    from clash_pipeline.settings import Settings

KEY_BYTES = 32
TIMEOUT_SEC = 60.0
"""While Dagster starts beside it, an answer may take some seconds."""


@dataclass(frozen=True)
class Wallet:
    """A key of this run, thrown away with it."""

    name: str
    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)

    @cached_property
    def address(self) -> str:
        """Its address in lower case."""
        from clash_pipeline.identity.ethereum import eth_account

        return str(eth_account().Account.from_key(self.key).address).lower()

    def sign(self, text: str) -> str:
        """The signature of a sign-in message."""
        from clash_pipeline.identity.ethereum import eth_account

        library = eth_account()
        message = library.messages.encode_defunct(text=text)
        return "0x" + bytes(library.Account.sign_message(message, self.key).signature).hex()


@dataclass(frozen=True)
class Person:
    """A wallet that has signed in, and what it asks the API for."""

    wallet: Wallet
    user_id: int
    settings: "Settings"
    token: str = field(repr=False)

    @property
    def name(self) -> str:
        """What the demo calls them."""
        return self.wallet.name

    def get(self, path: str) -> Any:
        """What stands there."""
        return _asked(self.settings, "GET", path, token=self.token)

    def put(self, path: str, content: Any) -> Any:
        """Replace what stands there."""
        return _asked(self.settings, "PUT", path, content, token=self.token)

    def patch(self, path: str, content: Any) -> Any:
        """Change a part of it."""
        return _asked(self.settings, "PATCH", path, content, token=self.token)

    def post(self, path: str, content: Any = None) -> Any:
        """Ask for something new, once."""
        return _asked(self.settings, "POST", path, content, token=self.token)


def sign_in(settings: "Settings", name: str) -> Person:
    """A new wallet signs our message, as in a browser."""
    wallet = Wallet(name)
    asked = _asked(settings, "POST", "auth/challenge", {"address": wallet.address, "chainId": settings.chain_id})
    signed = {"message": asked["message"], "signature": wallet.sign(asked["message"])}
    session = _asked(settings, "POST", "auth/verify", signed)
    return Person(wallet, session["userId"], settings, session["accessToken"])


def create(person: Person, name: str, engine: str, graph: Any, description: str) -> tuple[int, int]:
    """A clone that is published and trades, and a face for an admin to approve; the ids of both."""
    clone_id = person.post("clones", {"name": name, "engine": engine, "graph": graph})["id"]
    person.post(f"clones/{clone_id}/versions")
    face = person.put(f"clones/{clone_id}/profile", {"name": name, "description": description})
    person.patch(f"clones/{clone_id}", {"isTrading": True})
    return clone_id, face["id"]


def buy_audition(person: Person, clone_id: int) -> Any:
    """Ask for the quote of an audition and pay it; the watcher finds the deposit by itself."""
    return pay(person, person.post(f"clones/{clone_id}/quotes", {"purpose": "audition"}))


def buy_tickets(person: Person, race_id: int, clone_id: int, count: int) -> Any:
    """The same for tickets of a race."""
    return pay(person, person.post(f"races/{race_id}/tickets", {"cloneId": clone_id, "count": count}))


def claim(person: Person, race_id: int | None) -> list[int]:
    """Ask for an authorisation of all that a race owes, and take it to the vault; the amounts in wei."""
    owed = [one for one in person.get("payables?limit=200")["items"] if one["raceId"] == race_id]
    for one in owed:
        _take(person, person.post(f"payables/{one['id']}/authorisation"))
    return [int(one["amountWei"]) for one in owed]


def pay(person: Person, purchase: Any) -> Any:
    """Deposit what a purchase asks for."""
    from clash_pipeline.economy.chain.contract import deposit

    asked = purchase["payment"]
    content = deposit(asked["resolver"], int(asked["nonce"]))
    _send(person, asked["contract"], int(asked["amountWei"]), content)
    return purchase


def _take(person: Person, allowed: Any) -> None:
    """Bring an authorisation to the vault, with nothing but what it says."""
    from clash_pipeline.clock import parse_time
    from clash_pipeline.economy.chain.contract import Withdrawal, withdraw

    amount, nonce, deadline = int(allowed["amountWei"]), int(allowed["nonce"]), parse_time(allowed["deadline"]) // 1_000
    fields = Withdrawal(allowed["recipient"].lower(), allowed["asset"].lower(), amount, nonce, deadline)
    content = withdraw(allowed["resolver"], fields, bytes.fromhex(allowed["signature"].removeprefix("0x")))
    _send(person, allowed["contract"], 0, content)


def _asked(settings: "Settings", method: str, path: str, content: Any = None, token: str = "") -> Any:
    """An answer of the API; a refusal ends the demo with what it says."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if method == "POST":
        headers["idempotency-key"] = secrets.token_hex(16)
    answer = _connections().request(method, f"{settings.api_url}api/v1/{path}", json=content, headers=headers)
    if answer.is_error:
        fail(f"the API refused {method} {path}: {answer.text}", Exit.UNAVAILABLE)
    return answer.json()


def _send(person: Person, to: str, value: int, content: bytes) -> None:
    """A transaction, sent to the first endpoint as a wallet does."""
    sent = {"from": person.wallet.address, "to": to, "value": hex(value), "data": "0x" + content.hex()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [sent]}
    answer = _connections().post(person.settings.chain_endpoints[0], json=body).raise_for_status().json()
    if "result" not in answer:
        fail(f"the chain refused what {person.name} sent: {answer.get('error')}", Exit.UNAVAILABLE)


@cache
def _connections() -> "httpx.Client":
    """One client for all of the demo's people: each new one would read every certificate again."""
    import httpx

    return httpx.Client(timeout=TIMEOUT_SEC)


def disconnect() -> None:
    """Close what they were connected to."""
    _connections().close()
    _connections.cache_clear()
