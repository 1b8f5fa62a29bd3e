"""The decision over what two endpoints answered: nothing is granted that is not said alike, final, and exact."""

from dataclasses import replace
from typing import Any

import pytest

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, Event, Vault
from clash_pipeline.economy.chain.rpc import Block, Endpoint, EndpointWrong, Log, Receipt
from clash_pipeline.economy.chain.verification import (
    FINAL,
    Finality,
    Found,
    Heads,
    Late,
    Mismatch,
    Pending,
    Settled,
    Sight,
    Terms,
    Verified,
    events_of,
    heads_of,
    judge,
    key_of,
    look,
    ours,
    settle,
    sighted,
)

VAULT = Vault(31_337, "0x" + "c0" * 20, "0x" + "5e" * 20, "0x" + "00" * 32)
PAYER, OTHER = "0x" + "a1" * 20, "0x" + "b2" * 20
TX, HASH = "0x" + "11" * 32, "0x" + "22" * 32
BLOCK = Block(100, HASH, "0x" + "33" * 32, 5_000)
HEADS = Heads(Block(100, HASH, BLOCK.parent_hash, 5_000), Block(103, "0x" + "44" * 32, HASH, 8_000))
TERMS = Terms(frozenset({PAYER}), 7, 1_000, 5_000)
PAID = Event(PAYER, NATIVE, VAULT.resolver, 7, 1_000)


def log(event: Event = PAID, index: int = 0, **other: Any) -> Log:
    topics = (words.topic(words.DEPOSIT_TEXT), *map(words.address_topic, (event.party, event.asset, event.resolver)))
    data = event.nonce.to_bytes(32) + event.amount_wei.to_bytes(32)
    return replace(Log(VAULT.address, topics, data, 100, HASH, TX, index, False), **other)


def receipt(*logs: Log, **other: Any) -> Receipt:
    return replace(Receipt(TX, 100, HASH, True, logs or (log(),)), **other)


def sight(told: Receipt | None = None, **other: Any) -> Sight:
    """An endpoint that tells of an honest deposit."""
    told = told or receipt()
    deposited = {key_of(event): event.amount_wei for _, event in events_of(told, VAULT)}
    return replace(Sight("a", HEADS, told, BLOCK, deposited), **other)


def settled(*logs: Log) -> Settled:
    found = settle(VAULT, [sight(receipt(*logs))] * 2)
    assert isinstance(found, Settled)
    return found


def low(number: int) -> Heads:
    return Heads(replace(HEADS.finalized, number=number), HEADS.latest)


# what both say


def test_what_both_say_of_a_final_block_is_settled() -> None:
    assert settle(VAULT, [sight(), sight()]) == Settled(receipt(), BLOCK, (Found(PAID, 0, TX, BLOCK),), frozenset())
    assert settle(VAULT, [sight()] * 3) == settle(VAULT, [sight()] * 2)


@pytest.mark.parametrize(
    ("sights", "outcome"),
    [
        ([sight()], Pending("endpoint_down")),
        ([], Pending("endpoint_down")),
        ([sight(), sight(receipt=None)], Pending("not_seen")),
        ([sight(receipt=None), sight()], Pending("not_seen")),
        ([sight(), sight(receipt(is_success=False))], Pending("endpoints_disagree", is_alarming=True)),
        ([sight(heads=low(99)), sight(receipt(is_success=False))], Pending("endpoints_disagree")),
        ([sight(receipt(log(is_removed=True)))] * 2, Pending("not_canonical", is_alarming=True)),
        ([sight(receipt(log(is_removed=True)), heads=low(99))] * 2, Pending("not_canonical")),
        ([sight(), sight(heads=low(99))], Pending("not_final")),
        ([sight(heads=low(99)), sight()], Pending("not_final")),
        ([sight(canonical=None)] * 2, Pending("not_canonical", is_alarming=True)),
        ([sight(), sight(canonical=replace(BLOCK, time_ms=1))], Pending("not_canonical", is_alarming=True)),
        ([sight(canonical=replace(BLOCK, hash=TX))] * 2, Pending("not_canonical", is_alarming=True)),
        ([sight(receipt(is_success=False))] * 2, Mismatch("tx_failed")),
        ([sight(receipt(log(), log(data=b"")))] * 2, Pending("malformed_event", is_alarming=True)),
        ([sight(), sight(deposited={})], Pending("state_differs", is_alarming=True)),
        ([sight(deposited={key_of(PAID): 999})] * 2, Pending("state_differs", is_alarming=True)),
    ],
)  # fmt: skip
def test_what_is_missing_late_or_told_in_two_ways_stays_pending(sights: list[Sight], outcome: object) -> None:
    assert settle(VAULT, sights) == outcome


def test_logs_of_others_are_left_out() -> None:
    foreign = log(address=OTHER)
    assert settled(foreign, log(index=1)).found == (Found(PAID, 1, TX, BLOCK),)
    assert events_of(receipt(foreign, log(topics=()), log(data=b"")), VAULT) == []


def test_a_key_that_is_told_twice_is_doubled_whatever_the_state_says() -> None:
    twice = receipt(log(), log(replace(PAID, amount_wei=5), 1))
    told = settle(VAULT, [sight(twice)] * 2)
    assert isinstance(told, Settled)
    assert told.doubled == frozenset({key_of(PAID)})
    assert [found.log_index for found in told.found] == [0, 1]
    beside = receipt(log(), log(replace(PAID, amount_wei=5), 1), log(replace(PAID, nonce=8), 2))
    wrong = {**sight(beside).deposited, key_of(replace(PAID, nonce=8)): 1}
    assert settle(VAULT, [sight(beside, deposited=wrong)] * 2) == Pending("state_differs", is_alarming=True)


# depth


@pytest.mark.parametrize(
    ("finality", "is_settled"),
    [
        (FINAL, False),
        (Finality(3, 1_000), True),
        (Finality(4, 1_000), False),
        (Finality(3, 999), False),
        (Finality(2, 10**18), True),
    ],
)
def test_small_amounts_count_by_depth_where_the_policy_says_so(finality: Finality, is_settled: bool) -> None:
    found = settle(VAULT, [sight(heads=low(99))] * 2, finality)
    assert found == (settle(VAULT, [sight()] * 2) if is_settled else Pending("not_final"))


def test_the_depth_is_that_of_the_endpoint_that_sees_least_and_amounts_add_up() -> None:
    behind = Heads(low(99).finalized, replace(HEADS.latest, number=102))
    for sights in ([sight(heads=low(99)), sight(heads=behind)], [sight(heads=behind), sight(heads=low(99))]):
        assert settle(VAULT, sights, Finality(3, 1_000)) == Pending("not_final")
        assert isinstance(settle(VAULT, sights, Finality(2, 1_000)), Settled)
    two = receipt(log(), log(replace(PAID, nonce=8), 1))
    assert settle(VAULT, [sight(two, heads=low(99))] * 2, Finality(3, 1_999)) == Pending("not_final")
    assert isinstance(settle(VAULT, [sight(two, heads=low(99))] * 2, Finality(3, 2_000)), Settled)
    assert Finality() == Finality(None, 0)


# what was quoted


def found_of(event: Event, index: int = 0) -> Found:
    return Found(event, index, TX, BLOCK)


OTHERS = replace(PAID, party=OTHER)
DEARER = replace(PAID, amount_wei=1_001)


@pytest.mark.parametrize(
    ("logs", "outcome"),
    [
        ([log()], Verified(found_of(PAID))),
        ([log(OTHERS)], Mismatch("depositor_mismatch", found_of(OTHERS))),
        ([log(OTHERS), log(PAID, 1)], Verified(found_of(PAID, 1))),
        ([log(DEARER)], Mismatch("amount_mismatch", found_of(DEARER))),
        ([log(replace(PAID, amount_wei=999))], Mismatch("amount_mismatch", found_of(replace(PAID, amount_wei=999)))),
        ([log(replace(PAID, nonce=8))], Mismatch("nonce_mismatch")),
        ([log(replace(PAID, resolver=OTHER))], Mismatch("resolver_mismatch")),
        ([log(replace(PAID, asset=OTHER))], Mismatch("asset_mismatch")),
        ([log(), log()], Mismatch("ambiguous_deposit")),
        ([log(address=OTHER)], Mismatch("contract_mismatch")),
        ([log(topics=(words.topic(words.WITHDRAWAL_TEXT),))], Mismatch("no_deposit")),
        ([log(topics=())], Mismatch("no_deposit")),
        ([log(topics=(), address=OTHER)], Mismatch("no_deposit")),
        ([log(topics=(words.topic(words.WITHDRAWAL_TEXT),), address=OTHER)], Mismatch("no_deposit")),
    ],
)
def test_one_field_off_is_wrong(logs: list[Log], outcome: object) -> None:
    assert judge(settled(*logs), TERMS, VAULT) == outcome


def test_a_deposit_is_late_one_millisecond_after_its_end() -> None:
    assert judge(settled(), TERMS, VAULT) == Verified(found_of(PAID))
    assert judge(settled(), replace(TERMS, pays_until=4_999), VAULT) == Late(found_of(PAID))


def test_money_of_ours_is_what_lies_in_our_name_and_asset_once() -> None:
    strange = [replace(PAID, resolver=OTHER), replace(PAID, asset=OTHER), replace(PAID, nonce=9, amount_wei=0)]
    least = replace(OTHERS, amount_wei=1)
    told = settled(*(log(event, number) for number, event in enumerate([*strange, PAID, least])))
    assert ours(told, VAULT) == (found_of(PAID, 3), found_of(least, 4))
    assert ours(settled(log(), log()), VAULT) == ()


# asking


class Said(Endpoint):
    """Answers from a receipt, and notes what it was asked."""

    def __init__(self, told: Receipt | None, *, is_broken: bool = False) -> None:
        self.told, self.is_broken = told, is_broken
        self.asked: list[tuple[Any, ...]] = []

    @property
    def name(self) -> str:
        return "said"

    def receipt(self, tx_hash: str) -> Receipt | None:
        if self.is_broken:
            raise EndpointWrong("said", "nonsense")
        self.asked.append((tx_hash,))
        return self.told

    def block(self, number: int) -> Block | None:
        self.asked.append((number,))
        return BLOCK

    def word(self, address: str, content: bytes, block_hash: str) -> int:
        self.asked.append((address, content, block_hash))
        return 1_000

    def finalized(self) -> Block:
        return HEADS.finalized

    def latest(self) -> Block:
        return HEADS.latest


def test_the_newest_block_is_asked_for_only_where_depth_counts() -> None:
    assert heads_of(Said(None)) == Heads(HEADS.finalized, HEADS.finalized)
    assert heads_of(Said(None), Finality(0)) == HEADS


def test_an_endpoint_is_asked_for_the_state_after_the_block_of_the_receipt() -> None:
    said = Said(receipt())
    assert look(said, VAULT, TX, HEADS) == sight(endpoint="said")
    assert said.asked == [
        (TX,), (100,), (VAULT.address, words.get_deposit(PAYER, NATIVE, VAULT.resolver, 7), HASH),
    ]  # fmt: skip
    assert look(Said(None), VAULT, TX, HEADS) == Sight("said", HEADS, None, None, {})


def test_the_trouble_of_one_endpoint_is_told_beside_what_the_other_says() -> None:
    said = Said(receipt())
    sights, troubles = sighted([(Said(None, is_broken=True), HEADS), (said, HEADS)], VAULT, TX)
    assert sights == [sight(endpoint="said")]
    assert said.asked[0] == (TX,)
    assert [str(trouble) for trouble in troubles] == ["said: nonsense"]
