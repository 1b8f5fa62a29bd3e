"""The effective context packet, `decision_v1`: everything an engine may know, typed, canonical, hashed. Pure.

Amounts and prices are decimal text; indicators are the stored floats, shortened. Texts of strangers stand once, in
`untrusted`, and everything else refers to them by id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clones.clones import Clone, Version
from clash_pipeline.clones.compiler import Branch, BranchAsset
from clash_pipeline.decisions.account_state import AccountState, Facts, account_state
from clash_pipeline.decisions.artifacts import prefix_of
from clash_pipeline.decisions.candidates import Choice
from clash_pipeline.decisions.runs import Claim
from clash_pipeline.decisions.sections import Memo, Section
from clash_pipeline.decisions.texts import CUSTOM_BYTES, Texts, Untrusted, custom
from clash_pipeline.market.read_plan import Dropped
from clash_pipeline.market.retrieval import Found
from clash_pipeline.prop.pricing import Quote

SCHEMA = "decision_v1"
OWN, CROSS_ASSET, POLYMARKET, DEFILLAMA = "own", "cross_asset", "polymarket", "defillama"
SECTION_LISTS = (OWN, CROSS_ASSET, POLYMARKET, DEFILLAMA)
"""The lists of sections, in the order in which packet and prompt have them."""
PROMINENCE = ("auto", "standard", "required")
"""What is thinned first comes first (02 B)."""


class Identity(msgspec.Struct, frozen=True):
    """Which run this is: who decides about what, when, on which graph. `clone_name` is the id of a text."""

    run_id: int
    account_id: int
    account_kind: str
    clone_id: int
    clone_name: str | None
    model_tier: int
    version_id: int
    version: int
    compiled_hash: str
    branch: str
    symbol: str
    kind: str
    tick: int
    as_of: int
    engine: str


class Price(msgspec.Struct, frozen=True):
    """The price that would be traded on and the mark, each with source and age; None is unknown."""

    reference: str | None
    reference_source: str | None
    reference_age_ms: int | None
    mark: str | None
    mark_source: str | None
    mark_age_ms: int | None


class Asset(msgspec.Struct, frozen=True):
    """What is traded."""

    symbol: str
    kind: str | None
    max_leverage: int | None
    sz_decimals: int | None
    is_tradable: bool
    price: Price


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """One asset of the trade universe: why it is in it, what it supports, its place among the candidates of the wave.

    `skipped` says why it is not decided about; rank and score are None then.
    """

    symbol: str
    selection: str
    can_trade: bool
    channels: tuple[str, ...]
    rank: int | None = None
    score: int | None = None
    skipped: str | None = None


class Custom(msgspec.Struct, frozen=True):
    """The creator's own words on how to behave: data, bounded to 4,000 tokens."""

    text: str
    was_shortened: bool


class PlanFacts(msgspec.Struct, frozen=True):
    """The read plan that was executed, and the reads that were asked for and cannot be made."""

    hash: str
    reads: int
    max_points: int
    dropped: tuple[Dropped, ...]


class Thinned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A read that is not shown whole: how many rows it found and how many are left; a reason when it was left out."""

    source: str
    channel: str
    of: str
    granularity_sec: int
    inclusion: str
    found: int
    kept: int
    reason: str | None = None


class Budget(msgspec.Struct, frozen=True):
    """The prompt against its budget: the estimate by part, what was thinned for it, and whether it is still above.

    It is above only when nothing but required content is left. Texts beyond the 4 kB of `untrusted` are counted.
    """

    limit_tokens: int
    estimated_tokens: dict[str, int]
    is_over: bool
    thinned: tuple[Thinned, ...]
    texts_left_out: int


class Packet(msgspec.Struct, frozen=True):
    """The packet itself. `newest_datum_at`: the time of its newest fact; no fill may use an older price (11)."""

    schema: str
    identity: Identity
    artifact_prefix: str
    universe: tuple[Member, ...]
    asset: Asset
    plan: PlanFacts
    own: tuple[Section, ...]
    cross_asset: tuple[Section, ...]
    polymarket: tuple[Section, ...]
    defillama: tuple[Section, ...]
    account: AccountState
    custom_behavior: Custom
    newest_datum_at: int | None
    budget: Budget
    untrusted: tuple[Untrusted, ...]

    @property
    def sections(self) -> tuple[Section, ...]:
        """All reads, in the order of the lists."""
        return self.own + self.cross_asset + self.polymarket + self.defillama

    def section(self, channel: str, *, granularity_sec: int | None = None) -> Section | None:
        """The finest section about the traded asset itself of a channel, or the one of a granularity."""
        own = [
            section
            for section in self.own + self.polymarket
            if section.channel == channel
            and section.of == self.identity.symbol
            and granularity_sec in (None, section.granularity_sec)
        ]
        return min(own, key=lambda section: section.granularity_sec, default=None)

    @property
    def held(self) -> Mapping[str, Any] | None:
        """The open position in the traded asset."""
        return next((held for held in self.account.positions if held["symbol"] == self.identity.symbol), None)


@dataclass(frozen=True)
class Run:
    """Everything that makes one packet besides what memory says: the run, its clone, its branch and asset."""

    claim: Claim
    clone: Clone
    version: Version
    branch: Branch
    asset: BranchAsset
    choices: tuple[Choice, ...]


def assemble(run: Run, found: Found, facts: Facts, memo: Memo | None = None) -> Packet:
    """Put one packet together, whole; `thinning.fitted` then brings it within its budget.

    A memo lets packets that read the same rows share them; it changes no byte.
    """
    texts, plan, memo = Texts(), run.asset.plan, memo or Memo()
    name = texts.refer("clone.name", run.clone.name)
    reads = _shown(found, texts, memo)
    words = custom(run.asset.prompt)
    return Packet(
        schema=SCHEMA,
        identity=_identity(run, facts, name),
        artifact_prefix=prefix_of(run.claim),
        universe=_universe(run.choices, facts, memo),
        asset=_asset(run.asset.symbol, facts),
        plan=PlanFacts(plan.digest, len(plan.entries), plan.max_points, plan.dropped),
        own=tuple(read for read in reads if _list_of(read, run.asset.symbol) == OWN),
        cross_asset=tuple(read for read in reads if _list_of(read, run.asset.symbol) == CROSS_ASSET),
        polymarket=tuple(read for read in reads if read.source == POLYMARKET),
        defillama=tuple(read for read in reads if read.source == DEFILLAMA),
        account=account_state(facts, run.asset.symbol),
        custom_behavior=Custom(words, was_shortened=len(run.asset.prompt.encode("utf-8", "replace")) > CUSTOM_BYTES),
        newest_datum_at=_newest(reads, facts, run.asset.symbol),
        budget=Budget(0, {}, False, (), len(texts.left_out)),
        untrusted=tuple(texts.entries),
    )


def encode(packet: Packet) -> bytes:
    """The canonical bytes of a packet; their SHA-256 is its identity. Sections are not encoded again."""
    fields = msgspec.structs.asdict(packet)
    for place in SECTION_LISTS:
        fields[place] = [msgspec.Raw(section.body) for section in fields[place]]
    return canonical.encode(fields)


def decode(content: bytes) -> Packet:
    """A stored packet."""
    return msgspec.json.decode(content, type=Packet)


def _shown(found: Found, texts: Texts, memo: Memo) -> list[Section]:
    """The reads in plan order; where texts run short, those that are required have theirs first."""
    needs = [PROMINENCE.index(section.entry.inclusion) for section in found.sections]
    by_need = sorted(range(len(needs)), key=lambda place: -needs[place])
    made = {place: memo.shown(found.sections[place], texts) for place in by_need}
    return [made[place] for place in sorted(made)]


def _list_of(section: Section, symbol: str) -> str:
    if section.source != "hyperliquid":
        return section.source
    return OWN if section.of == symbol else CROSS_ASSET


def _identity(run: Run, facts: Facts, name: str | None) -> Identity:
    claim, version = run.claim, run.version
    return Identity(
        run_id=claim.run_id,
        account_id=claim.account_id,
        account_kind=facts.account.kind,
        clone_id=claim.clone_id,
        clone_name=name,
        model_tier=run.clone.model_tier,
        version_id=version.id,
        version=version.number,
        compiled_hash=version.compiled_hash,
        branch=run.branch.id,
        symbol=claim.symbol,
        kind=claim.kind,
        tick=claim.tick,
        as_of=facts.as_of,
        engine=claim.engine,
    )


def _universe(choices: tuple[Choice, ...], facts: Facts, memo: Memo) -> tuple[Member, ...]:
    """The same for every asset of a branch."""
    if id(choices) not in memo.once:
        by_name = sorted(choices, key=lambda choice: choice.asset.symbol)
        memo.once[id(choices)] = (choices, tuple(_member(choice, facts) for choice in by_name))
    universe: tuple[Member, ...] = memo.once[id(choices)][1]
    return universe


def _member(choice: Choice, facts: Facts) -> Member:
    quote = facts.quotes.get(choice.asset.symbol)
    listed = quote.asset if quote else None
    return Member(
        symbol=choice.asset.symbol,
        selection=choice.asset.selection,
        can_trade=listed is not None and not listed.is_delisted and "ohlcv" in listed.channels,
        channels=tuple(sorted(listed.channels)) if listed else (),
        rank=choice.rank,
        score=choice.score,
        skipped=choice.skipped,
    )


def _asset(symbol: str, facts: Facts) -> Asset:
    quote, policy = facts.quotes.get(symbol), facts.account.policy
    listed = quote.asset if quote else None
    return Asset(
        symbol=symbol,
        kind=listed.kind if listed else None,
        max_leverage=min(listed.max_leverage, policy.max_leverage) if listed else None,
        sz_decimals=listed.sz_decimals if listed else None,
        is_tradable=listed is not None and not listed.is_delisted,
        price=_price(quote, facts),
    )


def _price(quote: Quote | None, facts: Facts) -> Price:
    policy, as_of = facts.account.policy, facts.as_of
    reference = quote.reference(policy, as_of) if quote else None
    mark = quote.mark(policy, as_of) if quote else None
    return Price(
        reference=reference.text if reference else None,
        reference_source=reference.source if reference else None,
        reference_age_ms=reference.age_ms(as_of) if reference else None,
        mark=mark.text if mark else None,
        mark_source=mark.source if mark else None,
        mark_age_ms=mark.age_ms(as_of) if mark else None,
    )


def _newest(reads: Iterable[Section], facts: Facts, symbol: str) -> int | None:
    price = _price(facts.quotes.get(symbol), facts)
    ages = [read.age_ms for read in reads] + [price.reference_age_ms, price.mark_age_ms]
    youngest = min((age for age in ages if age is not None), default=None)
    return None if youngest is None else facts.as_of - youngest
