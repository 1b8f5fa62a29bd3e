"""Packed rows come back to the letter, whatever the letters."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clash_pipeline.archive import codec
from clash_pipeline.archive.catalogue import TABLES

CANDLES = TABLES["hyperliquid_candles_1m"]
CONTEXTS = TABLES["hyperliquid_asset_ctxs"]

venue_decimals = st.builds(
    lambda whole, fraction: f"{whole}.{fraction.rstrip('0') or '0'}",
    st.integers(0, 10**9),
    st.text("0123456789", min_size=1, max_size=12),
)
ODD = (
    "0", "-0.0", "1.", ".5", "00.5", "1.50", "1e-5", "+1.5", " 1.5", "1.5 ", "NaN", "inf", "", "1_0.0", "-1.5", "0.00",
    "9007199254740993.0", "0.0000000000000000001", "1.1234567890123", "99999999999999.9", "１.5", "1.5\n", "1,5",
)  # fmt: skip
odd_texts = st.one_of(st.sampled_from(ODD), st.text(max_size=6))
any_text = st.one_of(venue_decimals, venue_decimals, odd_texts)


def candles(texts: list[tuple[str, str, str, str, str]], symbol: str = "BTC") -> pl.DataFrame:
    rows = [(symbol, at * 60_000, *five, 7, "rest", 1, at) for at, five in enumerate(texts)]
    return pl.DataFrame(rows, schema=codec.schema(CANDLES), orient="row")


@given(st.lists(st.tuples(any_text, any_text, any_text, any_text, any_text), min_size=1, max_size=8))
@example([("118712.0", "118727.0", "118654.0", "118675.0", "2.63688")])
@example([("0.0000123", "1.0", "0.1", "123456789.0", "0.0"), ("1.5", "1e3", "1.5", "1.5", "-0.0")])
def test_candles_come_back_to_the_letter(texts: list[tuple[str, str, str, str, str]]) -> None:
    rows = candles(texts)
    stored = codec.pack(CANDLES, rows)
    assert dict(stored.schema) == codec.stored_schema(CANDLES)
    assert codec.unpack(CANDLES, stored).equals(rows)


maybe = st.one_of(st.none(), any_text, st.builds(lambda text: f"-{text}", venue_decimals))


@given(st.lists(st.tuples(any_text, *[maybe] * 6), min_size=1, max_size=6))
def test_contexts_come_back_to_the_letter_with_what_is_absent(cells: list[tuple[str | None, ...]]) -> None:
    names = [name for group in CONTEXTS.decimals for name in group.columns]
    rows = pl.DataFrame(
        [{"symbol": "@1", "t": 60_000 * at, "known_at": 1, "funding_e10": None, **dict(zip(names, row, strict=True))}
         for at, row in enumerate(cells)],
        schema=codec.schema(CONTEXTS),
    )  # fmt: skip
    assert codec.unpack(CONTEXTS, codec.pack(CONTEXTS, rows)).equals(rows)


def test_near_values_are_kept_as_distances() -> None:
    stored = codec.pack(CANDLES, candles([("100.5", "101.0", "99.25", "100.0", "3.5")]))
    shown = stored.select("price_scale", "c", "o", "h", "l", "volume_scale", "v", "price_as_text").row(0, named=True)
    assert shown == {
        "price_scale": 2, "c": 10_000, "o": 50, "h": 50, "l": 75, "volume_scale": 1, "v": 35, "price_as_text": False,
    }  # fmt: skip


def test_one_odd_volume_keeps_its_text_and_nothing_else() -> None:
    stored = codec.pack(CANDLES, candles([("1.5", "1.5", "1.5", "1.5", "1"), ("1.5", "1.5", "1.5", "1.5", "1.0")]))
    assert stored["volume_as_text"].to_list() == [True, False]
    assert stored["v_text"].to_list() == ["1", None]
    assert stored["v"].to_list() == [None, 10]
    assert stored["c"].to_list() == [15, 15]


@pytest.mark.parametrize("artefact", ["3495670.8399999999", "1.30000000000004", "123456789.83999999"])
def test_a_float_artefact_does_not_widen_the_others(artefact: str) -> None:
    stored = codec.pack(CANDLES, candles([("1.5",) * 5, ("1.5", "1.5", "1.5", "1.5", artefact)]))
    assert stored["volume_scale"].to_list() == [1, 1]
    assert stored["volume_as_text"].to_list() == [False, True]
    assert stored["price_as_text"].to_list() == [False, False]


def test_symbols_have_scales_of_their_own() -> None:
    rows = pl.concat([candles([("1.5",) * 5], "BTC"), candles([("0.00001234",) * 5], "kPEPE")])
    assert codec.pack(CANDLES, rows)["price_scale"].to_list() == [1, 8]


@pytest.mark.recordings
def test_every_recorded_candle_comes_back_and_none_in_decimals_needs_its_text(recordings: Path) -> None:
    for file in sorted((recordings / "hyperliquid").glob("candles_1m_*.parquet")):
        read = pl.read_parquet(file).filter(pl.col("t") < 1_753_200_000_000)
        text = {name: [repr(value) for value in read[name]] for name in "ohlcv"}
        rows = read.select(
            symbol="coin", t="t", **{name: pl.Series(cells) for name, cells in text.items()}, n=pl.lit(1),
            origin=pl.lit("rest"), final=pl.lit(1), known_at="t",
        ).cast(codec.schema(CANDLES))  # fmt: skip
        stored = codec.pack(CANDLES, rows)
        assert codec.unpack(CANDLES, stored).equals(rows)
        assert stored["price_as_text"].sum() == 0
        assert stored["volume_as_text"].to_list() == rows["v"].str.contains("e", literal=True).to_list()
