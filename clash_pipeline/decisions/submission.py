"""Submission: the proposals of one account and tick, judged and filled in one transaction.

Everything that decides besides the responses (the account, the quotes, the clock) is stored as `apply_input` first; the
transaction then proves that the account is still at that revision. Packet, response and apply_input give the same
result again (03). All runs of a submission share one apply_input, which lists them in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from clash_pipeline import canonical
from clash_pipeline.decisions import artifacts, runs
from clash_pipeline.decisions.runs import ArtifactRef, Claim, Ended, Services
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import intake
from clash_pipeline.prop.accounts import Account, AccountMoved
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.intake import View
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.proposal import ActionResult, Proposal

SCHEMA = "apply_input_v2"
LOOK_MAX_AGE_MS = 5_000
"""A look older than this when its transaction opens is taken again, so that no price grows old on the way *(ours)*."""
AFTER_INPUT_STORED = point("decisions.apply.after_input_stored")
AFTER_SUBMIT = point("decisions.apply.after_submit")


class LookTooOld(AccountMoved):
    """So much time has passed since the account and its quotes were looked at that they say nothing about now."""


@dataclass(frozen=True)
class Asked:
    """A run whose valid response asks something of its account."""

    claim: Claim
    response: ArtifactRef
    proposal: Proposal


class InputAction(msgspec.Struct, frozen=True):
    """One run of a submission."""

    run_id: int
    branch: str
    symbol: str
    tick: int
    response_hash: str
    proposal: Proposal


class ApplyInput(msgspec.Struct, frozen=True):
    """Everything besides packets and responses that decides a submission; its actions in the order they were taken."""

    schema: str
    now_ms: int
    fill_minute: int | None
    account: Account
    policy_hash: str
    opened_last_hour: int
    positions: dict[str, Position]
    quotes: dict[str, Quote]
    actions: tuple[InputAction, ...]

    @property
    def view(self) -> View:
        """The account as it was looked at."""
        return View(self.account, self.positions, self.opened_last_hour)


def apply_input(
    asked: Sequence[Asked], view: View, quotes: Mapping[str, Quote], *, now_ms: int, fill_minute: int | None
) -> ApplyInput:
    """What decides, with the quotes of what is asked for and of what is held."""
    wanted = view.symbols([one.proposal for one in asked])
    return ApplyInput(
        schema=SCHEMA,
        now_ms=now_ms,
        fill_minute=fill_minute,
        account=view.account,
        policy_hash=view.account.policy_hash,
        opened_last_hour=view.opened_last_hour,
        positions=dict(view.positions),
        quotes={symbol: quotes[symbol] for symbol in sorted(wanted) if symbol in quotes},
        actions=tuple(
            InputAction(
                one.claim.run_id, one.claim.branch, one.claim.symbol, one.claim.tick, one.response.sha256, one.proposal
            )
            for one in asked
        ),
    )


def instant(tick: int, fill_minute: int | None) -> Instant:
    """What a run knows of its own time; packets of a common instant hold nothing newer than their tick (11, 1)."""
    return Instant(tick, None if fill_minute is None else tick)


def decode(content: bytes) -> ApplyInput:
    """A stored apply_input.

    Raises:
        msgspec.DecodeError: it is none of this schema.
    """
    made = msgspec.json.decode(content, type=ApplyInput)
    if made.schema != SCHEMA:
        raise msgspec.ValidationError(f"its schema is {made.schema[:40]}, not {SCHEMA}")
    return made


def submit(services: Services, asked: Sequence[Asked], given: ApplyInput) -> list[Ended]:
    """Write down what was seen, then submit on exactly that; closing the runs is part of the transaction.

    Raises:
        AccountMoved: the account changed between looking and writing, or the look is too old (`LookTooOld`).
        LeaseLost: one of the runs has passed to another worker; nothing was written.
        StoreError: the store did not take the apply_input.
    """
    stored = artifacts.put(services.store, asked[0].claim, "apply_input", canonical.encode(given))
    fault(AFTER_INPUT_STORED)
    if (age_ms := services.clock.now_ms() - given.now_ms) > LOOK_MAX_AGE_MS:
        raise LookTooOld(f"account {given.account.id} was looked at {age_ms} ms ago, more than {LOOK_MAX_AGE_MS}")
    with services.clash.write() as connection:
        for one in asked:
            runs.require(connection, one.claim)
        ended = []
        for number, one in enumerate(asked):
            results = intake.submit_within(
                connection, one.claim.account_id, one.claim.run_id, [one.proposal], given.quotes, now_ms=given.now_ms,
                expected=given.account if number == 0 else None,
                instant=instant(one.claim.tick, given.fill_minute),
            )  # fmt: skip
            fault(AFTER_SUBMIT)
            runs.add_artifact(connection, one.claim.run_id, stored, now_ms=given.now_ms)
            reason, effective = outcome(results)
            ended.append(runs.end(connection, one.claim, "completed", reason, effective=effective, now_ms=given.now_ms))
    return ended


def outcome(results: Sequence[ActionResult]) -> tuple[str, str]:
    """Reason and effective action of a run from what the account answered."""
    result = results[0]
    if result.status == "filled":
        return "filled", result.action
    return f"rejected: {result.reject_code}", "hold"
