"""A2: schemathesis over every operation against the server as it is really served: all its checks, one worker.

Every operation has a system of its own, in which it is signed in by itself: what another one revoked or spent is none
of its concern. And every operation must have been answered with success at least once, for a check of what the server
gives has nothing to look at where all is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup, ServerError
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario
from schemathesis.openapi.checks import IgnoredAuth, JsonSchemaError, UndefinedStatusCode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from clash_pipeline.api.principals import Principal
from clash_pipeline.clones import clones
from clash_pipeline.identity.sessions import Session
from clash_pipeline.settings import Settings
from tests.api.test_authorisation import EXISTING
from tests.api.test_openapi import written
from tests.conftest import SOAK
from tests.fakes.api_server import served
from tests.fakes.fuzzing import LEAKS
from tests.fakes.stocked_arena import LIVE, SETTLED, StockedArena

pytestmark = pytest.mark.goal

CASES = 1_000 if SOAK else 100
"""Random ones at most, behind those that its coverage phase makes of every operation (09 §3.6)."""
STREAMS = frozenset({"streamFills", "streamIngestion", "streamStandings"})
ELSEWHERE = {
    "getResult": {"accountId": "2"}, "streamStandings": {"raceId": str(LIVE)},
    "listRaceFills": {"raceId": str(SETTLED), "cloneId": "4"},
}  # fmt: skip
"""Where the answer is that is not at the first thing; the one result is that of the other user."""
MADE_BY_HAND = frozenset(
    {"verify", "refresh", "submitDeposit", "retryAudition", "authorisePayable", "submitImage"}
)  # fmt: skip
"""Nobody makes up a signature, a token, a deposit, a failed audition or a picture: those succeed in other tests."""
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "412", "415", "422", "428", "429", "5xx"]
"""412 of another version and 428 of none (06) come before anybody looks at the rest."""
CONFIG = {
    "checks": {
        "missing_required_header": {"expected-statuses": REFUSALS},
        "negative_data_rejection": {"expected-statuses": REFUSALS},
    },
    "operations": [
        {"include-operation-id": "validateGraph", "checks": {"negative_data_rejection": {"enabled": False}}}
    ],
}  # fmt: skip
"""What validates a graph answers with all that is wrong with it, instead of refusing it."""


def contract_of(document: Mapping[str, Any]) -> BaseSchema:
    """A contract with what is particular to ours."""
    return schemathesis.openapi.from_dict(dict(document), config=SchemathesisConfig.from_dict(deepcopy(CONFIG)))


contract = contract_of(written())


@dataclass
class Visit:
    """One operation's server: where it listens, what it must be shown by kind of access, and what it answered."""

    url: str
    shown: dict[str, dict[str, str]]
    operation: str = ""
    statuses: set[int] = field(default_factory=set)

    def pay(self, case: Case) -> None:
        """Send a case with what its operation asks to be shown; every check but one looks at the answer.

        The case gets it as well as the request: it has to know that it is a valid one again where all that was wrong
        with it was that something was not shown. What it is there to withhold it does not get.
        """
        definition = case.operation.definition.raw
        kind = next((next(iter(scheme)) for scheme in definition["security"]), "public")
        headers = self.shown["other" if definition["operationId"] == "getResult" else kind]
        accept = {"accept": "text/event-stream"} if definition["operationId"] in STREAMS else {}
        given = {**{name: headers[name] for name in headers.keys() - withheld(case)}, **accept}
        case.headers = {**case.headers, **given}
        answer = case.call_and_validate(base_url=self.url, headers=given, excluded_checks=[positive_data_acceptance])
        assert not LEAKS.search(answer.content), answer.text
        self.operation = definition["operationId"]
        self.statuses.add(answer.status_code)


def withheld(case: Case) -> set[str | None]:
    """The header without which a case asks to be refused."""
    found = case.meta.phase.data if case.meta else None
    is_one = isinstance(found, CoveragePhaseData) and found.scenario == CoverageScenario.MISSING_PARAMETER
    return {found.parameter} if is_one else set()


@contextmanager
def visiting(settings: Settings) -> Iterator[Visit]:
    """Serve a system, and sign in.

    Headers are named as schemathesis knows them: it takes them away, letter for letter, to see that they are needed.
    """
    house = StockedArena(settings)
    user, other = ({"Authorization": house.bearer(one)["authorization"]} for one in (house.owner, house.other))
    shown = {"public": {}, "userToken": user, "other": other, "serviceToken": house.service()}
    with served(house.api) as (host, port):
        yield Visit(f"http://{host}:{port}", shown)
    house.services.close()


@pytest.fixture
def visit(arena_copy: Callable[[], Settings]) -> Iterator[Visit]:
    with visiting(arena_copy()) as made:
        yield made


@pytest.fixture
def fruitful(visit: Visit) -> Iterator[Visit]:
    """A visit that must have had success in the end."""
    yield visit
    assert visit.operation in MADE_BY_HAND or any(200 <= status < 300 for status in visit.statuses), visit.statuses


@contract.include(operation_id_regex=".*").parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_its_promises(case: Case, fruitful: Visit) -> None:
    if case.meta is None or case.meta.generation.mode.is_positive:  # on things that exist
        known = EXISTING | ELSEWHERE.get(case.operation.definition.raw["operationId"], {})
        case.headers.update({name: "*" for name in case.headers if name == "If-Match"})
        case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
    fruitful.pay(case)


def _broken(connection: object, *ids: object) -> None:
    raise RuntimeError("a defect")


def test_control_a_route_that_asks_nobody_is_found(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Principal, "user", lambda _: Session("0" * 32, 1, "0x" + "0" * 40))
    with pytest.raises(FailureGroup) as found:
        visit.pay(case_of("/api/v1/clones"))
    assert found.group_contains(IgnoredAuth)


def test_control_a_defect_is_found(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "owned", _broken)
    with pytest.raises(FailureGroup) as found:
        visit.pay(case_of("/api/v1/clones/{cloneId}", cloneId="1"))
    assert found.group_contains(ServerError)


def test_control_an_answer_that_nobody_promised_is_found(visit: Visit) -> None:
    changed = deepcopy(dict(written()))
    changed["paths"]["/api/v1/clones"]["get"]["responses"].pop("200")
    with pytest.raises(FailureGroup) as found:
        visit.pay(case_of("/api/v1/clones", changed))
    assert found.group_contains(UndefinedStatusCode)


def test_control_an_answer_of_another_shape_is_found(visit: Visit) -> None:
    changed = deepcopy(dict(written()))
    changed["components"]["schemas"]["Clone"]["properties"]["name"] = {"type": "integer"}
    with pytest.raises(FailureGroup) as found:
        visit.pay(case_of("/api/v1/clones/{cloneId}", changed, cloneId="1"))
    assert found.group_contains(JsonSchemaError)


def case_of(path: str, document: dict[str, Any] | None = None, **ids: str) -> Case:
    """The plain question of a path."""
    return contract_of(document or written())[path]["GET"].Case(path_parameters=ids)
