"""Which assets a market is about; the words that name a coin and much else are the point."""

import pytest

from clash_pipeline.market.polymarket.links import Linker, asset, search_query
from clash_pipeline.market.polymarket.wire import page
from tests.fakes.gamma import raw_event, raw_market

ASSETS = [
    asset("BTC", "BTC", ["Bitcoin", "XBT", "BTC"]),
    asset("ETH", "ETH", ["Ethereum", "Ether"]),
    asset("SOL", "SOL", ["Solana"]),
    asset("LINK", "LINK", ["Chainlink"]),
    asset("OP", "OP", ["Optimism"]),
    asset("NEAR", "NEAR", ["NEAR Protocol"]),
    asset("AVAX", "AVAX", ["Avalanche"]),
    asset("TRUMP", "TRUMP", ["Official Trump"]),
    asset("ME", "ME", ["Magic Eden"]),
    asset("GAS", "GAS", ["NeoGas"]),
    asset("kPEPE", "kPEPE", ["Pepe"]),
    asset("AAVE", "AAVE", ["Aave"]),
    asset("SUI", "SUI", ["Sui", "Sui Network"]),
    asset("@107", "HYPE", ["Hyperliquid"]),
    asset("HYPE", "HYPE", ["Hyperliquid"]),
]
LINKER = Linker(ASSETS)


def linked(
    question: str, *, title: str = "An event", tags: tuple[str, ...] = ("crypto",), slug: str = "x-1", **event: str
) -> set[str]:
    raw = raw_event("1", title, raw_market("7", question, slug=slug), tags=tags, **event)
    found = page([raw]).events[0]
    return {link.symbol for link in LINKER.links(found.markets[0], found)}


@pytest.mark.parametrize(
    ("question", "symbols"),
    [
        ("Will Bitcoin reach $150,000 in July?", {"BTC"}),
        ("Will BITCOIN reach $150,000?", {"BTC"}),
        ("Will BTC or ETH rise first?", {"BTC", "ETH"}),
        ("Will bitcoins be banned?", set()),
        ("Will the Bitcoin Cash price double?", set()),
        ("Ethereum Classic above $30?", set()),
        ("Will Hyperliquid list it?", {"HYPE", "@107"}),
        ("Will Pepe flip Ethereum?", {"kPEPE", "ETH"}),
        ("Chainlink above $20?", {"LINK"}),
        ("Aave above $300?", {"AAVE"}),
        ("aave above $300?", {"AAVE"}),
        ("Sui above $4?", {"SUI"}),
        ("Who may sui caveat?", set()),
        ("LINK above the old high?", set()),
        ("Will $LINK go up?", {"LINK"}),
        ("Will $link go up?", {"LINK"}),
        ("LINK price above $20?", {"LINK"}),
        ("Chain of custody (LINK) above $20?", {"LINK"}),
        ("Click the link near me: op gas", set()),
        ("Will Trump win?", set()),
        ("Will TRUMP price double?", {"TRUMP"}),
        ("Will Donald Trump mention Bitcoin?", {"BTC"}),
        ("Near miss on NEAR?", set()),
        ("Will NEAR Protocol rise?", {"NEAR"}),
        ("Will ME be listed?", set()),
        ("Will Magic Eden be listed?", {"ME"}),
        ("WILL SOL RISE?", set()),
        ("Will SOL rise?", {"SOL"}),
        ("Will sol rise?", set()),
    ],
)
def test_a_question_in_a_crypto_event_names(question: str, symbols: set[str]) -> None:
    assert linked(question) == symbols


def test_outside_crypto_a_ticker_or_a_plain_word_is_not_enough() -> None:
    assert linked("Colorado Avalanche vs. Dallas Stars", tags=("nhl",)) == set()
    assert linked("Will Avalanche win?", tags=("nhl",)) == set()
    assert linked("Will Avalanche rise?") == {"AVAX"}
    assert linked("Will the SOL treaty pass?", tags=("politics",)) == set()
    assert linked("Will Solana be a strategic reserve?", tags=("politics",)) == {"SOL"}
    assert linked("Is optimism near me?", tags=()) == set()


def test_the_window_of_a_recurring_slug_decides() -> None:
    assert linked("Up or down?", slug="btc-updown-5m-1773307200") == {"BTC"}
    assert linked("Up or down?", slug="link-updown-15m-1773307200") == {"LINK"}


def test_slug_series_title_and_tags_are_asked_in_this_order() -> None:
    assert linked("Above 64,000?", slug="bitcoin-above-64k-on-march-11") == {"BTC"}
    assert linked("Above 64,000?", seriesSlug="btc-multi-strikes-weekly") == {"BTC"}
    assert linked("Above 64,000?", title="Ethereum above ___?") == {"ETH"}
    assert linked("Above 64,000?", tags=("crypto", "solana")) == {"SOL"}
    assert linked("Above 64,000?", tags=("crypto", "sui", "near")) == {"SUI"}
    assert linked("Will Bitcoin rise?", title="Ethereum above ___?", tags=("crypto", "solana")) == {"BTC"}


def test_the_reason_is_kept() -> None:
    found = page([raw_event("1", "An event", raw_market("7", "Will Bitcoin rise?"))]).events[0]
    assert [link.matched for link in LINKER.links(found.markets[0], found)] == ["question: Bitcoin"]


def test_the_order_of_the_registry_does_not_matter() -> None:
    found = page([raw_event("1", "An event", raw_market("7", "BTC, ETH, SOL and Hyperliquid"))]).events[0]
    backwards = Linker(reversed(ASSETS))
    assert backwards.links(found.markets[0], found) == LINKER.links(found.markets[0], found)


def test_a_careless_linker_would_be_noticed() -> None:
    """The negative control of the table above: matching bare words links what it must not."""
    question = "Click the link near me: op gas"
    careless = {symbol for symbol in ("LINK", "NEAR", "ME", "OP", "GAS") if symbol.lower() in question}
    assert careless
    assert careless != linked(question)


def test_searches_ask_for_what_is_no_ordinary_word() -> None:
    assert search_query(asset("BTC", "BTC", ["Bitcoin"])) == "bitcoin"
    assert search_query(asset("AVAX", "AVAX", ["Avalanche"])) == "AVAX"
    assert search_query(asset("OP", "OP", ["Optimism"])) is None
