"""Thinning: one rule in one order, never above the budget unless only what is required is left, the newest kept."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline import canonical
from clash_pipeline.decisions import packet, prompt
from clash_pipeline.decisions.packet import PROMINENCE, Packet
from clash_pipeline.decisions.sections import Section
from clash_pipeline.decisions.texts import Untrusted
from clash_pipeline.decisions.thinning import fitted, halved
from tests.fakes.packets import made_up, read

AMPLE = 100_000


def lean(whole: Packet) -> int:
    """The tokens of the same packet without any read that may be left out."""
    return fitted(whole, 0).budget.estimated_tokens["total"]


def test_within_its_budget_a_packet_keeps_every_row() -> None:
    whole = made_up(read("ohlcv", points=60), read("rsi", points=60))
    shown = fitted(whole, AMPLE)
    assert [len(section.rows) for section in shown.sections] == [60, 60]
    assert (shown.budget.thinned, shown.budget.is_over, shown.budget.limit_tokens) == ((), False, AMPLE)


def test_the_longest_lookback_gives_first_and_the_coarsest_of_equal_ones() -> None:
    """A day of hours before an hour of minutes; of two that reach equally far the coarser."""
    day = read("ohlcv", points=24, granularity_sec=3_600, lookback_sec=86_400)
    coarse = read("rsi", points=12, granularity_sec=300, lookback_sec=3_600)
    fine = read("rsi", points=60, granularity_sec=60, lookback_sec=3_600)
    whole = made_up(fine, coarse, day)
    total = fitted(whole, AMPLE).budget.estimated_tokens["total"]
    after_one = fitted(whole, total - 1)
    assert [len(section.rows) for section in after_one.sections] == [60, 12, 12]
    after_two = fitted(whole, after_one.budget.estimated_tokens["total"] - 1)
    assert [len(section.rows) for section in after_two.sections] == [60, 6, 12]


def test_auto_goes_before_standard_and_required_stays() -> None:
    whole = made_up(
        read("ohlcv", points=40, inclusion="required"),
        read("rsi", points=40, inclusion="standard"),
        read("macd", points=40, inclusion="auto"),
    )
    no_auto = fitted(whole, lean(whole) + 175)
    by_channel = {section.channel: section for section in no_auto.sections}
    assert by_channel["macd"].left_out == "over_budget"
    assert (by_channel["macd"].rows, by_channel["macd"].found, by_channel["macd"].age_ms) == ((), 40, 60_000)
    assert by_channel["rsi"].rows
    assert len(by_channel["ohlcv"].rows) == 40
    nothing = fitted(whole, 0)
    assert [bool(section.rows) for section in nothing.sections] == [True, False, False]
    assert nothing.budget.is_over


def test_the_packet_says_what_was_thinned() -> None:
    whole = made_up(read("ohlcv", points=8), read("rsi", points=8))
    shown = fitted(whole, 0)
    assert [(one.channel, one.found, one.kept, one.reason) for one in shown.budget.thinned] == [
        ("ohlcv", 8, 0, "over_budget"), ("rsi", 8, 0, "over_budget"),
    ]  # fmt: skip


def test_markets_of_one_moment_stay_together() -> None:
    """Half of an event's moments, never half of its markets."""
    rows = tuple((ago, market) for ago in (3, 2, 1, 0) for market in ("a", "b"))
    section = msgspec.structs.replace(read("market", points=0), columns=("ago_min", "market_id"), rows=rows, found=8)
    assert halved(section).rows == ((2, "a"), (2, "b"), (0, "a"), (0, "b"))


def test_a_text_that_nothing_refers_to_any_more_is_gone() -> None:
    """The title of a market that was left out costs nothing."""
    market = msgspec.structs.replace(
        read("immediate", points=0), source="polymarket", columns=("ago_min", "question"), rows=((0, "t2"),), found=1
    )
    texts = (Untrusted("t1", "clone.name", "Ada"), Untrusted("t2", "polymarket.question", "Will it rain?"))
    empty = made_up()
    named = msgspec.structs.replace(empty.identity, clone_name="t1")
    whole = msgspec.structs.replace(empty, identity=named, polymarket=(market,), untrusted=texts)
    assert fitted(whole, AMPLE).untrusted == texts
    assert fitted(whole, 0).untrusted == texts[:1]


reads = st.builds(
    read,
    st.sampled_from(["ohlcv", "rsi", "macd", "funding"]),
    points=st.integers(0, 50),
    granularity_sec=st.sampled_from([60, 300, 3_600]),
    lookback_sec=st.sampled_from([3_600, 86_400]),
    inclusion=st.sampled_from(PROMINENCE),
)


@given(st.lists(reads, max_size=6), st.integers(0, 6_000))
def test_never_above_the_budget_unless_only_required_content_is_left(found: list[Section], limit: int) -> None:
    whole = made_up(*found)
    shown = fitted(whole, limit)
    total = prompt.assemble(shown).estimated_tokens
    assert shown.budget.estimated_tokens["total"] == total
    assert shown.budget.is_over == (total > limit)
    if total > limit:
        left = [section for section in shown.sections if section.rows]
        assert {section.inclusion for section in left} <= {"required"}
        assert all(len(section.rows) == 1 for section in left)


@given(st.lists(reads, max_size=6), st.integers(0, 6_000))
def test_the_newest_point_is_kept_and_required_reads_stay(found: list[Section], limit: int) -> None:
    for before, after in zip(found, fitted(made_up(*found), limit).sections, strict=True):
        assert after.rows[-1:] in ((), before.rows[-1:])
        assert (after.rows == () and before.rows != ()) == (after.left_out == "over_budget")
        if before.inclusion == "required":
            assert bool(after.rows) == bool(before.rows)


@given(st.lists(reads, max_size=6), st.integers(0, 6_000))
def test_classes_give_in_their_order(found: list[Section], limit: int) -> None:
    """Nothing of a class is touched while something of an earlier one is still shown."""
    after = fitted(made_up(*found), limit).sections
    touched = {one.inclusion for one, before in zip(after, found, strict=True) if len(one.rows) < len(before.rows)}
    for place, inclusion in enumerate(PROMINENCE):
        if touched & set(PROMINENCE[place + 1 :]):
            assert not [one for one in after if one.inclusion == inclusion and one.rows]


@given(st.lists(reads, max_size=6), st.integers(0, 6_000))
def test_the_same_packet_is_thinned_alike(found: list[Section], limit: int) -> None:
    whole = made_up(*found)
    assert packet.encode(fitted(whole, limit)) == packet.encode(fitted(packet.decode(packet.encode(whole)), limit))


@given(st.lists(reads, max_size=6), st.integers(0, 6_000))
def test_the_quick_encoding_is_the_canonical_one(found: list[Section], limit: int) -> None:
    shown = fitted(made_up(*found), limit)
    content = packet.encode(shown)
    assert content == canonical.encode(shown)
    assert packet.decode(content) == shown


def test_control_without_thinning_the_budget_is_broken() -> None:
    """The check of the budget fails for a packet that nobody brought within it."""
    whole = made_up(*(read("ohlcv", points=50) for _ in range(6)))
    with pytest.raises(AssertionError):
        assert prompt.assemble(whole).estimated_tokens <= lean(whole)
