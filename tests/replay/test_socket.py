"""The replayed WebSocket over a real socket: protocol, stepped time, back-pressure."""

import json
import threading
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue
from tests.replay.conversation import Conversation


def test_the_first_frame_is_a_banner_that_is_not_json(served: VenueControls) -> None:
    with Conversation(served) as talk:
        assert talk.banner == "Websocket connection established."


def test_a_subscription_is_echoed_with_another_key_order(served: VenueControls) -> None:
    with Conversation(served) as talk:
        asked = {"type": "candle", "coin": "BTC", "interval": "1m"}
        talk.say({"method": "subscribe", "subscription": asked})
        (answer,) = talk.heard("subscriptionResponse")
        assert answer["data"] == {"method": "subscribe", "subscription": asked}
        assert list(answer["data"]["subscription"]) != list(asked)


@pytest.mark.recordings
def test_answers_have_the_recorded_shapes(served: VenueControls, recordings: Path) -> None:
    lines = (recordings / "hyperliquid" / "ws_misc.jsonl").read_text().splitlines()
    messages = [message for message in map(json.loads, lines) if isinstance(message.get("data"), dict)]
    real = {(message["channel"], message["data"].get("coin")): message for message in messages}
    with Conversation(served) as talk:
        for coin in ("BTC", "MATIC"):
            talk.subscribe("activeAssetCtx", coin=coin)
        talk.subscribe("bbo", coin="BTC")
        served.advance(served.now_ms() + MINUTE_MS)
        ours = {
            (m["channel"], m["data"].get("coin")): m for m in talk.heard() if m["channel"] != "subscriptionResponse"
        }
    for key in (("activeAssetCtx", "BTC"), ("activeAssetCtx", "MATIC"), ("bbo", "BTC")):
        a, b = ours[key]["data"], real[key]["data"]
        assert list(a) == list(b)
        inner = "ctx" if "ctx" in a else None
        if inner:
            assert {k: type(v) for k, v in a[inner].items()} == {k: type(v) for k, v in b[inner].items()}
        else:
            assert [sorted(level) for level in a["bbo"]] == [sorted(level) for level in b["bbo"]]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"method": "unsubscribe", "subscription": {"type": "trades", "coin": "ETH"}}, "Already unsubscribed: "),
        ({"method": "subscribe", "subscription": {"type": "candle", "coin": "NOPE", "interval": "1m"}}, "Invalid sub"),
        ({"method": "subscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "7m"}}, "Invalid sub"),
        ({"method": "subscribe", "subscription": 7}, "Invalid subscription 7"),
        ("no json", "Error parsing JSON"),
        ({"method": "sing"}, "Error parsing JSON"),
    ],
)
def test_errors_are_strings(served: VenueControls, message: object, error: str) -> None:
    with Conversation(served) as talk:
        talk.say(message)
        (answer,) = talk.heard("error")
        assert answer["data"].startswith(error)


def test_subscribing_twice_is_refused_and_unsubscribing_ends_the_frames(served: VenueControls) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC", "BTC")
        assert [m["data"][:18] for m in talk.heard("error")] == ["Already subscribed"]
        talk.say({"method": "unsubscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "1m"}})
        assert talk.heard("subscriptionResponse")[0]["data"]["method"] == "unsubscribe"
        served.advance(served.now_ms() + 2 * MINUTE_MS)
        assert talk.states() == []


def test_time_stands_until_it_is_moved_and_frames_are_handed_over_before_the_answer(
    served: VenueControls, truth: SyntheticMarket
) -> None:
    start = truth.start_ms
    with Conversation(served) as talk:
        talk.candles("BTC", "FTT")
        talk.heard()
        assert served.now_ms() == start
        assert talk.states() == []
        assert served.advance(start + 66_000) == start + 66_000
        spoken = talk.states()
        last = {(state["s"], state["t"]): state for state in spoken}
        (minute,) = truth.minutes("BTC", start, start + MINUTE_MS).rows()
        assert last["BTC", start]["n"] == minute.n
        assert [last["BTC", start][name] for name in "ohlcv"] == [text(value) for value in minute[1:6]]
        assert {state["t"] for state in spoken} <= {start, start + MINUTE_MS}
        assert talk.states() == [], "nothing more until the next step"


def test_many_hours_in_one_step_arrive_in_order_and_complete(served: VenueControls, truth: SyntheticMarket) -> None:
    start, end = truth.start_ms, truth.start_ms + 5 * HOUR_MS
    coins = [asset.symbol for asset in truth.assets if asset.has_candles]
    with Conversation(served) as talk:
        talk.candles(*coins)
        talk.heard()
        mover = threading.Thread(target=served.advance, args=(end + 66_000,))
        mover.start()
        states = []
        while mover.is_alive():
            states += talk.states()
        mover.join()
        states += talk.states()
    last = {(state["s"], state["t"]): state for state in states}
    for coin in coins:
        times = [state["t"] for state in states if state["s"] == coin]
        assert times == sorted(times)
        for minute in truth.minutes(coin, start, end).rows():
            assert ((coin, minute.t) in last) == (minute.n > 0)
            if minute.n:
                shown = last[coin, minute.t]
                assert [shown[name] for name in "ohlcv"] == [text(value) for value in minute[1:6]]


def test_steps_of_any_size_say_the_same(truth: SyntheticMarket) -> None:
    def told(steps: list[int]) -> list[dict[str, object]]:
        with hosted(Venue(truth)) as controls, Conversation(controls) as talk:
            talk.candles("BTC", "COMP", "FTT")
            talk.heard()
            heard = []
            for step in steps:
                controls.advance(controls.now_ms() + step)
                heard += talk.states()
            return heard

    assert told([600_000]) == told([1_000] * 600) == told([137_003, 1, 462_996])


def test_time_may_go_back_and_is_then_told_again(served: VenueControls, truth: SyntheticMarket) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC")
        served.advance(truth.start_ms + 3 * MINUTE_MS)
        first = talk.states()
        assert served.advance(truth.start_ms) == truth.start_ms
        assert talk.states() == []
        served.advance(truth.start_ms + 3 * MINUTE_MS)
        assert talk.states() == first


def test_mids_come_at_once_and_then_every_five_seconds(served: VenueControls) -> None:
    with Conversation(served) as talk:
        talk.subscribe("allMids")
        (first,) = talk.heard("allMids")
        assert "MATIC" not in first["data"]["mids"]
        served.advance(served.now_ms() + 20_000)
        assert len(talk.heard("allMids")) == 4


def test_hourly_candles_are_spoken_too(served: VenueControls, truth: SyntheticMarket) -> None:
    with Conversation(served) as talk:
        talk.subscribe("candle", coin="BTC", interval="1h")
        served.advance(truth.start_ms + 10 * MINUTE_MS)
        states = talk.states()
    trades = [state["n"] for state in states]
    assert trades == sorted(trades)
    assert {(state["t"], state["i"]) for state in states} == {(truth.start_ms, "1h")}
    assert trades[-1] == sum(
        minute.n for minute in truth.minutes("BTC", truth.start_ms, truth.start_ms + 600_000).rows()
    )


def test_no_more_than_ten_connections(served: VenueControls) -> None:
    talks = [Conversation(served) for _ in range(10)]
    with pytest.raises(InvalidStatus, match="403"):
        Conversation(served)
    for talk in talks:
        talk.close()
    assert served.stats()["connectionsRefused"] == 1


def test_stats_count_what_happened(served: VenueControls) -> None:
    with Conversation(served) as talk:
        talk.candles("BTC")
        served.advance(served.now_ms() + MINUTE_MS)
        states = talk.states()
        stats = served.stats()
    assert (stats["connections"], stats["subscriptions"], stats["frames"]) == (1, 1, {"candle": len(states)})
    assert stats["weight"]["limit"] == 1_200


def test_free_running_time_moves_by_itself_and_cannot_be_stepped(truth: SyntheticMarket) -> None:
    with hosted(Venue(truth), speed=600) as controls, Conversation(controls) as talk:
        talk.candles("BTC")
        with pytest.raises(ValueError, match="cannot be stepped"):
            controls.advance(truth.start_ms)
        states = [json.loads(talk.socket.recv(10)) for _ in range(4)]
        assert [state["channel"] for state in states[1:]] == ["candle"] * 3
        assert controls.now_ms() > truth.start_ms


@pytest.mark.parametrize("to_ms", [-1, "soon", 1e30, True, None])
def test_a_time_that_is_none_is_refused(served: VenueControls, to_ms: object) -> None:
    with pytest.raises(ValueError, match="toMs must be epoch milliseconds"):
        served.ask("POST", "/clock", {"toMs": to_ms})
