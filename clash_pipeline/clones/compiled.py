"""What the compiler makes of a graph and a version keeps for good: universe, branches, read plans, budgets.

Fields that are younger than format 1 have defaults that are not written, so that an older version still decodes and
encodes to the bytes that its hash was taken of.
"""

from collections.abc import Iterator

import msgspec

from clash_pipeline import canonical
from clash_pipeline.market.read_plan import ReadEntry, ReadPlan

FORMAT = 2
"""2: the trade universe with display metadata and support flags, derived budgets."""


class Budget(msgspec.Struct, frozen=True, order=True):
    """The most datapoints that can be read, and the estimated tokens of the prompt that shows them all (02 B)."""

    points: int
    tokens: int


class UniverseAsset(msgspec.Struct, frozen=True, order=True):
    """One traded asset: why it is in, what to call it, whether it can be traded, and its channels of memory."""

    symbol: str
    selection: str
    name: str
    kind: str
    category: str
    subcategory: str
    can_trade: bool
    channels: tuple[str, ...]


class BranchAsset(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One traded asset of a branch: why it is in, what it is told, what it reads; `skipped` says why it is left out.

    `budget` is None and `streams`, the data streams linked to the asset, 0 in versions compiled before format 2.
    """

    symbol: str
    selection: str
    prompt: str
    skipped: str | None
    plan: ReadPlan
    budget: Budget | None = None
    streams: int = 0


class Branch(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One enabled prompt node and the assets that it claims; its budget counts those that are not skipped."""

    id: str
    cadence_sec: int
    max_candidates: int
    min_volume_24h_usd: int
    max_data_age_sec: int
    assets: tuple[BranchAsset, ...]
    budget: Budget | None = None


class Compiled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version really is; `universe` is empty in versions compiled before format 2."""

    format: int
    branches: tuple[Branch, ...]
    universe: tuple[UniverseAsset, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return canonical.digest(self)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every active asset, sorted."""
        return tuple(sorted({asset.symbol for branch in self.branches for asset in branch.assets}))

    @property
    def markets(self) -> tuple[str, ...]:
        """Slugs of the Polymarket markets and events that are read, sorted."""
        return tuple(sorted({entry.market for entry in self._entries() if entry.market}))

    @property
    def subjects(self) -> tuple[tuple[str, str], ...]:
        """Scope and subject of every DefiLlama row that is read, sorted."""
        return tuple(sorted({(entry.scope, entry.subject) for entry in self._entries() if entry.scope}))

    def _entries(self) -> Iterator[ReadEntry]:
        return (entry for branch in self.branches for asset in branch.assets for entry in asset.plan.entries)


def decode(content: str | bytes) -> Compiled:
    """What was compiled and stored earlier, of this format or an older one.

    Raises:
        ValueError: it is of a newer format than this release knows.
    """
    compiled = _DECODER.decode(content)
    if compiled.format > FORMAT:
        raise ValueError(f"compiled graph format {compiled.format} is newer than {FORMAT}, the newest known here")
    return compiled


_DECODER = msgspec.json.Decoder(Compiled)
