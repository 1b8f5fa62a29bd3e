"""What a clone did in a race, for everybody, once the race is settled (11, 10)."""

from typing import Any

from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.parts import Paging, Parts
from clash_pipeline.api.routes.accounts import Side
from clash_pipeline.api.routes.tickets import RaceId
from clash_pipeline.api.routing import public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import CloneId, Cursor, Decimal, PageSize, Shown, Time, Usd
from clash_pipeline.arena import standings
from clash_pipeline.prop import views

router = area("/api/v1", "arena")


class RaceFill(Shown):
    """A fill of a race, and the position after it: positive when long, negative when short."""

    id: int
    filled_at: Time
    symbol: str
    action: str | None
    origin: str
    side: Side
    size: Decimal
    price: Decimal
    notional_usd: Usd
    fee_usd: Usd
    realized_usd: Usd
    position_size: Decimal


class RaceFillList(Shown):
    """A page of fills, newest first."""

    items: list[RaceFill]
    next_cursor: str | None


@router.get("/races/{raceId}/clones/{cloneId}/fills", summary="What a clone did in a race")
@public
@refuses(409)
def list_race_fills(
    race_id: RaceId, clone_id: CloneId, parts: Parts, paging: Paging, cursor: Cursor = None, limit: PageSize = 50
) -> RaceFillList:
    """Fills and positions of one clone of the field, newest first: 409 until the race is settled."""
    of = f"fills/{race_id}/{clone_id}"
    position = paging.open(of, cursor)
    before = int(position[0]) if position else views.NEWEST
    with parts.clash.read() as connection:
        account_id = standings.revealed_account(connection, race_id, clone_id)
        found = [] if account_id is None else views.positions_view(
            connection, account_id, limit=limit + 1, before=before
        )  # fmt: skip
    page = paging.page(of, found, limit, lambda fill: [fill["id"]])
    return RaceFillList(items=[_fill(fill) for fill in page.items], next_cursor=page.next_cursor)


def _fill(fill: dict[str, Any]) -> RaceFill:
    amounts = {f"{name}_usd": fill[name] for name in ("notional", "fee", "realized")}
    named = {name: fill[name] for name in RaceFill.model_fields if name in fill}
    return RaceFill.model_validate(named | amounts)
