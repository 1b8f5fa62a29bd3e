"""A malformed part hides nothing of the rest: one answer has the errors of form and what the rules find elsewhere."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clones import salvage, validation
from clash_pipeline.clones.entitlements import CAPACITIES
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.validation import GraphInvalid
from tests.fakes.graphs import REGISTRY


def codes(content: Any) -> dict[str, str]:
    with pytest.raises(GraphInvalid) as refused:
        validation.parse(content)
    found = validation.every_problem(refused.value, content, REGISTRY, CAPACITIES["pro"])
    assert len({problem.pointer for problem in found}) == len(found)
    return {problem.pointer: problem.code for problem in found}


def wrong() -> dict[str, Any]:
    """A well-formed graph in which several rules are broken."""
    content = simple_graph(("BTC", "NOPE", "ETH", "OLD")).wire()
    content["nodes"].append({"id": "spare", "type": "data_stream", "config": {}})
    content["edges"] += [
        {"id": "e9", "source": "stream-1", "target": "prompt-1"},
        {"id": "e9", "source": "stream-1", "target": "nowhere"},
    ]
    content["layout"] = {"nodes": {"ghost": {"x": 0, "y": 0}}}
    return content


RULES_BROKEN = {
    "/edges/2": "illegal_edge",
    "/edges/3/id": "duplicate_id",
    "/edges/3/target": "dangling_edge",
    "/layout/nodes/ghost": "layout_unknown_node",
    "/nodes/1/config/explicitlyEnabledSymbols/1": "symbol_unknown",
    "/nodes/1/config/explicitlyEnabledSymbols/3": "symbol_delisted",
}


def test_errors_of_form_and_broken_rules_are_reported_together() -> None:
    content = wrong()
    content["version"] = 2
    content["nodes"].insert(0, {"id": "terminal", "type": "trading_clone"})
    content["nodes"][2]["config"]["explicitlyEnabledSymbols"].insert(0, 7)
    content["nodes"][3]["config"]["decisionCadenceSec"] = 1
    content["edges"].insert(0, {"id": "e0", "source": "terminal", "target": "no-such"})
    content["surplus"] = True
    assert codes(content) == {
        "/version": "version_unsupported",
        "/nodes/0/type": "node_not_executable",
        "/nodes/2/config/explicitlyEnabledSymbols/0": "wrong_type",
        "/nodes/3/config/decisionCadenceSec": "number_too_low",
        "/surplus": "field_unknown",
        "/edges/0/target": "dangling_edge",
        "/edges/3": "illegal_edge",
        "/edges/4/id": "duplicate_id",
        "/edges/4/target": "dangling_edge",
        "/layout/nodes/ghost": "layout_unknown_node",
        "/nodes/2/config/explicitlyEnabledSymbols/2": "symbol_unknown",
        "/nodes/2/config/explicitlyEnabledSymbols/4": "symbol_delisted",
    }


MALFORMED: tuple[tuple[tuple[str | int, ...], Any], ...] = (
    (("version",), 1.0),
    (("nodes", 3), {"id": "spare", "type": "unheard_of"}),
    (("nodes", 3), {"type": "data_stream"}),
    (("nodes", 3), "spare"),
    (("nodes", 3, "config"), []),
    (("nodes", 3, "config", "profile"), "deepest"),
    (("nodes", 3, "config", "blocks"), [{"id": "b", "source": "nowhere"}]),
    (("nodes", 2, "config", "enabled"), "yes"),
    (("nodes", 2, "config", "assetOverrides"), {"\u0412TC": {"enabled": True}}),
    (("nodes", 0, "config", "profile"), None),
    (("nodes", 0, "config", "typo"), 1),
    (("edges", 0, "source"), 5),
    (("edges", 1), {"id": "e2"}),
    (("layout", "nodes", "spare"), {"x": float("nan"), "y": 0}),
    (("layout", "strategyClone"), {"position": {"x": 0}}),
    (("typo",), {}),
)


def malform(content: dict[str, Any], path: tuple[str | int, ...], value: Any) -> bool:
    """Put a value into a graph; False where that place is not there any more."""
    holder: Any = content
    for step in path[:-1]:
        if isinstance(holder, dict):
            holder = holder.setdefault(step, {})
        elif isinstance(holder, list) and isinstance(step, int):
            holder = holder[step]
        else:
            return False
    if not isinstance(holder, dict) and not (isinstance(holder, list) and isinstance(path[-1], int)):
        return False
    holder[path[-1]] = value
    return True


@given(st.lists(st.sampled_from(range(len(MALFORMED))), min_size=1, max_size=5, unique=True))
def test_no_malformed_part_hides_or_invents_anything_elsewhere(chosen: list[int]) -> None:
    parts = [MALFORMED[number] for number in chosen]
    content, sound = wrong(), simple_graph(("BTC",)).wire()
    sound["nodes"].append({"id": "spare", "type": "data_stream", "config": {}})
    placed = [path for path, value in parts if malform(content, path, copy.deepcopy(value))]
    for path, value in parts:
        malform(sound, path, copy.deepcopy(value))
    before = copy.deepcopy(content)
    found = codes(content)
    assert repr(content) == repr(before)
    assert RULES_BROKEN.items() <= found.items()
    roots = ["".join(f"/{step}" for step in path) for path in placed]
    strange = {pointer for pointer in found.keys() - RULES_BROKEN.keys() if not pointer.startswith(tuple(roots))}
    assert strange == set()
    assert {pointer for pointer in codes(sound) if not pointer.startswith(tuple(roots))} == set()


def test_control_without_the_rest_the_broken_rules_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "salvage", lambda content: None)
    content = wrong() | {"typo": 1}
    assert not RULES_BROKEN.items() <= codes(content).items()


@pytest.mark.parametrize("content", [None, [], 5, "graph", {}, {"nodes": 3}])
def test_where_nothing_is_left_there_is_nothing_to_look_at(content: Any) -> None:
    assert salvage.salvage(content) is None
