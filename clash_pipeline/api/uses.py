"""Every use of a service token is written down before its answer is sent; what cannot be written down is not told."""

from starlette.concurrency import run_in_threadpool

from clash_pipeline.api.problems import Problem
from clash_pipeline.api.refusals import problem_of
from clash_pipeline.identity import service_tokens
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.services import Services
from clash_pipeline.storage.errors import OutcomeUnknown, StorageError

READS = frozenset({"GET", "HEAD", "OPTIONS"})


async def write_down(
    services: Services, token: ServiceToken, scope: str, method: str, route: str, status: int
) -> Problem | None:
    """Write a use down, off the loop, because the database may be busy.

    Returns what is told instead of the answer where that failed: a read can be repeated, of the rest nobody knows.
    """

    def work() -> None:
        with services.clash.write() as connection:
            now_ms = services.wall.now_ms()
            service_tokens.used(connection, token, scope, f"{method} {route}", status, now_ms=now_ms)

    try:
        await run_in_threadpool(work)
    except StorageError as error:
        return problem_of(error if method in READS else OutcomeUnknown("the use could not be written down"))
    return None
