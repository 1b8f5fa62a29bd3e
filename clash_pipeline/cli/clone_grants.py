"""`clash clones grants|grant|revoke`: what a clone may use, and by whose word."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clash_pipeline.cli.clone_services import clone_services
from clash_pipeline.cli.ids import CloneId, id_argument
from clash_pipeline.cli.options import OPERATOR, Actor, AsJson, Reason
from clash_pipeline.cli.output import fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.clones.entitlements import Entitlement, Grant

CapacityName = Literal["starter", "builder", "pro"]


@one_line_errors
def grants(clone_id: CloneId, json: AsJson = False) -> None:
    """What a clone may use, and every grant it ever had."""
    from clash_pipeline.clones import clones, entitlements

    with clone_services() as built, built.clash.read() as connection:
        clones.get(connection, clone_id)
        now_ms = built.clock.now_ms()
        found = entitlements.history(connection, clone_id)
        effective = entitlements.effective(connection, clone_id, now_ms)
    if json:
        listed = [asdict(item) | {"is_live": item.is_live(now_ms)} for item in found]
        print_json({"effective": sentence(effective), "may_audition": effective.may_audition, "grants": listed})
        return
    typer.echo(f"clone {clone_id}: {sentence(effective)}")
    rows = [
        (item.id, item.source, item.ref, item.capacity_tier, item.model_tier, item.candidates, _state(item, now_ms),
         item.granted_by, item.reason)
        for item in found
    ]  # fmt: skip
    columns = ("id>", "source", "ref", "capacity", "model>", "candidates>", "state", "by", "reason")
    table("Grants", columns, rows)


@one_line_errors
def grant(
    clone_id: CloneId,
    reason: Reason,
    capacity: Annotated[CapacityName | None, typer.Option(help="Capacity tier of a debug grant.")] = None,
    model: Annotated[int | None, typer.Option(min=1, max=3, help="Model tier of a debug grant.")] = None,
    candidates: Annotated[int | None, typer.Option(min=11, max=25, help="Lift the candidate cap to this.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Let it end after so many days.")] = None,
    ref: Annotated[str | None, typer.Option(help="Your own reference; the same one grants once.")] = None,
    actor: Actor = OPERATOR,
) -> None:
    """Let a clone use more, for local work and tests; only a purchase leads into an audition."""
    from clash_pipeline.clock import DAY_MS
    from clash_pipeline.clones import entitlements

    if capacity is None and model is None and candidates is None:
        fail("say what is granted: --capacity, --model or --candidates")
    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        chosen, expires_at = ref or f"cli-{clone_id}-{now_ms}", None if days is None else now_ms + days * DAY_MS
        ids = []
        if capacity is not None or model is not None:
            ids.append(
                entitlements.grant(
                    connection, clone_id, capacity or "starter", model or 1, source="debug", ref=chosen,
                    now_ms=now_ms, actor=actor, reason=reason, expires_at=expires_at,
                )
            )  # fmt: skip
        if candidates is not None:
            ids.append(
                entitlements.grant_candidates(
                    connection, clone_id, candidates, ref=chosen, now_ms=now_ms, actor=actor, reason=reason,
                    expires_at=expires_at,
                )
            )  # fmt: skip
        effective = entitlements.effective(connection, clone_id, now_ms)
    typer.echo(f"clone {clone_id}: grant {', '.join(map(str, ids))}; now {sentence(effective)}")


@one_line_errors
def revoke(grant_id: Annotated[int, id_argument("Id of the grant.")], reason: Reason, actor: Actor = OPERATOR) -> None:
    """End a debug or operator grant; what was bought is never revoked."""
    from clash_pipeline.clones import entitlements

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        ended = entitlements.revoke(connection, grant_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"grant {grant_id} {'is revoked' if ended else 'was already revoked'}")


def sentence(granted: "Entitlement") -> str:
    """An entitlement in words."""
    from clash_pipeline.clones.entitlements import CANDIDATE_CAP

    said = f"{'mock ' if granted.is_mock else ''}{granted.capacity.name}, model tier {granted.model_tier}"
    return f"{said}, {granted.candidates} candidates" if granted.candidates > CANDIDATE_CAP else said


def _state(item: "Grant", now_ms: int) -> str:
    if item.revoked_at is not None:
        return f"revoked by {item.revoked_by}: {item.revoked_because}"
    return "live" if item.is_live(now_ms) else "expired"
