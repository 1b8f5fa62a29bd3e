"""The contract that people read and the application, compared in both directions; its examples are valid (06)."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from clash_pipeline.api.app import create_app
from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import load
from tests.fakes.api_client import SECRET
from tests.fakes.contract import differences, promises

FILE = Path(__file__).resolve().parents[2] / "doc" / "openapi" / "client-api.openapi.yaml"


@cache
def written() -> dict[str, Any]:
    """The file."""
    return dict(yaml.load(FILE.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@cache
def served() -> dict[str, Any]:
    """What the application says of itself; nothing is opened for it."""
    services = Services(load({"CLASH_HOME": "/nonexistent"}), SettableClock())
    return dict(create_app(services, SECRET).openapi())


@cache
def promised() -> dict[str, Any]:
    """What the application promises."""
    return promises(served())


def test_the_file_and_the_application_promise_the_same() -> None:
    assert differences(promises(written()), promised()) == []


def test_the_file_is_openapi() -> None:
    validate(written())


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of the file by its id."""
    for methods in written()["paths"].values():
        for operation in methods.values():
            yield operation["operationId"], operation


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every example: where it stands, the schema, the value."""
    for name, operation in operations():
        holders = [operation.get("requestBody"), *operation["responses"].values()]
        for holder in holders:
            for content in (holder or {}).get("content", {}).values():
                if "example" in content:
                    yield name, content["schema"], content["example"]
    for name, response in written()["components"]["responses"].items():
        for content in response.get("content", {}).values():
            yield name, content["schema"], content["example"]


def test_every_operation_has_examples() -> None:
    lacking = []
    for name, operation in operations():
        holders = [operation.get("requestBody"), *operation["responses"].values()]
        for holder in holders:
            content = (holder or {}).get("content", {}).get("application/json")
            if content is not None and "example" not in content and name != "getArtifact":
                lacking.append(name)
    assert lacking == []


def test_every_example_is_valid() -> None:
    components = written()["components"]
    wrong = []
    for name, schema, value in examples():
        checker = Draft202012Validator({**schema, "components": components})
        wrong += [f"{name} {error.json_path}: {error.message[:200]}" for error in checker.iter_errors(value)]
    assert wrong == []


def test_everything_is_described() -> None:
    bare = [name for name, operation in operations() if not operation["summary"] or not operation["description"]]
    schemas = written()["components"]["schemas"]
    bare += [name for name, schema in schemas.items() if not schema.get("description")]
    bare += [
        parameter["name"]
        for _, operation in operations()
        for parameter in operation.get("parameters", ())
        if "$ref" not in parameter and not parameter["description"]
    ]
    assert bare == []


def test_operation_ids_are_unique() -> None:
    names = [name for name, _ in operations()]
    assert len(names) == len(set(names))


def _without_path(document: dict[str, Any]) -> None:
    del document["paths"]["/api/v1/clones"]["get"]


def _another_path(document: dict[str, Any]) -> None:
    document["paths"]["/api/v1/more"] = document["paths"]["/api/v1/leaderboard"]


def _without_field(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["Clone"]["properties"]["isTrading"]


def _another_type(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Account"]["properties"]["balanceUsd"] = {"type": "number"}


def _not_required(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["CloneRequest"]["required"].remove("name")


def _another_parameter(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/api/v1/clones"]["get"]["parameters"]
    parameters.append({"name": "owner", "in": "query", "schema": {"type": "string"}})


def _without_status(document: dict[str, Any]) -> None:
    del document["paths"]["/api/v1/clones/{cloneId}/draft"]["put"]["responses"]["412"]


def _without_security(document: dict[str, Any]) -> None:
    document["paths"]["/api/v1/accounts/{accountId}"]["get"]["security"] = []


@pytest.mark.parametrize(
    "change",
    [
        _without_path, _another_path, _without_field, _another_type, _not_required, _another_parameter,
        _without_status, _without_security,
    ],
)  # fmt: skip
def test_control_any_difference_is_found_in_either_direction(change: Callable[[dict[str, Any]], None]) -> None:
    changed = deepcopy(written())
    change(changed)
    other = promises(changed)
    assert differences(other, promised())
    assert differences(promised(), other)


def test_control_a_wrong_example_is_found() -> None:
    components = written()["components"]
    schema = {"$ref": "#/components/schemas/Account", "components": components}
    good = next(value for name, _, value in examples() if name == "openSandbox")
    assert Draft202012Validator(schema).is_valid(good)
    assert not Draft202012Validator(schema).is_valid({**good, "balanceUsd": 1})
