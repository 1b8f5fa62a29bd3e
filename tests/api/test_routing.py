"""Who may use a route, and that none can be added without saying so; idempotency, cursors and versions (A13)."""

import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response

from clash_pipeline.api import idempotency
from clash_pipeline.api.paging import Cursors
from clash_pipeline.api.parts import Me, Operator, Parts
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.routing import for_service, for_user, public, router
from clash_pipeline.api.versions import etag, is_unchanged, require_match
from clash_pipeline.api.wire import Given, Id, Line
from clash_pipeline.clock import DAY_MS
from clash_pipeline.identity import service_tokens
from clash_pipeline.storage.sqlite import one
from tests.fakes.api_client import T0, Api, problem
from tests.fakes.wallet import Wallet

KEY = {"idempotency-key": "0123456789abcdef"}


class Note(Given):
    """Something to keep."""

    text: Line


def _routes(app: FastAPI) -> None:
    area = router("/test", "test")

    @area.get("/mine/{number}")
    @for_user
    def mine(number: Id, me: Me) -> dict[str, int]:
        return {"user": me.user_id, "number": number}

    @area.get("/ours")
    @for_service("moderation")
    def ours(token: Operator) -> dict[str, str]:
        return {"token": token.name}

    @area.post("/notes")
    @for_user
    def keep(request: Request, note: Note, me: Me, parts: Parts) -> Response:
        def work() -> dict[str, int]:
            with parts.clash.write() as connection:
                connection.execute("INSERT INTO users (created_at) VALUES (7)")
                if note.text == "refused":
                    raise Problem(409, "refused", "No.")
                return {"notes": one(connection, "SELECT count(*) FROM users WHERE created_at = 7")}

        return idempotency.once(request, note.model_dump(), work)

    @area.put("/draft")
    @public
    def draft(request: Request) -> dict[str, bool]:
        require_match(request, etag("one"))
        return {"unchanged": is_unchanged(request, etag("one"))}

    app.include_router(area)


@pytest.fixture
def routed(api: Api) -> Iterator[Api]:
    """The application with a few routes more."""
    _routes(api.app)
    return api


def test_a_route_must_say_who_may_use_it() -> None:
    area = router("/x", "x")
    with pytest.raises(TypeError, match="does not say who may use it"):
        area.get("/y")(lambda: None)
    with pytest.raises(ValueError, match="no scope everything"):
        for_service("everything")


def test_a_user_route_needs_a_user(routed: Api) -> None:
    problem(routed.client.get("/test/mine/1"), 401, "unauthorised")
    assert routed.client.get("/test/mine/1", headers=routed.bearer(Wallet(1))).json()["number"] == 1


@pytest.mark.parametrize("number", ["0", "-1", "1_0", "１", "0x1", "9" * 30, "1.0", "01", "%00", "..%2f", "1%20"])
def test_an_id_that_is_none_is_not_found(routed: Api, number: str) -> None:
    problem(routed.client.get(f"/test/mine/{number}", headers=routed.bearer(Wallet(1))), 404, "not_found")


def _token(api: Api, *scopes: str) -> dict[str, str]:
    _, text = service_tokens.create(
        api.services.clash, "-".join(scopes), scopes, secret=bytes(32), actor="test", now_ms=T0
    )
    return {"x-service-token": text}


def test_a_service_route_is_absent_until_there_is_a_token(routed: Api) -> None:
    problem(routed.client.get("/test/ours"), 404, "not_found")
    problem(routed.client.get("/test/ours", headers=routed.bearer(Wallet(1))), 404, "not_found")
    headers = _token(routed, "moderation")
    problem(routed.client.get("/test/ours"), 401, "unauthorised")
    problem(routed.client.get("/test/ours", headers=routed.bearer(Wallet(1))), 403, "forbidden")
    assert routed.client.get("/test/ours", headers=headers).json() == {"token": "moderation"}


def test_a_token_without_the_scope_is_refused_and_every_use_is_written_down(routed: Api) -> None:
    headers = _token(routed, "health")
    problem(routed.client.get("/test/ours", headers=headers), 403, "forbidden")
    problem(routed.client.get("/test/mine/1", headers=headers), 401, "unauthorised")
    with routed.services.clash.read() as connection:
        uses = connection.execute("SELECT scope, action, status FROM service_token_uses ORDER BY id").fetchall()
    assert [tuple(use) for use in uses] == [
        ("(none)", "GET /test/ours", 403),
        ("(none)", "GET /test/mine/{number}", 401),
    ]


def test_two_identities_at_once_are_none(routed: Api) -> None:
    headers = _token(routed, "moderation") | routed.bearer(Wallet(1))
    problem(routed.client.get("/test/mine/1", headers=headers), 401, "unauthorised")


def _post(api: Api, headers: dict[str, str], text: str = "one"):  # type: ignore[no-untyped-def]
    return api.client.post("/test/notes", json={"text": text}, headers=headers)


def test_a_repeat_gets_the_first_answer(routed: Api) -> None:
    me = routed.bearer(Wallet(1)) | KEY
    first, again = _post(routed, me), _post(routed, me)
    assert (first.status_code, first.json()) == (201, {"notes": 1})
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, {"notes": 1}, "true")
    assert _post(routed, me | {"idempotency-key": "0123456789abcdeF"}).json() == {"notes": 2}
    assert _post(routed, routed.bearer(Wallet(2)) | KEY).json() == {"notes": 3}


def test_a_key_for_another_body_is_refused(routed: Api) -> None:
    me = routed.bearer(Wallet(1)) | KEY
    _post(routed, me)
    problem(_post(routed, me, "two"), 422, "idempotency_key_reused")


def test_a_key_is_required_and_has_a_form(routed: Api) -> None:
    me = routed.bearer(Wallet(1))
    problem(_post(routed, me), 400, "idempotency_key_required")
    for bad in ("short", "x" * 129, "0123456789abcde!", "0123456789 abcdef"):
        problem(_post(routed, me | {"idempotency-key": bad}), 400, "idempotency_key_invalid")


def test_what_was_refused_is_not_kept_and_left_nothing(routed: Api) -> None:
    me = routed.bearer(Wallet(1)) | KEY
    problem(_post(routed, me, "refused"), 409, "refused")
    assert _post(routed, me).json() == {"notes": 1}


@pytest.mark.goal
def test_of_fifty_at_once_one_has_an_effect(routed: Api) -> None:
    me, answers = routed.bearer(Wallet(1)) | KEY, []
    threads = [threading.Thread(target=lambda: answers.append(_post(routed, me))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(kept) + len(waiting) == 50
    assert {answer.text for answer in kept} == {'{"notes":1}'}
    assert all(answer.headers["retry-after"] == "1" for answer in waiting)
    later = [_post(routed, me) for _ in waiting]
    assert {(answer.status_code, answer.text) for answer in later} <= {(201, '{"notes":1}')}


def test_control_without_memory_a_repeat_would_have_its_effect_again(
    routed: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_kept", lambda *_: None)
    monkeypatch.setattr(idempotency, "_keep", lambda *_: None)
    me = routed.bearer(Wallet(1)) | KEY
    assert [_post(routed, me).json() for _ in range(2)] == [{"notes": 1}, {"notes": 2}]


def test_answers_are_forgotten_after_seven_days(routed: Api) -> None:
    me = routed.bearer(Wallet(1)) | KEY
    _post(routed, me)
    assert idempotency.forget(routed.services.clash, now_ms=T0 + 7 * DAY_MS - 1) == 0
    assert idempotency.forget(routed.services.clash, now_ms=T0 + 7 * DAY_MS) == 1


@pytest.mark.parametrize(
    "text", ["", "a\0b", "a\u202eb", "\u200b", "a\nb", "a" * 501, "a\u0301\u0302\u0303\u0304\u0305\u0306"]
)
def test_text_that_is_not_plainly_visible_is_refused(routed: Api, text: str) -> None:
    answer = _post(routed, routed.bearer(Wallet(1)) | KEY, text)
    if text:
        assert answer.status_code == 422
        assert answer.json()["code"] in ("text_not_allowed", "value")


def test_an_update_says_which_version_it_changes(routed: Api) -> None:
    problem(routed.client.put("/test/draft"), 428, "if_match_required")
    stale = routed.client.put("/test/draft", headers={"if-match": '"old"'})
    problem(stale, 412, "stale")
    assert stale.headers["etag"] == etag("one")
    assert routed.client.put("/test/draft", headers={"if-match": etag("one")}).json() == {"unchanged": False}


def test_a_cursor_is_sealed_for_its_list() -> None:
    cursors = Cursors(b"k" * 32)
    page = cursors.page("clones", [1, 2, 3], 2, lambda item: [item])
    assert page.items == [1, 2]
    assert cursors.open("clones", page.next_cursor) == [2]
    assert cursors.open("clones", None) is None
    assert cursors.page("clones", [1, 2], 2, lambda item: [item]).next_cursor is None
    assert page.next_cursor is not None
    for bad in ("", "x", "é", page.next_cursor[:-1], page.next_cursor + "=", page.next_cursor + "A", "A" * 50):
        with pytest.raises(Problem):
            cursors.open("clones", bad)
    with pytest.raises(Problem):
        cursors.open("accounts", page.next_cursor)
