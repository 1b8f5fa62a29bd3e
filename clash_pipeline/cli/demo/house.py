"""The demo's house: its clones, which fill the field, and what its admins do."""

from typing import TYPE_CHECKING, Any

from clash_pipeline.cli.demo.story import Story, say

if TYPE_CHECKING:
    from clash_pipeline.clones.clones import EngineName

REASON = "it only ever holds"


def approve(story: Story, profile_id: int) -> None:
    """Let the public see the face of a clone."""
    from clash_pipeline.clones import moderation
    from clash_pipeline.clones.clones import OPERATOR

    with story.services.clash.write() as connection:
        moderation.approve(connection, profile_id, actor=OPERATOR, now_ms=story.services.clock.now_ms())


def create(story: Story, name: str, engine: "EngineName", graph: Any) -> None:
    """One more clone of the house: published, and trading."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import clones
    from clash_pipeline.clones.clones import OPERATOR

    services, now_ms = story.services, story.services.clock.now_ms()
    clone_id = clones.create(services.clash, name, engine=engine, owner=OPERATOR, now_ms=now_ms)
    clone_desk.save_draft(services, clone_id, graph)
    clone_desk.publish(services, clone_id, actor=OPERATOR)
    clones.set_trading(services.clash, clone_id, True, now_ms=now_ms)


def fill_slots(story: Story) -> None:
    """Let every clone of the house in, with a face, so that there is a field whoever passed."""
    from clash_pipeline import clone_desk
    from clash_pipeline.arena import admin
    from clash_pipeline.clones import clones
    from clash_pipeline.clones.clones import OPERATOR

    services, who = story.services, {"actor": OPERATOR, "reason": "to fill the field"}
    with services.clash.read() as connection:
        house = clones.every(connection, owner=OPERATOR)
    for clone in house:
        story.play.clones[clone.id] = clone.name
        face = clone_desk.submit_profile(services, clone.id, clone.name, description="Of the house.", actor=OPERATOR)
        approve(story, face.id)
        admin.admit(services.clash, services.settings, clone.id, now_ms=services.clock.now_ms(), **who)
    say("arena", f"house clones {', '.join(clone.name for clone in house)} have slots")


def retire(story: Story, name: str) -> None:
    """An admin's act: it waits for the race that holds the clone, and keeps it out of the next."""
    from clash_pipeline.arena import admin
    from clash_pipeline.clones.clones import OPERATOR

    services = story.services
    clone_id = next(clone_id for clone_id, called in story.play.clones.items() if called == name)
    story.play.retires = clone_id
    outcome = admin.retire(services.clash, clone_id, actor=OPERATOR, reason=REASON, now_ms=services.clock.now_ms())
    say("arena", f"an admin retires {name}: {outcome}" + (", its race holds it" if outcome == "waits" else ""))
