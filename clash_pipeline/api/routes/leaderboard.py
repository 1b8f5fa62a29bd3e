"""Who leads: running sandbox accounts of clones that show a profile, by return at their last mark."""

from clash_pipeline.api.parts import Paging, Parts
from clash_pipeline.api.routing import public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Cursor, Decimal, PageSize, Shown, Time, Usd
from clash_pipeline.prop import standings
from clash_pipeline.prop.standings import Standing
from clash_pipeline.units import scaled_text, usd_text

router = area("/api/v1/leaderboard", "leaderboard")
PERCENT_DECIMALS = 6
"""A rate has eight decimals; as a percentage it has six."""


class StandingShown(Shown):
    """A place; return and drawdown in percent. `marked_at` is null before the first mark."""

    rank: int
    clone_id: int
    name: str
    equity_usd: Usd
    return_pct: Decimal
    max_drawdown_pct: Decimal
    positions: int
    marked_at: Time | None


class Leaderboard(Shown):
    """A page of places."""

    items: list[StandingShown]
    next_cursor: str | None


@router.get("", summary="Sandbox accounts by return")
@public
def list_leaders(parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50) -> Leaderboard:
    """The running sandbox accounts; clones without an approved profile, and retired ones, are not shown."""
    offset = (paging.open("leaders", cursor) or [0])[0]
    with parts.clash.read() as connection:
        found = standings.public(connection, limit=offset + limit + 1)[offset:]
    page = paging.page("leaders", found, limit, lambda _: [offset + limit])
    return Leaderboard(items=[_shown(standing) for standing in page.items], next_cursor=page.next_cursor)


def _shown(standing: Standing) -> StandingShown:
    return StandingShown(
        rank=standing.place,
        clone_id=standing.clone_id,
        name=standing.public_name or "",
        equity_usd=usd_text(standing.equity),
        return_pct=scaled_text(standing.return_rate, PERCENT_DECIMALS),
        max_drawdown_pct=scaled_text(standing.max_drawdown, PERCENT_DECIMALS),
        positions=standing.positions,
        marked_at=standing.marked_at,
    )
