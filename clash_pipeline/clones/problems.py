"""What is wrong with a graph: code, place, sentence, and the limit with the actual number where there is one."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_PROBLEMS = 200
"""More are counted, not listed: a hostile file can be wrong in every byte."""
SHOWN_CHARACTERS = 60

INCOMPLETE = frozenset(
    {
        "no_prompt",
        "prompt_without_assets",
        "prompt_without_text",
        "assets_without_stream",
        "group_empty",
        "override_unselected",
    }
)
"""Codes of what is merely unfinished: such a draft may be stored, not published (02 Validation)."""
UNBOUNDED = frozenset({"graph_too_large", "graph_too_deep", "layout_too_large"})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `pointer` is a JSON pointer into the graph, empty for the whole of it."""

    code: str
    pointer: str
    message: str
    limit: int | None = None
    actual: int | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether a draft with this problem may be stored."""
        return self.code in INCOMPLETE

    def wire(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


class GraphInvalid(ValueError):
    """A graph that must not be stored; `problems` has all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{first.pointer or '/'}: {first.message}{more}")

    @property
    def is_unbounded(self) -> bool:
        """Whether the graph is larger than anything looks at."""
        return any(problem.code in UNBOUNDED for problem in self.problems)


class GraphUnreadable(GraphInvalid):
    """Bytes that are no JSON object of a bearable size; there is nothing in them to point at."""


def listed(problems: Sequence[Problem]) -> list[Problem]:
    """The problems as they are reported: of very many the first, and how many there are in all."""
    if len(problems) <= MOST_PROBLEMS:
        return list(problems)
    message = f"There are {len(problems)} problems; the first {MOST_PROBLEMS} are listed."
    rest = Problem("too_many_problems", "", message, MOST_PROBLEMS, len(problems))
    return [*problems[:MOST_PROBLEMS], rest]


def pointer_to(parts: Iterable[str | int]) -> str:
    """The JSON pointer of a path; text that no JSON can carry is shown as a replacement character."""
    return "".join(f"/{escaped(str(part))}" for part in parts)


def escaped(part: str) -> str:
    """One step of a JSON pointer."""
    return printable(part, 200).replace("~", "~0").replace("/", "~1")


def unescaped(step: str) -> str:
    """What a step of a JSON pointer names."""
    return step.replace("~1", "/").replace("~0", "~")


def shown(value: object) -> str:
    """A value for a sentence: short, on one line, whatever it holds."""
    if isinstance(value, str):
        return f"“{printable(value, SHOWN_CHARACTERS)}”"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"{value:.6g}" if abs(value) > 10**15 else str(value)
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, dict) else "a value"


def printable(text: str, characters: int) -> str:
    """Text cut to a length, unprintable characters replaced."""
    cut = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


def counted(number: int, noun: str) -> str:
    """`1 asset`, `2 assets`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
