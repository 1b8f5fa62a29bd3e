"""The demo's Arena: creators pay and audition, clones race, backers bet, the race settles and pays, one clone retires.

Whatever moves by the clock moves through the product's own services, as its workers and jobs would do it: the watcher
of the chain, and the clockwork of the Arena. People use the API and the chain, admins act, and everybody waits.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from clash_pipeline.cli.demo import house, people, waiting
from clash_pipeline.cli.demo.story import Story, ether, example, say
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    from clash_pipeline.clones.clones import EngineName

CREATORS: "tuple[tuple[str, str, EngineName, str, tuple[str, ...]], ...]" = (
    ("Ada", "Riptide", "rules", "majors-trend", ("AVAX", "DOGE")),
    ("Ben", "Skipper", "model", "btc-led-alts", ("ETH", "XRP")),
    ("Cleo", "Doldrums", "hold", "layer1-mean-reversion", ("AVAX", "SUI")),
)
"""Who makes which clone: its engine, the example it follows, and the assets it chose."""
HOUSE: "tuple[str, EngineName, str, tuple[str, ...]]" = ("Ebb", "rules", "layer1-mean-reversion", ("LTC", "SUI"))
"""One more clone of the house, so that the field is large enough whoever passes."""
BACKERS = ("Dora", "Emil", "Fay")
RETIRES = "Anchor"
WATCHED_EVERY_MIN = 10
"""While nobody waits for a deposit, the watcher looks this often."""


# what the product does by the clock


def turn(story: Story, number: int) -> None:
    """One minute of the watcher and of the clockwork, as `clash worker economy` and `clash worker arena` turn them."""
    from clash_pipeline.arena import clockwork
    from clash_pipeline.economy.minding import mind

    play, services = story.play, story.services
    if play.awaits_chain or number % WATCHED_EVERY_MIN == 0:
        mind(services.clash, services.settings, story.chain, services.clock.now_ms())
    for moved in clockwork.advance(services, services.clock.now_ms()):
        if moved.kind in {"race", "slot"}:
            say(moved.kind, f"{moved.kind} {moved.id}: {moved.state}")


# what people do


def lifecycle(story: Story, warm_up: int) -> Iterator[None]:
    """The whole way of a clone, a step a minute; `warm_up` is how many minutes indicators need."""
    play = story.play
    _arrive(story)
    yield from waiting.bought(story, play.fees)
    while warm_up > 0:  # the deposits took a minute or two of it
        warm_up -= 1
        yield
    _submit(story)
    yield from waiting.until(story, "every audition was judged", lambda: not waiting.auditions_in(story, "running"))
    _tell_verdicts(story)
    house.create(story, *HOUSE[:2], variant(*HOUSE[2:]))
    house.fill_slots(story)
    yield from waiting.until(story, "a race sells tickets", lambda: waiting.race_in(story, "accumulating"))
    _bet(story)
    yield from waiting.bought(story, play.tickets)
    yield from waiting.until(story, "sales are over", lambda: waiting.race_in(story, "launching", "live"))
    house.retire(story, RETIRES)
    yield from waiting.until(story, "the race was settled", lambda: waiting.race_in(story, "settled", "archived"))
    yield from _paid_out(story)
    yield from waiting.until(story, f"{RETIRES} is in the Hall of Fame", lambda: waiting.is_retired(story))
    play.is_over = True


def _arrive(story: Story) -> None:
    """Three people sign in, make a clone each, and pay the fee of its audition."""
    play = story.play
    for who, name, engine, strategy, symbols in CREATORS:
        person = people.sign_in(story.settings, who)
        clone_id, face = people.create(person, name, engine, variant(strategy, symbols), f"Made by {who}.")
        house.approve(story, face)
        bought = people.buy_audition(person, clone_id)
        play.clones[clone_id], play.creators[clone_id] = name, person
        play.wallets[person.wallet.address] = person
        play.fees.append(bought["id"])
        fee = ether(int(bought["payment"]["amountWei"]))
        say("creators", f"{who} signs in, makes {name} (clone {clone_id}, {engine}) and pays {fee}")


def variant(strategy: str, symbols: tuple[str, ...]) -> Any:
    """An example's graph with other assets: no two clones of a race have the same."""
    graph = json.loads(example(strategy).read_text("utf-8"))
    for node in graph["nodes"]:
        if node["type"] == "asset_selection":
            node["config"] = {"explicitlyEnabledSymbols": list(symbols)}
        node["config"].pop("assetOverrides", None)
    return graph


def _submit(story: Story) -> None:
    for clone_id, person in story.play.creators.items():
        made = person.post(f"clones/{clone_id}/auditions")
        say("audition", f"{story.play.clones[clone_id]}: audition {made['id']} until {made['endsAt'][11:16]}Z")


def _tell_verdicts(story: Story) -> None:
    for found in reversed(waiting.auditions_in(story, "passed", "failed", "voided")):
        why = f", {found.reason}" if found.cause else ""
        say("audition", f"{story.play.clones[found.clone_id]} {found.state}{why}")


def _bet(story: Story) -> None:
    """Backers buy tickets on the field: most on the first, none on the last; a creator backs their own."""
    from clash_pipeline.economy import pools

    play, services = story.play, story.services
    race = waiting.the_race(story)
    play.race_id = race.id
    with services.clash.read() as connection:
        field_ = [clone.clone_id for clone in pools.field(connection, race.id, with_left=False)]
    favourites = sorted(field_, key=lambda clone_id: (clone_id not in play.creators, clone_id))
    buyers = [people.sign_in(story.settings, name) for name in BACKERS]
    bets = [(buyer, clone_id) for buyer in buyers for clone_id in favourites if play.clones[clone_id] != RETIRES]
    bets += [(person, clone_id) for clone_id, person in play.creators.items() if clone_id in field_]
    for number, (buyer, clone_id) in enumerate(bets):
        bought = people.buy_tickets(buyer, race.id, clone_id, count=1 + number * 3 // 2 % 4)
        play.wallets[buyer.wallet.address] = buyer
        play.tickets.append(bought["id"])
    say("race", f"race {race.id} starts {iso(race.starts_at)[11:16]}Z: {len(field_)} clones, {len(bets)} bets are paid")


def _paid_out(story: Story) -> Iterator[None]:
    """Everybody who is owed something asks for its authorisation and takes it to the vault."""
    play = story.play
    taken = [wei for person in play.wallets.values() for wei in people.claim(person, play.race_id)]
    play.awaits_chain = True
    yield from waiting.until(story, f"{len(taken)} payouts were taken", lambda: not waiting.owed(story))
    play.awaits_chain = False
    say("payouts", f"{len(taken)} authorised, taken from the vault and seen there: {ether(sum(taken))}")
