"""Answers: the schema's fields only, every number bounded; anything else is no decision (09 §6.5)."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.decisions.answer import AnswerInvalid, parse

GOOD = b'{"action": "open_long", "sizePct": 12.5, "leverage": 3, "confidence": 0.7, "rationale": "trend"}'


def test_a_good_answer_becomes_a_proposal() -> None:
    answer = parse(GOOD)
    proposal = answer.proposal("BTC")
    assert proposal is not None
    assert (proposal.symbol, proposal.action, proposal.size_pct, proposal.leverage) == ("BTC", "open_long", "12.5", 3)
    assert answer.size_pct == Decimal("12.5")


def test_hold_asks_for_nothing() -> None:
    assert parse(b'{"action": "hold"}').proposal("BTC") is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b"buy BTC now", b'```json\n{"action": "hold"}\n```', b'{"action": "hold"}{}',
        b'{"action": "hol', b'{"action": "transfer"}', b'{"action": "hold", "balance": 1}', b'{"sizePct": 1}',
        b'{"action": "open_long", "sizePct": "100%"}', b'{"action": "open_long", "sizePct": -5}',
        b'{"action": "open_long", "sizePct": 1e9}', b'{"action": "open_long", "sizePct": NaN}',
        b'{"action": "open_long", "sizePct": "NaN"}', b'{"action": "open_long", "sizePct": 0.0000001}',
        b'{"action": "open_long", "leverage": 3.7}', b'{"action": "open_long", "leverage": 0}',
        b'{"action": "open_long", "leverage": 51}', b'{"action": "open_long", "leverage": true}',
        b'{"action": "open_long", "confidence": 2}', b'{"action": "open_long", "stopLossPct": -1}',
        b'{"action": "hold", "rationale": "' + b"x" * 2_001 + b'"}', b'{"action": "hold", "rationale": "\xff"}',
        b" " * 65_536 + GOOD,
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(content: bytes) -> None:
    with pytest.raises(AnswerInvalid):
        parse(content)


@given(st.binary(max_size=200))
def test_bytes_never_raise_anything_else(content: bytes) -> None:
    with suppress(AnswerInvalid):
        parse(content)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_bounded_answer_or_none(place: int, byte: int) -> None:
    try:
        answer = parse(GOOD[:place] + bytes([byte]) + GOOD[place + 1 :])
    except AnswerInvalid:
        return
    assert 0 <= answer.size_pct <= 100
    assert 1 <= answer.leverage <= 50
