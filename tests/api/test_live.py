"""Server-sent events as they really stream: resumed, bounded, ended with the session; workers and metrics."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from clash_pipeline.api import beating
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import waves
from clash_pipeline.market import ingestion
from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.api_server import served
from tests.fakes.stocked_api import GENEROUS, StockedApi

SSE = {"accept": "text/event-stream"}
FILLS = "/api/v1/live/clones/1/fills"
Lines = Iterator[str]


@pytest.fixture
def house(stocked: Settings, monkeypatch: pytest.MonkeyPatch) -> StockedApi:
    """A system whose streams last as long as a test may, and of which one principal may have two."""
    for name, value in {"api_stream_sec": 60, "api_stream_heartbeat_sec": 0.1, "api_streams_each": 2}.items():
        monkeypatch.setitem(GENEROUS, name, value)
    return StockedApi(stocked)


@pytest.fixture
def client(house: StockedApi) -> Iterator[httpx.Client]:
    """A client of the server as it is really served."""
    with served(house.api) as (host, port), httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as made:
        yield made


def events(lines: Lines) -> Iterator[dict[str, Any]]:
    """The events of a stream; comments are events named `comment`."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield {"event": "comment"}
        elif line:
            event[name] = json.loads(value) if name == "data" else value
        elif "data" in event:
            yield event
            event = {}


def trade(house: StockedApi) -> None:
    """One more decision, at another price, that closes what is held."""
    house.clock.advance(10 * MINUTE_MS)
    for symbol in ("BTC", "ETH"):
        house.world.minute(symbol, "103", hist=0.5, hist_before=0.6, rsi14=67.0, bb_upper=103.0, bb_middle=99.0,
                           bb_lower=95.0, sma20=99.0, ema20=99.5)  # fmt: skip
    waves.run_once(house.services, clone_id=1, force=True)


def test_fills_arrive_as_they_happen_and_a_quiet_stream_says_that_it_lives(
    house: StockedApi, client: httpx.Client
) -> None:
    with client.stream("GET", FILLS, headers=house.bearer() | SSE) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        found = events(answer.iter_lines())
        assert next(found) == {"event": "comment"}
        threading.Thread(target=trade, args=(house,)).start()
        fill = next(event for event in found if event["event"] == "fill")
    assert (fill["id"], fill["data"]["accountId"], fill["data"]["side"]) == ("3", 1, "sell")


def test_a_stream_goes_on_behind_the_last_id(house: StockedApi, client: httpx.Client) -> None:
    with client.stream("GET", FILLS, headers=house.bearer() | SSE | {"last-event-id": "0"}) as answer:
        found = events(answer.iter_lines())
        assert [next(found)["id"] for _ in range(2)] == ["1", "2"]
    with client.stream("GET", FILLS, headers=house.bearer() | SSE | {"last-event-id": "1"}) as answer:
        assert next(events(answer.iter_lines()))["data"]["symbol"] == "ETH"


def test_a_stream_ends_with_its_session(house: StockedApi, client: httpx.Client) -> None:
    me = house.bearer()
    with client.stream("GET", FILLS, headers=me | SSE) as answer:
        lines = answer.iter_lines()
        next(lines)
        client.post("/api/v1/auth/logout", headers=me)
        assert list(events(lines))[-1:] in ([], [{"event": "comment"}])


def test_a_stream_of_somebody_else_is_absent(house: StockedApi) -> None:
    problem(house.api.client.get(FILLS, headers=house.bearer(house.other) | SSE), 404, "not_found")


@pytest.mark.parametrize("bad", ["x", "-1", "1e3", "9" * 19, "１"])
def test_a_last_id_that_is_none_of_ours_is_refused(house: StockedApi, bad: str) -> None:
    answer = house.api.client.get(FILLS, headers={**house.bearer(), **SSE, "last-event-id": bad.encode()})
    problem(answer, 422, "last_event_id_invalid")


def test_only_so_many_streams_are_open_and_only_for_those_who_take_them(
    house: StockedApi, client: httpx.Client
) -> None:
    me = house.bearer() | SSE
    with client.stream("GET", FILLS, headers=me) as one, client.stream("GET", FILLS, headers=me) as two:
        lines = one.iter_lines(), two.iter_lines()  # kept: a reader that is dropped closes its stream
        assert [next(each) for each in lines] == ["retry: 2000"] * 2
        assert problem(client.get(FILLS, headers=me), 429, "rate_limited")
    problem(client.get(FILLS, headers=house.bearer() | {"accept": "application/json"}), 406, "event_stream_only")


def test_of_twenty_that_come_at_once_only_so_many_get_in(house: StockedApi, client: httpx.Client) -> None:
    """None slips in between the look for room and the place that it takes."""
    me, come, statuses = house.bearer() | SSE, threading.Barrier(20), []
    everybody_answered = threading.Event()

    def open_one() -> None:
        come.wait()
        with client.stream("GET", FILLS, headers=me) as answer:
            statuses.append(answer.status_code)
            if len(statuses) == 20:
                everybody_answered.set()
            everybody_answered.wait(20)

    threads = [threading.Thread(target=open_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 2 + [429] * 18


def test_a_place_is_free_again_when_its_stream_was_left(house: StockedApi, client: httpx.Client) -> None:
    me = house.bearer() | SSE
    for _ in range(5):
        with client.stream("GET", FILLS, headers=me) as one, client.stream("GET", FILLS, headers=me) as two:
            assert [next(one.iter_lines()), next(two.iter_lines())] == ["retry: 2000"] * 2
        while house.api.app.state.streams._open.total():
            threading.Event().wait(0.01)


def test_health_is_sent_at_once_and_when_it_changes(house: StockedApi, client: httpx.Client) -> None:
    with client.stream("GET", "/api/v1/live/ingestion", headers=SSE) as answer:
        found = (event for event in events(answer.iter_lines()) if event["event"] == "health")
        before = next(found)["data"]
        with house.services.market.write() as connection:
            now_ms = house.clock.now_ms()
            failed = ingestion.Cycle()
            ingestion.record(
                connection, "hyperliquid", "candles_1m", failed, started_at=now_ms, finished_at=now_ms, error="gone"
            )
        after = next(found)["data"]
    statuses = [
        next(channel["status"] for channel in each["channels"] if channel["channel"] == "candles_1m")
        for each in (before, after)
    ]
    assert statuses == ["ok", "failed"]
    assert "gone" not in json.dumps(after)


# workers and metrics


def test_workers_are_seen_by_their_heartbeats(house: StockedApi) -> None:
    operator = house.service("health")
    path = "/api/v1/internal/health/workers"
    with beating.beats(house.services, "api"):
        found = house.api.client.get(path, headers=operator).json()
        assert (found["status"], [(each["worker"], each["status"]) for each in found["items"]]) == (
            "ok", [("api", "ok"), ("ingester", "ok")],
        )  # fmt: skip
    house.wall.advance(MINUTE_MS)
    found = house.api.client.get(path, headers=operator).json()
    assert (found["status"], [(each["worker"], each["status"]) for each in found["items"]]) == (
        "degraded", [("api", "stopped"), ("ingester", "stale")],
    )  # fmt: skip


def test_metrics_count_requests_by_route_and_never_by_path(house: StockedApi) -> None:
    operator = house.service("health")
    for number in range(3):
        house.api.client.get(f"/api/v1/assets/NOPE{number}")
        house.api.client.get(f"/no/such/path/{number}")
    answer = house.api.client.get("/metrics", headers=operator)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'clash_http_requests_total{method="GET",route="/api/v1/assets/{symbol:path}",status="404"}' in answer.text
    assert 'clash_worker_ok{worker="ingester"} 1.0' in answer.text
    assert 'clash_channel_age_seconds{channel="candles_1m",source="hyperliquid"} 54.0' in answer.text
    assert 'clash_prop_accounts{kind="sandbox",state="active"} 1.0' in answer.text
    assert "NOPE" not in answer.text
    assert "/no/such" not in answer.text
    problem(house.api.client.get("/metrics"), 401, "unauthorised")
