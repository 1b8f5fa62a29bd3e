"""All pages, and what they need of the application."""

import random

from fastapi import APIRouter, FastAPI

from clash_pipeline.api.pages import accounts, arena, clones, decisions, door, ingestion, moderation, sign_in, static
from clash_pipeline.api.pages.visitors import SignIns

PAGES: tuple[APIRouter, ...] = (
    door.router,
    sign_in.router,
    ingestion.router,
    moderation.router,
    accounts.router,
    decisions.router,
    clones.router,
    arena.router,
    static.router,
)


def install(app: FastAPI, source: random.Random, own_url: str) -> None:
    """Add the pages; over HTTPS their cookies are for HTTPS alone."""
    app.state.sign_ins = SignIns(source, is_secure=own_url.startswith("https:"))
    for router in PAGES:
        app.include_router(router)
