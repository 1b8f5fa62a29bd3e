"""Each fault: written, switched on while running, visible, the same in every run of a seed."""

import json
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.faults import FaultBook, UnknownFault
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue
from tests.replay.conversation import Conversation

AGENT = {"User-Agent": "Mozilla/5.0"}


def test_a_fault_is_written_with_target_value_offset_duration_percent_and_count() -> None:
    (fault,) = FaultBook().add("lose_subscription.@107@30m:2h%5*3", 1_000)
    assert (fault.kind, fault.target, fault.value) == ("lose_subscription", "@107", None)
    assert (fault.from_ms, fault.to_ms) == (1_000 + 30 * MINUTE_MS, 1_000 + 30 * MINUTE_MS + 2 * HOUR_MS)
    assert (fault.chance, fault.count) == (0.05, 3)


def test_lists_and_defaults() -> None:
    drop, stall, flood = FaultBook().add("drop@30m, stall@2h, 429.hyperliquid:5m", 0)
    assert (drop.from_ms, drop.to_ms) == (30 * MINUTE_MS, None)
    assert stall.to_ms == 2 * HOUR_MS + 30 * SECOND_MS
    assert (flood.kind, flood.target, flood.to_ms) == ("429", "hyperliquid", 5 * MINUTE_MS)


@pytest.mark.parametrize(
    "text", ["melt@3h", "drop@", "drop@soon", "drop:1d", "%5", "drop@1h@2h", "slow=long", "drop=hard"]
)
def test_what_is_no_fault_is_refused_whole(text: str) -> None:
    book = FaultBook()
    with pytest.raises(UnknownFault):
        book.add(f"drop@1m,{text}", 0)
    assert book.faults == []


def test_dice_depend_on_seed_and_key_only() -> None:
    def thrown(seed: int) -> list[bool]:
        book = FaultBook(seed)
        book.add("duplicate%30", 0)
        return [book.striking("duplicate", 5, "BTC", key) is not None for key in range(400)]

    assert thrown(1) == thrown(1) != thrown(2)
    assert 80 < sum(thrown(1)) < 160


def test_a_count_and_a_window_end_a_fault() -> None:
    book = FaultBook()
    book.add("429@10s:20s*2", 0)
    assert [book.striking("429", at, at) is not None for at in (9_999, 10_000, 10_001, 10_002, 30_000)] == [
        False, True, True, False, False,
    ]  # fmt: skip


def _told(truth: SyntheticMarket, faults: str, minutes: int = 30, coins: tuple[str, ...] = ("BTC", "ETH")) -> list[Any]:
    book = FaultBook(truth.seed)
    book.add(faults, truth.start_ms)
    with hosted(Venue(truth, faults=book)) as controls, Conversation(controls) as talk:
        talk.candles(*coins)
        controls.advance(truth.start_ms + minutes * MINUTE_MS)
        return [message for message in talk.raw() if b"subscriptionResponse" not in _bytes(message)]


def _bytes(message: str | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.encode()


@pytest.fixture
def plain(truth: SyntheticMarket) -> list[Any]:
    return _told(truth, "")


def test_duplicates(truth: SyntheticMarket, plain: list[Any]) -> None:
    told = _told(truth, "duplicate%50")
    assert len(plain) * 1.2 < len(told) < len(plain) * 1.8
    assert [message for place, message in enumerate(told) if not place or told[place - 1] != message] == plain
    assert told == _told(truth, "duplicate%50")


def test_reordering_is_bounded_and_loses_nothing(truth: SyntheticMarket, plain: list[Any]) -> None:
    told = _told(truth, "reorder%40")
    assert told != plain
    settled = [message for message in told if json.loads(message)["data"]["t"] < truth.start_ms + 29 * MINUTE_MS]
    expected = [message for message in plain if json.loads(message)["data"]["t"] < truth.start_ms + 29 * MINUTE_MS]
    assert sorted(settled) == sorted(expected)
    states = [json.loads(message)["data"] for message in told]
    newest: dict[str, tuple[int, int]] = {}
    older = 0
    for state in states:
        known = newest.get(state["s"], (0, 0))
        older += (state["t"], state["n"]) < known
        assert state["t"] >= known[0] - MINUTE_MS
        newest[state["s"]] = max(known, (state["t"], state["n"]))
    assert older > 0


def test_truncated_frames(truth: SyntheticMarket, plain: list[Any]) -> None:
    told = _told(truth, "truncate%30")
    assert len(told) == len(plain)
    cut = [(mine, whole) for mine, whole in zip(told, plain, strict=True) if mine != whole]
    assert len(cut) > len(plain) * 0.15
    assert all(whole.startswith(mine) for mine, whole in cut)


def test_old_and_future_messages(truth: SyntheticMarket, plain: list[Any]) -> None:
    extra = [json.loads(m)["data"]["t"] for m in _told(truth, "old%20") if m not in plain]
    assert extra
    assert all(t < truth.start_ms + 28 * MINUTE_MS for t in extra)
    ahead = [json.loads(m)["data"]["t"] for m in _told(truth, "future%20") if m not in plain]
    assert ahead
    assert max(ahead) > truth.start_ms + 30 * MINUTE_MS


def test_garbage_comes_in_many_kinds_beside_the_truth(truth: SyntheticMarket, plain: list[Any]) -> None:
    told = _told(truth, "garbage")
    assert [message for message in told if message in plain] == plain
    nonsense = {message[:40] for message in told if message not in plain}
    assert len(nonsense) > 10
    assert any(isinstance(message, bytes) for message in told)


def test_a_fault_may_mean_one_coin(truth: SyntheticMarket, plain: list[Any]) -> None:
    told = _told(truth, "duplicate.ETH")
    counts = {coin: sum(f'"s":"{coin}"' in message for message in told) for coin in ("BTC", "ETH")}
    usual = {coin: sum(f'"s":"{coin}"' in message for message in plain) for coin in ("BTC", "ETH")}
    assert (counts["BTC"], counts["ETH"]) == (usual["BTC"], 2 * usual["ETH"])


def test_a_lost_subscription_is_silent_until_it_is_asked_for_again(
    served: VenueControls, truth: SyntheticMarket
) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC", "ETH")
        served.add_faults("lose_subscription.BTC@2m")
        served.advance(truth.start_ms + 6 * MINUTE_MS)
        messages = talk.heard()
        assert {m["channel"] for m in messages} == {"subscriptionResponse", "candle"}
        lost = [m["data"]["t"] for m in messages if m["channel"] == "candle" and m["data"]["s"] == "BTC"]
        assert max(lost) < truth.start_ms + 2 * MINUTE_MS
        talk.candles("BTC")
        served.advance(truth.start_ms + 8 * MINUTE_MS)
        assert {state["s"] for state in talk.states()} == {"BTC", "ETH"}


def test_a_drop_closes_and_the_next_connection_works(served: VenueControls, truth: SyntheticMarket) -> None:
    served.add_faults("drop@90s")
    talk = Conversation(served)
    talk.candles("BTC")
    served.advance(truth.start_ms + 3 * MINUTE_MS)
    states = [json.loads(m)["data"]["t"] for m in talk.rest() if b'"candle","data"' in _bytes(m)]
    talk.close()
    assert states
    assert max(states) < truth.start_ms + 2 * MINUTE_MS
    with Conversation(served) as again:
        again.candles("BTC")
        served.advance(truth.start_ms + 4 * MINUTE_MS)
        assert again.states()
    assert served.stats()["connectionsDropped"] == 1


def test_a_drop_may_come_again_and_again(served: VenueControls, truth: SyntheticMarket) -> None:
    served.add_faults("drop@0s:10m%50")
    for minute in range(1, 6):
        talk = Conversation(served)
        served.advance(truth.start_ms + minute * MINUTE_MS)
        talk.close()
    assert served.stats()["connectionsDropped"] >= 3


def test_a_stall_sends_no_byte_and_then_everything_late(served: VenueControls, truth: SyntheticMarket) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC")
        talk.heard()
        served.add_faults("stall:120s")
        served.advance(truth.start_ms + 90 * SECOND_MS)
        talk.say({"method": "ping"})
        with pytest.raises(TimeoutError):
            talk.socket.recv(0.2)
        with Conversation(served) as other:
            assert other.heard() == [], "a new connection is not stalled"
        served.advance(truth.start_ms + 120 * SECOND_MS)
        late = [json.loads(talk.socket.recv(5)) for _ in range(3)]
        assert [message["channel"] for message in late] == ["candle"] * 3
        assert late[0]["data"]["t"] == truth.start_ms


def test_a_stall_of_real_time_ends_by_itself(served: VenueControls, truth: SyntheticMarket) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC")
        talk.heard()
        served.add_faults("stall=wall:300ms")
        served.advance(truth.start_ms + MINUTE_MS)
        began = time.monotonic()
        assert json.loads(talk.socket.recv(5))["channel"] == "candle"
        assert time.monotonic() - began > 0.1


def test_subscriptions_may_be_ignored_or_refused(served: VenueControls) -> None:
    with Conversation(served) as talk:
        served.add_faults("mute_subscription*1")
        talk.candles("BTC")
        assert talk.heard() == []
        talk.candles("BTC")
        assert [m["channel"] for m in talk.heard()] == ["subscriptionResponse"]
        served.add_faults("refuse_subscription.ETH")
        talk.candles("ETH", "SOL")
        assert [m["channel"] for m in talk.heard()] == ["error", "subscriptionResponse"]


def _meta(controls: VenueControls, **options: Any) -> httpx.Response:
    with httpx.Client(base_url=controls.base_url, timeout=5) as client:
        return client.post("/info", json={"type": "meta"}, **options)


@pytest.mark.parametrize(
    ("fault", "status", "starts"),
    [("outage", 503, "Service"), ("429", 429, "null"), ("html", 200, "<!DOCTYPE"), ("redirect", 302, ""),
     ("empty", 200, "[]"), ("cut", 200, '{"universe"')],
)  # fmt: skip
def test_spoiled_answers(served: VenueControls, fault: str, status: int, starts: str) -> None:
    whole = _meta(served)
    served.add_faults(f"{fault}.hyperliquid:10s")
    spoiled = _meta(served)
    assert spoiled.status_code == status
    assert spoiled.text.startswith(starts)
    assert spoiled.content != whole.content
    with httpx.Client(base_url=served.base_url, headers=AGENT) as client:
        assert client.get("/llama/v2/chains").status_code == 200, "other sources are well"
    served.advance(served.now_ms() + 10 * SECOND_MS)
    assert _meta(served).content == whole.content, "and the window ends"


def test_a_429_names_a_time_every_second_time(served: VenueControls) -> None:
    served.add_faults("429*2")
    assert ["Retry-After" in _meta(served).headers for _ in range(3)] == [True, False, False]
    assert _meta(served).status_code == 200


def test_an_outage_may_hang_up_and_takes_the_sockets_with_it(served: VenueControls) -> None:
    talk = Conversation(served)
    served.add_faults("outage.hyperliquid=refuse:30s")
    with pytest.raises(httpx.RemoteProtocolError):
        _meta(served)
    with pytest.raises(ConnectionClosed):
        talk.socket.recv(5)
    talk.close()
    with pytest.raises(InvalidStatus):
        Conversation(served)
    served.advance(served.now_ms() + 30 * SECOND_MS)
    Conversation(served).close()


def test_slow_huge_and_partial_answers(served: VenueControls) -> None:
    served.add_faults("slow=0.2*1")
    began = time.monotonic()
    assert _meta(served).status_code == 200
    assert time.monotonic() - began > 0.2
    served.add_faults("huge*1")
    with httpx.stream("POST", f"{served.base_url}/info", json={"type": "meta"}) as answer:
        size = 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > 9_000_000:
                break
    assert size > 9_000_000
    served.add_faults("partial.defillama")
    with httpx.Client(base_url=served.base_url, headers=AGENT) as client:
        half = client.get("/llama/v2/chains").json()
        served.clear_faults()
        assert len(half) == len(client.get("/llama/v2/chains").json()) // 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"fault": "drop@1h"}', "unknown field `fault`"),
        (b'{"faults": "drop@1h", "now": true}', "unknown field `now`"),
        (b'{"faults": ["drop@1h"]}', "Expected `str`"),
        (b'{"clear": "yes"}', "Expected `bool`"),
        (b'["drop@1h"]', "Expected `object`"),
        (b"drop@1h", "malformed"),
        (b"\xff\xfe", "the body must be"),
        (b"", "the body must be"),
        (b'{"clear": true, "faults": "melt"}', "there is no fault 'melt'"),
    ],
)
def test_a_change_of_faults_that_is_not_understood_changes_nothing(
    served: VenueControls, body: bytes, said: str
) -> None:
    served.add_faults("drop@2h")
    answer = httpx.post(f"{served.base_url}/faults", content=body)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert [fault["fault"] for fault in served.ask("GET", "/faults")] == ["drop@2h"]


def test_faults_can_be_seen_and_cleared(served: VenueControls) -> None:
    (fault,) = served.add_faults("drop@1h")
    assert (fault["fault"], fault["fromMs"], fault["hits"]) == ("drop@1h", served.now_ms() + HOUR_MS, 0)
    served.clear_faults()
    assert served.ask("GET", "/faults") == []
    with pytest.raises(ValueError, match="there is no fault 'melt'"):
        served.add_faults("melt")
