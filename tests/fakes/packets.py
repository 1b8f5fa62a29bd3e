"""Packets written by hand: one asset, an account that holds nothing, and the reads that a test names."""

from typing import Any

from clash_pipeline.decisions.account_state import AccountState, Ledger
from clash_pipeline.decisions.packet import SCHEMA, Asset, Budget, Custom, Identity, Packet, PlanFacts, Price
from clash_pipeline.decisions.sections import Section

NOW = 1_753_100_000_000
ROOM: dict[str, str | int] = {
    "position": "100000", "gross": "300000", "margin": "100000", "drawdown": "10000", "positions": 10,
    "orders_this_hour": 60, "min_order": "10",
}  # fmt: skip


def made_up(*own: Section, custom: str = "", symbol: str = "BTC") -> Packet:
    """A whole packet about one asset that read these sections of it."""
    return Packet(
        schema=SCHEMA,
        identity=Identity(
            run_id=1, account_id=1, account_kind="sandbox", clone_id=1, clone_name=None, model_tier=1, version_id=1,
            version=1, compiled_hash="0" * 64, branch="prompt-1", symbol=symbol, kind="due", tick=NOW, as_of=NOW,
            engine="model",
        ),
        artifact_prefix="decisions/2025-07-21/clone-1/run-1",
        universe=(),
        asset=Asset(symbol, "perp", 5, 3, True, Price("100", "mid", 900, "100", "venue", 900)),
        plan=PlanFacts("0" * 64, len(own), sum(section.found for section in own), ()),
        own=own,
        cross_asset=(),
        polymarket=(),
        defillama=(),
        account=AccountState(
            state="active", halted=None, start_balance="100000", balance="100000", equity="100000", unrealized="0",
            gross="0", margin="0", free="100000", high_water_mark="100000", drawdown_pct="0", positions=(),
            open_orders=(), recent_fills=(), ledger=Ledger(1, "0" * 64, "0", "0", "0"), policy_hash="0" * 64, room=ROOM,
        ),
        custom_behavior=Custom(custom, was_shortened=False),
        newest_datum_at=NOW - 900,
        budget=Budget(0, {}, False, (), 0),
        untrusted=(),
    )  # fmt: skip


def read(
    channel: str, *, points: int, granularity_sec: int = 60, lookback_sec: int = 3_600, inclusion: str = "auto",
    **others: Any,
) -> Section:  # fmt: skip
    """A read of the traded asset with so many points, the newest one step old."""
    step = max(granularity_sec // 60, 1)
    return Section(
        source="hyperliquid",
        channel=channel,
        of="BTC",
        granularity_sec=granularity_sec,
        lookback_sec=lookback_sec,
        inclusion=inclusion,
        columns=("ago_min", "c"),
        rows=tuple((step * ago, f"{100 + ago}.25") for ago in reversed(range(points))),
        found=points,
        expected=points,
        newest_t=NOW - 60_000 if points else None,
        age_ms=60_000 if points else None,
        problem=None if points else "missing",
        **others,
    )
