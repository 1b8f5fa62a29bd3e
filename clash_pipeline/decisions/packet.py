"""The effective context packet, `decision_v1`: everything an engine may know, typed, canonical, hashed. Pure.

Amounts and prices are decimal text; indicators are the stored floats. Third-party and custom texts are data in it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clones.clones import Version
from clash_pipeline.clones.compiler import Branch, BranchAsset
from clash_pipeline.clones.validation import tokens
from clash_pipeline.decisions.runs import Claim
from clash_pipeline.market.read_plan import Dropped
from clash_pipeline.market.retrieval import Found, Section
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.views import position_view
from clash_pipeline.units import Rounding, mul_div, usd_text

SCHEMA = "decision_v1"


class Identity(msgspec.Struct, frozen=True):
    """Which run this is: who decides about what, when, on which graph."""

    run_id: int
    account_id: int
    clone_id: int
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


class AccountState(msgspec.Struct, frozen=True):
    """The account as the gates will see it, and the room left under each limit."""

    state: str
    halted: str | None
    start_balance: str
    balance: str
    equity: str
    unrealized: str
    gross: str
    margin: str
    free: str
    high_water_mark: str
    drawdown_pct: str
    positions: tuple[dict[str, Any], ...]
    open_orders: tuple[dict[str, Any], ...]
    recent_fills: tuple[dict[str, Any], ...]
    ledger_seq: int
    ledger_hash: str
    policy_hash: str
    room: dict[str, str | int]


class Packet(msgspec.Struct, frozen=True):
    """The packet itself."""

    schema: str
    identity: Identity
    universe: tuple[str, ...]
    asset: Asset
    plan_hash: str
    sections: tuple[Section, ...]
    dropped: tuple[Dropped, ...]
    account: AccountState
    prompt: str
    estimated_tokens: dict[str, int]

    def section(self, channel: str, *, granularity_sec: int | None = None) -> Section | None:
        """The finest own section of a channel, or the one of a granularity."""
        own = [
            section
            for section in self.sections
            if section.entry.channel == channel
            and section.entry.context_symbol == self.identity.symbol
            and granularity_sec in (None, section.entry.granularity_sec)
        ]
        return min(own, key=lambda section: section.entry.granularity_sec, default=None)

    @property
    def held(self) -> Mapping[str, Any] | None:
        """The open position in the traded asset."""
        return next((held for held in self.account.positions if held["symbol"] == self.identity.symbol), None)


class Facts(msgspec.Struct, frozen=True):
    """What memory and the account say, read once for all runs of one account."""

    account: Account
    book: Book
    opened_last_hour: int
    recent_fills: tuple[dict[str, Any], ...]
    quotes: dict[str, Quote]


def assemble(
    claim: Claim, version: Version, branch: Branch, asset: BranchAsset, found: Found, facts: Facts, now_ms: int
) -> Packet:
    """Put one packet together."""
    account = _account_state(facts, now_ms)
    return Packet(
        schema=SCHEMA,
        identity=Identity(
            run_id=claim.run_id,
            account_id=claim.account_id,
            clone_id=claim.clone_id,
            version_id=version.id,
            version=version.number,
            compiled_hash=version.compiled_hash,
            branch=branch.id,
            symbol=claim.symbol,
            kind=claim.kind,
            tick=claim.tick,
            as_of=now_ms,
            engine=claim.engine,
        ),
        universe=tuple(member.symbol for member in branch.assets),
        asset=_asset(claim.symbol, facts, now_ms),
        plan_hash=asset.plan.digest,
        sections=found.sections,
        dropped=asset.plan.dropped,
        account=account,
        prompt=asset.prompt,
        estimated_tokens={
            "sections": tokens(canonical.text(found.sections)),
            "account": tokens(canonical.text(account)),
            "prompt": tokens(asset.prompt),
        },
    )


def encode(packet: Packet) -> bytes:
    """The canonical bytes of a packet; their SHA-256 is its identity."""
    return canonical.encode(packet)


def decode(content: bytes) -> Packet:
    """A stored packet."""
    return msgspec.json.decode(content, type=Packet)


def _asset(symbol: str, facts: Facts, now_ms: int) -> Asset:
    quote = facts.quotes.get(symbol)
    listed = quote.asset if quote else None
    return Asset(
        symbol=symbol,
        kind=listed.kind if listed else None,
        max_leverage=min(listed.max_leverage, facts.account.policy.max_leverage) if listed else None,
        sz_decimals=listed.sz_decimals if listed else None,
        is_tradable=listed is not None and not listed.is_delisted,
        price=_price(quote, facts.account, now_ms),
    )


def _price(quote: Quote | None, account: Account, now_ms: int) -> Price:
    reference = quote.reference(account.policy, now_ms) if quote else None
    mark = quote.mark(account.policy, now_ms) if quote else None
    return Price(
        reference=reference.text if reference else None,
        reference_source=reference.source if reference else None,
        reference_age_ms=reference.age_ms(now_ms) if reference else None,
        mark=mark.text if mark else None,
        mark_source=mark.source if mark else None,
        mark_age_ms=mark.age_ms(now_ms) if mark else None,
    )


def _account_state(facts: Facts, now_ms: int) -> AccountState:
    account, book = facts.account, facts.book
    peak = max(account.high_water_mark, book.equity)
    return AccountState(
        state=account.state,
        halted=account.halted,
        start_balance=usd_text(account.start_balance),
        balance=usd_text(book.balance),
        equity=usd_text(book.equity),
        unrealized=usd_text(book.unrealized),
        gross=usd_text(book.gross),
        margin=usd_text(book.margin),
        free=usd_text(book.free),
        high_water_mark=usd_text(peak),
        drawdown_pct=usd_text(mul_div((peak - book.equity) * 100, 10**8, peak, Rounding.CEIL)),
        positions=tuple(position_view(position) for position in book.positions.values()),
        open_orders=(),
        recent_fills=facts.recent_fills,
        ledger_seq=account.head.seq,
        ledger_hash=account.head.hash,
        policy_hash=account.policy_hash,
        room=_room(facts),
    )


def _room(facts: Facts) -> dict[str, str | int]:
    """What is left under each limit of the policy."""
    policy, book = facts.account.policy, facts.book
    gross = mul_div(book.equity, policy.max_gross_pct, 100, Rounding.FLOOR) - book.gross
    return {
        "gross": usd_text(max(gross, 0)),
        "position": usd_text(max(mul_div(book.equity, policy.max_position_pct, 100, Rounding.FLOOR), 0)),
        "margin": usd_text(max(book.free, 0)),
        "positions": max(policy.max_open_positions - len(book.positions), 0),
        "orders_this_hour": max(policy.max_orders_per_hour - facts.opened_last_hour, 0),
        "min_order": usd_text(policy.min_order),
    }
