"""Capacity and model tiers, the grants of a clone, and what it may use: the maximum of the live ones (02)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from clash_pipeline.clones.refusals import CloneConflict, CloneError, CloneUnknown
from clash_pipeline.storage.sqlite import Connection, Row, one

if TYPE_CHECKING:
    from clash_pipeline.clones.compiler import Compiled

CapacityName = Literal["starter", "builder", "pro"]
Source = Literal["purchase", "debug", "operator"]


class Capacity(NamedTuple):
    """The limits of one capacity tier."""

    name: str
    assets: int
    prompts: int
    links_per_asset: int
    links: int


CAPACITIES: dict[str, Capacity] = {
    "starter": Capacity("starter", assets=3, prompts=1, links_per_asset=3, links=9),
    "builder": Capacity("builder", assets=6, prompts=3, links_per_asset=5, links=30),
    "pro": Capacity("pro", assets=10, prompts=5, links_per_asset=8, links=80),
}
CAPACITY_ORDER = tuple(CAPACITIES)
MODEL_TIERS = (1, 2, 3)
"""1 is the cheapest, 3 the strongest."""
CANDIDATE_CAP = 10
"""More candidates in one branch need an operator's grant."""
MOST_CANDIDATES = 25
"""As far as an operator can lift that cap."""


class Entitlement(NamedTuple):
    """What a clone may use now; `is_mock`, without a purchase, serves local work and dry runs only."""

    capacity: Capacity
    model_tier: int
    is_mock: bool
    candidates: int = CANDIDATE_CAP

    @property
    def may_audition(self) -> bool:
        """Whether something was bought; debug and operator grants never lead into an audition (02)."""
        return not self.is_mock

    @property
    def runs_a_tick(self) -> int:
        """The run budget of an account in a race or audition (11, 2): its tier's assets, which no operator lifts."""
        return CAPACITIES[self.capacity.name].assets


class Purchased(NamedTuple):
    """The component-wise maximum of what was bought for a clone: what an upgrade is the difference to."""

    capacity_tier: str
    model_tier: int


@dataclass(frozen=True)
class Grant:
    """One grant as stored, with its end if it has one."""

    id: int
    source: str
    ref: str
    purpose: str
    capacity_tier: str | None
    model_tier: int | None
    candidates: int | None
    granted_at: int
    granted_by: str
    reason: str
    expires_at: int | None
    revoked_at: int | None
    revoked_by: str | None
    revoked_because: str | None

    def is_live(self, now_ms: int | None) -> bool:
        """Whether it counts; without a time, a grant that expires does not."""
        has_time = self.expires_at is None or (now_ms is not None and now_ms < self.expires_at)
        return self.revoked_at is None and has_time


MOCK_STARTER = Entitlement(CAPACITIES["starter"], 1, True)


def effective(connection: Connection, clone_id: int, now_ms: int | None = None) -> Entitlement:
    """The component-wise maximum of a clone's live grants over a mock Starter; mock until something was bought.

    An operator's candidate grant lifts the cap of active assets with it. Without a time, grants that expire do not
    count.
    """
    return combined(grant for grant in history(connection, clone_id) if grant.is_live(now_ms))


def combined(grants: Iterable[Grant]) -> Entitlement:
    """The component-wise maximum of some grants over a mock Starter."""
    live = list(grants)
    tiers = ["starter", *(grant.capacity_tier for grant in live if grant.capacity_tier)]
    capacity = CAPACITIES[max(tiers, key=CAPACITY_ORDER.index)]
    candidates = max([CANDIDATE_CAP, *(grant.candidates for grant in live if grant.candidates)])
    if candidates > CANDIDATE_CAP:
        capacity = capacity._replace(assets=max(capacity.assets, candidates))
    return Entitlement(
        capacity,
        max([1, *(grant.model_tier for grant in live if grant.model_tier)]),
        is_mock=not any(grant.source == "purchase" for grant in live),
        candidates=candidates,
    )


def purchased(connection: Connection, clone_id: int) -> Purchased | None:
    """What was bought for a clone so far; None before the first purchase."""
    bought = [grant for grant in history(connection, clone_id) if grant.source == "purchase"]
    if not bought:
        return None
    best = combined(bought)
    return Purchased(best.capacity.name, best.model_tier)


def exceeded(entitlement: Entitlement, compiled: "Compiled", engine: str, model_tier: int) -> str | None:
    """What a compiled graph and its engine use beyond the entitlement, with figures; None when all is within."""
    capacity = entitlement.capacity
    candidates = max((branch.max_candidates for branch in compiled.branches), default=0)
    links = [asset.streams for branch in compiled.branches for asset in branch.assets]
    for what, limit, actual in (
        ("active assets", capacity.assets, len(compiled.symbols)),
        ("enabled prompts", capacity.prompts, len(compiled.branches)),
        ("links to one asset", capacity.links_per_asset, max(links, default=0)),
        ("links", capacity.links, sum(links)),
        ("candidates", entitlement.candidates, candidates),
        ("model tier", entitlement.model_tier, model_tier if engine == "model" else 0),
    ):
        if actual > limit:
            return f"{what} {actual} of {limit}"
    return None


def grant(
    connection: Connection,
    clone_id: int,
    capacity_tier: CapacityName,
    model_tier: int,
    *,
    source: Literal["purchase", "debug"],
    ref: str,
    now_ms: int,
    purpose: str | None = None,
    actor: str = "operator",
    reason: str = "",
    expires_at: int | None = None,
) -> int:
    """Record a purchase's or a debug grant once; the same source, reference and purpose again change nothing.

    Returns the id of the grant. The purpose of a purchase is what was bought (`audition`, `upgrade`, `retry`).

    Raises:
        CloneConflict: the same key was used for something else.
        CloneUnknown: no such clone.
    """
    chosen = purpose or ("audition" if source == "purchase" else "debug")
    terms = (clone_id, capacity_tier, model_tier, None, expires_at)
    return _record(connection, (source, ref, chosen), terms, now_ms=now_ms, actor=actor, reason=reason)


def grant_candidates(
    connection: Connection,
    clone_id: int,
    candidates: int,
    *,
    ref: str,
    now_ms: int,
    actor: str = "operator",
    reason: str = "",
    expires_at: int | None = None,
) -> int:
    """Lift a clone's candidate cap to 11 to 25, by an operator and never for money; returns the id of the grant.

    Raises:
        CloneError: outside 11 to 25.
        CloneConflict: the same reference was used for something else.
        CloneUnknown: no such clone.
    """
    if not CANDIDATE_CAP < candidates <= MOST_CANDIDATES:
        raise CloneError(f"a candidate grant is {CANDIDATE_CAP + 1} to {MOST_CANDIDATES}, not {candidates}")
    terms = (clone_id, None, None, candidates, expires_at)
    return _record(connection, ("operator", ref, "candidates"), terms, now_ms=now_ms, actor=actor, reason=reason)


def revoke(connection: Connection, grant_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """End a debug or operator grant; False when it had ended before.

    Raises:
        CloneConflict: it was bought.
        CloneUnknown: no such grant.
    """
    source = one(connection, "SELECT source FROM clone_entitlements WHERE id = ?", (grant_id,))
    if source is None:
        raise CloneUnknown(f"there is no grant {grant_id}")
    if source == "purchase":
        raise CloneConflict(f"grant {grant_id} was bought; what was bought is never revoked")
    added = connection.execute(
        """
        INSERT INTO clone_entitlement_revocations (grant_id, reason, revoked_by, revoked_at)
        VALUES (?, ?, ?, ?) ON CONFLICT (grant_id) DO NOTHING
        """,
        (grant_id, reason, actor, now_ms),
    )
    return added.rowcount == 1


def freeze_purchased(connection: Connection, ref: str, *, actor: str, reason: str, now_ms: int) -> int:
    """End what a purchase gave because its money was never there; how many grants that were.

    Nobody takes back what was bought: this is for the economy alone, when the chain itself lost a final deposit.
    """
    ended = connection.execute(
        """
        INSERT INTO clone_entitlement_revocations (grant_id, reason, revoked_by, revoked_at)
        SELECT id, ?, ?, ? FROM clone_entitlements WHERE source = 'purchase' AND ref = ?
        ON CONFLICT (grant_id) DO NOTHING
        """,
        (reason, actor, now_ms, ref),
    )
    return max(ended.rowcount, 0)


def history(connection: Connection, clone_id: int) -> list[Grant]:
    """Every grant a clone ever had, ended ones included, oldest first."""
    rows = connection.execute(
        """
        SELECT g.id, g.source, g.ref, g.purpose, g.capacity_tier, g.model_tier, g.candidates, g.granted_at,
               g.granted_by, g.reason, g.expires_at, r.revoked_at, r.revoked_by, r.reason AS revoked_because
        FROM clone_entitlements g LEFT JOIN clone_entitlement_revocations r ON r.grant_id = g.id
        WHERE g.clone_id = ? ORDER BY g.id
        """,
        (clone_id,),
    )
    return [Grant(*row) for row in rows]


def _record(
    connection: Connection,
    key: tuple[str, str, str],
    terms: tuple[int, str | None, int | None, int | None, int | None],
    *,
    now_ms: int,
    actor: str,
    reason: str,
) -> int:
    known = connection.execute(
        """
        SELECT id, clone_id, capacity_tier, model_tier, candidates, expires_at
        FROM clone_entitlements WHERE source = ? AND ref = ? AND purpose = ?
        """,
        key,
    ).fetchone()
    if known is not None:
        return _same_grant(known, key, terms)
    if one(connection, "SELECT 1 FROM clones WHERE id = ?", terms[:1]) is None:
        raise CloneUnknown(f"there is no clone {terms[0]}")
    return int(
        one(
            connection,
            """
            INSERT INTO clone_entitlements
              (source, ref, purpose, clone_id, capacity_tier, model_tier, candidates, expires_at, granted_at,
               granted_by, reason)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (*key, *terms, now_ms, actor, reason),
        )
    )


def _same_grant(known: Row, key: tuple[str, str, str], terms: tuple[object, ...]) -> int:
    if tuple(known)[1:] != terms:
        raise CloneConflict(f"the {key[0]} {key[1]} ({key[2]}) already granted something else to clone {known[1]}")
    return int(known["id"])
