"""09 D5: damaged messages raise nothing past the handler, leave no half row, and each refusal is counted."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clash_pipeline.market import ingestion
from clash_pipeline.market.candles import Candle, problem
from clash_pipeline.market.hyperliquid import answers, contexts, funding, registry, wire
from clash_pipeline.market.hyperliquid.wire import Rejections, WireRejection
from clash_pipeline.storage.sqlite import Database
from tests.fakes import hyperliquid_messages as messages
from tests.fakes.mutations import damage_bytes, damage_structure

FOLLOWED = frozenset({"AAVE", "BTC"})
NOW = 1_790_360_000_000
CI_FRAMES, CI_ANSWERS = 40_000, 10_000
SOAK_FRAMES, SOAK_ANSWERS = 1_000_000, 1_000_000


class Taken(NamedTuple):
    """What became of one message: rows that may be stored, and what was refused."""

    rows: list[Any]
    refused: list[WireRejection]


Handler = Callable[[bytes], Taken]


# --- handlers: what ingestion does with a message, up to the rows ---------------------------------------------------


def stream(raw: bytes) -> Taken:
    """A frame, as text where it is text: sockets give text frames as `str`."""
    try:
        message = wire.decode_ws(_as_socket_gives_it(raw))
    except WireRejection as rejection:
        return Taken([], [rejection])
    if isinstance(message, wire.VenueError):
        assert message.subscription is None or message.subscription.type
    if not isinstance(message, wire.CandleFrames):
        return Taken([], [])
    known = [candle for candle in message.candles if candle.symbol in FOLLOWED]
    others = [WireRejection("unknown_coin", repr(candle)) for candle in message.candles if candle not in known]
    taken = sane(known)
    return Taken(taken.rows, [*taken.refused, *others])


def snapshot(raw: bytes) -> Taken:
    return _whole(raw, lambda rejected: sane(wire.decode_candles(raw, symbol="BTC", rejected=rejected)))


def registries(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        perps = answers.decode_meta(raw, rejected=rejected)
        return Taken(registry.from_wire(perps, answers.SpotMeta([], {})), [])

    return _whole(raw, rows)


def spot_registries(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        spots = answers.decode_spot_meta(raw, rejected=rejected)
        return Taken(registry.from_wire(answers.PerpMeta([], {}), spots), [])

    return _whole(raw, rows)


def perp_contexts(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        meta, found = answers.decode_meta_and_asset_ctxs(raw, rejected=rejected)
        wanted = frozenset(perp.name for perp in meta.perps)
        kept = contexts.from_wire(found, {}, wanted, NOW, NOW, rejected)
        return Taken([*kept, *funding.current(found, wanted, NOW, NOW, rejected)], [])

    return _whole(raw, rows)


def spot_contexts(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        meta, found = answers.decode_spot_meta_and_asset_ctxs(raw, rejected=rejected)
        wanted = frozenset(pair.symbol for pair in meta.pairs)
        return Taken(contexts.from_wire({}, found, wanted, NOW, NOW, rejected), [])

    return _whole(raw, rows)


def predictions(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        found = answers.decode_predicted_fundings(raw, rejected=rejected)
        symbols = {"BTC", "ETH", "HYPE", "MATIC"}
        return Taken(funding.predicted(found, frozenset(symbols), symbols, NOW, NOW, rejected), [])

    return _whole(raw, rows)


def payments(raw: bytes) -> Taken:
    def rows(rejected: Rejections) -> Taken:
        return Taken(
            funding.paid("BTC", answers.decode_funding_history(raw, rejected=rejected) or [], NOW, rejected), []
        )

    return _whole(raw, rows)


def _whole(raw: bytes, take: Callable[[Rejections], Taken]) -> Taken:
    rejected: Rejections = []
    try:
        taken = take(rejected)
    except WireRejection as rejection:
        return Taken([], [rejection])
    return Taken(taken.rows, [*rejected, *taken.refused])


def sane(candles: Iterable[Candle]) -> Taken:
    rows, refused = [], []
    for candle in candles:
        reason = problem(candle)
        if reason is None:
            rows.append(candle)
        else:
            refused.append(WireRejection(reason, repr(candle)))
    return Taken(rows, refused)


def _as_socket_gives_it(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


# --- corpora: messages written by hand, and where they are, recorded ones; long lists cut to their first entries -----


class Corpus(NamedTuple):
    """Whole messages to be damaged: frames of the stream, and answers with the handler of each."""

    frames: list[Any]
    answers: list[tuple[Handler, Any]]


@pytest.fixture(params=["by hand", pytest.param("recorded", marks=pytest.mark.recordings)])
def corpus(request: pytest.FixtureRequest) -> Corpus:
    if request.param == "by hand":
        return Corpus(messages.frames(), answers_by_hand())
    recordings = request.getfixturevalue("recordings")
    return Corpus(recorded_frames(recordings), recorded_answers(recordings))


def answers_by_hand() -> list[tuple[Handler, Any]]:
    return [
        (snapshot, [messages.candle(t=messages.T + minute * 60_000) for minute in range(4)]),
        (registries, messages.meta()),
        (spot_registries, messages.spot_meta()),
        (perp_contexts, [messages.meta(), messages.perp_contexts()]),
        (spot_contexts, [messages.spot_meta(), messages.spot_contexts()]),
        (predictions, messages.predicted_fundings()),
        (payments, messages.funding_history()),
    ]


def recorded_frames(recordings: Path) -> list[Any]:
    folder = recordings / "hyperliquid"
    candles = [line.split(" ", 1)[1] for line in (folder / "ws_candle_AAVE_1m.log").read_text().splitlines() if line]
    lines = [*candles, *(folder / "ws_candle_BTC_1m.jsonl").read_text().splitlines()]
    lines += (folder / "ws_misc.jsonl").read_text().splitlines()
    mids = {"channel": "allMids", "data": {"mids": dict(list(recorded(recordings, "all_mids.json").items())[:20])}}
    decoded = [json.loads(line) for line in lines if line]
    return [*decoded, mids, {"channel": "candle", "data": [decoded[0]["data"], decoded[1]["data"]]}]


def recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "hyperliquid" / name).read_text())


def recorded_answers(recordings: Path) -> list[tuple[Handler, Any]]:
    meta, ctxs = recorded(recordings, "meta_and_asset_ctxs.json")
    some_meta = {"universe": meta["universe"][:5], "marginTables": meta["marginTables"]}
    spot_meta, spot_ctxs = recorded(recordings, "spot_meta_and_asset_ctxs.json")
    some_spots = {"universe": spot_meta["universe"][:4], "tokens": spot_meta["tokens"][:6]}
    predicted = [row for row in recorded(recordings, "predicted_fundings.json") if row[0] in ("BTC", "HYPE", "MATIC")]
    return [
        (snapshot, recorded(recordings, "candle_snapshot_BTC_1m.json")[:4]),
        (registries, some_meta),
        (spot_registries, some_spots),
        (perp_contexts, [some_meta, ctxs[:5]]),
        (spot_contexts, [some_spots, spot_ctxs[:5]]),
        (predictions, predicted),
        (payments, recorded(recordings, "funding_history_BTC_2026-09-25.json")),
    ]


# --- the goal -------------------------------------------------------------------------------------------------------


def fuzz(corpora: list[tuple[Handler, list[Any]]], messages: int, seed: int = 0) -> Counter[str]:
    """Hand over damaged messages; count by reason what was refused, and as `rows` what was taken."""
    rng = random.Random(seed)
    texts = [(handler, message, json.dumps(message).encode()) for handler, body in corpora for message in body]
    seen: Counter[str] = Counter()
    for index in range(messages):
        handler, message, text = rng.choice(texts)
        raw = damage_bytes(rng, text) if index % 2 else damage_structure(rng, message)
        taken = handler(raw)
        assert all(all_fields_fit(row) for row in taken.rows), raw[:300]
        seen["rows"] += len(taken.rows)
        for refusal in taken.refused:
            assert refusal.reason.replace("_", "").isalnum(), refusal.reason
            refusal.sample.encode()
            seen[refusal.reason] += 1
    return seen


def all_fields_fit(row: Any) -> bool:
    """No half row: text is storable and bounded, numbers fit SQLite's integers."""
    values = row if isinstance(row, tuple) else vars(row).values()
    return all(
        len(value) < 3_000 and value.isprintable() if isinstance(value, str) else -(2**63) <= value < 2**63
        for value in values
        if isinstance(value, str | int)
    )


def assert_damage_was_noticed(seen: Counter[str], reasons: set[str]) -> None:
    assert reasons <= seen.keys()
    assert seen["rows"] > 0, "some damage is harmless, and its rows arrive"


FRAME_REASONS = {"bad_json", "wrong_shape", "unknown_channel", "wrong_interval", "wrong_close_time", "unknown_coin"}
ANSWER_REASONS = {
    "bad_candle", "bad_candles", "bad_meta", "bad_perp", "bad_context", "bad_price", "bad_rate", "wrong_symbol",
    "unpaired_contexts", "bad_spot_meta", "unknown_token", "bad_predicted_funding", "bad_funding_row",
}  # fmt: skip


def fuzz_frames(corpus: Corpus, count: int, seed: int = 0) -> None:
    assert_damage_was_noticed(fuzz([(stream, corpus.frames)], count, seed), FRAME_REASONS)


def fuzz_answers(corpus: Corpus, count: int, seed: int = 0) -> None:
    corpora = [(handler, [message]) for handler, message in corpus.answers]
    assert_damage_was_noticed(fuzz(corpora, count, seed), ANSWER_REASONS)


def test_d5_damaged_frames(corpus: Corpus) -> None:
    fuzz_frames(corpus, CI_FRAMES)


def test_d5_damaged_answers(corpus: Corpus) -> None:
    fuzz_answers(corpus, CI_ANSWERS)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_d5_soak_damaged_frames(corpus: Corpus) -> None:
    fuzz_frames(corpus, SOAK_FRAMES, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_d5_soak_damaged_answers(corpus: Corpus) -> None:
    fuzz_answers(corpus, SOAK_ANSWERS, seed=1)


def test_undamaged_messages_are_refused_nowhere(corpus: Corpus) -> None:
    for handler, message in corpus.answers:
        taken = handler(json.dumps(message).encode())
        assert taken.rows, handler.__name__
        assert not taken.refused, handler.__name__
    for frame in corpus.frames:
        if frame["channel"] == "candle":
            taken = stream(json.dumps(frame).encode())
            assert taken.rows, frame
            assert not taken.refused, frame


def test_each_refusal_is_counted_and_the_first_of_its_kind_kept(corpus: Corpus, market: Database) -> None:
    refused: list[WireRejection] = []
    rng = random.Random(7)
    texts = [json.dumps(message).encode() for message in corpus.frames]
    for _ in range(2_000):
        refused += stream(damage_bytes(rng, rng.choice(texts))).refused
    with market.write() as connection:
        for refusal in refused:
            ingestion.reject(connection, "hyperliquid", "candles_1m", refusal.reason, refusal.sample, NOW)
    with market.read() as connection:
        rows = connection.execute("SELECT reason, count, sample FROM ingestion_rejections").fetchall()
    assert {row["reason"]: row["count"] for row in rows} == Counter(refusal.reason for refusal in refused)
    first = {refusal.reason: refusal.sample for refusal in reversed(refused)}
    assert {row["reason"]: row["sample"] for row in rows} == first


@pytest.mark.parametrize("flaw", ["trusts its shape", "trusts its numbers"])
def test_d5_negative_control_a_credulous_handler_is_noticed(corpus: Corpus, flaw: str) -> None:
    def trusts_shape(raw: bytes) -> Taken:
        try:
            data = json.loads(raw)["data"]
        except ValueError:
            return Taken([], [WireRejection("bad_json", raw)])
        return Taken([Candle(data["s"], data["t"], *(data[key] for key in "ohlcv"), data["n"])], [])

    def trusts_numbers(raw: bytes) -> Taken:
        try:
            data = json.loads(raw)["data"]
            return Taken([(str(data["s"]), int(data["t"]), str(data["c"]))], [])
        except (ValueError, LookupError, TypeError, OverflowError):
            return Taken([], [WireRejection("bad_json", raw)])

    candles = [frame for frame in corpus.frames if frame["channel"] == "candle"][:9]
    handler = trusts_shape if flaw == "trusts its shape" else trusts_numbers
    with pytest.raises((AssertionError, LookupError, TypeError)):
        fuzz([(handler, candles)], 2_000)
