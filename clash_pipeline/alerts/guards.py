"""The self-check before a start: one line a guard, in one list; a hard guard that fails refuses the start (09 G2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from clash_pipeline.clock import MINUTE_MS, iso
from clash_pipeline.decisions.engines.tiers import refusal, tiers
from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.economy.chain.endpoints import chain_from, wrong_of
from clash_pipeline.economy.chain.rpc import Endpoint, EndpointSilent, EndpointTrouble
from clash_pipeline.storage import migrations
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.parts import Clocked
from clash_pipeline.storage.space import MIB, free_bytes
from clash_pipeline.storage.sqlite import SQLITE_VERSION, SYNCHRONOUS, Database, one, refuse_old_sqlite

if TYPE_CHECKING:
    from clash_pipeline.archive.stores import ArtifactStore

PROBE = b"clash of clones: written and read back by the self-check\n"
PROBE_KEY = "probe/self-check"
FAR_BEHIND_MS = 2 * MINUTE_MS
"""Rows are allowed to be this much newer than the clock: replayed venues and leap seconds, never an hour."""


@dataclass(frozen=True)
class Guard:
    """What one guard saw; a hard one that is not ok refuses the start."""

    name: str
    is_ok: bool
    is_hard: bool
    said: str

    @property
    def line(self) -> str:
        """For a person."""
        mark = "ok  " if self.is_ok else "FAIL" if self.is_hard else "warn"
        return f"{mark} {self.name:<10} {self.said}"


class GuardedParts(Clocked, Protocol):
    """What the guards look at."""

    @property
    def store(self) -> "ArtifactStore":
        """Where artifacts go."""
        ...


def check(parts: GuardedParts) -> list[Guard]:
    """Ask every guard, in order."""
    return [guard for look in GUARDS for guard in look(parts)]


def sqlite_version(parts: GuardedParts) -> Iterator[Guard]:
    """The library is one without the WAL-reset race."""
    try:
        refuse_old_sqlite()
        yield Guard("sqlite", True, True, SQLITE_VERSION)
    except StorageError as error:
        yield Guard("sqlite", False, True, str(error))


def databases(parts: GuardedParts) -> Iterator[Guard]:
    """Both files open, are ours, at the current schema, and keep their pragmas."""
    for name in ("clash", "market"):
        try:
            database: Database = getattr(parts, name)
            with database.read() as connection:
                journal, synchronous = one(connection, "PRAGMA journal_mode"), one(connection, "PRAGMA synchronous")
            kept = "FULL" if synchronous == SYNCHRONOUS["FULL"] else "NORMAL"
            said = f"schema {migrations.version(database)}, journal {journal}, synchronous {kept}"
            yield Guard(f"{name}.db", True, True, said)
        except StorageError as error:
            yield Guard(f"{name}.db", False, True, str(error))


def disk(parts: GuardedParts) -> Iterator[Guard]:
    """There is room above the floor of the market memory."""
    settings = parts.settings
    if not settings.home.is_dir():
        yield Guard("disk", False, True, f"there is no {settings.home}; run `clash migrate`")
        return
    free, floor = free_bytes(settings.home) // MIB, settings.disk_floor_mib
    said = f"{free:,} MiB free at {settings.home}, floor {floor} MiB"
    yield Guard("disk", free >= floor, False, said)


def clock(parts: GuardedParts) -> Iterator[Guard]:
    """The clock is not behind what was written already: a clock set back would do things twice."""
    now_ms = parts.clock.now_ms()
    try:
        newest = _newest(parts)
    except StorageError as error:
        yield Guard("clock", False, True, str(error))
        return
    is_ok = newest is None or newest <= now_ms + FAR_BEHIND_MS
    behind = "" if newest is None else f", newest row {iso(newest)}"
    yield Guard("clock", is_ok, True, f"{iso(now_ms)}{behind}")


def store(parts: GuardedParts) -> Iterator[Guard]:
    """The artifact store takes an object and gives it back; one that is down only delays."""
    from clash_pipeline.archive.stores import StoreError

    try:
        parts.store.put(PROBE_KEY, PROBE, if_absent=False)
        is_ok = parts.store.get(PROBE_KEY) == PROBE
        yield Guard("store", is_ok, False, f"{parts.store.name}: {'written and read back' if is_ok else 'altered'}")
    except StoreError as error:
        yield Guard("store", False, False, f"{parts.store.name}: {error}")


def budgets(parts: GuardedParts) -> Iterator[Guard]:
    """Which models may decide, and what everybody together may spend on them in a day."""
    settings = parts.settings
    found = tiers(settings)
    if not found or settings.model_key is None:
        needed = settings.engine == "model"
        reason = refusal(settings, 1) or "no tier has a model"
        yield Guard("models", not needed, needed, f"none: {reason}; clones set to a model fail their runs")
        return
    named = ", ".join(f"{tier.number} {tier.model}" for tier in found.values())
    yield Guard("models", True, False, f"{named}; at most {settings.model_system_usd_day} USD a day in all")


def chain(parts: GuardedParts) -> Iterator[Guard]:
    """Every endpoint is on the pinned chain and sees the pinned contract; one that is silent only delays."""
    with chain_from(parts.settings) as found:
        if found is None:
            yield Guard("chain", True, False, "none; CLASH_CHAIN_URLS names nobody, nothing can be bought")
            return
        for endpoint in found.endpoints:
            yield _endpoint(endpoint, found.vault)


def alert_channels(parts: GuardedParts) -> Iterator[Guard]:
    """Somebody hears of alerts, and every channel is one that exists."""
    from clash_pipeline.alerts.telling import Channels

    urls = parts.settings.alert_channels
    if not urls:
        yield Guard("alerts", True, False, "written to the log; CLASH_ALERT_URLS names nobody")
        return
    refused = Channels(urls).refused
    said = f"URL {refused[0]} of CLASH_ALERT_URLS is unknown" if refused else f"{len(urls)} channels"
    yield Guard("alerts", not refused, True, said)


def _endpoint(endpoint: Endpoint, vault: Vault) -> Guard:
    try:
        wrong = wrong_of(endpoint, vault)
    except EndpointSilent as error:
        return Guard("chain", False, False, str(error))
    except EndpointTrouble as error:
        return Guard("chain", False, True, str(error))
    said = wrong or f"chain id {vault.chain_id}, code of {vault.address} as pinned, resolver answers"
    return Guard("chain", wrong is None, True, f"{endpoint.name}: {said}")


def _newest(parts: GuardedParts) -> int | None:
    with parts.clash.read() as connection:
        known: list[int | None] = [
            one(connection, "SELECT max(known_at) FROM prop_ledger_groups"),
            one(connection, "SELECT max(created_at) FROM decision_runs"),
        ]
    return max((at for at in known if at is not None), default=None)


GUARDS: tuple[Callable[[GuardedParts], Iterator[Guard]], ...] = (
    sqlite_version,
    databases,
    disk,
    clock,
    store,
    budgets,
    chain,
    alert_channels,
)
