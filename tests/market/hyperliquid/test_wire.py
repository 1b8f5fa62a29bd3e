"""Every recorded frame decodes, and what the venue should not send is refused with a reason."""

import json
from pathlib import Path

import msgspec
import pytest

from clash_pipeline.market.candles import Candle
from clash_pipeline.market.hyperliquid import wire
from clash_pipeline.market.hyperliquid.wire import WireRejection, decode_candles, decode_ws

BTC = {
    "t": 1_790_358_600_000, "T": 1_790_358_659_999, "s": "BTC", "i": "1m",
    "o": "83765.0", "c": "83765.0", "h": "83770.0", "l": "83756.0", "v": "0.3317", "n": 36,
}  # fmt: skip
CANDLE = Candle("BTC", 1_790_358_600_000, "83765.0", "83770.0", "83756.0", "83765.0", "0.3317", 36)


def frame(**changes: object) -> str:
    return json.dumps({"channel": "candle", "data": {**BTC, **changes}})


def refusal(raw: str | bytes) -> WireRejection:
    with pytest.raises(WireRejection) as caught:
        decode_ws(raw)
    return caught.value


def test_a_candle_frame_is_a_candle_in_the_venues_own_text() -> None:
    assert decode_ws(frame()) == wire.CandleFrames([CANDLE])
    assert decode_ws(frame().encode()) == wire.CandleFrames([CANDLE])


def test_a_list_of_candles_is_accepted_as_the_documentation_types_it() -> None:
    raw = json.dumps({"data": [BTC, {**BTC, "s": "ETH"}], "channel": "candle"})
    decoded = decode_ws(raw)
    assert isinstance(decoded, wire.CandleFrames)
    assert [candle.symbol for candle in decoded.candles] == ["BTC", "ETH"]


def test_unknown_fields_and_key_order_do_not_matter() -> None:
    assert decode_ws(frame(x={"deep": [1, None]}, isClosed=True)) == wire.CandleFrames([CANDLE])
    reordered = json.dumps({"data": dict(reversed(BTC.items())), "more": 1, "channel": "candle"})
    assert decode_ws(reordered) == wire.CandleFrames([CANDLE])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (frame()[:-20], "bad_json"),
        (b"\x00\xff\xfe binary", "bad_json"),
        ("\ud800", "bad_json"),
        ("", "bad_json"),
        ("<html>bad gateway</html>", "bad_json"),
        ('{"deep": ' + "[" * 100_000, "bad_json"),
        ("[" * 100_000, "wrong_shape"),
        ("null", "wrong_shape"),
        ("[1, 2]", "wrong_shape"),
        ('{"channel": 5}', "wrong_shape"),
        ('{"data": {}}', "wrong_shape"),
        ('{"channel": "candle"}', "wrong_shape"),
        ('{"channel": "candle", "data": null}', "wrong_shape"),
        ('{"channel": "allMids", "data": {"mids": {"BTC": 5}}}', "wrong_shape"),
        ('{"channel": "liquidations", "data": {}}', "unknown_channel"),
        (frame(o=83765.0), "wrong_shape"),
        (frame(o=None), "wrong_shape"),
        (frame(o="1" * 49), "wrong_shape"),
        (frame(n=-1), "wrong_shape"),
        (frame(n=1.5), "wrong_shape"),
        (frame(t="1790358600000"), "wrong_shape"),
        (frame(t=-60_000, T=-1), "wrong_shape"),
        (frame(t=10**30), "wrong_shape"),
        (frame(s=""), "wrong_shape"),
        (frame(s="B" * 65), "wrong_shape"),
        (frame(i="5m"), "wrong_interval"),
        (frame(i="1h"), "wrong_interval"),
        (frame(T=1_790_358_599_999), "wrong_close_time"),
        (frame(T=0), "wrong_close_time"),
    ],
)
def test_a_frame_of_another_shape_is_refused_with_its_reason(raw: str | bytes, reason: str) -> None:
    assert refusal(raw).reason == reason


def test_one_bad_candle_of_a_frame_refuses_the_whole_frame_so_that_none_is_half_taken() -> None:
    raw = json.dumps({"channel": "candle", "data": [BTC, {**BTC, "i": "5m"}]})
    assert refusal(raw).reason == "wrong_interval"


def test_a_refusal_keeps_a_bounded_sample_that_can_be_stored() -> None:
    found = refusal("x" * 1_000_000)
    assert len(found.sample) <= wire.SAMPLE_BYTES
    refusal("\ud800").sample.encode()
    assert len(str(found)) < 200


@pytest.mark.recordings
def test_every_recorded_candle_frame_decodes(recordings: Path) -> None:
    folder = recordings / "hyperliquid"
    lines = [line.split(" ", 1)[1] for line in (folder / "ws_candle_AAVE_1m.log").read_text().splitlines() if line]
    lines += (folder / "ws_candle_BTC_1m.jsonl").read_text().splitlines()
    decoded = [decode_ws(line) for line in lines if line]
    assert len(decoded) == 9
    assert all(isinstance(message, wire.CandleFrames) for message in decoded)
    assert decoded[-2] == wire.CandleFrames([CANDLE])


@pytest.mark.recordings
def test_a_recorded_session_of_subscribing_decodes(recordings: Path) -> None:
    text = (recordings / "hyperliquid" / "ws_candle_subscribe_HYPE_1d.txt").read_text()
    sent, answer = (line[2:] for line in text.splitlines()[:2])
    assert decode_ws(answer) == wire.SubscriptionResponse("subscribe", "candle", "HYPE", "1d")
    daily = text[text.index("\n{") :]
    assert refusal(daily).reason == "wrong_interval", "a day was not asked for by us"
    assert json.loads(sent) == {
        "method": "subscribe", "subscription": {"type": "candle", "coin": "HYPE", "interval": "1d"}
    }  # fmt: skip


@pytest.mark.recordings
def test_recorded_messages_we_never_subscribe_to_are_refused_as_unknown_channels(recordings: Path) -> None:
    lines = (recordings / "hyperliquid" / "ws_misc.jsonl").read_text().splitlines()
    seen = []
    for line in filter(None, lines):
        try:
            seen.append(type(decode_ws(line)).__name__)
        except WireRejection as rejection:
            seen.append(rejection.reason)
    assert seen == [
        "SubscriptionResponse", "unknown_channel", "unknown_channel", "unknown_channel", "unknown_channel",
        "SubscriptionResponse", "Pong", "VenueError",
    ]  # fmt: skip


def test_the_greeting_is_no_json_and_no_error() -> None:
    assert decode_ws("Websocket connection established.") == wire.Banner()
    assert decode_ws(b"Websocket connection established.") == wire.Banner()


def test_a_complaint_tells_which_subscription_it_is_about() -> None:
    complaint = decode_ws(json.dumps({"channel": "error", "data": 'Invalid subscription {"type":"candle","coin":"X"}'}))
    assert isinstance(complaint, wire.VenueError)
    assert complaint.subscription == wire.SubscriptionResponse("error", "candle", "X", None)
    assert wire.VenueError("too many").subscription is None
    assert wire.VenueError("odd {").subscription is None


def test_mids_come_by_coin() -> None:
    raw = '{"channel":"allMids","data":{"mids":{"BTC":"83765.5","@107":"28.7"}}}'
    assert decode_ws(raw) == wire.AllMids({"BTC": "83765.5", "@107": "28.7"})


def test_what_we_send_is_what_the_venue_documents() -> None:
    assert json.loads(wire.subscribe("BTC")) == {
        "method": "subscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "1m"}
    }  # fmt: skip
    assert json.loads(wire.subscribe(None, kind="allMids", method="unsubscribe")) == {
        "method": "unsubscribe", "subscription": {"type": "allMids"}
    }  # fmt: skip
    assert json.loads(wire.PING) == {"method": "ping"}


@pytest.mark.recordings
def test_recorded_snapshots_decode(recordings: Path) -> None:
    folder = recordings / "hyperliquid"
    minutes = decode_candles((folder / "candle_snapshot_BTC_1m.json").read_bytes(), symbol="BTC")
    hours = decode_candles((folder / "candle_snapshot_BTC_1h_last_open.json").read_bytes(), interval="1h")
    assert (len(minutes), len(hours)) == (61, 5)
    assert minutes[0] == Candle(
        "BTC", 1_790_514_720_000, "84723.0", "84723.0", "84635.0", "84659.0", "28.84469", 292
    )  # fmt: skip


def test_a_bad_row_of_a_snapshot_does_not_cost_the_good_ones() -> None:
    rejected: wire.Rejections = []
    rows = [BTC, {**BTC, "o": 5}, {**BTC, "s": "ETH"}, {**BTC, "T": 7}, "row", {**BTC, "n": 40}]
    candles = decode_candles(msgspec.json.encode(rows), symbol="BTC", rejected=rejected)
    assert [candle.n for candle in candles] == [36, 40]
    assert [found.reason for found in rejected] == ["bad_candle", "wrong_symbol", "wrong_close_time", "bad_candle"]


@pytest.mark.parametrize("body", [b"null", b"{}", b'"x"', b"", b"<html>", b"[1,"])
def test_a_snapshot_that_is_no_list_is_refused_whole(body: bytes) -> None:
    with pytest.raises(WireRejection, match="bad_candle"):
        decode_candles(body, rejected=[])


def test_a_snapshot_without_rows_is_an_answer() -> None:
    assert decode_candles(b"[]") == []
