"""Live: fills of one's own clone and the health of ingestion as server-sent events (06 live)."""

from fastapi import Request
from fastapi.responses import Response

from clash_pipeline.api.documenting import refuses, sends
from clash_pipeline.api.parts import Me, Parts, own_clone
from clash_pipeline.api.problems import unauthorised
from clash_pipeline.api.routes.accounts import fill_of
from clash_pipeline.api.routes.clones import wire
from clash_pipeline.api.routes.ingestion import health_of
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.streaming import MEDIA_TYPE, Event, last_id, stream
from clash_pipeline.api.wire import CloneId
from clash_pipeline.identity import sessions
from clash_pipeline.prop import history, views
from clash_pipeline.storage.sqlite import one

router = area("/api/v1/live", "live")
FILLS_AT_ONCE = 100


@router.get("/clones/{cloneId}/fills", summary="Fills as they happen", response_class=Response)
@for_user
@sends(MEDIA_TYPE)
@refuses(406)
def stream_fills(request: Request, clone_id: CloneId, me: Me, parts: Parts) -> Response:
    """Each new fill of a clone as an event `fill`, its id the fill's; without `Last-Event-ID` from now on.

    The stream ends when the session does.
    """
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        newest = one(connection, "SELECT coalesce(max(id), 0) FROM prop_fills")
    resumed = last_id(request)

    def look(after: int) -> list[Event]:
        with parts.clash.read() as connection:
            if not sessions.is_live(connection, me.id, now_ms=parts.wall.now_ms()):
                raise unauthorised()
            found = history.fills_after(connection, clone_id, after, limit=FILLS_AT_ONCE)
            shown = [views.fills_view(connection, account, limit=1, before=fill + 1)[0] for fill, account in found]
        accounts = dict(found)
        return [Event(fill["id"], "fill", {"accountId": accounts[fill["id"]], **wire(fill_of(fill))}) for fill in shown]

    return stream(request, newest if resumed is None else resumed, look)


@router.get("/ingestion", summary="Health of ingestion as it changes", response_class=Response)
@public
@sends(MEDIA_TYPE)
@refuses(406)
def stream_ingestion(request: Request, parts: Parts) -> Response:
    """An event `health` at once and whenever the status of a channel changes, its id the time in ms."""
    last_id(request)  # what is sent is a state, not a history: it begins with the present one
    seen: list[tuple[str, ...]] = []

    def look(after: int) -> list[Event]:
        found = health_of(parts)
        statuses = tuple(channel.status for channel in found.channels)
        if seen and seen[-1] == statuses:
            return []
        seen[:] = [statuses]
        return [Event(max(found.as_of, after + 1), "health", wire(found))]

    return stream(request, 0, look)
