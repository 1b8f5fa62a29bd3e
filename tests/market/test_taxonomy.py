"""The taxonomy file: every recorded perp has its place, and what contradicts itself is refused with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.market.hyperliquid import answers, placing, registry, wire
from clash_pipeline.market.taxonomy import Place, TaxonomyError, parse, taxonomy


def document(**changes: Any) -> dict[str, Any]:
    return {
        "categories": {
            "meme": {"title": "Memes", "subcategories": {"dog": {"kBONK": ["Bonk"], "WOOF": ["Woofcoin", "woof"]}}},
            "stablecoin": {"title": "Stablecoins", "subcategories": {"dollar": {}}},
        },
        "spot": {
            "same_as": {"UBONK": "kBONK"},
            "places": {"stablecoin": {"dollar": {"USDE": ["Ethena USDe"], "BONK": ["Another Bonk"]}}},
        },
        "ordinary_words": ["USDE"],
        **changes,
    }


def memes(subcategories: dict[str, Any]) -> dict[str, Any]:
    return {"categories": {"meme": {"title": "Memes", "subcategories": subcategories}}}


@pytest.mark.recordings
def test_every_perp_of_the_recorded_registries_has_a_place(recordings: Path) -> None:
    folder = recordings / "hyperliquid"
    perps = {entry["name"] for entry in json.loads((folder / "meta.json").read_text())["universe"]}
    perps |= {entry["name"] for entry in json.loads((folder / "meta_and_asset_ctxs.json").read_text())[0]["universe"]}
    perps |= {entry["name"] for entry in json.loads((folder / "meta_2023-07-17.json").read_text())["universe"]}
    assert len(perps) == 228
    assert [perp for perp in sorted(perps) if not taxonomy().perp(perp).is_known] == []


@pytest.mark.recordings
def test_every_traded_spot_token_of_the_recordings_has_a_place(recordings: Path) -> None:
    meta, contexts = json.loads((recordings / "hyperliquid" / "spot_meta_and_asset_ctxs.json").read_text())
    tokens = {token["index"]: token["name"] for token in meta["tokens"]}
    bases = {pair["name"]: tokens[pair["tokens"][0]] for pair in meta["universe"]}
    traded = {bases[c["coin"]] for c in contexts if c["coin"] in bases and float(c["dayNtlVlm"]) > 20_000}
    assert len(traded) > 20
    assert [token for token in sorted(traded) if not taxonomy().spot_token(token).is_known] == []


@pytest.mark.recordings
def test_every_listed_asset_has_a_place_and_the_rule_says_which_it_placed(recordings: Path) -> None:
    """All of the recorded registries; what a person placed is never what the rule placed."""
    folder = recordings / "hyperliquid"
    rejected: wire.Rejections = []
    perps = answers.decode_meta((folder / "meta.json").read_bytes(), rejected=rejected)
    spots = answers.decode_spot_meta((folder / "spot_meta.json").read_bytes(), rejected=rejected)
    listed = registry.from_wire(perps, spots)
    found = placing.placing(listed)
    assert found.waiting("uncategorised") == ()
    assert sum(group.perps + group.spot for group in found.groups) == found.assets > 350
    by_rule = set(found.waiting("by_rule"))
    places = {asset.symbol: taxonomy().spot_token(asset.base_token) for asset in listed if asset.kind == "spot"}
    assert by_rule == {symbol for symbol, place in places.items() if place.is_by_rule}
    assert 0 < len(by_rule) < 50
    assert all(places[symbol].search_terms == () for symbol in by_rule)


def test_control_a_new_perp_is_still_reported_as_uncategorised() -> None:
    """The rule is for spot tokens alone: a perp without a place is a gap in our data."""
    perps = answers.PerpMeta([answers.Perp("BRANDNEW", 1, 10, 56, position=0)], {})
    tokens = {0: answers.SpotToken("USDC", 8, 0), 1: answers.SpotToken("BRANDNEWS", 5, 1)}
    spots = answers.SpotMeta([answers.SpotPair((1, 0), "@900", 900)], tokens)
    found = placing.placing(registry.from_wire(perps, spots))
    assert [(each.symbol, each.reason) for each in found.unplaced] == [
        ("BRANDNEW", "uncategorised"), ("@900", "by_rule"),
    ]  # fmt: skip


def test_no_search_term_means_two_coins() -> None:
    """A perp and the spot forms of its coin share their words; nobody else does."""
    places, owners = taxonomy(), dict[str, set[str]]()
    for ticker, place in [*places.perps.items(), *places.spot.items()]:
        for term in place.search_terms:
            if term != ticker:
                owners.setdefault(term.lower(), set()).add(place.name)
    assert {term: names for term, names in owners.items() if len(names) > 1} == {}


@pytest.mark.parametrize(
    ("symbol", "category"),
    [
        ("BTC", "crypto_major"), ("ETH", "crypto_major"), ("SOL", "layer_1"), ("ARB", "layer_2"), ("UNI", "defi"),
        ("DOGE", "meme"), ("TAO", "ai"), ("AXS", "gaming_nft"), ("LINK", "infrastructure"), ("ONDO", "rwa"),
        ("ZEC", "privacy"), ("PAXG", "commodity"), ("USTC", "stablecoin"), ("NFTI", "index"), ("FTT", "exchange"),
        ("ENS", "social"),
    ],
)  # fmt: skip
def test_well_known_assets_stand_where_a_person_looks_for_them(symbol: str, category: str) -> None:
    assert taxonomy().perp(symbol).category == category
    assert category in taxonomy().titles


def test_a_spot_token_is_not_taken_for_the_perp_of_its_name() -> None:
    """PUMP of the spot market is not pump.fun, and PEPE there is not Pepe."""
    places = taxonomy()
    assert places.spot_token("UPUMP").name == places.perp("PUMP").name
    assert places.spot_token("PUMP").name != places.perp("PUMP").name
    assert "PEPE" not in places.spot_token("PEPE").search_terms
    assert not places.spot_token("BERA").is_known
    assert places.spot_token("BERA").category == "hyperliquid_spot"


def test_ordinary_words_are_no_search_terms() -> None:
    for symbol in ("S", "W", "ME", "NOT", "TRUMP", "PEOPLE", "AI", "MOVE"):
        assert symbol not in taxonomy().perp(symbol).search_terms
    assert taxonomy().perp("BTC").search_terms == ("Bitcoin", "XBT", "BTC")


def test_every_place_has_words_to_be_found_by() -> None:
    places = taxonomy()
    assert [name for name, place in (places.perps | places.spot).items() if not place.search_terms] == []


def test_names_ticker_and_the_k_of_per_thousand_coins() -> None:
    places = parse(document())
    assert places.perp("WOOF") == Place("meme", "dog", "Woofcoin", ("Woofcoin", "woof"))
    assert places.perp("BONK").subcategory == places.perp("kBONK").subcategory == "dog"
    assert places.spot_token("UBONK").search_terms == ("Bonk", "kBONK", "UBONK")
    assert places.spot_token("USDE").search_terms == ("Ethena USDe",)
    assert places.subcategories == {"meme": ("dog",), "stablecoin": ("dollar",)}


def test_what_is_not_listed_is_uncategorised_and_has_no_search_terms() -> None:
    assert taxonomy().perp("CHINA") == Place("uncategorised", "uncategorised", "CHINA", ())
    assert parse(document()).spot_token("CHINA") == Place("uncategorised", "uncategorised", "CHINA", ())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (memes({"a": {"X": ["x"]}, "b": {"X": ["y"]}}), "X stands twice"),
        (memes({"a": {"X": []}}), "X stands twice or has no name"),
        (memes({"a": {True: ["on"]}}), "put it in quotes"),
        ({"ordinary_words": [False]}, "put it in quotes"),
        ({"spot": {"places": {"nowhere": {"a": {"X": ["x"]}}}}}, "there is no category nowhere"),
        ({"spot": {"same_as": {"UX": "X"}}}, "UX cannot be the same as X"),
        (
            {"spot": {"otherwise": {"category": "meme", "subcategory": "hat"}}},
            "spot.otherwise: there is no subcategory meme.hat",
        ),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TaxonomyError, match=problem):
        parse(document(**changes))
