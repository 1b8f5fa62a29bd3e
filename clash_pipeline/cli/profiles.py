"""`clash profiles …`: public profiles, their moderation queue, reports, retirement and reinstatement."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clash_pipeline.cli.clone_services import clone_services
from clash_pipeline.cli.ids import CloneId, id_argument
from clash_pipeline.cli.options import OPERATOR, Actor, AsJson, Reason
from clash_pipeline.cli.output import fail, one_line_errors, print_json, print_rows, table

if TYPE_CHECKING:
    from clash_pipeline.clones.images import StoredImage
    from clash_pipeline.clones.public_profiles import Profile
    from clash_pipeline.services import Services

MODERATION = "Moderation"
READ_BYTES = 1_000_001
"""One more than an image may have: enough to refuse it."""

app = typer.Typer(help="Public profiles of clones, and their moderation.", no_args_is_help=True)
ProfileId = Annotated[int, id_argument("Id of the submitted profile.")]
ReportId = Annotated[int, id_argument("Id of the report.")]
CategoryName = Literal["impersonation", "offensive", "misleading", "copyright", "other"]


@app.command()
@one_line_errors
def submit(
    clone_id: CloneId,
    name: Annotated[str | None, typer.Option(help="Public name, at most 32 characters.")] = None,
    description: Annotated[str | None, typer.Option(help="At most 280 characters.")] = None,
    image: Annotated[Path | None, typer.Option(help="PNG or JPEG, 512 x 512, at most 1 MB.")] = None,
    actor: Actor = OPERATOR,
    json: AsJson = False,
) -> None:
    """Put a profile into the moderation queue; what is left out stays as it was last submitted."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import clones, public_profiles

    with clone_services() as built:
        with built.clash.read() as connection:
            clones.get(connection, clone_id)
            before = next(iter(public_profiles.history(connection, clone_id)), None)
        chosen = name if name is not None else before.name if before else fail("a first profile needs a --name")
        described = description if description is not None else before.description if before else ""
        made = clone_desk.submit_profile(
            built, clone_id, chosen, description=described, image=_image(built, image, before), actor=actor
        )
    print_json(made) if json else typer.echo(f"profile {made.id} of clone {clone_id} ({made.name}) is {made.state}")


@app.command()
@one_line_errors
def show(clone_id: CloneId, json: AsJson = False) -> None:
    """What everybody sees of a clone, its submissions, and what was done about them."""
    from clash_pipeline.clock import iso
    from clash_pipeline.clones import acts, clones, public_profiles, retirement

    with clone_services() as built, built.clash.read() as connection:
        clones.get(connection, clone_id)
        shown = public_profiles.shown(connection, clone_id)
        badges = public_profiles.badges(connection, clone_id)
        is_retired = retirement.is_retired(connection, clone_id)
        submissions, done = public_profiles.history(connection, clone_id), acts.of_clone(connection, clone_id)
    if json:
        view = {"shown": shown, "badges": badges, "is_retired": is_retired}
        print_json(view | {"submissions": submissions, "acts": done})
        return
    what = f"{shown.name}: {shown.description or 'no description'}" if shown else "no approved profile"
    typer.echo(f"clone {clone_id}{', retired' if is_retired else ''}: {what}")
    tier = f" tier {badges.model_tier}" if badges.model_tier else ""
    typer.echo(f"badges: {badges.engine}{tier}; {', '.join(badges.assets) or '–'}; {', '.join(badges.streams) or '–'}")
    _profiles("Submissions", submissions)
    rows = [(iso(act.at), act.act, act.profile_id, act.report_id, act.actor, act.reason) for act in done]
    table("Acts", ("at", "act", "profile>", "report>", "by", "reason"), rows)


@app.command()
@one_line_errors
def image(clone_id: CloneId, file: Annotated[Path, typer.Argument(help="Where to write the image.")]) -> None:
    """Write the shown image of a clone to a file."""
    from clash_pipeline.clones import images, public_profiles

    with clone_services() as built:
        with built.clash.read() as connection:
            shown = public_profiles.public(connection, clone_id).profile
        if shown.image is None:
            fail(f"the profile of clone {clone_id} has no image")
        body = images.get(built.store, shown.image)
    try:
        file.write_bytes(body)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    typer.echo(f"{file}: {shown.image.media_type}, {len(body)} bytes")


@app.command()
@one_line_errors
def report(
    clone_id: CloneId,
    category: Annotated[CategoryName, typer.Option(help="What it is about.")],
    reporter: Annotated[str, typer.Option(help="Who reports.")],
    text: Annotated[str, typer.Option(help="What is wrong, in words.")] = "",
) -> None:
    """Report what a clone shows; nothing follows until an admin decides."""
    from clash_pipeline.clones import reports as stored

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        made = stored.report(connection, clone_id, category=category, text=text, reporter=reporter, now_ms=now_ms)
    typer.echo(f"report {made.id} on clone {clone_id} is {made.state}")


# moderation


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def queue(json: AsJson = False) -> None:
    """The profiles that wait for a decision, oldest first."""
    from clash_pipeline.clones import moderation

    with clone_services() as built, built.clash.read() as connection:
        found = moderation.queue(connection)
    print_json(found) if json else _profiles("Waiting profiles", found)


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def approve(profile_id: ProfileId, reason: Reason = "", actor: Actor = OPERATOR) -> None:
    """Show a submitted profile from now on."""
    from clash_pipeline.clones import moderation

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        done = moderation.approve(connection, profile_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"profile {profile_id} of clone {done.clone_id} ({done.name}) is {done.state}")


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def reject(profile_id: ProfileId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Refuse a submitted profile and free its name."""
    from clash_pipeline.clones import moderation

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        done = moderation.reject(connection, profile_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"profile {profile_id} of clone {done.clone_id} ({done.name}) is {done.state}")


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def reports(json: AsJson = False) -> None:
    """The open reports, oldest first."""
    from clash_pipeline.clock import iso
    from clash_pipeline.clones import reports as stored

    with clone_services() as built, built.clash.read() as connection:
        found = stored.waiting(connection)
    print_rows(
        found, "Open reports", ("id>", "clone>", "profile>", "category", "reporter", "at", "text"),
        lambda one: (
            one.id, one.clone_id, one.profile_id, one.category, one.reporter, iso(one.reported_at), one.text
        ),
        as_json=json,
    )  # fmt: skip


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def uphold(report_id: ReportId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Agree with a report and take down the profile it is about."""
    _decide("uphold", report_id, reason, actor)


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def dismiss(report_id: ReportId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Close a report without a consequence."""
    _decide("dismiss", report_id, reason, actor)


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def retire(clone_id: CloneId, reason: Reason, actor: Actor = OPERATOR) -> None:
    """Retire a clone and free its public name."""
    from clash_pipeline.arena import retirement

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        done = retirement.retire_now(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"clone {clone_id} {'is retired' if done else 'was already retired'}")


@app.command(rich_help_panel=MODERATION)
@one_line_errors
def reinstate(clone_id: CloneId, reason: Reason = "", actor: Actor = OPERATOR) -> None:
    """Take a retirement back; the name must still be free."""
    from clash_pipeline.arena import retirement

    with clone_services() as built, built.clash.write() as connection:
        now_ms = built.clock.now_ms()
        done = retirement.reinstate(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    typer.echo(f"clone {clone_id} {'is reinstated' if done else 'is not retired'}")


def _decide(verb: Literal["uphold", "dismiss"], report_id: int, reason: str, actor: str) -> None:
    from clash_pipeline.clones import reports as stored

    decide = stored.uphold if verb == "uphold" else stored.dismiss
    with clone_services() as built, built.clash.write() as connection:
        done = decide(connection, report_id, actor=actor, reason=reason, now_ms=built.clock.now_ms())
    typer.echo(f"report {report_id} on clone {done.clone_id} is {done.state}")


def _image(built: "Services", path: Path | None, before: "Profile | None") -> "StoredImage | None":
    from clash_pipeline import clone_desk

    if path is None:
        return before.image if before else None
    try:
        with path.open("rb") as file:
            upload = file.read(READ_BYTES)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    return clone_desk.upload_image(built, upload)


def _profiles(title: str, found: "list[Profile]") -> None:
    from clash_pipeline.clock import iso

    rows: list[tuple[Any, ...]] = [
        (item.id, item.clone_id, item.name, item.description, item.image.media_type if item.image else None,
         item.state, iso(item.submitted_at), item.submitted_by, item.reason)
        for item in found
    ]  # fmt: skip
    columns = ("id>", "clone>", "name", "description", "image", "state", "submitted", "by", "reason")
    table(title, columns, rows)
