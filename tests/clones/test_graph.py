"""The graph's form: strangers' bytes within bounds, legacy kept, layout without effect, a schema that agrees."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clones import graph_schema, reading
from clash_pipeline.clones.compiler import compile_graph
from clash_pipeline.clones.graph import Graph, simple_graph
from clash_pipeline.clones.problems import GraphInvalid, GraphUnreadable, Problem
from tests.fakes.graphs import REGISTRY, graphs

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "doc" / "examples").glob("*/graph.json"))
CONTRACT = Path(__file__).parent / "example_graph.json"
VALIDATOR = jsonschema.Draft202012Validator(graph_schema.published())
SMALLEST = {"version": 1, "nodes": []}


def refused(content: bytes) -> list[Problem]:
    with pytest.raises(GraphInvalid) as caught:
        reading.read(content)
    return caught.value.problems


def with_layout(text: str) -> bytes:
    return b'{"version": 1, "nodes": [], "layout": %s}' % text.encode()


# the schema


def test_the_schema_is_a_schema_and_names_no_host() -> None:
    schema = graph_schema.published()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("urn:")


def test_every_object_and_field_of_the_schema_explains_itself() -> None:
    schema = graph_schema.published()
    objects = {name: made for name, made in schema["$defs"].items() if made.get("type") == "object"} | {"": schema}
    silent = [
        f"{name}.{field}"
        for name, made in objects.items()
        for field, of in made["properties"].items()
        if not of.get("description") or ("$ref" not in of and not of.get("title"))
    ]
    assert silent == []
    assert all(made.get("description") and made["additionalProperties"] is False for made in objects.values())


def test_the_schema_carries_the_limits() -> None:
    fields = graph_schema.published()["$defs"]
    cadence = fields["TradingPromptConfig"]["properties"]["decisionCadenceSec"]
    assert (cadence["minimum"], cadence["maximum"], cadence["default"]) == (60, 86_400, 300)
    assert fields["CandidatePolicy"]["properties"]["maxCandidates"]["maximum"] == 25
    assert fields["TradingPromptConfig"]["properties"]["traderType"]["deprecated"] is True


@pytest.mark.parametrize("file", [CONTRACT, *EXAMPLES], ids=lambda file: file.parent.name)
def test_examples_satisfy_schema_and_models_and_come_back_as_they_were(file: Path) -> None:
    content = json.loads(file.read_text("utf-8"))
    VALIDATOR.validate(content)
    assert reading.read(file.read_bytes()).wire() == content


@given(graphs())
def test_what_the_models_accept_the_schema_accepts(content: dict[str, Any]) -> None:
    assert reading.parse(content).wire() == content
    VALIDATOR.validate(content)


@given(graphs(1), st.data())
def test_a_changed_value_is_accepted_by_both_or_refused_by_the_models(content: dict[str, Any], data: Any) -> None:
    """Whatever one value becomes, the models never take what the published schema refuses."""
    place, key = data.draw(st.sampled_from(sorted(places(content), key=lambda found: str(found[1]))))
    place[key] = data.draw(st.sampled_from([None, True, 0, -1, 1.5, "", "x", "60", [], {}, 10**9, 1.0]))
    try:
        reading.parse(content)
    except GraphInvalid:
        return
    VALIDATOR.validate(content)


def test_control_a_laxer_model_is_noticed() -> None:
    """Text for a number is what a lax model would take and the schema refuses."""
    content = simple_graph(("BTC",)).wire()
    content["nodes"][2]["config"]["decisionCadenceSec"] = "300"
    assert not VALIDATOR.is_valid(content)
    assert [problem.code for problem in refused(json.dumps(content).encode())] == ["wrong_type"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document, as its container and its key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in list(inner):
        yield value, key
        yield from places(below)


# bytes


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"version": 1} trailing', "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b'{"a": "\x00"}', "not_json"),
        (b"[" * 100_000, "graph_too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "graph_too_deep"),
        (b" " * 2_000_001, "graph_too_large"),
        (b'"' + b'\\"' * 400_000, "not_json"),
    ],
)
def test_bytes_that_are_no_graph_at_all_are_one_clear_error(content: bytes, code: str) -> None:
    with pytest.raises(GraphUnreadable) as caught:
        reading.read(content)
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"null", ("not_an_object", "")),
        (b"[]", ("not_an_object", "")),
        (b"7", ("not_an_object", "")),
        (b'{"version": 1, "nodes": [], "nodes": []}', ("duplicate_key", "/nodes")),
        (with_layout('{"nodes": {"a": {"x": NaN, "y": 0}}}'), ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 0, "y": -Infinity}}}'), ("number_not_finite", "/layout/nodes/a/y")),
        (with_layout('{"nodes": {"a": {"x": 1e400, "y": 0}}}'), ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 1e999999999, "y": 0}}}'), ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 1e-99999999999999999999, "y": 0}}}'),
         ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 0.%s, "y": 0}}}' % ("1" * 99)), ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 1%s, "y": 0}}}' % ("0" * 9_000)),
         ("number_not_finite", "/layout/nodes/a/x")),
        (with_layout('{"nodes": {"a": {"x": 1e9, "y": 0}}}'), ("number_too_high", "/layout/nodes/a/x")),
        (with_layout('{"strategyClone": {"position": {"x": 12345678901234567890, "y": 0}}}'),
         ("number_too_large", "/layout/strategyClone/position/x")),
        (b'{"version": 1, "nodes": [{"id": "\\ud800", "type": "data_stream"}]}', ("text_not_unicode", "/nodes/0/id")),
        (b'{"version": 1, "nodes": [], "\\udfff": 1}', ("text_not_unicode", "/\N{REPLACEMENT CHARACTER}")),
        (b'{"version": true, "nodes": []}', ("version_unsupported", "/version")),
    ],
)  # fmt: skip
def test_what_python_would_let_through_is_refused_with_its_place(content: bytes, found: tuple[str, str]) -> None:
    assert [(problem.code, problem.pointer) for problem in refused(content)] == [found]


def test_a_layout_of_ten_megabytes_is_refused_from_bytes_and_from_objects() -> None:
    places = {f"node-{number}": {"x": number / 7, "y": 1.5} for number in range(200_000)}
    content = {"version": 1, "nodes": [], "layout": {"nodes": places}}
    assert [problem.code for problem in refused(json.dumps(content).encode())] == ["graph_too_large"]
    with pytest.raises(GraphInvalid) as caught:
        reading.parse(content)
    assert caught.value.problems[0].code == "graph_too_large"


def test_a_layout_above_its_own_bound_names_limit_and_actual() -> None:
    places = {f"node-{number}-{'x' * 50}": {"x": 0, "y": 0} for number in range(3_000)}
    (problem,) = refused(json.dumps(SMALLEST | {"layout": {"nodes": places}}).encode())
    assert (problem.code, problem.pointer, problem.limit) == ("layout_too_large", "/layout", 200_000)
    assert problem.actual is not None
    assert problem.actual > 200_000


def test_very_many_problems_are_counted_and_not_all_listed() -> None:
    content = json.dumps({"version": 1, "nodes": [{"id": "x", "type": "y"}] * 5_000}).encode()
    problems = refused(content)
    assert len(problems) == 201
    assert problems[-1].code == "too_many_problems"


def test_decimals_from_another_reader_are_bounded_too() -> None:
    for number in ("1e400", "NaN", "-Infinity"):
        content = SMALLEST | {"layout": {"nodes": {"a": {"x": Decimal(number), "y": 0}}}}
        with pytest.raises(GraphInvalid, match="finite"):
            reading.parse(content)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    refused(content)


@given(st.data())
def test_no_mutated_graph_raises_anything_else(data: Any) -> None:
    content = bytearray(CONTRACT.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 12))] = data.draw(st.sampled_from(SPLINTERS))
    problems: list[Problem] = []
    try:
        reading.read(bytes(content))
    except GraphInvalid as error:
        problems = error.problems
    json.dumps([problem.wire() for problem in problems], ensure_ascii=False).encode()
    assert all(problem.message.isprintable() for problem in problems)


SPLINTERS = (b"", b"NaN", b"1e999", b'"', b"{", b"]", b"\\ud800", b"null", b"-", b"\xf0", b"1e-99999999999999999999")


# legacy and layout


LEGACY = {
    "maxAssetsPerRun": 5,
    "traderType": {"kind": "swing", "of": [1, 2.5, None]},
    "analysisTimeframe": "4h",
    "marketMomentumSensitivity": 0.25,
}


def test_legacy_fields_are_kept_and_change_nothing() -> None:
    plain = simple_graph(("BTC",)).wire()
    legacy = json.loads(json.dumps(plain))
    legacy["nodes"][2]["config"] |= LEGACY
    read = reading.read(json.dumps(legacy).encode())
    assert read.wire() == legacy
    assert compile_graph(read, REGISTRY).digest == compile_graph(reading.parse(plain), REGISTRY).digest


@given(graphs(), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_change_of_the_layout_alone_changes_no_hash(content: dict[str, Any], x: float, y: float) -> None:
    before = reading.parse(content)
    moved = content | {
        "layout": {
            "nodes": {"prompt": {"x": x, "y": y}},
            "strategyClone": {"position": {"x": y, "y": x}, "connectedPromptNodeIds": ["prompt"]},
        }
    }
    after = reading.read(json.dumps(moved).encode())
    assert after.wire()["layout"] == moved["layout"]
    assert compile_graph(after, REGISTRY).digest == compile_graph(before, REGISTRY).digest


def test_a_byte_order_mark_is_forgiven() -> None:
    assert reading.read(b"\xef\xbb\xbf" + json.dumps(SMALLEST).encode()) == Graph.model_validate(SMALLEST)
