"""Two OpenAPI documents, compared by what they promise: names of schemas, titles, prose and examples do not count."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
SILENT = frozenset({"title", "description", "summary", "example", "examples", "default", "discriminator"})
"""Members of a schema that promise nothing about a value; `discriminator` repeats what its branches say."""


def differences(one: Document, other: Document) -> list[str]:
    """Every place where two sets of promises differ, each with a path; empty when they agree."""
    return sorted(_differ("", one, other))


def promises(document: Document) -> dict[str, Any]:
    """What a document promises, operation by operation, with every reference followed."""
    made: dict[str, Any] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            made[f"{method.upper()} {path}"] = _operation(document, operation)
    made["security schemes"] = {
        name: {key: value for key, value in scheme.items() if key not in SILENT}
        for name, scheme in document["components"]["securitySchemes"].items()
    }
    return made


def _operation(document: Document, operation: Document) -> dict[str, Any]:
    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", ())]
    body = operation.get("requestBody")
    return {
        "operationId": operation["operationId"],
        "tags": list(operation["tags"]),
        "security": list(operation["security"]),
        "parameters": {
            f"{parameter['in']} {parameter['name']}": {
                "required": parameter.get("required", False),
                "schema": schema(document, parameter["schema"]),
            }
            for parameter in parameters
        },
        "body": None if body is None else {"required": body.get("required", False)} | _contents(document, body),
        "responses": {
            str(status): _contents(document, _resolved(document, response))
            for status, response in operation["responses"].items()
        },
    }


def _contents(document: Document, holder: Document) -> dict[str, Any]:
    return {kind: schema(document, content.get("schema", {})) for kind, content in holder.get("content", {}).items()}


def _resolved(document: Document, value: Document) -> Document:
    while "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = {**found, **{name: inner for name, inner in value.items() if name != "$ref"}}
    return value


def schema(document: Document, value: Any) -> Any:
    """A schema in one way of writing it: references followed, null as a branch, constants as enumerations."""
    if not isinstance(value, dict):
        return value
    made = {name: inner for name, inner in _resolved(document, value).items() if name not in SILENT}
    if isinstance(made.get("type"), list):
        (kind,) = (name for name in made["type"] if name != "null")
        return {"anyOf": sorted([schema(document, made | {"type": kind}), {"type": "null"}], key=_written)}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    for name in ("properties", "patternProperties"):
        if name in made:
            made[name] = {key: schema(document, inner) for key, inner in made[name].items()}
    for name in ("items", "additionalProperties", "propertyNames"):
        if name in made:
            made[name] = schema(document, made[name])
    for name in ("anyOf", "oneOf", "allOf"):
        if name in made:
            made[name] = sorted((schema(document, inner) for inner in made[name]), key=_written)
    for name in ("required", "enum"):
        if name in made:
            made[name] = sorted(made[name], key=_written)
    if made.get("required") == []:  # the same as none, and what some generators of clients need to read
        del made["required"]
    return made


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _differ(place: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            if name not in other:
                yield f"{place}/{name}: only in the first"
            elif name not in one:
                yield f"{place}/{name}: only in the second"
            else:
                yield from _differ(f"{place}/{name}", one[name], other[name])
    elif one != other:
        yield f"{place}: {str(one)[:120]} and {str(other)[:120]}"
