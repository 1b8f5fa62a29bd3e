"""One file an area of the route table: read the request, call a use-case, show its answer."""

from clash_pipeline.api.routes import (
    accounts,
    assets,
    auth,
    clones,
    decisions,
    drafts,
    health,
    ingestion,
    internal,
    leaderboard,
    live,
    memory,
    moderation,
    operators,
    profiles,
)

AREAS = (
    auth.router,
    assets.router,
    memory.router,
    clones.router,
    drafts.router,
    decisions.router,
    profiles.router,
    moderation.router,
    accounts.router,
    operators.router,
    leaderboard.router,
    ingestion.router,
    live.router,
    internal.router,
    health.router,
)
"""Every area, in the order of the route table (06)."""
