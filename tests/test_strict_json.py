"""Strict JSON: bounds before the reader, each key once, exact and short numbers; every refusal has its code."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.strict_json import Bounds, NotStrict, decode, has_half_character

BOUNDS = Bounds(depth=4, values=10, number_characters=8)
AMPLE = Bounds(depth=50, values=10_000, number_characters=400)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_json"),
        (b'{"a": 1} {"a": 2}', "not_json"),
        (b'{"a": "\x00"}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'"\xff"', "not_utf8"),
        (b"[[[[[1]]]]]", "too_deep"),
        (b"[" * 1_000_000, "too_deep"),
        (b"[1,2,3,4,5,6,7,8,9,10,11]", "too_many_values"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"b": {"a": 1, "\\u0061": 1}}', "duplicate_key"),
        (b"123456789", "number_too_long"),
        (b"1.2345678", "number_too_long"),
        (b"1e9", "number_too_long"),
        (b"1e-9", "number_too_long"),
        (b"NaN", "number_not_finite"),
        (b"[-Infinity]", "number_not_finite"),
    ],
)
def test_every_refusal_has_its_code(content: bytes, code: str) -> None:
    with pytest.raises(NotStrict) as caught:
        decode(content, BOUNDS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"[[[[1]]]]", [[[[1]]]]),
        (b'["[[[[[", "\\"[[[[["]', ["[[[[[", '"[[[[[']),
        (b"[1,2,3,4,5,6,7,8,9,0]", [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
        (b"12345678", 12345678),
        (b"1.234567", Decimal("1.234567")),
        (b"1e8", Decimal("1e8")),
    ],
)
def test_what_reaches_a_bound_is_read(content: bytes, value: Any) -> None:
    assert decode(content, BOUNDS) == value


def test_where_it_is_wrong_is_said_without_repeating_it() -> None:
    with pytest.raises(NotStrict) as caught:
        decode(b'{\n "secret" 1}', BOUNDS)
    assert (str(caught.value), caught.value.at) == ("not JSON", "expecting ':' delimiter at line 2, column 11")


@given(plain)
def test_what_the_standard_writes_is_read_back(value: Any) -> None:
    assert decode(json.dumps(value).encode(), AMPLE) == value


@given(st.binary(max_size=200) | st.text('[]{},:"\\u0deE+-.1 tnN', max_size=60).map(str.encode))
def test_nothing_else_escapes(content: bytes) -> None:
    with contextlib.suppress(NotStrict):
        decode(content, BOUNDS)


def test_half_characters() -> None:
    assert has_half_character(decode(b'"\\ud83d"', BOUNDS))
    assert not has_half_character(decode(b'"\\ud83d\\ude00"', BOUNDS))
