"""Graphs on the wire: documented by the published schema, read by the clone service, which names every problem."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from clash_pipeline.api.wire import Shown
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.problems import Problem as Found


class _AsDocumented:
    """Any JSON for the framework, a graph for the document: validation itself is not left to the framework."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Whatever it is."""
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What a graph looks like."""
        return handler(Graph.__pydantic_core_schema__)


GraphJson = Annotated[Any, _AsDocumented]
"""A pipeline graph, version 1, with its layout."""


class GraphProblem(Shown):
    """One thing that is wrong with a graph: code, place as a JSON pointer, a sentence, limit and actual number."""

    code: str
    pointer: str
    message: str
    limit: int | None
    actual: int | None
    is_incomplete: bool


def plain(content: Any) -> Any:
    """The objects of a strictly read body as the clone service takes them: coordinates are its only fractions."""
    if isinstance(content, Decimal):
        return float(content)
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list) else content


def shown(problems: list[Found]) -> list[GraphProblem]:
    """Problems as they are answered."""
    return [GraphProblem.model_validate(problem) for problem in problems]
