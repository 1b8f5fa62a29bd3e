"""What stands on each page, that nothing of it runs, and that nothing stands there that is not for this visitor."""

import pytest

from clash_pipeline.market import health
from clash_pipeline.storage.sqlite import one
from tests.api.conftest import api  # noqa: F401  # the application on empty databases
from tests.fakes.api_client import Api
from tests.fakes.person import Person
from tests.fakes.showroom import STRANGE, Showroom
from tests.pages.test_access import _token

PRIVATE = ("My first", "Trades</h2>", "Decisions</h2>", "calmly", "trend up")
NAMED = {"ingestion": "/admin/ingestion", "moderation": "/admin/moderation", "accounts": "/admin/accounts"}


def _ok(person: Person, path: str) -> str:
    answer = person.look(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_the_door_leads_only_where_a_visitor_may_go(anybody: Person, operator: Person) -> None:
    assert "/admin" not in _ok(anybody, "/")
    for path in NAMED.values():
        assert f'href="{path}"' in _ok(operator, "/")


def test_ingestion_names_every_channel_and_what_is_wrong(operator: Person) -> None:
    page = _ok(operator, "/admin/ingestion")
    for spec in health.CHANNELS:
        assert f"{spec.source}.{spec.channel}</th>" in page
    assert "8 of 13 channels need a look" in page
    assert "hyperliquid.registry missing: no cycle was ever recorded" in page
    for title in ("Volume", "Coverage", "Lag"):
        assert f"<h3>{title}</h3>" in page
    assert "high_below_low" in page
    assert 'is-stale">stale' in page  # the worker that was not heard of for 200 s


@pytest.mark.parametrize(("span", "steps"), [("6h", 72), ("24h", 96), ("7d", 12)])
def test_charts_of_a_span_have_a_row_for_each_whole_step(operator: Person, span: str, steps: int) -> None:
    page = _ok(operator, f"/admin/ingestion?span={span}")
    volume = page.partition('id="volume"')[2].partition("</figure>")[0]
    assert volume.count('<th scope="row">') == steps


@pytest.mark.parametrize("query", ["span=1h", "span=", "other=1", "span=6h&span=7d"])
def test_a_query_that_means_nothing_is_refused_as_a_page(operator: Person, query: str) -> None:
    answer = operator.look(f"/admin/ingestion?{query}")
    assert answer.status_code == 422
    assert "<h1>" in answer.text


def test_empty_databases_make_pages_that_say_so(api: Api) -> None:  # noqa: F811
    person = Person(api.app)
    person.sign_in_as_operator(_token(api, "accounts", "ingestion", "moderation"))
    assert "13 of 13 channels need a look" in _ok(person, "/admin/ingestion")
    assert "Nothing to draw yet." in _ok(person, "/admin/ingestion")
    assert "The queue is empty." in _ok(person, "/admin/moderation")
    assert "There is none." in _ok(person, "/admin/accounts")
    assert "No such run." in _ok(person, "/admin/decisions")
    assert "Nobody stands here yet" in _ok(person, "/leaderboard")


def test_the_leaderboard_shows_public_names_alone(anybody: Person) -> None:
    page = _ok(anybody, "/leaderboard")
    assert "Ada</a>" in page
    for private in ("My first", "House momentum", "Bea"):
        assert private not in page


def test_everybody_sees_the_public_part_of_a_public_clone(anybody: Person) -> None:
    page = _ok(anybody, "/clones/1")
    assert "<h1>Ada</h1>" in page
    assert "Follows trends." in page
    assert "<h2>Equity</h2>" in page
    for private in PRIVATE:
        assert private not in page


def test_the_owner_sees_trades_and_decisions_with_reasons(owner: Person, operator: Person) -> None:
    for person in (owner, operator):
        page = _ok(person, "/clones/1?symbol=BTC&span=6h")
        for private in ("My first", "Trades</h2>", "Decisions</h2>", "open_long", "trend lost, RSI 40.0"):
            assert private in page
        trades = page.partition('id="trades"')[2].partition("</figure>")[0]
        assert "buy 200." in trades
        assert "sell 200." in trades


def test_its_owner_and_the_desk_see_the_same_positions(owner: Person, operator: Person) -> None:
    def row(page: str) -> str:
        return page.partition('<th scope="row">BTC</th>')[2].partition("</tr>")[0]

    own, desk = row(owner.look("/clones/1").text), row(operator.look("/admin/accounts/1").text)
    assert own == desk
    assert "574.512" in own


def test_foreign_and_absent_clones_look_alike(owner: Person, anybody: Person) -> None:
    for person in (owner, anybody):
        foreign, absent = person.look("/clones/2"), person.look("/clones/99")
        assert (foreign.status_code, absent.status_code) == (404, 404)
        assert _without_id(foreign.text) == _without_id(absent.text)
    for path in ("/clones/2/image", "/clones/99/image", "/clones/0", "/clones/1_0", "/clones/x"):
        assert anybody.look(path).status_code == 404


def _without_id(page: str) -> str:
    return page.partition("request ")[0]


def test_a_run_is_shown_only_with_its_own_clone(owner: Person, shown: Showroom) -> None:
    with shown.services.clash.read() as connection:
        mine, foreign = (
            one(connection, "SELECT min(id) FROM decision_runs WHERE clone_id = ?", (clone,)) for clone in (1, 2)
        )
    assert _ok(owner, f"/clones/1/decisions/{mine}")
    for path in (f"/clones/1/decisions/{foreign}", f"/clones/2/decisions/{foreign}", "/clones/1/decisions/9999"):
        assert owner.look(path).status_code == 404, path


def test_a_decision_tells_its_whole_story(operator: Person) -> None:
    page = _ok(operator, "/admin/decisions/1")
    for part in ("What it read", "What it was told", "What it answered", "What the gates said", "What happened"):
        assert part in page
    for said in ("hyperliquid.ohlcv", "About 2,", "trend up, RSI 60.0", "open_long BTC: passed", "Buy 200."):
        assert said in page


def test_a_decision_whose_artifacts_are_gone_says_so(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    for key in list(room.services.store.list("decisions/")):
        room.services.store.delete(key if isinstance(key, str) else key.key)
    page = _ok(person, "/admin/decisions/1")
    for said in ("The packet cannot be read", "The prompt cannot be read", "The answer cannot be read"):
        assert said in page
    assert "open_long BTC: passed" in page  # the books know without the store
    assert "hold" in _ok(person, "/clones/1")


@pytest.mark.parametrize("query", ["", "?clone=1", "?clone=1&symbol=BTC", "?symbol=nothing", "?before=3"])
def test_runs_can_be_narrowed_down(operator: Person, query: str) -> None:
    page = _ok(operator, f"/admin/decisions{query}")
    runs = page.count('<th scope="row"><a href="/admin/decisions/')
    assert runs == {"": 27, "?clone=1": 18, "?clone=1&symbol=BTC": 9, "?symbol=nothing": 0, "?before=3": 2}[query]


def test_what_strangers_wrote_never_becomes_markup(operator: Person) -> None:
    for path in (*NAMED.values(), "/clones/1", "/admin/decisions/1", "/admin/accounts/1"):
        page = _ok(operator, path)
        assert "<script>alert" not in page
        assert "<b>bold" not in page
    assert _ok(operator, "/admin/moderation").count("&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;") == 2


def test_control_unescaped_it_would_be_found() -> None:
    from clash_pipeline.api.pages import rendering

    environment = rendering._environment().overlay(autoescape=False)
    assert STRANGE in environment.from_string("{{ text }}").render(text=STRANGE)


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_a_profile_is_decided(room: Showroom, act: str) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    path = f"/admin/moderation/profiles/{room.waiting.id}"
    done = person.send(path, act=act, reason="because")
    assert done.headers["location"] == f"/admin/moderation?done={act.rstrip('e')}ed"
    after = _ok(person, done.headers["location"])
    assert "The queue is empty." in after
    assert 'role="status"' in after
    with room.services.clash.read() as connection:
        row = connection.execute("SELECT state, decided_by, reason FROM clone_profiles WHERE id = 2").fetchone()
    assert tuple(row) == (f"{act.rstrip('e')}ed", "operator:desk", "because")
    contrary = person.send(path, act="reject" if act == "approve" else "approve", reason="no")
    assert contrary.status_code == 409
    assert 'role="alert"' in contrary.text


def test_a_rejection_without_a_reason_is_told_so_on_the_page(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    answer = person.send(f"/admin/moderation/profiles/{room.waiting.id}", act="reject", reason="")
    assert answer.status_code == 409
    assert "A rejection needs a reason" in answer.text
    assert "Bea" in answer.text  # and it still waits


def test_an_upheld_report_takes_the_profile_down(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    assert "Ada" in _ok(person, "/leaderboard")
    person.send(f"/admin/moderation/reports/{room.report.id}", act="uphold", reason="true")
    assert "Ada" not in _ok(person, "/leaderboard")
    assert Person(room.api.app).look("/clones/1").status_code == 404


def test_a_clone_is_retired_and_brought_back(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    path = "/admin/moderation/retirements"
    assert person.send(path, act="retire", clone_id="1", reason="over").headers["location"].endswith("done=retired")
    assert "This clone does not compete any more." in _ok(Person(room.api.app), "/clones/1")
    assert person.send(path, act="retire", clone_id="1", reason="over").headers["location"].endswith("done=unchanged")
    assert person.send(path, act="reinstate", clone_id="1", reason="back").headers["location"].endswith("reinstated")
    assert person.send(path, act="retire", clone_id="99", reason="over").status_code == 409
    for wrong in ("0", "x", "1_0", ""):
        assert person.send(path, act="retire", clone_id=wrong, reason="over").status_code == 422


def test_acts_on_accounts_are_carried_out_and_written_down(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    for act, pill in (("pause", "paused"), ("resume", "active"), ("lock", "locked"), ("unlock", "active")):
        done = person.send("/admin/accounts/1", act=act, reason="drill")
        assert f'is-{pill}">' in _ok(person, done.headers["location"])
    person.send("/admin/accounts/1", act="halt", reason="drill")
    assert "this account: drill" in _ok(person, "/admin/accounts/1")
    person.send("/admin/accounts/1", act="release", reason="over")
    acts = _ok(person, "/admin/accounts").partition("Newest acts")[2]
    assert acts.count("operator:desk") == 6


def test_the_kill_switch_of_all_accounts(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    person.send("/admin/accounts", act="halt", reason="drill")
    page = _ok(person, "/admin/accounts")
    assert "Kill switch of all accounts: thrown" in page
    assert page.count('is-halted">halted') == 2
    person.send("/admin/accounts", act="release", reason="over")
    assert "not thrown" in _ok(person, "/admin/accounts")


def test_ending_an_account_is_confirmed_and_final(room: Showroom) -> None:
    person = Person(room.api.app)
    person.sign_in_as_operator(room.token())
    unsure = person.send("/admin/accounts/1", act="complete", reason="it is enough")
    assert unsure.status_code == 409
    assert "tick the box" in unsure.text
    assert 'value="it is enough"' in unsure.text  # nothing that was typed is lost
    done = person.send("/admin/accounts/1", act="complete", reason="it is enough", is_sure="yes")
    page = _ok(person, done.headers["location"])
    assert "Frozen result" in page
    assert "What to do" not in page
    again = person.send("/admin/accounts/1", act="pause", reason="too late")
    assert again.status_code == 409
    assert "cannot become paused" in again.text
    assert "Account 1</a>" not in _ok(person, "/admin/accounts").partition("Newest acts")[0]
    assert "Account 1</a>" in _ok(person, "/admin/accounts?state=all")


@pytest.mark.parametrize("reason", ["", "   ", "a\0b", "a\u202eb", "x" * 501])
def test_a_reason_is_a_visible_line(operator: Person, reason: str) -> None:
    assert operator.send("/admin/accounts/1", act="pause", reason=reason).status_code == 422


@pytest.mark.parametrize(
    "path", ["/admin/accounts/99", "/admin/decisions/99999", "/admin/moderation/profiles/99/image"]
)
def test_what_is_not_there_is_a_page_that_says_so(operator: Person, path: str) -> None:
    answer = operator.look(f"/admin/{path}")
    assert answer.status_code == 404
    assert "<h1>There is no such thing</h1>" in answer.text


def test_programs_get_problems_and_browsers_pages(anybody: Person) -> None:
    page = anybody.look("/nowhere")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    for path, accept in (("/nowhere", "*/*"), ("/api/v1/nowhere", "text/html")):
        answer = anybody.client.get(path, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"act=halt&act=halt&reason=x", 400), (b"\xff\xfe", 400), (b"act", 400), (b"a=%ff", 400),
        (b"&".join(b"f%d=1" % number for number in range(30)), 400), (b"x" * 300_000, 413),
    ],
    ids=["twice", "bytes", "no value", "not UTF-8", "thirty fields", "large"],
)  # fmt: skip
def test_malformed_forms_are_refused(operator: Person, content: bytes, status: int) -> None:
    headers = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
    assert operator.client.post("/admin/accounts", content=content, headers=headers).status_code == status


def test_a_form_has_its_media_type(operator: Person) -> None:
    answer = operator.client.post("/admin/accounts", json={"act": "halt"}, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 415
