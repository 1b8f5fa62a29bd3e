"""A9: no connection leaves this machine, and no field of a request ever becomes an address that we call."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clash_pipeline.settings import Settings
from tests.api.test_authorisation import EXISTING, operations
from tests.fakes import egress
from tests.fakes.stocked_arena import StockedArena
from tests.fakes.watched.sitecustomize import LOG, Egress

pytestmark = pytest.mark.goal

URL = "http://127.0.0.1:9/canary"
TELLING = (
    "host", "origin", "referer", "forwarded", "x-forwarded-host", "x-forwarded-for", "x-original-url", "x-rewrite-url",
    "x-http-method-override", "from", "via",
)  # fmt: skip
"""Headers that other systems have followed."""


@pytest.fixture(scope="module")
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """One system; nobody minds what is refused there."""
    return StockedArena(arena_copy().model_copy(update={"api_answer_sec": 120}))


def variants(value: Any) -> Iterator[Any]:
    """An example with one of its texts replaced by an address, for each of them."""
    if isinstance(value, str):
        yield URL
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: changed} for changed in variants(inner))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], changed, *value[place + 1 :]] for changed in variants(inner))


def requests_of(path: str, operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The operation with an address in each text of its body, each part of its path and query, and each header."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    good = {"url": path.format(**EXISTING), "json": body}
    yield from ({**good, "json": changed} for changed in variants(body))
    for name in (part.partition("}")[0] for part in path.split("{")[1:]):
        yield {**good, "url": path.format(**EXISTING | {name: URL.replace("/", "%2F")})}
    for name in ("x", *_names(operation)):
        yield {**good, "params": {name: URL}}
    yield {**good, "headers": dict.fromkeys(TELLING, URL)}


def _names(operation: dict[str, Any]) -> Iterator[str]:
    return (found["name"] for found in operation.get("parameters", ()) if found.get("in") == "query")


def test_no_field_of_a_request_becomes_an_address(house: StockedArena) -> None:
    shown = {"userToken": house.bearer(), "serviceToken": house.service()}
    asked = 0
    with egress.reached() as hosts:
        for method, path, kind, operation in operations():
            if operation["operationId"] == "logout":
                continue
            own = {**shown.get(kind, {}), "if-match": "*", "accept": "*/*, text/event-stream"}
            for made in requests_of(path, operation):
                asked += 1
                headers = {**own, "idempotency-key": f"egress-{asked:012}", **made.pop("headers", {})}
                answer = house.api.client.request(method, headers=headers, **made)
                assert answer.status_code < 500, (method, made, answer.text)
    assert hosts == []
    assert asked > 200


def test_control_a_call_is_seen() -> None:
    with egress.reached() as hosts, socket.socket() as made, pytest.raises(OSError, match="refused"):
        made.connect(("127.0.0.1", 9))
    assert hosts == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid", "169.254.169.254", "127.evil.invalid"])
def test_control_another_host_is_stopped_and_told(host: str) -> None:
    with pytest.raises(OSError, match=r"alone|Name or service|resolution"):
        socket.create_connection((host, 80), timeout=1)
    assert [line.split()[1] for line in egress.tried()] == [host]


def test_control_a_process_that_a_test_starts_is_stopped_too() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert Egress.__name__ in made.stderr
    assert len(egress.tried()) == 1


def test_names_of_this_machine_are_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1])).close()
    assert egress.tried() == []
    assert json.dumps(os.environ[LOG])
