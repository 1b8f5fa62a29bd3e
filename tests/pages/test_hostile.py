"""A1 for pages: whatever is sent to them, by whoever is signed in, no answer is a 500, and none echoes it as markup."""

import random
from urllib.parse import quote, urlencode

import pytest

from clash_pipeline.api.pages.routing import PageRoute
from clash_pipeline.api.pages.table import PAGES
from tests.fakes.person import AT_HOME, Person
from tests.fakes.showroom import Showroom

ROUTES = [route for router in PAGES for route in router.routes if isinstance(route, PageRoute)]
TOKENS = (
    "", "0", "-1", "1", "2", "01", "1_0", "1e9", "１", "9" * 19, "9" * 400, "NaN", "null", "\0", "\r\nset-cookie: x=1",
    "%", "%zz", "..", "../..", "//elsewhere.example", "<script>alert(1)</script>", "'; DROP TABLE clones; --",
    "{{7*7}}", "é" * 50, "\u202eabc", "a\u0301\u0301\u0301\u0301", "6h", "BTC", "approve", "halt", "complete", "yes",
    "all", "0x" + "f" * 130,
)  # fmt: skip
NAMES = (
    "act", "reason", "is_sure", "clone_id", "token", "next", "address", "chain", "message", "signature", "form_key",
    "span", "symbol", "clone", "before", "state", "page", "done", "v", "other",
)  # fmt: skip


def _path(route: PageRoute, source: random.Random) -> str:
    parts = [
        quote(source.choice(("1", "2", source.choice(TOKENS))), safe="") if part.startswith("{") else part
        for part in route.path.split("/")
    ]
    return "/".join(parts)


def _fields(source: random.Random, key: str) -> dict[str, str]:
    fields = {source.choice(NAMES): source.choice(TOKENS) for _ in range(source.randrange(5))}
    return {"form_key": key, **fields} if source.random() < 0.8 else fields


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_is_sent_to_a_page_breaks_it(room: Showroom, seed: int) -> None:
    walk(room, seed, 150)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 42))
def test_nothing_of_very_much_breaks_it(room: Showroom, seed: int) -> None:
    walk(room, seed, 2_500)


def walk(room: Showroom, seed: int, requests: int) -> None:
    """Some requests by somebody with every right, each of a page and with fields and tokens by chance."""
    source, person = random.Random(seed), Person(room.api.app)
    person.sign_in_as_operator(room.token())
    person.sign_in(room.owner)
    key = person.key()
    for number in range(requests):
        route = source.choice(ROUTES)
        path, query = _path(route, source), f"?{urlencode(_fields(source, ''))}" if source.random() < 0.4 else ""
        method = source.choice((*route.methods, "GET", "POST"))
        sent = {"data": _fields(source, key)} if method == "POST" else {}
        if path in ("/sign-out", "/admin/logout") and method == "POST":
            continue  # tried elsewhere; here it would end the walk
        answer = person.client.request(method, path + query, headers=AT_HOME, **sent)
        assert answer.status_code < 500, (number, method, path, query, sent, answer.text[-300:])
        assert "<script>alert" not in answer.text
        assert "set-cookie" not in answer.headers or path in ("/admin/login", "/sign-in/signed")
        assert "Traceback" not in answer.text
