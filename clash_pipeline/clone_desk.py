"""The use-cases of a clone that need several rooms at once, for every door alike: command, API, demo.

Each is one transaction in `clash.db`; what it reads elsewhere or stores as an object comes before.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clash_pipeline.clones import clones, drafts, images, public_profiles
from clash_pipeline.clones.clones import OPERATOR, EngineName
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.images import StoredImage
from clash_pipeline.clones.public_profiles import Profile
from clash_pipeline.clones.refusals import CloneError
from clash_pipeline.clones.versions import Version
from clash_pipeline.faults import fault, point
from clash_pipeline.market import listing
from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import accounts, policy
from clash_pipeline.storage.parts import Dated
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import USD

if TYPE_CHECKING:
    from clash_pipeline.archive.stores import ArtifactStore

AFTER_DRAFT = point("clone_desk.create.after_draft")
AFTER_VERSION = point("clone_desk.create.after_version")
AFTER_ACCOUNT = point("clone_desk.create.after_account")


class RegistryEmpty(CloneError):
    """Nothing is listed yet, so that no symbol can be checked."""

    code = "registry_empty"


class Storing(Dated, Protocol):
    """The parts with the artifact store."""

    @property
    def store(self) -> "ArtifactStore":
        """Where images go."""
        ...


@dataclass(frozen=True)
class Created:
    """A clone that trades: its version and its sandbox account."""

    clone_id: int
    name: str
    engine: str
    version: int
    compiled_hash: str
    symbols: tuple[str, ...]
    account_id: int


def create(
    parts: Dated, name: str, content: Any, *, engine: EngineName | None = None, owner: str = OPERATOR
) -> Created:
    """Create a clone with its first version and its sandbox account, and let it trade: all of it or nothing.

    The engine is the setting's without one.

    Raises:
        GraphInvalid: with every problem of the graph.
        CloneError: the name cannot be or is taken, or the registry is empty.
    """
    listed, now_ms = registry(parts), parts.clock.now_ms()
    graph = drafts.parse_first(content, listed)
    chosen = engine or parts.settings.engine
    with parts.clash.write() as connection:
        clone_id = clones.insert(connection, name, engine=chosen, now_ms=now_ms, owner=owner)
        drafts.store(connection, clone_id, graph, listed, now_ms=now_ms)
        fault(AFTER_DRAFT)
        version = clones.publish_draft(connection, clone_id, listed, now_ms=now_ms, actor=owner)
        fault(AFTER_VERSION)
        account_id = _open(connection, parts, clone_id, owner, now_ms)
        fault(AFTER_ACCOUNT)
        clones.turn_trading(connection, clone_id, True, now_ms=now_ms)
        stored = clones.get(connection, clone_id)
    return Created(
        clone_id, stored.name, chosen, version.number, version.compiled_hash, version.compiled.symbols, account_id
    )


def save_draft(parts: Dated, clone_id: int, content: Any, *, if_digest: str | None = None) -> Graph:
    """Store a draft, checked against the registry of now.

    Raises:
        GraphInvalid: with every problem; the draft is as it was before.
        CloneError: no such clone, the draft was saved by somebody else since, or the registry is empty.
    """
    return clones.save_draft(
        parts.clash, clone_id, content, registry(parts), now_ms=parts.clock.now_ms(), if_digest=if_digest
    )


def publish(parts: Dated, clone_id: int, *, actor: str = OPERATOR) -> Version:
    """Make the draft the active version, checked against the registry of now.

    Raises:
        GraphInvalid: the draft is incomplete or invalid.
        CloneError: no such clone, no draft, beyond its entitlement, held, or the registry is empty.
    """
    return clones.publish(parts.clash, clone_id, registry(parts), now_ms=parts.clock.now_ms(), actor=actor)


def open_sandbox(parts: Dated, clone_id: int) -> int:
    """The clone's running sandbox account, opened when there is none; returns its id.

    Raises:
        CloneUnknown: no such clone.
    """
    with parts.clash.read() as connection:
        clones.get(connection, clone_id)
    return accounts.open_sandbox(
        parts.clash,
        clone_id,
        policy.sandbox(parts.settings),
        start_balance_usd=parts.settings.start_balance_usd,
        now_ms=parts.clock.now_ms(),
    )


def upload_image(parts: Storing, upload: bytes) -> StoredImage:
    """Check a profile image and store it as new pixels.

    Raises:
        ImageInvalid: not a 512 × 512 PNG or JPEG of at most 1 MB.
        StoreError: the store did not take it.
    """
    return images.put(parts.store, images.checked(upload))


def submit_profile(
    parts: Dated,
    clone_id: int,
    name: str,
    *,
    description: str = "",
    image: StoredImage | None = None,
    actor: str = OPERATOR,
) -> Profile:
    """Put a public profile into the moderation queue.

    Raises:
        ProfileInvalid: name or description cannot be.
        NameTaken: another clone has the name, or one that is taken for it.
        CloneUnknown: no such clone.
    """
    with parts.clash.write() as connection:
        return public_profiles.submit(
            connection,
            clone_id,
            name,
            description=description,
            image=image,
            actor=actor,
            now_ms=parts.clock.now_ms(),
        )


def registry(parts: Dated) -> Listing:
    """The assets that are listed now.

    Raises:
        RegistryEmpty: none yet.
    """
    with parts.market.read() as connection:
        listed = listing.read(connection)
    if not listed:
        raise RegistryEmpty("the registry is empty: run `clash ingest` first, so that symbols can be checked")
    return listed


def _open(connection: Connection, parts: Dated, clone_id: int, owner: str, now_ms: int) -> int:
    return accounts.open_account(
        connection,
        clone_id,
        "sandbox",
        policy.sandbox(parts.settings),
        start_balance=parts.settings.start_balance_usd * USD,
        now_ms=now_ms,
        actor=owner,
    )
