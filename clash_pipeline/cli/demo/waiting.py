"""What the demo's story waits for, a replayed minute at a time; nothing here changes anything."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from clash_pipeline.cli.demo.story import Story, say
from clash_pipeline.cli.output import Exit, fail

if TYPE_CHECKING:
    from clash_pipeline.arena.races import Race

LONGEST_MIN = 420


def bought(story: Story, purchase_ids: list[int]) -> Iterator[None]:
    """Let the watcher look every minute until it has granted these."""
    from clash_pipeline.economy import purchases

    def granted() -> bool:
        with story.services.clash.read() as connection:
            return all(purchases.get(connection, each).state == "granted" for each in purchase_ids)

    story.play.awaits_chain = True
    yield from until(story, "the watcher granted every purchase", granted)
    story.play.awaits_chain = False
    say("watcher", f"{len(purchase_ids)} deposits are final: granted")


def until(story: Story, what: str, is_so: Callable[[], Any]) -> Iterator[None]:
    """A step a minute, until it is so; the demo ends where it takes too long."""
    minutes = 0
    while not is_so():
        minutes += 1
        if minutes > LONGEST_MIN:
            fail(
                f"not within {LONGEST_MIN} replayed minutes: {what}; logs in {story.settings.home / 'logs'}",
                Exit.UNHEALTHY,
            )
        yield


def auditions_in(story: Story, *states: str) -> list[Any]:
    """The auditions in some states, newest first."""
    from clash_pipeline.arena import auditions

    with story.services.clash.read() as connection:
        return [found for found in auditions.every(connection) if found.state in states]


def the_race(story: Story) -> "Race":
    """The race that was bet on; before that the newest."""
    from clash_pipeline.arena import races

    with story.services.clash.read() as connection:
        found = races.last(connection) if story.play.race_id is None else races.get(connection, story.play.race_id)
    assert found is not None, "a race was opened"
    return found


def race_in(story: Story, *states: str) -> bool:
    """Whether that race is in one of some states; the demo ends where it was cancelled."""
    from clash_pipeline.arena import races

    with story.services.clash.read() as connection:
        if races.last(connection) is None:
            return False
    race = the_race(story)
    if race.state == "cancelled":
        fail(f"race {race.id} was cancelled: {race.reason}", Exit.UNHEALTHY)
    return race.state in states


def owed(story: Story) -> bool:
    """Whether anything of the race was not taken yet."""
    from clash_pipeline.economy import payables

    with story.services.clash.read() as connection:
        return any(
            each.state != "claimed" for each in payables.every(connection, race_id=story.play.race_id, limit=1_000)
        )


def is_retired(story: Story) -> bool:
    """Whether the clone that was to retire has."""
    from clash_pipeline.clones import retirement

    with story.services.clash.read() as connection:
        return retirement.is_retired(connection, story.play.retires or 0)
