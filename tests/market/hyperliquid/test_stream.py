"""The stream without a socket: what closes, what is final, what is a gap, and what is refused (09 §5.1, §6.6, D7)."""

import json

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.hyperliquid.skew import SkewEstimate
from clash_pipeline.market.hyperliquid.stream import CandleStream, Gap, Output, StreamPolicy
from clash_pipeline.units import Grid
from tests.fakes.candle_truth import frame

M = MINUTE_MS
T = 1_753_056_000_000
BTC = Grid("perp", 5)


def candle(t: int = T, c: str = "105.0", n: int = 3, symbol: str = "BTC", **other: str) -> Candle:
    usual = {"o": "100.0", "h": "110.0", "l": "90.0", "v": "1.5"}
    return Candle(symbol=symbol, t=t, c=c, n=n, **(usual | other))


def acknowledged(stream: CandleStream, at: int, *symbols: str) -> None:
    for symbol in symbols:
        subscription = {"interval": "1m", "type": "candle", "coin": symbol}
        echo = {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": subscription}}
        stream.receive(json.dumps(echo), at)


def live(
    *symbols: str, at: int = T - 30_000, policy: StreamPolicy | None = None, close: str | None = "104.0"
) -> CandleStream:
    """A stream whose subscriptions were acknowledged before the minute `T` began."""
    stream = CandleStream(policy)
    stream.follow(dict.fromkeys(symbols or ("BTC",), BTC), at)
    for symbol in stream.symbols:
        stream.seed(symbol, T, close)
    stream.opened(at)
    stream.receive('{"channel":"allMids","data":{"mids":{}}}', at + 50)
    acknowledged(stream, at + 100, *stream.symbols)
    stream.drain()
    return stream


def pong(stream: CandleStream, at: int) -> None:
    stream.receive('{"channel":"pong"}', at)


def tick(stream: CandleStream, at: int) -> Output:
    """Let time pass on a link that says something."""
    pong(stream, at)
    stream.tick(at)
    return stream.drain()


def closed(out: Output) -> list[tuple[int, str, bool, int]]:
    return [((m.candle.t - T) // M, m.origin, m.final, m.candle.n) for m in out.minutes]


def reasons(out: Output) -> dict[str, int]:
    return {refused.reason: refused.times for refused in out.refused}


# closing and finality


def test_a_minute_settles_with_its_last_state_after_the_grace_and_is_final_once_a_later_frame_came() -> None:
    stream = live()
    stream.receive(frame(candle(n=1)), T + 10_000)
    stream.receive(frame(candle(n=4, c="106.0")), T + 59_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 200)
    assert closed(tick(stream, T + M + 4_999)) == []
    out = tick(stream, T + M + 5_000)
    assert closed(out) == [(0, "stream", True, 4)]
    assert out.settled_to == T + M


def test_without_a_later_frame_it_closes_unproven_and_becomes_final_with_the_next_one() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 10_000)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", False, 2)]
    assert closed(tick(stream, T + 2 * M + 5_000)) == [(1, "flat", False, 0)]
    stream.receive(frame(candle(T + 2 * M, n=1)), T + 2 * M + 9_000)
    assert closed(tick(stream, T + 2 * M + 10_000)) == [(0, "stream", True, 2)]


def test_a_silent_minute_is_a_flat_row_at_the_previous_close_and_never_final_by_itself() -> None:
    stream = live(close="99.5")
    out = tick(stream, T + M + 5_000)
    assert [minute.candle for minute in out.minutes] == [Candle("BTC", T, "99.5", "99.5", "99.5", "99.5", "0.0", 0)]
    assert not out.minutes[0].final


def test_without_a_known_close_a_silent_minute_is_a_gap() -> None:
    stream = live(close=None)
    out = tick(stream, T + M + 5_000)
    assert out.minutes == []
    assert out.gaps == [Gap("BTC", T, T + M, "missed")]
    stream.learn_close("BTC", T, "99.0")
    assert closed(tick(stream, T + 2 * M + 5_000)) == [(1, "flat", False, 0)]


def test_time_alone_settles_minutes_for_all_coins_and_says_how_far() -> None:
    stream = live("BTC", "ETH")
    out = tick(stream, T + 3 * M + 5_000)
    assert out.settled_to == T + 3 * M
    assert len(out.minutes) == 6


def test_a_frame_within_the_grace_still_counts() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 50_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 50)
    stream.receive(frame(candle(n=3)), T + M + 156)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", True, 3)]


def test_a_frame_after_the_grace_corrects_a_minute_that_was_not_final() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 50_000)
    tick(stream, T + M + 5_000)
    stream.receive(frame(candle(n=3, c="107.0")), T + M + 6_000)
    assert closed(tick(stream, T + M + 7_000)) == [(0, "stream", False, 3)]
    stream.receive(frame(candle(T + M, n=1)), T + M + 8_000)
    assert closed(tick(stream, T + M + 9_000)) == [], "the stream was proven late once, it proves nothing about it now"


def test_a_frame_that_contradicts_a_final_minute_changes_nothing_and_is_reported() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 50_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    tick(stream, T + M + 5_000)
    stream.receive(frame(candle(n=9)), T + M + 9_000)
    out = tick(stream, T + M + 10_000)
    assert out.minutes == []
    assert reasons(out) == {"after_final": 1}


def test_a_link_that_falls_silent_around_the_grace_proves_nothing() -> None:
    """A later frame was there, but nothing after the grace: what was sent in between may still be under way."""
    stream = live()
    stream.receive(frame(candle(n=2)), T + 50_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    stream.tick(T + M + 5_000)
    assert stream.drain().settled_to == T, "a moment's patience"
    stream.tick(T + M + 7_000)
    assert closed(stream.drain()) == [(0, "stream", False, 2)]
    assert closed(tick(stream, T + M + 9_000)) == [(0, "stream", True, 2)], "a sign of life completes the proof"


def test_stream_finality_can_be_switched_off() -> None:
    stream = live(policy=StreamPolicy(is_final_by_stream=False))
    stream.receive(frame(candle(n=2)), T + 50_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", False, 2)]
    stream.receive(frame(candle(T + M, n=2)), T + M + 9_000)
    assert closed(tick(stream, T + M + 10_000)) == []


# order


def test_duplicates_and_older_states_change_nothing() -> None:
    stream = live()
    stream.receive(frame(candle(n=5)), T + 1_000)
    stream.receive(frame(candle(n=5)), T + 2_000)
    stream.receive(frame(candle(n=4, c="101.0")), T + 3_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    out = tick(stream, T + M + 5_000)
    assert closed(out) == [(0, "stream", False, 5)], "observed re-ordering taints the minute"
    assert out.minutes[0].candle.c == "105.0"
    assert (stream.counts.duplicates, stream.counts.older) == (1, 1)


def test_with_equal_counts_the_later_receipt_wins() -> None:
    stream = live()
    stream.receive(frame(candle(n=5)), T + 1_000)
    stream.receive(frame(candle(n=5, c="101.0")), T + 2_000)
    assert tick(stream, T + M + 5_000).minutes[0].candle.c == "101.0"


def test_a_minute_that_arrives_after_the_next_one_is_not_lost() -> None:
    stream = live()
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    stream.receive(frame(candle(n=7)), T + M + 900)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", True, 7)]


def test_a_frame_of_long_ago_is_counted_and_ignored() -> None:
    stream = live()
    stream.receive(frame(candle(T - 30 * M)), T + 1_000)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "flat", False, 0)]
    assert stream.counts.older == 1


# what is refused


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (frame(candle())[:60], "bad_json"),
        ('{"channel":"candle","data":[1]}', "wrong_shape"),
        ('{"channel":"candle"}', "wrong_shape"),
        ('{"channel":"weather","data":{}}', "unknown_channel"),
        ("[]", "wrong_shape"),
        (frame(candle(symbol="NOPE")), "unknown_coin"),
        (frame(candle(), interval="5m"), "wrong_interval"),
        (frame(candle(), length_ms=-5), "wrong_close_time"),
        (frame(candle(l="0")), "not_positive"),
        (frame(candle(c="-1")), "bad_price"),
        (frame(candle(c="NaN")), "bad_price"),
        (frame(candle(c="1e-9")), "bad_price"),
        (frame(candle(c="1" * 30)), "price_too_long"),
        (frame(candle(c="100.01")), "off_tick"),
        (frame(candle(h="80", l="90", o="85", c="85")), "high_below_low"),
        (frame(candle(T + 7)), "off_interval"),
        (frame(candle(T + 3 * M)), "future"),
    ],
)
def test_each_bad_message_is_counted_and_the_minute_is_left_to_confirmation(raw: str, reason: str) -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 1_000)
    stream.receive(raw, T + 30_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    out = tick(stream, T + M + 5_000)
    assert reasons(out) == {reason: 1}
    is_harmless = reason in {"unknown_channel", "unknown_coin"}
    assert closed(out) == [(0, "stream", is_harmless, 2)], "no half row, and no claim either"


def test_unknown_fields_and_a_list_of_candles_are_accepted() -> None:
    stream = live()
    data = json.loads(frame(candle(n=2)))["data"] | {"x": {"new": 1}}
    stream.receive(json.dumps({"channel": "candle", "data": [data], "extra": 1}), T + 1_000)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", False, 2)]


def test_the_greeting_is_no_rejection() -> None:
    stream = live()
    stream.receive("Websocket connection established.", T)
    assert reasons(tick(stream, T + 100)) == {}


def test_samples_are_counted_by_reason() -> None:
    stream = live()
    for at in range(3):
        stream.receive("{", T + at)
    (refused,) = tick(stream, T + 100).refused
    assert (refused.reason, refused.times, refused.sample) == ("bad_json", 3, "{")


def test_a_minute_that_has_not_begun_cannot_have_traded() -> None:
    """At most two minutes ahead may be a matter of clocks; but no other coin agrees."""
    stream = live("BTC", "ETH", "SOL", "XRP")
    stream.receive(frame(candle(T + M, n=999)), T + 30_000)
    stream.receive(frame(candle(n=2)), T + 50_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    out = tick(stream, T + 2 * M + 5_000)
    assert reasons(out) == {"early": 1}
    assert [row for row in closed(out) if row[1] == "stream"] == [(0, "stream", False, 2), (1, "stream", False, 1)]


def test_a_jump_against_both_previous_close_and_mid_is_quarantined() -> None:
    stream = live(close="100.0")
    stream.receive('{"channel":"allMids","data":{"mids":{"BTC":"101.0"}}}', T + 500)
    stream.receive(frame(candle(c="130.0", h="130.0", n=4)), T + 1_000)
    out = tick(stream, T + M + 5_000)
    assert reasons(out) == {"price_jump": 1}
    assert out.gaps == [Gap("BTC", T, T + M, "missed")], "no row, REST decides"


@pytest.mark.parametrize("mids", [{}, {"BTC": "129.0"}])
def test_a_jump_that_the_mid_follows_or_that_nobody_can_judge_is_taken(mids: dict[str, str]) -> None:
    stream = live(close="100.0")
    stream.receive(json.dumps({"channel": "allMids", "data": {"mids": mids}}), T + 500)
    stream.receive(frame(candle(c="130.0", h="130.0", n=4)), T + 1_000)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", False, 4)]


# the link


def test_a_disconnect_is_a_gap_at_once_and_what_was_half_seen_is_no_row() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 1_000)
    stream.closed(T + 20_000, "disconnect")
    assert stream.drain().gaps == [Gap("BTC", T, T + M, "disconnect")]
    stream.tick(T + 2 * M + 5_000)
    out = stream.drain()
    assert out.minutes == []
    assert out.gaps == [Gap("BTC", T, T + 2 * M, "disconnect")]


def test_running_totals_after_a_reconnect_within_the_minute_are_whole_but_not_proven() -> None:
    stream = live()
    stream.closed(T + 20_000, "disconnect")
    stream.opened(T + 22_000)
    acknowledged(stream, T + 22_100, "BTC")
    stream.receive(frame(candle(n=9)), T + 40_000)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", False, 9)]
    stream.receive(frame(candle(T + 2 * M, n=1)), T + 2 * M + 100)
    assert closed(tick(stream, T + 2 * M + 5_000)) == [(1, "stream", True, 1)], "the next whole minute is proven again"


def test_silence_of_fifteen_seconds_asks_for_a_reconnect_and_the_gap_starts_at_the_last_message() -> None:
    stream = live()
    pong(stream, T + M + 1_000)
    stream.tick(T + M + 16_000)
    assert stream.drain().reconnect is None
    stream.tick(T + M + 16_001)
    assert stream.drain().reconnect == "stall"
    stream.closed(T + M + 16_001, "stall")
    assert stream.drain().gaps == [Gap("BTC", T + M, T + 2 * M, "stall")]


def test_keep_alive_goes_out_every_thirty_seconds_and_sooner_on_a_quiet_link() -> None:
    stream = live(at=T)
    sent = [at for at in range(T, T + 100_000, 1_000) if b'{"method":"ping"}' in tick(stream, at).send]
    assert sent == [T + 30_000, T + 60_000, T + 90_000]
    stream.tick(T + 99_000 + 6_000)
    assert stream.drain().send == [b'{"method":"ping"}']


def test_opening_subscribes_to_the_mids_and_every_coin() -> None:
    stream = CandleStream()
    stream.follow({"BTC": None, "@107": None}, T)
    stream.opened(T)
    wanted = [json.loads(message)["subscription"] for message in stream.drain().send]
    assert wanted == [
        {"type": "allMids"},
        {"type": "candle", "coin": "BTC", "interval": "1m"},
        {"type": "candle", "coin": "@107", "interval": "1m"},
    ]


def test_an_unanswered_subscription_is_repeated_and_reported() -> None:
    stream = CandleStream()
    stream.follow({"BTC": None}, T)
    stream.opened(T)
    stream.receive('{"channel":"allMids","data":{"mids":{}}}', T + 10)
    stream.drain()
    assert tick(stream, T + 29_999).send == []
    out = tick(stream, T + 30_000)
    assert [json.loads(message)["method"] for message in out.send if b"ping" not in message] == ["subscribe"]
    assert reasons(out) == {"subscription_unanswered": 1}
    assert stream.unanswered(T + M + 1_000) == ["BTC"]
    acknowledged(stream, T + M + 2_000, "BTC")
    assert stream.unanswered(T + M + 3_000) == []


def test_a_refused_subscription_is_counted_and_repeated() -> None:
    stream = CandleStream()
    stream.follow({"BTC": None}, T)
    stream.opened(T)
    stream.drain()
    text = 'Invalid subscription {"type":"candle","coin":"BTC","interval":"1m"}'
    stream.receive(json.dumps({"channel": "error", "data": text}), T + 100)
    out = tick(stream, T + 30_000)
    assert reasons(out) == {"venue_error": 1, "subscription_unanswered": 2}


def test_a_lively_coin_that_falls_silent_is_asked_for_again_and_the_answer_decides() -> None:
    stream = live()
    for number in range(12):
        stream.receive(frame(candle(T + number * M, n=1)), T + number * M + 30_000)
        tick(stream, T + number * M + 35_000)
    tick(stream, T + 13 * M + 5_000)
    asked = tick(stream, T + 14 * M + 5_000).send
    assert any(b'"coin":"BTC"' in message for message in asked)
    acknowledged(stream, T + 14 * M + 5_100, "BTC")
    stream.receive(frame(candle(T + 15 * M, n=1)), T + 15 * M + 1_000)
    assert closed(tick(stream, T + 15 * M + 2_000)) == [], (
        "a fresh acknowledgement: the last minute before is not proven"
    )


def test_already_subscribed_means_that_it_lived() -> None:
    stream = live()
    stream.receive(frame(candle(n=2)), T + 30_000)
    stream.suspect("BTC", T + 40_000)
    text = 'Already subscribed: {"type":"candle","coin":"BTC","interval":"1m"}'
    stream.receive(json.dumps({"channel": "error", "data": text}), T + 40_100)
    stream.receive(frame(candle(T + M, n=1)), T + M + 100)
    assert closed(tick(stream, T + M + 5_000)) == [(0, "stream", True, 2)]


def test_new_coins_are_subscribed_and_gone_ones_unsubscribed_while_running() -> None:
    stream = live("BTC", "ETH")
    stream.follow({"BTC": BTC, "SOL": BTC}, T + 1_000)
    methods = [(json.loads(m)["method"], json.loads(m)["subscription"]["coin"]) for m in stream.drain().send]
    assert sorted(methods) == [("subscribe", "SOL"), ("unsubscribe", "ETH")]
    assert stream.symbols == ["BTC", "SOL"]


def test_no_more_than_a_thousand_subscriptions() -> None:
    stream = CandleStream()
    stream.follow({f"C{number}": None for number in range(1_200)}, T)
    stream.opened(T)
    assert len(stream.drain().send) == 1_000


# clocks (D7)


ALERT_MS = 2_000


def replay_with_skew(
    ours_less_venues_ms: int, seconds: int = 150, *, late_ms: int = 0, estimate: SkewEstimate | None = None
) -> tuple[CandleStream, int | None]:
    """Three lively coins over a clock that is off; also when it was first seen to be off by more than 2 s."""
    stream = CandleStream()
    stream.skew = estimate or stream.skew
    stream.follow(dict.fromkeys(("BTC", "ETH", "SOL"), BTC), T + ours_less_venues_ms)
    stream.opened(T + ours_less_venues_ms)
    acknowledged(stream, T + ours_less_venues_ms, *stream.symbols)
    seen_after = None
    start = T + 10_000
    for venue_ms in range(start, start + seconds * 1_000, 500):
        t, n = venue_ms - venue_ms % M, venue_ms % M // 500 + 1
        received_ms = venue_ms + ours_less_venues_ms + late_ms
        for symbol in stream.symbols:
            stream.receive(frame(candle(t, n=n, symbol=symbol)), received_ms)
        stream.tick(received_ms)
        if seen_after is None and abs(stream.skew.ms) > ALERT_MS:
            seen_after = venue_ms - start
    return stream, seen_after


def assert_noticed(off_ms: int, *, late_ms: int = 0, estimate: SkewEstimate | None = None) -> None:
    """D7: seen within 60 s, on either side, and minutes closed by venue time."""
    stream, seen_after = replay_with_skew(off_ms, late_ms=late_ms, estimate=estimate)
    assert seen_after is not None
    assert seen_after <= 60_000
    assert abs(stream.skew.ms + off_ms) <= 500 + late_ms
    minutes = stream.drain().minutes
    assert {m.candle.n for m in minutes if m.candle.t == T + M} == {120}, "whole minutes, not cut by our clock"


OFF_MS = [2_500, 3_500, 4_000, 5_000, 30_000]


@pytest.mark.goal
@pytest.mark.parametrize("late_ms", [0, 300])
@pytest.mark.parametrize("off_ms", [off * side for off in OFF_MS for side in (1, -1)])
def test_a_clock_that_is_off_is_noticed_within_a_minute_and_minutes_close_by_venue_time(
    off_ms: int, late_ms: int
) -> None:
    """Ours ahead looks like a late link, ours behind like a quick one: a little lateness must not hide either."""
    assert_noticed(off_ms, late_ms=late_ms)


@pytest.mark.goal
@pytest.mark.parametrize("off_ms", [2_100, -2_100])
def test_on_a_quick_link_a_tenth_of_a_second_over_the_limit_is_enough(off_ms: int) -> None:
    assert_noticed(off_ms)


@pytest.mark.goal
@pytest.mark.parametrize("late_ms", [0, 300, 900])
@pytest.mark.parametrize("off_ms", [0, 300, 1_000, -800, -1_000])
def test_a_clock_that_is_right_or_nearly_so_raises_no_alarm(off_ms: int, late_ms: int) -> None:
    assert replay_with_skew(off_ms, late_ms=late_ms)[1] is None


@pytest.mark.parametrize("off_ms", [2_500, -2_500, 5_000, -5_000, 30_000, -30_000])
def test_d7_negative_control_a_blind_estimate_is_noticed(off_ms: int) -> None:
    """Negative control of D7: one that ignores the times of the venue."""

    class Blind(SkewEstimate):
        def observe(self, symbol: str, t: int, received_ms: int) -> None:
            pass

    with pytest.raises(AssertionError):
        assert_noticed(off_ms, estimate=Blind())


def test_after_a_stall_of_a_right_clock_the_next_minute_takes_the_alarm_back() -> None:
    """Late frames of one minute look like a clock that is ahead; the first frames of the next know better."""
    estimate = SkewEstimate()
    estimate.expect(3)
    for symbol in ("BTC", "ETH", "SOL"):
        estimate.observe(symbol, T, T + M + 9_000)
    assert (estimate.ms, estimate.is_disputed) == (-8_000, True)
    for symbol in ("BTC", "ETH", "SOL"):
        estimate.observe(symbol, T + 2 * M, T + 2 * M + 100)
    assert (estimate.ms, estimate.is_disputed) == (-100, False)
