"""Who may see and do what on pages, and that no other site does it in their name."""

import pytest
from fastapi import FastAPI

from clash_pipeline.api.app import create_app
from clash_pipeline.api.pages import forms
from clash_pipeline.api.pages.routing import PageRoute
from clash_pipeline.api.pages.table import PAGES
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.identity import service_tokens, sessions
from clash_pipeline.identity.service_tokens import SCOPES
from clash_pipeline.storage.sqlite import one
from tests.api.conftest import api  # noqa: F401  # the application on empty databases
from tests.fakes.api_client import SECRET, T0, Api, problem
from tests.fakes.person import AT_HOME, Person
from tests.fakes.showroom import Showroom
from tests.fakes.wallet import Wallet

PRESENT = {"account_id": "1", "clone_id": "1", "run_id": "1", "profile_id": "1", "report_id": "1", "name": "pages.css"}
ROUTES = [route for router in PAGES for route in router.routes if isinstance(route, PageRoute)]
ADMIN = [route for route in ROUTES if route.access.startswith("service")]
UNSAFE = [route for route in ROUTES if route.methods - {"GET", "HEAD"}]


def _path(route: PageRoute) -> str:
    return route.path.format(**PRESENT)


def _ids(routes: list[PageRoute]) -> list[str]:
    return [f"{'/'.join(sorted(route.methods))} {route.path}" for route in routes]


def _token(app: Api, *scopes: str) -> str:
    return service_tokens.create(
        app.services.clash, "-".join(scopes), scopes, secret=bytes(31) + bytes([len(scopes)]), actor="test", now_ms=T0
    )[1]


def _ask(person: Person, route: PageRoute):  # type: ignore[no-untyped-def]
    if "GET" in route.methods:
        return person.look(_path(route))
    return person.client.post(_path(route), data={"form_key": "x"}, headers=AT_HOME)


@pytest.mark.parametrize("route", ADMIN, ids=_ids(ADMIN))
def test_an_admin_page_is_absent_while_there_is_no_token(api: Api, route: PageRoute) -> None:  # noqa: F811
    assert _ask(Person(api.app), route).status_code == 404


@pytest.mark.parametrize("path", ["/admin/login", "/admin/nothing", "/admin"])
def test_nor_is_there_a_place_to_sign_in(api: Api, path: str) -> None:  # noqa: F811
    assert Person(api.app).look(path).status_code == 404


@pytest.mark.parametrize("route", ADMIN, ids=_ids(ADMIN))
def test_an_admin_page_sends_strangers_to_its_door(shown: Showroom, operator: Person, route: PageRoute) -> None:
    """The operator's token makes the pages exist; neither strangers nor signed-in users get in."""
    user = Person(shown.api.app)
    user.sign_in(Wallet(9))
    for person in (Person(shown.api.app), user):
        answer = _ask(person, route)
        if "GET" in route.methods:
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/admin/login")
        else:
            assert answer.status_code == (401 if person is not user else 403)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_own_pages_and_no_others(api: Api, scope: str) -> None:  # noqa: F811
    person = Person(api.app)
    person.sign_in_as_operator(_token(api, "ingestion"))
    person.client.cookies.clear()
    signed_in = person.sign_in_as_operator(_token(api, scope, "health"))
    has_pages = scope in ("accounts", "arena", "ingestion", "moderation")
    assert signed_in.status_code == (303 if has_pages else 403)
    for route in (route for route in ADMIN if "GET" in route.methods and "{" not in route.path):
        expected = 200 if route.access == f"service:{scope}" else 403 if has_pages else 303
        assert person.look(route.path).status_code == expected, route.path


@pytest.mark.parametrize("route", UNSAFE, ids=_ids(UNSAFE))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": "https://elsewhere.example", "sec-fetch-site": "same-origin"},
        {"origin": "http://127.0.0.1:8788", "sec-fetch-site": "same-origin"},
    ],
    ids=["silent", "cross-site", "same-site", "typed", "null", "other origin", "other port"],
)
def test_no_form_of_another_site_is_taken(operator: Person, route: PageRoute, headers: dict[str, str]) -> None:
    answer = operator.send(_path(route), headers=headers, act="approve", reason="x")
    assert answer.status_code == 403
    assert "foreign_origin" in answer.text


def test_a_form_of_our_own_origin_is_taken(shown: Showroom) -> None:
    for origin in ("http://127.0.0.1:8787", "null"):
        person = Person(shown.api.app)
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        answer = person.client.post("/sign-in", data={"address": Wallet(1).address, "chain": "4326"}, headers=headers)
        assert answer.status_code == 200


SIGNED_IN = [route for route in UNSAFE if route.path not in ("/admin/login", "/sign-in", "/sign-in/signed")]


@pytest.mark.parametrize("route", SIGNED_IN, ids=_ids(SIGNED_IN))
@pytest.mark.parametrize("key", ["", "0" * 64, "é"])
def test_a_form_without_its_key_is_refused(operator: Person, route: PageRoute, key: str) -> None:
    answer = operator.send(_path(route), key=key, act="halt", reason="x")
    assert answer.status_code == 403
    assert "form_outdated" in answer.text


def test_control_without_the_key_a_form_would_do_its_work(room: Showroom, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    monkeypatch.setattr(forms.Visitor, "filled_in", lambda *_: True)
    assert person.send("/admin/accounts", key="wrong", act="halt", reason="drill").status_code == 303


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(shown: Showroom) -> None:
    person = Person(shown.api.app)
    cookies = [
        person.sign_in_as_operator(shown.token(name="cookies")).headers["set-cookie"],
        person.sign_in(Wallet(5)).headers["set-cookie"],
    ]
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/" in cookie
        assert "Secure" not in cookie  # plain HTTP, on this machine


def test_over_https_cookies_are_for_https_and_this_host_alone(room: Showroom) -> None:
    secure = Showroom(room.settings.model_copy(update={"api_url": "https://clash.example/"}), room)
    person = Person(secure.api.app, "https://clash.example")
    cookie = person.sign_in_as_operator(secure.token()).headers["set-cookie"]
    assert cookie.startswith("__Host-clash-operator=")
    assert "Secure" in cookie
    assert person.look("/admin/accounts").status_code == 200


def test_no_cookie_opens_the_api(operator: Person, owner: Person) -> None:
    plain = {"accept": "application/json"}
    problem(owner.client.get("/api/v1/auth/me", headers=plain), 401, "unauthorised")
    problem(operator.client.get("/api/v1/moderation/profiles", headers=plain), 401, "unauthorised")


@pytest.fixture
def signed_in(room: Showroom) -> tuple[Showroom, Person]:
    """An operator and a user in one browser."""
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    person.sign_in(room.owner)
    assert person.look("/admin/accounts").status_code == person.look("/clones").status_code == 200
    return room, person


def test_revoking_the_token_ends_its_sign_in_at_once(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    service_tokens.revoke(room.services.clash, "desk", now_ms=T0)
    room.token(name="another")  # so that the page is there at all
    assert person.look("/admin/accounts").headers["location"] == "/admin/login?next=/admin/accounts"
    assert person.look("/clones").status_code == 200


def test_ending_the_session_anywhere_ends_it_here(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    with room.services.clash.read() as connection:
        session_id = one(connection, "SELECT id FROM auth_sessions")
    sessions.log_out(room.services.clash, session_id, now_ms=T0)
    assert person.look("/clones").headers["location"] == "/sign-in?next=/clones"
    assert person.look("/admin/accounts").status_code == 200


def test_signing_out_takes_back_cookie_and_session(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    kept = dict(person.client.cookies)
    assert person.send("/admin/logout").headers["location"] == "/"
    assert person.send("/sign-out").status_code == 303
    assert dict(person.client.cookies) == {}
    person.client.cookies.update(kept)  # a copy that somebody made before
    assert person.look("/admin/accounts").status_code == 303
    assert person.look("/clones").status_code == 303
    with room.services.clash.read() as connection:
        assert one(connection, "SELECT revoked_reason FROM auth_sessions") == "logout"


def test_a_sign_in_ends_after_twelve_hours_and_with_the_process(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    again = Person(_restarted(room))
    again.client.cookies.update(dict(person.client.cookies))
    assert again.look("/admin/accounts").status_code == 303
    room.wall.advance(12 * HOUR_MS - 1)
    assert person.look("/admin/accounts").status_code == 200
    room.wall.advance(1)
    assert person.look("/admin/accounts").status_code == 303


def _restarted(room: Showroom) -> FastAPI:
    return create_app(room.services, SECRET)


def test_a_cookie_counts_only_under_its_own_name(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    swapped = Person(room.api.app)
    swapped.client.cookies.set("clash-operator", person.client.cookies["clash-user"])
    assert swapped.look("/admin/accounts").status_code == 303


def test_every_use_of_a_token_on_pages_is_written_down(signed_in: tuple[Showroom, Person]) -> None:
    room, person = signed_in
    person.send("/admin/accounts/1", act="pause", reason="look closer")
    with room.services.clash.read() as connection:
        rows = connection.execute("SELECT scope, action, status FROM service_token_uses ORDER BY id").fetchall()
    uses = [tuple(row) for row in rows]
    assert uses[0] == ("(none)", "POST /admin/login", 303)
    assert ("accounts", "GET /admin/accounts", 200) in uses
    assert uses[-1] == ("accounts", "POST /admin/accounts/{account_id}", 303)


@pytest.mark.parametrize("token", ["", "x", "clash_" + "0" * 64, "clash_" + "é" * 64, "x" * 200])
def test_a_token_that_is_none_gets_the_form_again(shown: Showroom, anybody: Person, token: str) -> None:
    shown.token(name=f"for {token[:9]} {len(token)}")
    answer = anybody.sign_in_as_operator(token)
    assert answer.status_code == 401
    assert "This is no live service token." in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "wanted",
    ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere", "javascript:1", "/a?b", "/a\r\nx: y"],
)
def test_signing_in_leads_to_no_other_site(room: Showroom, wanted: str) -> None:
    person = Person(room.api.app)
    answer = person.client.post("/admin/login", data={"token": room.token(), "next": wanted}, headers=AT_HOME)
    assert answer.headers["location"] == "/admin/ingestion"


def test_signing_in_leads_back_to_where_one_was(room: Showroom) -> None:
    person, token = Person(room.api.app), room.token()
    door = person.look("/admin/accounts/1").headers["location"]
    assert door == "/admin/login?next=/admin/accounts/1"
    assert 'value="/admin/accounts/1"' in person.look(door).text
    answer = person.client.post("/admin/login", data={"token": token, "next": "/admin/accounts/1"}, headers=AT_HOME)
    assert answer.headers["location"] == "/admin/accounts/1"


def test_a_wallet_signs_in_by_hand(shown: Showroom) -> None:
    person = Person(shown.api.app)
    assert person.sign_in(shown.owner).headers["location"] == "/clones"
    assert "My first" in person.look("/clones").text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"address": "0x12", "chain": "4326"}, "address"),
        ({"address": Wallet(1).address, "chain": "1"}, "That chain is none of ours."),
    ],
)
def test_a_wallet_that_cannot_sign_in_is_told_why(anybody: Person, fields: dict[str, str], says: str) -> None:
    answer = anybody.client.post("/sign-in", data=fields, headers=AT_HOME)
    assert answer.status_code == 422
    assert says in answer.text.partition("<form")[0] + answer.text.partition('role="alert"')[2]


def test_anothers_signature_signs_nobody_in(anybody: Person) -> None:
    from tests.fakes.person import fields_of

    asked = anybody.client.post("/sign-in", data={"address": Wallet(1).address, "chain": "4326"}, headers=AT_HOME)
    message = fields_of(asked)["message"]
    answer = anybody.client.post(
        "/sign-in/signed", data={"message": message, "signature": Wallet(2).sign(message)}, headers=AT_HOME
    )
    assert answer.status_code == 422
    assert "This is not the signature of that address." in answer.text
    assert not anybody.client.cookies
