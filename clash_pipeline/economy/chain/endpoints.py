"""The endpoints that are believed: pinned, checked at the start and from time to time, left out while they are wrong.

What is pinned and what each of them must answer stands in the settings (09 §4.6). A wrong answer disables the endpoint
that gave it, never the check; with fewer than two left nothing is decided, and everything stays pending.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from clash_pipeline.economy import incidents
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.economy.chain.link import HttpLink
from clash_pipeline.economy.chain.rpc import Block, Endpoint, EndpointTrouble, EndpointWrong
from clash_pipeline.economy.chain.verification import FINAL, LEAST_ENDPOINTS, Finality, Heads, heads_of
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

T = TypeVar("T")
DISABLED = "endpoint_disabled"
TOO_FEW = "too_few_endpoints"
AFTER_DISABLING = point("chain.after_disabling")
_NAMES = "abcdefghij"


class TooFewEndpoints(Exception):
    """Fewer than two endpoints can be asked now; nothing is known, and nothing is decided."""


@dataclass(frozen=True)
class Chain:
    """The vault, those who tell of it, and when what they tell counts."""

    vault: Vault
    endpoints: tuple[Endpoint, ...]
    finality: Finality = FINAL
    first_block: int = 0
    recheck_ms: int = 300_000
    log_blocks: int = 2_000


@dataclass(frozen=True)
class Circle:
    """The endpoints that may be asked in one step, two or more, and the newest block that all of them call final."""

    seen: tuple[tuple[Endpoint, Heads], ...]
    head: Block

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that may be asked."""
        return tuple(endpoint for endpoint, _ in self.seen)


@contextmanager
def chain_from(settings: Settings) -> Iterator[Chain | None]:
    """The chain of the settings with its connections; None where none is set."""
    import httpx

    vault = vault_from(settings)
    if vault is None:
        yield None
        return
    with httpx.Client() as client:
        links = [
            HttpLink(name, url, client, timeout_sec=settings.chain_timeout_sec, max_bytes=settings.chain_max_bytes)
            for name, url in named(settings.chain_endpoints)
        ]
        yield Chain(
            vault,
            tuple(Endpoint(link) for link in links),
            finality_from(settings),
            settings.chain_first_block,
            settings.chain_recheck_sec * 1_000,
            settings.chain_log_blocks,
        )


def vault_from(settings: Settings) -> Vault | None:
    """The vault that is pinned; None where no chain is set."""
    if not settings.chain_endpoints:
        return None
    return Vault(
        settings.chain_id,
        settings.chain_contract,
        settings.chain_resolver,
        settings.chain_code_hash,
        settings.chain_native,
    )


def finality_from(settings: Settings) -> Finality:
    """The policy of the chain."""
    if settings.chain_finality == "finalized":
        return FINAL
    return Finality(settings.chain_depth, settings.chain_depth_most_wei)


def named(urls: Sequence[str]) -> list[tuple[str, str]]:
    """A short name for each address: its place and host, never its path, which may carry a key."""
    return [(f"{letter}:{urlsplit(url).hostname}", url) for letter, url in zip(_NAMES, urls, strict=False)]


def wrong_of(endpoint: Endpoint, vault: Vault) -> str | None:
    """What an endpoint answers otherwise than it is pinned; None where all is as it must be.

    Raises:
        EndpointTrouble: it does not answer.
    """
    if (found := endpoint.chain_id()) != vault.chain_id:
        return f"chain id {found}, pinned is {vault.chain_id}"
    code = endpoint.code(vault.address)
    if not code or "0x" + words.keccak(code).hex() != vault.code_hash:
        return "the contract has another code than pinned"
    head = endpoint.finalized()
    if endpoint.word(vault.address, words.native(), head.hash) != int(vault.native, 16):
        return "the contract names another native asset"
    bound = endpoint.word(vault.address, words.domain_separator(), head.hash)
    if bound.to_bytes(32) != words.separator(vault.chain_id, vault.address):
        return "the contract is bound to another domain"
    endpoint.word(vault.address, words.resolver_balance_of(vault.resolver, vault.native), head.hash)
    return None


def circle(clash: Database, chain: Chain, now_ms: int) -> Circle:
    """The endpoints to ask now, after the checks that are due.

    Raises:
        TooFewEndpoints: fewer than two, or they do not agree on what is final.
    """
    usable = [endpoint for endpoint in chain.endpoints if _is_usable(clash, chain, endpoint, now_ms)]
    seen: list[tuple[Endpoint, Heads]] = []
    for endpoint in usable:
        heads = asked(clash, endpoint, partial(_heads, endpoint, chain), now_ms)
        if heads is not None:
            seen.append((endpoint, heads))
    if len(seen) < LEAST_ENDPOINTS:
        raise TooFewEndpoints(f"{len(seen)} of {len(chain.endpoints)} endpoints answer, {LEAST_ENDPOINTS} are needed")
    return Circle(tuple(seen), min((heads.finalized for _, heads in seen), key=lambda block: block.number))


def asked(clash: Database, endpoint: Endpoint, ask: Callable[[], T], now_ms: int) -> T | None:
    """An answer, or None; an endpoint that said something wrong is disabled."""
    try:
        return ask()
    except EndpointWrong as error:
        disable(clash, endpoint.name, str(error), now_ms)
    except EndpointTrouble:
        pass
    return None


def disable(clash: Database, name: str, why: str, now_ms: int) -> None:
    """Ask an endpoint no more until it passes its checks, and say so."""
    with clash.write() as connection:
        connection.execute(
            "INSERT INTO chain_endpoints (name, checked_at, disabled_at, why) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET checked_at = excluded.checked_at, why = excluded.why, "
            "disabled_at = coalesce(chain_endpoints.disabled_at, excluded.disabled_at)",
            (name, now_ms, now_ms, why[:500]),
        )
        fault(AFTER_DISABLING)
        incidents.raise_incident(connection, DISABLED, name, why, now_ms=now_ms)


def disabled(connection: Connection) -> dict[str, str]:
    """The endpoints that are left out, and why."""
    rows = connection.execute("SELECT name, why FROM chain_endpoints WHERE disabled_at IS NOT NULL ORDER BY name")
    return {row["name"]: row["why"] for row in rows}


def _heads(endpoint: Endpoint, chain: Chain) -> Heads:
    """How far it sees; the chain is asked for its id each time, since it may change while we run."""
    if (found := endpoint.chain_id()) != chain.vault.chain_id:
        raise EndpointWrong(endpoint.name, f"chain id {found}, pinned is {chain.vault.chain_id}")
    return heads_of(endpoint, chain.finality)


def _is_usable(clash: Database, chain: Chain, endpoint: Endpoint, now_ms: int) -> bool:
    with clash.read() as connection:
        row = connection.execute(
            "SELECT checked_at, disabled_at FROM chain_endpoints WHERE name = ?", (endpoint.name,)
        ).fetchone()
    if row is not None and now_ms - row["checked_at"] < chain.recheck_ms:
        return row["disabled_at"] is None
    try:
        wrong = wrong_of(endpoint, chain.vault)
    except EndpointWrong as error:
        wrong = str(error)
    except EndpointTrouble:
        return False
    if wrong is not None:
        disable(clash, endpoint.name, wrong, now_ms)
        return False
    _enable(clash, endpoint.name, now_ms)
    return True


def _enable(clash: Database, name: str, now_ms: int) -> None:
    with clash.write() as connection:
        connection.execute(
            "INSERT INTO chain_endpoints (name, checked_at) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET checked_at = excluded.checked_at, disabled_at = NULL, why = NULL",
            (name, now_ms),
        )
        incidents.close(connection, DISABLED, name, actor="checks", now_ms=now_ms)
