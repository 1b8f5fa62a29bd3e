"""Whether the process lives and can serve: for supervisors and proxies, without rates and without a token."""

from typing import Literal

from fastapi import Response

from clash_pipeline.api.parts import Parts
from clash_pipeline.api.problems import unavailable
from clash_pipeline.api.routing import public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Shown
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.sqlite import one

router = area("", "internal")


class HealthShown(Shown):
    """The process answers."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", summary="Whether the process lives")
@public
async def healthz() -> HealthShown:
    """Answer, on the loop itself: also while every thread is at work."""
    return HealthShown()


@router.get("/readyz", summary="Whether the databases answer")
@public
def readyz(parts: Parts, response: Response) -> HealthShown:
    """Read one row of each database."""
    try:
        for database in (parts.clash, parts.market):
            with database.read() as connection:
                one(connection, "SELECT count(*) FROM sqlite_schema")
    except StorageError:
        raise unavailable("not_ready", "A database does not answer.") from None
    return HealthShown()
