"""Best bid and ask from the CLOB, which Gamma's prices lag behind; a convenience that never fails a refresh."""

import structlog

from clash_pipeline.market.http import VenueError
from clash_pipeline.market.polymarket.client import PolymarketClient
from clash_pipeline.market.polymarket.wire import Market, Quote

log = structlog.get_logger(__name__)


class Books:
    """Reads books during one refresh; after the first failure it stops asking and Gamma's quote is taken."""

    def __init__(self, client: PolymarketClient, *, is_on: bool) -> None:
        self._client = client
        self._is_on = is_on

    async def of(self, market: Market) -> Quote | None:
        """The book of a market's first outcome, or None where there is none to be had."""
        if not self._is_on or not market.token_ids:
            return None
        try:
            return await self._client.book(market.token_ids[0])
        except VenueError as error:
            log.warning("books_off", error=str(error))
            self._is_on = False
            return None
