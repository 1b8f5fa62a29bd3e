"""What the clockwork of the Arena works with; the services of a process are such parts, with a venue beside them."""

from dataclasses import dataclass

from clash_pipeline.prop.venue import ExecutionVenue, PaperVenue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.parts import Stores
from clash_pipeline.storage.sqlite import Database

ARENA = "arena"
"""The actor of what the clock does."""


@dataclass(frozen=True)
class Parts:
    """The same, with where prices come from."""

    settings: Settings
    clash: Database
    market: Database
    execution: ExecutionVenue


def parts_of(stores: Stores, execution: ExecutionVenue | None = None) -> Parts:
    """Parts that fill on the prices of market memory, unless told otherwise."""
    settings = stores.settings
    paper = execution or PaperVenue(stores.market, price_jump_pct=settings.price_jump_pct)
    return Parts(settings, stores.clash, stores.market, paper)
