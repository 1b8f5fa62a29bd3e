"""The driver: minute by minute, waiting for everybody, and never in silence for ever."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.replay.clock import venue_clock
from clash_pipeline.replay.controls import VenueControls, VenueGone
from clash_pipeline.replay.driver import Driver, ReplayStuck
from clash_pipeline.replay.environment import environment, exports
from clash_pipeline.replay.hosting import listening, url_of
from clash_pipeline.replay.synthetic import DEFAULT_START_MS as NOW
from clash_pipeline.settings import load


def test_each_minute_is_closed_and_waited_for_before_the_next(served: VenueControls) -> None:
    seen: list[tuple[int, int]] = []
    asked = 0

    def ingested(minute: int) -> bool:
        nonlocal asked
        asked += 1
        if asked % 3:
            return False
        seen.append((minute, served.now_ms()))
        return True

    driver = Driver(served.base_url, [ingested], sleep=lambda _: None)
    assert driver.run(NOW + 4 * MINUTE_MS) == 4
    assert seen == [(NOW + place * MINUTE_MS, NOW + (place + 1) * MINUTE_MS + 6_000) for place in range(4)]
    assert driver.run(NOW + 4 * MINUTE_MS) == 0, "nothing is told twice"


def test_what_does_not_finish_is_named(served: VenueControls) -> None:
    ticks = iter(range(0, 1_000, 7))

    def waves_are_done(minute: int) -> bool:
        return False

    driver = Driver(
        served.base_url, [waves_are_done], deadline_sec=30, sleep=lambda _: None, monotonic=lambda: next(ticks)
    )
    with pytest.raises(ReplayStuck, match=rf"waves_are_done is not finished with minute {NOW} after 30 s"):
        driver.run(NOW + MINUTE_MS)


def test_the_clock_is_the_venues_from_any_thread(served: VenueControls) -> None:
    clock = venue_clock(environment(served.base_url)["CLASH_VENUE_CLOCK_URL"])
    assert clock.now_ms() == NOW
    served.advance(NOW + 1_234)
    read: list[int] = []
    threads = [threading.Thread(target=lambda: read.extend(clock.now_ms() for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [NOW + 1_234] * 80


def test_a_venue_that_is_gone_is_named() -> None:
    opened = listening(0)
    url = url_of(opened)
    opened.close()
    with pytest.raises(VenueGone, match=url):
        venue_clock(url).now_ms()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (200, b'{"now": 1}'), (404, b'{"error": "no"}'), (500, b"[]")]
)
def test_somebody_else_on_the_port_is_no_clock(status: int, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(VenueGone, match="not a replayed venue"):
            VenueControls(f"http://127.0.0.1:{server.server_port}/clock").now_ms()
        thread.join()


def test_the_environment_is_one_the_settings_take() -> None:
    given = environment("http://127.0.0.1:8799/")
    settings = load(given)
    assert settings.hyperliquid_ws_url == "ws://127.0.0.1:8799/ws"
    assert str(settings.polymarket_clob_url) == "http://127.0.0.1:8799/clob"
    assert exports("http://127.0.0.1:8799").count("export CLASH_") == len(given)
