"""The demo's people: wallets that sign in, pay the vault on the stand-in chain, and take what is theirs."""

import secrets
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from clash_pipeline.clones.clones import EngineName
    from clash_pipeline.economy.payouts import Authorisation
    from clash_pipeline.economy.purchases import Purchase, Purpose
    from clash_pipeline.services import Services

KEY_BYTES = 32


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
    """A wallet that has signed in."""

    wallet: Wallet
    user_id: int

    @property
    def name(self) -> str:
        """What the demo calls them."""
        return self.wallet.name

    @property
    def owner(self) -> str:
        """How their clones name them."""
        return f"user:{self.user_id}"


def sign_in(services: "Services", name: str) -> Person:
    """A new wallet signs our message, as in a browser."""
    from clash_pipeline.identity import challenges, sessions
    from clash_pipeline.identity.siwe import Site

    wallet, settings, now_ms = Wallet(name), services.settings, services.wall.now_ms()
    site = Site(settings.api_domain, str(settings.api_url), settings.sign_in_statement)
    asked = challenges.issue(
        services.clash, site, wallet.address, settings.chain_id, now_ms=now_ms, source=secrets.SystemRandom()
    )
    keys = sessions.Keys.of(secrets.token_bytes(KEY_BYTES))
    session, _ = sessions.sign_in(
        services.clash, keys, asked.message, wallet.sign(asked.message), session_id=secrets.token_hex(16), now_ms=now_ms
    )
    return Person(wallet, session.user_id)


def create(services: "Services", owner: str, name: str, engine: "EngineName", content: Any, description: str) -> int:
    """A clone: published, with a face that an admin approved, and trading; its id."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import clones

    now_ms = services.clock.now_ms()
    clone_id = clones.create(services.clash, name, engine=engine, owner=owner, now_ms=now_ms)
    clone_desk.save_draft(services, clone_id, content)
    clone_desk.publish(services, clone_id, actor=owner)
    show(services, clone_id, name, description, owner)
    clones.set_trading(services.clash, clone_id, True, now_ms=now_ms)
    return clone_id


def show(services: "Services", clone_id: int, name: str, description: str, actor: str) -> None:
    """Submit the public face of a clone, and let an admin approve it."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import moderation
    from clash_pipeline.clones.clones import OPERATOR

    made = clone_desk.submit_profile(services, clone_id, name, description=description, actor=actor)
    with services.clash.write() as connection:
        moderation.approve(connection, made.id, actor=OPERATOR, now_ms=services.clock.now_ms())


def buy(
    services: "Services", person: Person, purpose: "Purpose", clone_id: int, race_id: int | None = None, count: int = 1
) -> "Purchase":
    """Ask for a quote and pay it from the wallet; the watcher finds the deposit by itself."""
    from clash_pipeline.economy import prices, quotes
    from clash_pipeline.economy.chain.endpoints import vault_from
    from clash_pipeline.economy.quotes import NONCE_LIMIT, PaymentTerms, Wanted

    vault = vault_from(services.settings)
    assert vault is not None, "the demo has a chain"
    terms = PaymentTerms(vault.chain_id, vault.address, vault.resolver, vault.native)
    wanted = Wanted(person.user_id, purpose, clone_id, race_id=race_id, count=count if purpose == "ticket" else None)
    with services.clash.write() as connection:
        quoted = quotes.quote(
            connection, wanted, prices.of(services.settings), terms,
            draw=lambda: 1 + secrets.randbelow(NONCE_LIMIT - 1), now_ms=services.clock.now_ms(),
        )  # fmt: skip
    pay(services, person.wallet.address, quoted)
    return quoted


def pay(services: "Services", sender: str, quoted: "Purchase") -> str:
    """Deposit what a quote asks for; the hash of the transaction."""
    from clash_pipeline.economy.chain.contract import deposit

    return _send(services, sender, quoted.contract, quoted.amount_wei, deposit(quoted.resolver, quoted.nonce))


def take(services: "Services", sender: str, allowed: "Authorisation") -> str:
    """Bring an authorisation to the vault; the hash of the transaction."""
    from clash_pipeline.economy.chain.contract import withdraw

    vault = allowed.vault
    content = withdraw(vault.resolver, allowed.allowed, bytes.fromhex(allowed.signature.removeprefix("0x")))
    return _send(services, sender, vault.address, 0, content)


def _send(services: "Services", sender: str, to: str, value: int, content: bytes) -> str:
    """A transaction, sent to the first endpoint as a wallet does."""
    sent = {"from": sender, "to": to, "value": hex(value), "data": "0x" + content.hex()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [sent]}
    answer = _connections().post(services.settings.chain_endpoints[0], json=body)
    return str(answer.raise_for_status().json()["result"])


@cache
def _connections() -> "httpx.Client":
    """One client for all of the demo's people: each new one would read every certificate again."""
    import httpx

    return httpx.Client()
