"""The published JSON Schema of a pipeline graph, made from the models that read it."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from clash_pipeline.clones.graph import Graph

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:clash-of-clones:schema:pipeline-graph:1"


def published() -> dict[str, Any]:
    """The schema as plain JSON, draft 2020-12: every limit of form, a title and a sentence for every field.

    What depends on the registry or the entitlement (symbols, tiers, claims) is beyond a schema; validation says it.
    """
    made = Graph.model_json_schema(by_alias=True, mode="validation", schema_generator=_Published)
    made["title"] = "Clash of Clones pipeline graph, version 1"
    return {"$schema": DIALECT, "$id": IDENTITY, **_on_one_line(made)}


def _on_one_line(made: Any) -> Any:
    """Descriptions without the line breaks of the source."""
    if isinstance(made, list):
        return [_on_one_line(inner) for inner in made]
    if not isinstance(made, dict):
        return made
    joined = {name: _on_one_line(inner) for name, inner in made.items()}
    if isinstance(joined.get("description"), str):
        joined["description"] = " ".join(joined["description"].split())
    return joined


class _Published(GenerateJsonSchema):
    """Leaves out defaults of null: a field that may be left out says so by not being required."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if "default" in made and made["default"] is None:
            del made["default"]
        return made
