"""Opening a race: at the launch of the one before it, sales open and the field freezes, in one transaction (11, 11)."""

from typing import NamedTuple

from clash_pipeline import canonical
from clash_pipeline.arena import field, market_state, race_rules, races
from clash_pipeline.arena.parts import ARENA, Parts
from clash_pipeline.arena.races import BEFORE_LAUNCH, PassedOver, Race
from clash_pipeline.economy import pools, prices
from clash_pipeline.economy.settlement import LEAST_STARTERS
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import USD

AFTER_RACE = point("arena.open.after_race")
AFTER_FIELD = point("arena.open.after_field")
AFTER_POOL = point("arena.open.after_pool")


class Waits(NamedTuple):
    """Why no race is opened though one is due."""

    reason: str
    passed_over: tuple[PassedOver, ...] = ()


def is_due(connection: Connection, now_ms: int) -> bool:
    """Whether the newest race is launched or called off, and its start has come."""
    last = races.last(connection)
    return last is None or (last.state not in BEFORE_LAUNCH and now_ms >= last.starts_at)


def open_next(parts: Parts, now_ms: int) -> Race | Waits | None:
    """Open the next race where one is due; a reason where none can be opened now, None where none is due.

    A field that could never start is not put on sale: fewer than four clones that may race, or a market without a
    liquid perp, are waited out.
    """
    with parts.clash.read() as connection:
        if not is_due(connection, now_ms):
            return None
    least_volume = parts.settings.race_least_volume_usd * USD
    universe = market_state.universe(parts.market, parts.execution, least_volume, now_ms)
    if not universe:
        return Waits(f"no listed perp has a 24 h volume of {parts.settings.race_least_volume_usd} USD")
    with parts.clash.write() as connection:
        return _open(connection, parts.settings, universe, now_ms) if is_due(connection, now_ms) else None


def _open(connection: Connection, settings: Settings, universe: tuple[str, ...], now_ms: int) -> Race | Waits:
    last = races.last(connection)
    race_id = last.id + 1 if last else 1
    entered, sits_out = field.select(connection, race_id, now_ms)
    if len(entered) < LEAST_STARTERS:
        return Waits(f"{len(entered)} clones may race, {LEAST_STARTERS} are needed", tuple(sits_out))
    _insert(connection, settings, race_id, last, universe, sits_out, now_ms)
    fault(AFTER_RACE)
    field.freeze(connection, race_id, entered, now_ms=now_ms)
    fault(AFTER_FIELD)
    race = races.get(connection, race_id)
    pools.open_pool(
        connection,
        race_id,
        field.on_sale(entered),
        price_wei=prices.of(settings).ticket_wei,
        opens_at=race.sales_open_at,
        closes_at=race.sales_close_at,
        hidden_from=race.hidden_from,
        now_ms=now_ms,
    )
    fault(AFTER_POOL)
    return race


def _insert(
    connection: Connection, settings: Settings, race_id: int, last: Race | None, universe: tuple[str, ...],
    sits_out: list[PassedOver], now_ms: int,
) -> None:  # fmt: skip
    window = race_rules.window(settings, now_ms, None if last is None else last.starts_at)
    rules = race_rules.of(settings, universe)
    connection.execute(
        """
        INSERT INTO races (id, state, starts_at, ends_at, sales_open_at, sales_close_at, hidden_from, rules, rules_hash,
                           universe, passed_over)
        VALUES (?, 'accumulating', ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (race_id, *window, rules.text, rules.digest, canonical.text(universe), canonical.text(sits_out)),
    )
    races.note(connection, race_id, "accumulating", now_ms=now_ms, actor=ARENA, reason="sales open, the field freezes")
