"""What of a malformed graph can still be looked at, so that one answer also says what the rules find in the rest.

Whatever the models refuse is taken out of a copy: a field falls back to its default, an entry or node disappears.
Places in the rest are translated back to where they stood.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from clash_pipeline.clones.form import Refused, refusals_of
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.problems import Problem, unescaped

ROUNDS = 8
"""Taking something out can leave its surroundings incomplete, which go next; the models are six levels deep."""

Path = tuple[str | int, ...]


@dataclass
class Salvage:
    """A copy of a graph without its malformed parts; `content` is changed in place."""

    content: dict[str, Any]
    removed: list[Path] = field(default_factory=list)
    """Where something was taken out, as the document has it."""
    lost: set[str] = field(default_factory=set)
    """Ids of nodes that were taken out."""
    _origins: dict[int, list[int]] = field(default_factory=dict)
    """Of a list in the copy by its identity: where each entry stood."""

    @property
    def touches_executed(self) -> bool:
        """Whether something is missing that has an effect: all but the layout has."""
        return any(path[:1] not in {("layout",), ("version",)} for path in self.removed)

    def in_document(self, problem: Problem) -> Problem:
        """A problem of the copy at the place it has in the document."""
        steps: list[str] = problem.pointer.split("/")
        holder: Any = self.content
        for place, step in enumerate(steps[1:], 1):
            if isinstance(holder, list) and step.isdigit():
                steps[place] = str(self._origin(holder, int(step)))
            holder = _inner(holder, unescaped(step))
        return replace(problem, pointer="/".join(steps))

    def is_real(self, problem: Problem) -> bool:
        """Whether a problem is the document's own: not that a node is missing which was taken out."""
        steps = [unescaped(step) for step in problem.pointer.split("/")[1:]]
        holder: Any = self.content
        for step in steps:
            holder = _inner(holder, step)
        named = holder if isinstance(holder, str) else steps[-1] if steps else ""
        return problem.code not in {"dangling_edge", "layout_unknown_node"} or named not in self.lost

    def take_out(self, refusals: Iterable[Refused]) -> None:
        """Remove what some refusals are about; entries of a list together, because removing one moves the others."""
        entries: dict[int, tuple[list[Any], set[int]]] = {}
        for refused in refusals:
            holder, step = self._to_remove(refused)
            if isinstance(holder, list) and isinstance(step, int):
                entries.setdefault(id(holder), (holder, set()))[1].add(step)
            elif isinstance(holder, dict):
                holder.pop(step, None)
        for holder, places in entries.values():
            self._drop(holder, places)

    def _to_remove(self, refused: Refused) -> tuple[Any, str | int]:
        """The object or list, and the key or place in it, that has to go."""
        path = refused.path[:-1] if refused.kind == "missing" else refused.path
        self.removed.append(self._outside(refused.path))
        holder: Any = self.content
        for depth, step in enumerate(path[:-1]):
            inner = _inner(holder, step)
            if not isinstance(inner, dict | list):
                return holder, path[depth]
            holder = inner
        return holder, path[-1] if path else ""

    def _drop(self, holder: list[Any], places: set[int]) -> None:
        origins = self._origins.setdefault(id(holder), list(range(len(holder))))
        for place in sorted(places, reverse=True):
            if place < len(holder):
                if holder is self.content.get("nodes"):
                    self._lose(holder[place])
                del holder[place], origins[place]

    def _lose(self, node: Any) -> None:
        if isinstance(node, dict) and isinstance(node.get("id"), str):
            self.lost.add(node["id"])

    def _outside(self, path: Sequence[str | int]) -> Path:
        """A path of the copy as the document has it."""
        found: list[str | int] = []
        holder: Any = self.content
        for step in path:
            is_place = isinstance(holder, list) and isinstance(step, int)
            found.append(self._origin(holder, int(step)) if is_place else step)
            holder = _inner(holder, step)
        return tuple(found)

    def _origin(self, holder: list[Any], place: int) -> int:
        origins = self._origins.get(id(holder))
        return origins[place] if origins and place < len(origins) else place


def salvage(content: Any) -> tuple[Graph, Salvage] | None:
    """The well-formed rest of a graph; None where nothing can be made of it. `content` itself is not changed."""
    if not isinstance(content, dict):
        return None
    rest = Salvage({**deepcopy(content), "version": 1})
    for _ in range(ROUNDS):
        try:
            return Graph.model_validate(rest.content), rest
        except ValidationError as error:
            rest.take_out(refusals_of(error))
    return None


def _inner(holder: Any, step: str | int) -> Any:
    """What stands below; None where nothing does."""
    if isinstance(holder, list):
        place = int(step) if str(step).isdigit() else len(holder)
        return holder[place] if place < len(holder) else None
    return holder.get(step) if isinstance(holder, dict) else None
