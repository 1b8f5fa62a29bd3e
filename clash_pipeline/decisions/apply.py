"""Apply, on the box of record: validate the response, pass the gates, fill, write the ledger, close the run.

The account, the quotes and the clock that decide are stored as `apply_input` first; the transaction then proves that
the account is still at that revision. Packet, response and apply_input give the same result again (03).
"""

from collections.abc import Sequence

import structlog

from clash_pipeline import canonical
from clash_pipeline.archive.stores import StoreCorrupt, StoreMissing, StoreUnavailable
from clash_pipeline.decisions import artifacts, runs
from clash_pipeline.decisions import decide as deciding
from clash_pipeline.decisions.answer import AnswerInvalid
from clash_pipeline.decisions.runs import ArtifactRef, Claim, Decided, Ended, Services
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import intake
from clash_pipeline.prop.accounts import AccountMoved
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.proposal import ActionResult, Proposal
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.storage.errors import LeaseLost

SCHEMA = "apply_input_v1"
LOOKS = 5
"""How often an account that keeps changing is looked at again before the run is left for later."""
AFTER_INPUT_STORED = point("decisions.apply.after_input_stored")
AFTER_SUBMIT = point("decisions.apply.after_submit")
AFTER_APPLIED = point("decisions.apply.after_applied")

log = structlog.get_logger(__name__)


def apply(services: Services, decided: Sequence[Decided]) -> list[Ended]:
    """Apply decided runs in the order (account, branch, symbol); returns how each ended.

    A run that passed to another worker, or whose store does not answer, is not in the list and is taken up again.
    """
    ended: list[Ended] = []
    for item in sorted(decided, key=lambda item: (item.claim.account_id, item.claim.branch, item.claim.symbol)):
        try:
            ended.append(_apply(services, item))
        except (LeaseLost, AccountMoved, StoreUnavailable) as error:
            log.warning("run_left_for_later", run_id=item.claim.run_id, error=str(error))
        fault(AFTER_APPLIED)
    return ended


def _apply(services: Services, item: Decided) -> Ended:
    claim, now_ms = item.claim, services.clock.now_ms()
    if item.response is None:
        return _fail(services, claim, item.error or "no_response")
    if now_ms >= claim.expires_at:
        return _fail(services, claim, "expired")
    try:
        proposal = _proposal(services, claim, item.response)
    except (AnswerInvalid, StoreMissing, StoreCorrupt) as error:
        log.warning("response_invalid", run_id=claim.run_id, error=str(error))
        return _fail(services, claim, "response_invalid")
    if proposal is None:
        return _end(services, claim, "completed", "hold")
    for _ in range(LOOKS - 1):
        try:
            return _submit(services, claim, proposal, item.response)
        except AccountMoved:
            continue
    return _submit(services, claim, proposal, item.response)


def _proposal(services: Services, claim: Claim, response: ArtifactRef) -> Proposal | None:
    with services.clash.read() as connection:
        packet = runs.artifacts_of(connection, claim.run_id).get("packet")
    if packet is None:
        raise AnswerInvalid(f"run {claim.run_id} has no packet")
    stored = artifacts.get(services.store, response)
    return deciding.decode(stored, packet.sha256).answer.proposal(claim.symbol)


def _submit(services: Services, claim: Claim, proposal: Proposal, response: ArtifactRef) -> Ended:
    """Look, write down what was seen, and submit on exactly that; closing the run is part of the transaction.

    Raises:
        AccountMoved: the account changed between looking and writing.
        LeaseLost: the run has passed to another worker.
    """
    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        view = intake.look(connection, claim.account_id, now_ms=now_ms)
    venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
    quotes = venue.quotes(view.symbols([proposal]), now_ms)
    content = canonical.encode(apply_input(claim, proposal, response, view, quotes, now_ms))
    stored = artifacts.put(services.store, claim, "apply_input", content)
    fault(AFTER_INPUT_STORED)
    with services.clash.write() as connection:
        runs.require(connection, claim)
        results = intake.submit_within(
            connection, claim.account_id, claim.run_id, [proposal], quotes, now_ms=now_ms,
            expected_revision=view.account.revision,
        )  # fmt: skip
        fault(AFTER_SUBMIT)
        runs.add_artifact(connection, claim.run_id, stored, now_ms=now_ms)
        reason, effective = outcome(results)
        return runs.end(connection, claim, "completed", reason, effective=effective, now_ms=now_ms)


def apply_input(
    claim: Claim, proposal: Proposal, response: ArtifactRef, view: View, quotes: dict[str, Quote], now_ms: int
) -> dict[str, object]:
    """Everything besides packet and response that decides an apply."""
    account = view.account
    return {
        "schema": SCHEMA,
        "run_id": claim.run_id,
        "now_ms": now_ms,
        "response_hash": response.sha256,
        "proposal": proposal,
        "account": account,
        "policy_hash": account.policy_hash,
        "opened_last_hour": view.opened_last_hour,
        "positions": view.positions,
        "quotes": quotes,
    }


def outcome(results: Sequence[ActionResult]) -> tuple[str, str]:
    """Reason and effective action of a run from what the account answered."""
    result = results[0]
    if result.status == "filled":
        return "filled", result.action
    return f"rejected: {result.reject_code}", "hold"


def _fail(services: Services, claim: Claim, reason: str) -> Ended:
    return _end(services, claim, "failed", reason)


def _end(services: Services, claim: Claim, state: runs.EndState, reason: str) -> Ended:
    with services.clash.write() as connection:
        return runs.end(connection, claim, state, reason, effective="hold", now_ms=services.clock.now_ms())
