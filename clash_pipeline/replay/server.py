"""One loopback port for all replayed venues: routes, the WebSocket endpoint and the controls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from clash_pipeline.clock import hour_of
from clash_pipeline.replay import gamma, info
from clash_pipeline.replay.clob import HISTORY_INTERVALS, Clob
from clash_pipeline.replay.defillama import OVERVIEWS, DefiLlama
from clash_pipeline.replay.faults import FaultBook, UnknownFault
from clash_pipeline.replay.gamma import BadQuery, Gamma
from clash_pipeline.replay.questions import Questions
from clash_pipeline.replay.recorded_answers import RecordedAnswers
from clash_pipeline.replay.responses import faulty, json_response
from clash_pipeline.replay.sessions import BANNER, Session
from clash_pipeline.replay.venue import Venue

TICK_SEC = 0.02
"""How often free-running time moves."""
FAR_FUTURE_MS = 253_402_300_800_000
BOT_AGENTS = ("python", "curl", "go-http")
"""Callers that DefiLlama's front refuses."""


class FaultChange(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /faults` takes: faults to add, after all others were cleared or beside them."""

    faults: str = ""
    clear: bool = False


def application(
    venue: Venue, *, recordings: Path | None = None, speed: float | None = None, banner: bool = True
) -> Starlette:
    """The whole venue; `speed` None means stepped time."""
    recorded = RecordedAnswers(recordings)
    questions = Questions(venue.market)
    routes = [
        *_control(venue, speed),
        Route("/info", faulty(venue, "hyperliquid", _info(venue)), methods=["POST"]),
        WebSocketRoute("/ws", _socket(venue, banner)),
        *_gamma(venue, Gamma(venue.market, questions, recorded)),
        *_clob(venue, Clob(venue.market, questions, recorded)),
        *_llama(venue, DefiLlama(venue.market.truth.seed, recorded)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(_run_freely(venue, speed)) if speed else None
        yield
        if running:
            running.cancel()
        for session in venue.sessions.values():
            session.close()

    return Starlette(routes=routes, lifespan=lifespan)


async def _run_freely(venue: Venue, speed: float) -> None:
    loop = asyncio.get_running_loop()
    began, started_ms = loop.time(), venue.now_ms
    while True:
        await venue.advance(started_ms + int((loop.time() - began) * speed * 1000))
        venue.close_idle(loop.time())
        await asyncio.sleep(TICK_SEC)


def _control(venue: Venue, speed: float | None) -> list[BaseRoute]:
    async def read_clock(_: Request) -> Response:
        return json_response({"nowMs": venue.now_ms})

    async def move_clock(request: Request) -> Response:
        if speed is not None:
            return json_response({"error": f"time runs freely at {speed:g}x: it cannot be stepped"}, 409)
        to_ms = (await _body(request)).get("toMs")
        if isinstance(to_ms, bool) or not isinstance(to_ms, int) or not 0 <= to_ms < FAR_FUTURE_MS:
            return json_response({"error": f"toMs must be epoch milliseconds, not {to_ms!r}"}, 422)
        await venue.advance(to_ms)
        return json_response({"nowMs": venue.now_ms})

    async def stats(_: Request) -> Response:
        return json_response(venue.stats())

    async def read_faults(_: Request) -> Response:
        return json_response(venue.faults.listed())

    async def change_faults(request: Request) -> Response:
        try:
            change = msgspec.json.decode(await request.body(), type=FaultChange)
            FaultBook().add(change.faults, venue.now_ms)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return json_response({"error": f'the body must be {{"faults": "KIND...", "clear": true}}: {error}'}, 422)
        except UnknownFault as error:
            return json_response({"error": str(error)}, 422)
        if change.clear:
            venue.faults.clear()
        venue.faults.add(change.faults, venue.now_ms)
        venue.strike_due_faults()
        return json_response(venue.faults.listed())

    return [
        Route("/clock", read_clock, methods=["GET"]),
        Route("/clock", move_clock, methods=["POST"]),
        Route("/stats", stats),
        Route("/faults", read_faults, methods=["GET"]),
        Route("/faults", change_faults, methods=["POST"]),
    ]


async def _body(request: Request) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _info(venue: Venue) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        made = info.answer(venue, await request.body())
        headers = {} if made.retry_after_sec is None else {"Retry-After": str(made.retry_after_sec)}
        return Response(made.body, made.status, headers, media_type=made.content_type)

    return answer


def _socket(venue: Venue, banner: bool) -> Callable[[WebSocket], Any]:
    async def endpoint(socket: WebSocket) -> None:
        if not venue.admits():
            await socket.close(1013)
            return
        await socket.accept()
        session = Session(venue.connections_total + 1, socket.send)
        venue.connect(session)
        if banner:
            session.push(BANNER)
        try:
            await _converse(venue, session, socket)
        finally:
            venue.disconnect(session)

    return endpoint


async def _converse(venue: Venue, session: Session, socket: WebSocket) -> None:
    """Read and write until either side ends; a drop closes without an explanation."""
    sender = asyncio.create_task(session.send_all())
    reader = asyncio.create_task(_read(venue, session, socket))
    _, pending = await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
    is_dropped = sender.done() and not sender.cancelled() and sender.exception() is None
    for task in pending:
        task.cancel()
    await asyncio.gather(sender, reader, return_exceptions=True)
    if is_dropped and reader.cancelled():
        await socket.close(1001)


async def _read(venue: Venue, session: Session, socket: WebSocket) -> None:
    while True:
        try:
            message = await socket.receive()
        except WebSocketDisconnect:
            return
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        venue.receive(session, text if text is not None else message.get("bytes", b"").decode("utf-8", "replace"))


def _gamma(venue: Venue, answers: Gamma) -> list[BaseRoute]:
    def listing(kind: str, most: int, by_keyset: bool) -> Callable[[Request], Any]:
        def make(request: Request) -> Any:
            query = dict(request.query_params)
            items = getattr(answers, kind)(query, venue.now_ms)
            return gamma.page(items, kind, query, most) if by_keyset else gamma.offset_page(items, query, most)

        return make

    def one(kind: str, name: str) -> Callable[[Request], Any]:
        def make(request: Request) -> Any:
            found = getattr(answers, kind)({name: request.path_params["key"]}, venue.now_ms)
            return found[0] if found else None

        return make

    sizes = {"events": gamma.EVENTS_A_PAGE, "markets": gamma.MARKETS_A_PAGE}
    made: dict[str, Callable[[Request], Any]] = {
        "/public-search": lambda request: answers.search(dict(request.query_params), venue.now_ms),
        "/tags": lambda request: gamma.offset_page(answers.tags(), dict(request.query_params), 100),
        "/tags/slug/{key}": lambda r: next((t for t in answers.tags() if t["slug"] == r.path_params["key"]), None),
    }
    for kind, most in sizes.items():
        made[f"/{kind}/keyset"] = listing(kind, most, True)
        made[f"/{kind}"] = listing(kind, most, False)
        made[f"/{kind}/slug/{{key}}"] = one(kind, "slug")
        made[f"/{kind}/{{key}}"] = one(kind, "id")
    return [_get(venue, "polymarket", f"/gamma{path}", make, {"error": "not found"}) for path, make in made.items()]


def _clob(venue: Venue, answers: Clob) -> list[BaseRoute]:
    def token(request: Request) -> str:
        return request.query_params.get("token_id", "")

    def history(request: Request) -> Any:
        query = dict(request.query_params)
        length = HISTORY_INTERVALS.get(query.get("interval", "1d"))
        if length is None or not query.get("market"):
            raise BadQuery("market and a known interval, or startTs and endTs, are needed")
        end = _seconds(query, "endTs", venue.now_ms)
        start = _seconds(query, "startTs", end - length)
        fidelity = query.get("fidelity", "1")
        return answers.history(query["market"], start, end, int(fidelity) if fidelity.isdigit() else 1, venue.now_ms)

    missing = {"error": "No orderbook exists for the requested token id"}
    made: dict[str, Callable[[Request], Any]] = {
        "/book": lambda request: answers.book(token(request), venue.now_ms),
        "/midpoint": lambda request: answers.midpoint(token(request), venue.now_ms),
        "/price": lambda r: answers.price(token(r), r.query_params.get("side", "BUY").upper(), venue.now_ms),
        "/last-trade-price": lambda request: answers.last_trade_price(token(request), venue.now_ms),
        "/prices-history": history,
        "/markets/{key}": lambda request: answers.market(request.path_params["key"], venue.now_ms),
    }

    async def books(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=list[dict[str, str]])[:500]
        except msgspec.DecodeError:
            return json_response({"error": "Invalid payload"}, 400)
        found = [answers.book(entry.get("token_id", ""), venue.now_ms) for entry in asked]
        return json_response([book for book in found if book is not None])

    routes: list[BaseRoute] = [_get(venue, "polymarket", f"/clob{path}", make, missing) for path, make in made.items()]
    return [*routes, Route("/clob/books", faulty(venue, "polymarket", books), methods=["POST"])]


def _seconds(query: dict[str, str], name: str, otherwise_ms: int) -> int:
    text = query.get(name)
    if text is None:
        return otherwise_ms
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadQuery(f"{name} is not a time in seconds")
    return int(text) * 1000


def _llama(venue: Venue, answers: DefiLlama) -> list[BaseRoute]:
    def key(request: Request) -> str:
        return str(request.path_params["key"])

    def hourly(make: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Answers change with the hour: make each once an hour."""
        kept: dict[str, tuple[int, msgspec.Raw]] = {}

        def made(request: Request) -> Any:
            hour, url = hour_of(venue.now_ms), str(request.url)
            if kept.get(url, (-1,))[0] != hour:
                value = make(request)
                if value is None:
                    return None
                kept[url] = hour, msgspec.Raw(msgspec.json.encode(value))
            return kept[url][1]

        return made

    def overview(kind: str) -> Callable[[Request], Any]:
        return lambda r: answers.overview(kind, r.path_params.get("key"), dict(r.query_params), venue.now_ms)

    made: dict[str, Callable[[Request], Any]] = {
        "/llama/v2/chains": lambda _: answers.chains(venue.now_ms),
        "/llama/protocols": lambda _: answers.protocols(venue.now_ms),
        "/llama/protocol/{key}": lambda r: answers.protocol(key(r), venue.now_ms),
        "/llama/tvl/{key}": lambda r: answers.tvl(key(r), venue.now_ms),
        "/llama/v2/historicalChainTvl": lambda _: answers.chain_history(None, venue.now_ms),
        "/llama/v2/historicalChainTvl/{key}": lambda r: answers.chain_history(key(r), venue.now_ms),
        "/stablecoins/stablecoins": lambda _: answers.stablecoins(venue.now_ms),
        "/stablecoins/stablecoinchains": lambda _: answers.stablecoin_chains(venue.now_ms),
        "/stablecoins/stablecoincharts/{key}": lambda r: answers.stablecoin_chart(key(r), venue.now_ms),
    }
    for kind in OVERVIEWS:
        made[f"/llama/overview/{kind}"] = made[f"/llama/overview/{kind}/{{key}}"] = overview(kind)
    live = {"/llama/protocol/{key}": made.pop("/llama/protocol/{key}")}
    made = {path: hourly(make) for path, make in made.items()} | live
    return [_get(venue, "defillama", path, make, None) for path, make in made.items()]


def _get(venue: Venue, source: str, path: str, make: Callable[[Request], Any], missing: Any) -> Route:
    """A GET whose answer is JSON; what is missing is 404, or for DefiLlama 400 in plain text."""

    async def handler(request: Request) -> Response:
        agent = request.headers.get("user-agent", "").lower()
        if source == "defillama" and (not agent or agent.startswith(BOT_AGENTS)):
            return Response("error code: 1010", 403, media_type="text/plain")
        try:
            value = make(request)
        except BadQuery as error:
            return json_response({"error": str(error)}, 422)
        if value is None:
            return (
                Response("Protocol not found", 400, media_type="text/plain")
                if missing is None
                else json_response(missing, 404)
            )
        return json_response(value)

    return Route(path, faulty(venue, source, handler), methods=["GET"])
