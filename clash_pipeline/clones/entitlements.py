"""Capacity and model tiers, and what a clone may use: the maximum of its grants, or a mock Starter (02)."""

from typing import Literal, NamedTuple

from clash_pipeline.storage.sqlite import Connection

CapacityName = Literal["starter", "builder", "pro"]


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
CANDIDATE_CAP = 10
"""More candidates in one branch need an operator's grant."""


class Entitlement(NamedTuple):
    """What a clone may use now; `is_mock` serves local work and dry runs, never an audition."""

    capacity: Capacity
    model_tier: int
    is_mock: bool


MOCK_STARTER = Entitlement(CAPACITIES["starter"], 1, True)


def effective(connection: Connection, clone_id: int) -> Entitlement:
    """The component-wise maximum of a clone's grants, or a mock Starter without any."""
    grants = connection.execute(
        "SELECT capacity_tier, model_tier FROM clone_entitlements WHERE clone_id = ?", (clone_id,)
    ).fetchall()
    if not grants:
        return MOCK_STARTER
    best = max((grant["capacity_tier"] for grant in grants), key=CAPACITY_ORDER.index)
    return Entitlement(CAPACITIES[best], max(grant["model_tier"] for grant in grants), False)


def grant(
    connection: Connection,
    clone_id: int,
    capacity_tier: CapacityName,
    model_tier: int,
    *,
    source: str,
    ref: str,
    now_ms: int,
) -> None:
    """Record a grant once; the same source and reference again change nothing."""
    connection.execute(
        """
        INSERT INTO clone_entitlements (clone_id, capacity_tier, model_tier, source, ref, granted_at)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source, ref) DO NOTHING
        """,
        (clone_id, capacity_tier, model_tier, source, ref, now_ms),
    )
