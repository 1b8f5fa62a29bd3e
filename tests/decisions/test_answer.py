"""Answers: the schema's fields only, every number bounded; anything else is no decision (09 §6.5)."""

import json
from contextlib import nullcontext, suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from clash_pipeline.decisions.answer import BOUNDS, Answer, AnswerInvalid, parse, schema

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
        b'{"action": "hold", "action": "open_long"}', b'{"action": "open_long", "sizePct": "12.5"}',
        b'{"action": "open_long", "sizePct": true}', b'{"action": "open_long", "sizePct": 1e400}',
        b'{"action": "open_long", "sizePct": Infinity}', b'{"action": "open_long", "sizePct": null}',
        b'{"action": "open_long", "leverage": 3.0}', b'{"action": "open_long", "leverage": "3"}',
        b'{"action": "open_long", "leverage": ' + b"9" * 5_000 + b"}", b'{"action": "hold", "rationale": ["x"]}',
        b'{"action": "hold", "rationale": {"x": 1}}', b'{"action": ' + b"[" * 10_000, b"[" * 10_000,
        b'{"action": null}', b'{"action": "hold", "rationale": null}', b'\xef\xbb\xbf{"action": "hold"}',
        b'{"action": "open_long", "sizePct": 0.' + b"1" * 400 + b"}", b'{"action": "hold", "symbol": "DOGE"}',
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(content: bytes) -> None:
    with pytest.raises(AnswerInvalid):
        parse(content)


def test_the_rationale_is_cleaned_and_a_negative_zero_is_zero() -> None:
    made = parse('{"action": "open_long", "sizePct": -0.0, "rationale": "up\\u202e\\ud800\u200b\\n now"}'.encode())
    assert made.rationale == "up now"
    proposal = made.proposal("BTC")
    assert proposal is not None
    assert proposal.size_pct == "0.0"


def test_a_refusal_repeats_nothing_of_the_answer() -> None:
    for content in (
        b'{"canary": 1, "action": "hold"}',
        b'{"action": "canary"}',
        b'{"action": "hold", "sizePct": "canary"}',
    ):
        with pytest.raises(AnswerInvalid) as refused:
            parse(content)
        assert "canary" not in str(refused.value)


def test_the_schema_asks_for_every_field_and_names_the_same_bounds() -> None:
    made = schema()
    assert made["required"] == list(made["properties"]) == [field.encode_name for field in fields(Answer)]
    assert made["additionalProperties"] is False
    for field in BOUNDS:
        low, high = (made["properties"][field.wire][name] for name in ("minimum", "maximum"))
        for value, is_fine in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
            content = f'{{"action": "hold", "{field.wire}": {value}}}'.encode()
            with nullcontext() if is_fine else pytest.raises(AnswerInvalid):
                parse(content)


def test_control_a_plain_json_parser_takes_what_ours_refuses() -> None:
    for content in (b'{"action": "hold", "action": "close"}', b'{"action": "hold", "sizePct": NaN}'):
        assert json.loads(content)["action"] in {"hold", "close"}
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
