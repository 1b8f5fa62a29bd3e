"""The stand-in chain on one loopback port: each endpoint a path of its own, and a page that tells the truth."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.replay.chain import Chain
from clash_pipeline.replay.chain_vault import vault
from clash_pipeline.replay.chain_views import ChainView
from clash_pipeline.replay.hosting import serving
from clash_pipeline.replay.responses import json_response

VIEWS = ("a", "b")


def views_of(chain: Chain, names: Iterable[str] = VIEWS) -> dict[str, ChainView]:
    """Honest endpoints of a chain whose blocks come by the clock."""
    return {name: ChainView(chain, name, follows_clock=True) for name in names}


def application(views: Mapping[str, ChainView]) -> Starlette:
    """`POST /NAME` is the endpoint NAME; `GET /truth` says what stands in the newest block."""

    async def answer(request: Request) -> Response:
        view = views.get(request.path_params["name"])
        if view is None:
            return json_response({"error": "no such endpoint"}, 404)
        if view.is_down:
            return Response("down", 503)
        try:
            return Response(view.answer(await request.body()), media_type="application/json")
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError):
            return json_response({"error": "no such question"}, 400)

    async def truth(_: Request) -> Response:
        chain = next(iter(views.values())).chain
        with chain.lock:
            chain.catch_up()
            head = chain.head
        deposits = [[*key, str(wei)] for key, wei in sorted(head.state.deposits.items())]
        paid = {address: str(wei) for address, wei in sorted(head.state.paid.items())}
        return json_response({"number": head.number, "finalized": chain.finalized.number, "deposits": deposits,
                              "paid": paid})  # fmt: skip

    return Starlette(routes=[Route("/truth", truth), Route("/{name}", answer, methods=["POST"])])


def server_of(views: Mapping[str, ChainView]) -> uvicorn.Server:
    """The server of some endpoints."""
    config = uvicorn.Config(
        application(views), log_level="critical", access_log=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


@contextmanager
def hosted_chain(views: Mapping[str, ChainView], port: int = 0) -> Iterator[str]:
    """Serve endpoints from a thread of this process; the base address."""
    with serving(server_of(views), "chain", port) as url:
        yield url


def environment(base_url: str, pinned: Vault | None = None, names: Iterable[str] = VIEWS) -> dict[str, str]:
    """The settings of a client of the stand-in."""
    pin = pinned or vault()
    return {
        "CLASH_DEV_CHAIN": "1",
        "CLASH_CHAIN_URLS": ",".join(f"{base_url}/{name}" for name in names),
        "CLASH_CHAIN_ID": str(pin.chain_id),
        "CLASH_CHAIN_CONTRACT": pin.address,
        "CLASH_CHAIN_CODE_HASH": pin.code_hash,
        "CLASH_CHAIN_RESOLVER": pin.resolver,
    }
