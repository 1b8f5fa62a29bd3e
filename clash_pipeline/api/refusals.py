"""What the domain refuses, as problems; and what FastAPI finds wrong, in our words and without the value (09 F4)."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from clash_pipeline.api.problems import Problem, not_found, payout_paused, unauthorised, unavailable
from clash_pipeline.archive.stores import StoreError
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.clone_desk import RegistryEmpty
from clash_pipeline.clones.refusals import (
    CloneConflict,
    CloneError,
    CloneUnknown,
    DraftChanged,
    NameTaken,
    ProfileInvalid,
    TierExceeded,
)
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.decisions.views import RunUnknown
from clash_pipeline.economy.payouts import PayoutPaused
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown, QuoteInvalid
from clash_pipeline.identity.addresses import AddressInvalid
from clash_pipeline.identity.challenges import ChallengeUnknown
from clash_pipeline.identity.sessions import SessionRefused
from clash_pipeline.identity.siwe import SignatureInvalid
from clash_pipeline.prop.accounts import AccountMoved, AccountUnknown, StateConflict
from clash_pipeline.storage.errors import OutcomeUnknown, StorageBusy, StorageFull

Refusal = Callable[[Any], Problem]

REFUSALS: Mapping[type[Exception], Refusal] = {
    StorageBusy: lambda _: unavailable("storage_busy", "The database is busy; nothing was changed."),
    StorageFull: lambda _: unavailable("storage_full", "No space is left; nothing was changed.", retry_after_sec=60),
    OutcomeUnknown: lambda _: unavailable("outcome_unknown", "Look before you repeat this.", retry_after_sec=5),
    StoreError: lambda _: unavailable("store_unavailable", "The artifact store does not answer.", retry_after_sec=5),
    AddressInvalid: lambda error: Problem(422, "address_invalid", f"{str(error).capitalize()}.", pointer="/address"),
    ChallengeUnknown: lambda _: Problem(401, "challenge_unknown", "This message is not waiting for a signature."),
    SignatureInvalid: lambda _: Problem(401, "signature_invalid", "This is not the signature of that address."),
    SessionRefused: lambda _: unauthorised(),
    AccountUnknown: lambda _: not_found("account"),
    AccountMoved: lambda _: unavailable("account_busy", "The account keeps changing; nothing was done."),
    RunUnknown: lambda _: not_found("decision run"),
    StateConflict: lambda error: Problem(409, "state_conflict", f"{error}."),
    GraphInvalid: lambda error: Problem(
        422,
        "graph_invalid",
        f"The graph has {len(error.problems)} problem(s).",
        more={"problems": [problem.wire() | {"isIncomplete": problem.is_incomplete} for problem in error.problems]},
    ),
    CloneUnknown: lambda _: not_found(),
    DraftChanged: lambda _: Problem(412, "stale", "It was changed since you read it."),
    NameTaken: lambda error: Problem(409, error.code, "The name is taken, or could be mistaken for another one."),
    CloneConflict: lambda error: Problem(409, error.code, _sentence(error)),
    TierExceeded: lambda error: Problem(409, error.code, _sentence(error)),
    ProfileInvalid: lambda error: Problem(422, error.code, _sentence(error)),
    RegistryEmpty: lambda error: unavailable(error.code, "No asset is known yet.", retry_after_sec=60),
    CloneError: lambda error: Problem(422, error.code, _sentence(error)),
    PayoutPaused: lambda _: payout_paused(),
    EconomyUnknown: lambda _: not_found(),
    EconomyConflict: lambda error: Problem(409, error.code, _sentence(error)),
    QuoteInvalid: lambda error: Problem(422, error.code, _sentence(error)),
    ArenaUnknown: lambda _: not_found(),
    ArenaConflict: lambda error: Problem(409, error.code, _sentence(error)),
}
"""By type; of several that fit, the nearest among the error's own classes."""


def _sentence(error: Exception) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error.

    Raises:
        Exception: the error itself, where it is none that a client may see.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, HTTPException):
        return of_framework(error)
    for kind in type(error).__mro__:
        if kind in REFUSALS:
            return REFUSALS[kind](error)
    raise error


def of_framework(error: HTTPException) -> Problem:
    """Routing's own refusals: no such path, no such method."""
    if error.status_code == 404:
        return not_found("page")
    if error.status_code == 405:
        return Problem(405, "method_not_allowed", "This path takes other methods.")
    return Problem(error.status_code, "refused", "The request was refused.", headers=dict(error.headers or {}))


_CODES = {
    "missing": ("missing", "is missing"),
    "extra_forbidden": ("unknown_field", "is not a field that this takes"),
    "text_not_allowed": ("text_not_allowed", "holds characters that are not visible text"),
    "json_invalid": ("malformed_json", "is not JSON"),
}


def of_validation(error: RequestValidationError) -> Problem:
    """All that is wrong with a request; the first decides code and pointer, all stand under `errors`."""
    found = [_entry(item) for item in error.errors()]
    first = found[0]
    if first["pointer"].startswith("path"):
        return not_found()
    return Problem(422, first["code"], first["detail"], pointer=first["pointer"], more={"errors": found[:20]})


def _entry(item: Mapping[str, Any]) -> dict[str, str]:
    place, *path = item["loc"]
    kind = str(item["type"])
    code, says = _CODES.get(kind, ("type" if _is_type(kind) else "value", _says(kind, item.get("ctx") or {})))
    name = str(path[-1]) if path and kind != "extra_forbidden" else "A field"
    if place == "body":
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')[:80]}" for part in path)
    else:
        pointer = f"?{path[0]}" if place == "query" and path else place
    return {"code": code, "pointer": pointer, "detail": f"{name[:80]} {says}."}


def _is_type(kind: str) -> bool:
    return kind.endswith(("_type", "_parsing", "_from_float")) or kind in {"int_type", "id", "model_attributes_type"}


def _says(kind: str, context: Mapping[str, Any]) -> str:
    """A sentence from the rule and its limit, never from the value."""
    limits = {
        "string_too_long": "has more than {max_length} characters",
        "string_too_short": "has fewer than {min_length} characters",
        "greater_than_equal": "is below {ge}",
        "less_than_equal": "is above {le}",
        "greater_than": "is not above {gt}",
        "less_than": "is not below {lt}",
        "too_long": "has more than {max_length} items",
        "too_short": "has fewer than {min_length} items",
        "literal_error": "is none of {expected}",
        "enum": "is none of {expected}",
    }
    try:
        return limits[kind].format(**context)
    except (KeyError, IndexError):
        return "is not of the kind that is expected" if _is_type(kind) else "is not acceptable"
