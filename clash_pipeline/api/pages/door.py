"""`/`: what is here, for whoever opens the address in a browser; and the leaderboard."""

from fastapi import Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Parts
from clash_pipeline.api.routing import public
from clash_pipeline.prop import standings

router = pages()
PLACES = 100


@router.get("/")
@public
def door(request: Request) -> Response:
    """What is here."""
    return rendering.page(request, "door.html", title="Clash of Clones")


@router.get("/leaderboard")
@public
def leaderboard(request: Request, parts: Parts) -> Response:
    """Clones with a public profile by the return of their sandbox account."""
    with parts.clash.read() as connection:
        found = standings.public(connection, limit=PLACES)
    marked_at = max((one.marked_at for one in found if one.marked_at), default=None)
    return rendering.page(
        request, "leaderboard.html", title="Leaderboard", standings=found, marked_at=marked_at, places=PLACES
    )
