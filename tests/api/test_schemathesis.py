"""A2: schemathesis over every operation against the server as it is really served: all its checks, one worker."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from clash_pipeline.settings import Settings
from tests.api.test_authorisation import EXISTING
from tests.api.test_openapi import written
from tests.conftest import SOAK
from tests.fakes.api_server import served
from tests.fakes.stocked_arena import StockedArena

pytestmark = pytest.mark.goal

CASES = 1_000 if SOAK else 4
"""Random ones, behind the dozens that its coverage phase makes of every operation."""
STREAMS = frozenset({"streamFills", "streamIngestion"})
contract = schemathesis.openapi.from_dict(dict(written()))


@pytest.fixture(scope="module")
def server(stocked_copy: Callable[[], Settings]) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Where it listens, and what it must be shown by kind of access."""
    house = StockedArena(stocked_copy())
    shown = {"userToken": house.bearer(), "serviceToken": house.service()}
    with served(house.api) as (host, port):
        yield f"http://{host}:{port}", shown


@contract.include(operation_id_regex=".*").parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_its_promises(case: Case, server: Any) -> None:
    url, shown = server
    definition = case.operation.definition.raw
    headers = next((shown[next(iter(scheme))] for scheme in definition["security"]), {})
    if case.meta is None or case.meta.generation.mode.is_positive:  # on things that exist
        case.path_parameters = {name: EXISTING.get(name, value) for name, value in (case.path_parameters or {}).items()}
    accept = {"accept": "text/event-stream"} if definition["operationId"] in STREAMS else {}
    case.call_and_validate(base_url=url, headers={**headers, **accept}, excluded_checks=[positive_data_acceptance])
