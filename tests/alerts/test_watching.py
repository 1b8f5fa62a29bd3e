"""An alert is raised once and cleared once; people are told at least once, however often the channels fail."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from clash_pipeline.alerts import store, watching
from clash_pipeline.alerts.alert import Finding
from clash_pipeline.alerts.rules import Rule
from clash_pipeline.alerts.telling import Channels, Logged, teller_from
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.parts import Clocked
from tests.fakes.world import World


@dataclass
class Heard:
    """Channels that take what they are told, unless they are down."""

    titles: list[str] = field(default_factory=list)
    is_down: bool = False

    def tell(self, title: str, body: str, *, severity: str) -> bool:
        if not self.is_down:
            self.titles.append(title)
        return not self.is_down


class Wrong:
    """What a rule finds, to be changed by a test."""

    def __init__(self, *subjects: str) -> None:
        self.subjects, self.is_busy = list(subjects), False

    def find(self, parts: Clocked) -> Iterator[Finding]:
        if self.is_busy:
            raise StorageBusy("locked")
        for subject in self.subjects:
            yield Finding(subject, "critical", f"{subject} is wrong")


def test_raised_once_cleared_once_and_raised_again(world: World) -> None:
    heard, wrong = Heard(), Wrong("a", "b")
    rules = (Rule("r", wrong.find),)
    looks = [watching.look(world, heard, rules) for _ in range(2)]
    assert [(look.raised, look.cleared, look.told) for look in looks] == [(2, 0, 2), (0, 0, 0)]
    wrong.subjects = ["b"]
    assert watching.look(world, heard, rules).cleared == 1
    wrong.subjects = ["a", "b"]
    watching.look(world, heard, rules)
    assert heard.titles == ["critical: r a", "critical: r b", "cleared: r a", "critical: r a"]
    with world.clash.read() as connection:
        assert [(raised.subject, raised.is_told) for raised in store.open_alerts(connection)] == [
            ("b", True),
            ("a", True),
        ]
        assert len(store.newest(connection)) == 3


def test_channels_that_are_down_are_told_later_and_in_order(world: World) -> None:
    heard, wrong = Heard(is_down=True), Wrong("a")
    rules = (Rule("r", wrong.find),)
    assert watching.look(world, heard, rules).waiting == 1
    wrong.subjects = []
    assert watching.look(world, heard, rules).waiting == 1
    heard.is_down = False
    look = watching.look(world, heard, rules)
    assert (look.told, look.waiting, look.sentence) == (1, 0, "nothing stands")
    assert heard.titles == ["cleared: r a"]


def test_a_rule_that_cannot_be_asked_is_an_alert_and_clears_nothing(world: World) -> None:
    heard, wrong = Heard(), Wrong("a")
    rules = (Rule("r", wrong.find), Rule("other", Wrong("x").find))
    watching.look(world, heard, rules)
    wrong.is_busy = True
    look = watching.look(world, heard, rules)
    assert (look.failed, look.raised, look.cleared) == (("r",), 1, 0)
    wrong.is_busy = False
    assert watching.look(world, heard, rules).cleared == 1
    assert heard.titles == ["critical: r a", "critical: other x", "critical: rule_failed r", "cleared: rule_failed r"]


def test_a_flood_is_told_in_parts(world: World) -> None:
    heard = Heard()
    rules = (Rule("r", Wrong(*(f"s{number}" for number in range(25))).find),)
    assert [watching.look(world, heard, rules).told for _ in range(3)] == [20, 5, 0]


@contextmanager
def webhook(statuses: list[int]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A webhook on loopback that answers these in turn; its address, and what it was sent."""
    got: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *said: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"json://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
        thread.join(10)


def test_a_webhook_gets_the_message_and_a_refusal_is_not_taken(world: World) -> None:
    rules = (Rule("r", Wrong("a").find),)
    with webhook([500, 200]) as (url, got):
        teller = teller_from(world.settings.model_copy(update={"alert_urls": SecretStr(url)}))
        assert watching.look(world, teller, rules).waiting == 1
        assert watching.look(world, teller, rules).told == 1
    assert [message["title"] for message in got] == ["critical: r a"] * 2
    assert got[1]["type"] == "failure"
    assert got[1]["message"].startswith("a is wrong")


def test_a_channel_that_nobody_understands_is_named_by_its_place() -> None:
    assert Channels(("json://127.0.0.1:1/x", "nonsense://secret")).refused == [2]


def test_without_a_channel_alerts_are_lines_of_the_log(world: World) -> None:
    assert isinstance(teller_from(world.settings), Logged)


def test_control_without_the_row_everybody_is_told_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "told", lambda connection, raised, *, now_ms: None)
    heard, rules = Heard(), (Rule("r", Wrong("a").find),)
    for _ in range(2):
        watching.look(world, heard, rules)
    assert len(heard.titles) == 2
