"""A7: slow and oversized requests are closed by the server itself, and others are served meanwhile (09 F11)."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from clash_pipeline.api import server
from clash_pipeline.api.server import HeadTimeoutProtocol
from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from tests.fakes.api_client import T0, Api
from tests.fakes.api_server import served

pytestmark = pytest.mark.goal

HEAD = b"POST /api/v1/auth/challenge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
Address = tuple[str, int]


@pytest.fixture
def address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """A server that waits half a second for heads and bodies, and a second for the next request."""
    monkeypatch.setattr(server, "KEEP_ALIVE_SEC", 1)
    hasty = settings.model_copy(update={"api_receive_sec": 0.5, "api_reads_per_minute": 100_000})
    wall = SettableClock(T0)
    with served(Api(Services(hasty, SettableClock(T0), wall), wall)) as found:
        yield found


def _connected(address: Address) -> socket.socket:
    made = socket.create_connection(address, timeout=20)
    made.settimeout(20)
    return made


def _all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    content = b""
    while part := connection.recv(65_536):
        content += part
    return content


def test_a_head_that_does_not_end_is_closed(address: Address) -> None:
    with _connected(address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert _all(slow) == b""


def test_a_client_that_says_nothing_is_closed(address: Address) -> None:
    with _connected(address) as silent:
        assert _all(silent) == b""


def test_a_second_head_on_one_connection_has_its_time_too(address: Address) -> None:
    with _connected(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nX-Slow: ")
        assert _all(client).count(b"HTTP/1.1 200") == 1


def test_a_body_that_does_not_end_gets_a_408(address: Address) -> None:
    with _connected(address) as slow:
        slow.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"address"')
        answer = _all(slow)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"request_too_slow" in answer


def test_a_body_over_the_limit_is_refused_before_it_is_sent(address: Address) -> None:
    with _connected(address) as large:
        large.sendall(HEAD + b"Content-Length: 300000\r\n\r\n")
        answer = _all(large)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


def test_a_chunked_body_over_the_limit_is_cut_off(address: Address) -> None:
    with _connected(address) as large:
        large.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            large.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        assert large.recv(65_536).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00"],
)
def test_what_is_not_http_gets_a_problem(address: Address, request_line: bytes) -> None:
    with _connected(address) as client:
        client.sendall(request_line)
        answer = _all(client)
    assert answer == b"" or b"malformed_request" in answer


@pytest.mark.parametrize("length", [b"Content-Length: 200000", b"Transfer-Encoding: chunked"])
def test_a_body_that_nobody_asked_for_is_not_waited_for(address: Address, length: bytes) -> None:
    """The answer is there at once; the rest of the request may trickle in as long as any head may."""
    with _connected(address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert _is_closed_while_it_sends(slow, b"1\r\na\r\n")


def test_a_body_that_nobody_asked_for_may_end_and_the_connection_goes_on(address: Address) -> None:
    with _connected(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        client.sendall(b"late" + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


def _is_closed_while_it_sends(connection: socket.socket, part: bytes, parts: int = 200) -> bool:
    """Whether the server ends a connection on which something arrives all the time, within some parts."""
    connection.settimeout(0.1)
    for _ in range(parts):
        try:
            connection.sendall(part)
            if connection.recv(65_536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_headers_that_do_not_end_are_cut_off(address: Address) -> None:
    with _connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000)
        assert b"malformed_request" in _all(client)


def test_others_are_served_while_many_are_slow(address: Address) -> None:
    slow = [_connected(address) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as healthy:
            assert [healthy.get("/healthz").status_code for _ in range(20)] == [200] * 20
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.soak
def test_a_healthy_client_is_quick_beside_five_hundred_slow_ones(address: Address) -> None:
    slow = [_connected(address) for _ in range(500)]
    took = []
    try:
        with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as healthy:
            for number in range(1_000):
                slow[number % 500].close()
                slow[number % 500] = _connected(address)
                slow[number % 500].sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
                began = time.perf_counter()
                assert healthy.get("/healthz").status_code == 200
                took.append(time.perf_counter() - began)
    finally:
        for connection in slow:
            connection.close()
    assert sorted(took)[990] < 0.25


def test_control_a_body_that_nobody_asked_for_would_be_waited_for(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadTimeoutProtocol, "_owes_a_body", lambda _: False)
    with _connected(address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert not _is_closed_while_it_sends(slow, b"1\r\na\r\n", parts=12)


def test_control_plain_uvicorn_leaves_a_head_open(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeadTimeoutProtocol, "_expect_head", lambda _: None)
    with _connected(address) as slow:
        slow.settimeout(1.5)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        with pytest.raises(TimeoutError):
            slow.recv(1)
