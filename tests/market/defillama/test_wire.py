"""DefiLlama's answers: the recorded ones as they are, the odd ones with their reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.market.defillama import wire
from clash_pipeline.market.defillama.chains import aliases, chain_name
from clash_pipeline.market.http import VenueMalformed
from tests.fakes.llama import raw_overview, raw_turnover


def recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "defillama" / f"{name}.json").read_text())


@pytest.mark.recordings
def test_every_recorded_protocol_is_taken_or_refused_for_a_negative_tvl(recordings: Path) -> None:
    raw = recorded(recordings, "protocols_lite")
    decoded = wire.protocols(raw)
    assert len(decoded.items) + len(decoded.refused) == len(raw) == 6_686
    assert {refused.reason for refused in decoded.refused} == {"negative_tvl"}
    assert sum(protocol.tvl_usd is None for protocol in decoded.items) == 1_487
    assert decoded.items[0].slug == "aave-v3"


@pytest.mark.recordings
def test_a_recorded_whole_protocol(recordings: Path) -> None:
    protocol = wire.protocols(recorded(recordings, "protocols_one_full_entry")).items[0]
    assert (protocol.slug, protocol.category, protocol.mcap_usd) == ("binance-cex", "CEX", None)
    assert protocol.tvl_usd == 115_594_281_982.37428
    assert protocol.change_7d_pct == -3.3879363694525466


@pytest.mark.recordings
def test_recorded_stablecoins_count_every_peg(recordings: Path) -> None:
    raw = recorded(recordings, "stablecoins")
    found, refused = wire.stablecoins(raw)
    assert (len(found.coins), len(found.chains), refused) == (25, 15, ())
    usdt = next(coin for coin in found.coins if coin.subject == "USDT")
    assert (usdt.circulating, usdt.previous_day) == (183_396_003_691.97812, 183_347_721_143.80447)
    tron = next(chain for chain in found.chains if chain.name == "Tron")
    assert tron.tvl_usd == sum(next(c for c in raw["chains"] if c["name"] == "Tron")["totalCirculatingUSD"].values())


@pytest.mark.recordings
def test_recorded_chains_histories_and_overviews(recordings: Path) -> None:
    chains = wire.chains(recorded(recordings, "v2_chains_one_entry"))
    assert chains.items == (wire.Chain("Harmony", 4_815_892.656507085),)
    history = wire.history(recorded(recordings, "historical_chain_tvl_solana_3days"))
    assert [point.tvl_usd for point in history.items] == [5_647_944_308, 5_753_178_429, 5_927_196_263]
    solana, _ = wire.overview(recorded(recordings, "overview_dexs_solana_totals"))
    assert (solana.total_usd, solana.previous_usd) == (2_373_588_819.8, 2_289_285_889.32)
    perps, refused = wire.overview(recorded(recordings, "overview_derivatives_official_example"))
    assert (perps.total_usd, perps.change_1d_pct, refused) == (23_537_303_133, 13.48, ())
    assert perps.protocols[0].by_chain == {"OP Mainnet": 3_547_540}
    assert perps.protocols[0].slug == "synthetix-v1+v2"


def test_null_is_unknown_and_negative_is_refused() -> None:
    decoded = wire.chains(
        [{"name": "A", "tvl": None}, {"name": "B", "tvl": -0.01}, {"name": "C", "tvl": 0}, {"tvl": 1}]
    )
    assert decoded.items == (wire.Chain("A", None), wire.Chain("C", 0.0))
    assert [refused.reason for refused in decoded.refused] == ["negative_tvl", "chain_name"]


def test_only_revenue_may_be_negative() -> None:
    raw = raw_overview(5, raw_turnover("Aave", -1), raw_turnover("Uni", 2))
    assert [one.slug for one in wire.overview(raw)[0].protocols] == ["uni"]
    assert [refused.reason for refused in wire.overview(raw)[1]] == ["negative_total"]
    assert wire.overview(raw, may_be_negative=True)[1] == ()
    with pytest.raises(VenueMalformed, match="negative_total"):
        wire.overview(raw_overview(-5))


@pytest.mark.parametrize("raw", [None, 5, "x", {}, {"protocols": 5}])
def test_what_is_not_a_list_or_an_object_is_malformed(raw: Any) -> None:
    for decode in (wire.chains, wire.protocols, wire.history, wire.stablecoins):
        with pytest.raises(VenueMalformed):
            decode(raw)
    if raw != {}:
        with pytest.raises(VenueMalformed):
            wire.overview(raw)


def test_a_live_last_point_is_left_out_of_a_history() -> None:
    raw = [{"date": "86400", "tvl": 2}, {"date": 0, "tvl": 1}, {"date": 90_000, "tvl": 9}, {"date": 172_800}]
    decoded = wire.history(raw)
    assert [(point.t, point.tvl_usd) for point in decoded.items] == [(0, 1), (86_400_000, 2)]
    assert [refused.reason for refused in decoded.refused] == ["history_point"]


def test_names_are_cleaned_and_bounded() -> None:
    chain = wire.chains([{"name": "Eth\u202eereum\u200b " + "x" * 9_000, "tvl": 1}]).items[0]
    assert chain.name.startswith("Ethereum xxx")
    assert len(chain.name) <= wire.NAME_BYTES


def test_coins_of_one_symbol_keep_their_names_apart() -> None:
    coins = [{"id": number, "symbol": "USDX", "pegType": "peggedUSD"} for number in ("12", "3", "100")]
    found, _ = wire.stablecoins({"peggedAssets": coins, "chains": []})
    assert {coin.coin_id: coin.subject for coin in found.coins} == {"3": "USDX", "12": "USDX#12", "100": "USDX#100"}


def test_one_name_for_each_chain() -> None:
    assert {chain_name(written) for written in ("Optimism", "optimism", "OP Mainnet", "op mainnet")} == {"OP Mainnet"}
    assert chain_name("Binance") == chain_name("bsc") == "BSC"
    assert chain_name("zircuit", ["Zircuit"]) == "Zircuit"
    assert chain_name("A New One") == "A New One"
    assert len(set(aliases())) >= len(set(aliases().values())) > 50
