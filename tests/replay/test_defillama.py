"""The replayed DefiLlama: recorded shapes, values that move once an hour, recorded values where whole."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.defillama import DefiLlama
from clash_pipeline.replay.recorded_answers import RecordedAnswers
from clash_pipeline.replay.synthetic import DEFAULT_START_MS as NOW


@pytest.fixture
def llama() -> DefiLlama:
    return DefiLlama(7, RecordedAnswers(None))


def _recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "defillama" / name).read_text())


@pytest.mark.recordings
def test_answers_have_the_recorded_keys(llama: DefiLlama, recordings: Path) -> None:
    (real_protocol,) = _recorded(recordings, "protocols_one_full_entry.json")
    assert set(llama.protocols(NOW)[0]) == set(real_protocol)
    (real_chain,) = _recorded(recordings, "v2_chains_one_entry.json")
    assert list(llama.chains(NOW)[0]) == list(real_chain)
    history = llama.chain_history("Solana", NOW)
    real_history = _recorded(recordings, "historical_chain_tvl_solana_3days.json")
    assert history is not None
    assert list(history[-1]) == list(real_history[-1])
    chart = llama.stablecoin_chart("solana", NOW)
    assert chart is not None
    real_chart = _recorded(recordings, "stablecoincharts_solana_2days.json")
    assert set(chart[-1]) >= set(real_chart[-1])
    assert isinstance(chart[-1]["date"], str)
    real_chains = _recorded(recordings, "stablecoinchains_three_entries.json")
    assert list(llama.stablecoin_chains(NOW)[0]) == list(real_chains[0])
    real_coins = _recorded(recordings, "stablecoins.json")
    assert set(llama.stablecoins(NOW)["peggedAssets"][0]) >= set(real_coins["peggedAssets"][0])


@pytest.mark.recordings
def test_an_overview_has_the_recorded_keys(llama: DefiLlama, recordings: Path) -> None:
    real = _recorded(recordings, "overview_derivatives_official_example.json")
    ours = llama.overview("dexs", None, {}, NOW)
    assert ours is not None
    assert set(ours) == set(real)
    assert set(ours["protocols"][0]) == set(real["protocols"][0])
    assert ours["breakdown24h"] is None
    assert ours["chain"] is None


def test_values_change_with_the_hour_and_only_then(llama: DefiLlama) -> None:
    assert llama.chains(NOW) == llama.chains(NOW + 59 * MINUTE_MS) != llama.chains(NOW + HOUR_MS)
    assert llama.chains(NOW) != DefiLlama(8, RecordedAnswers(None)).chains(NOW)


def test_changes_agree_with_the_values_they_speak_of(llama: DefiLlama) -> None:
    now = {entry["slug"]: entry for entry in llama.protocols(NOW)}
    before = {entry["slug"]: entry for entry in llama.protocols(NOW - DAY_MS)}
    for slug in ("aave-v3", "raydium-amm"):
        change = (now[slug]["tvl"] / before[slug]["tvl"] - 1) * 100
        assert now[slug]["change_1d"] == pytest.approx(change, rel=1e-3)
    assert now["unpriced-farm"]["tvl"] is None
    assert now["unpriced-farm"]["change_1d"] is None
    yesterday = llama.stablecoins(NOW - DAY_MS)["peggedAssets"][0]["circulating"]
    assert llama.stablecoins(NOW)["peggedAssets"][0]["circulatingPrevDay"] == yesterday


def test_lending_lists_what_is_borrowed_beside_the_chains(llama: DefiLlama) -> None:
    aave = llama.protocols(NOW)[0]
    chains = {name: value for name, value in aave["chainTvls"].items() if name in aave["chains"]}
    assert sum(chains.values()) == pytest.approx(aave["tvl"])
    assert "borrowed" in aave["chainTvls"]


def test_an_overview_can_leave_charts_out_name_a_chain_and_ask_for_revenue(llama: DefiLlama) -> None:
    excluded = {"excludeTotalDataChart": "true", "excludeTotalDataChartBreakdown": "true"}
    whole = llama.overview("fees", None, excluded, NOW)
    revenue = llama.overview("fees", None, excluded | {"dataType": "dailyRevenue"}, NOW)
    solana = llama.overview("dexs", "solana", {}, NOW)
    assert whole is not None
    assert revenue is not None
    assert solana is not None
    assert whole["totalDataChart"] == whole["totalDataChartBreakdown"] == []
    assert revenue["total24h"] == pytest.approx(whole["total24h"] * 0.28, rel=0.01)
    assert solana["chain"] == "Solana"
    assert {entry["name"] for entry in solana["protocols"]} == {"Raydium AMM", "Orca DEX", "Meteora DLMM"}
    assert solana["totalDataChart"][-1][0] == NOW // 1000
    assert llama.overview("dexs", "atlantis", {}, NOW) is None
    assert llama.overview("fees", "hyperliquid", {}, NOW)["chain"] == "Hyperliquid L1"  # type: ignore[index]


def test_a_protocols_series_ends_in_a_live_point(llama: DefiLlama) -> None:
    found = llama.protocol("aave-v3", NOW + 7 * MINUTE_MS)
    assert found is not None
    *days, live = found["tvl"]
    assert all(point["date"] % 86_400 == 0 for point in days)
    assert live["date"] == (NOW + 7 * MINUTE_MS) // 1000


@pytest.mark.recordings
def test_whole_recordings_are_served_with_their_values(recordings: Path) -> None:
    llama = DefiLlama(7, RecordedAnswers(recordings))
    lite = _recorded(recordings, "protocols_lite.json")
    served = llama.protocols(NOW)
    assert [(entry["name"], entry["tvl"]) for entry in served] == [(e["name"], e.get("tvl")) for e in lite]
    assert llama.stablecoins(NOW) == _recorded(recordings, "stablecoins.json")
    assert llama.protocol("kamino-lend", NOW) == _recorded(recordings, "protocol_kamino-lend.json")


def test_over_http_bots_are_refused_and_unknown_slugs_are_400_in_plain_text(served: VenueControls) -> None:
    with httpx.Client(base_url=served.base_url) as client:
        assert client.get("/llama/v2/chains").status_code == 403, "python-httpx is no ordinary agent"
        browser = {"User-Agent": "Mozilla/5.0"}
        answer = client.get("/llama/protocol/nosuch", headers=browser)
        assert (answer.status_code, answer.text) == (400, "Protocol not found")
        for path in ("/llama/v2/historicalChainTvl/Solana", "/llama/overview/open-interest", "/llama/tvl/lido",
                     "/stablecoins/stablecoincharts/all", "/stablecoins/stablecoins"):  # fmt: skip
            first, second = (client.get(path, headers=browser) for _ in range(2))
            assert first.status_code == 200
            assert first.json() == second.json()
