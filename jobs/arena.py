"""The Arena: auditions are judged, retirements carried out, free slots filled, races driven by their clock."""

import dagster as dg

from clash_pipeline.services import Services
from jobs.labels import labels
from resources.beta import TRADING


@dg.op(description="Judges every running audition whose account has a frozen result.", code_version="1")
def judge_auditions(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Each audition is judged once, in a transaction of its own; again changes nothing."""
    from clash_pipeline.arena import auditions

    judged = auditions.evaluate_due(services.clash, services.clock.now_ms())
    for audition in judged:
        context.log.info(f"audition {audition.id} of clone {audition.clone_id} {audition.state}: {audition.reason}")
    passed = sum(audition.state == "passed" for audition in judged)
    context.add_output_metadata({"judged": len(judged), "passed": passed, "failed": len(judged) - passed})


@dg.op(
    description="Retires clones that nothing holds any more and admits from the queue while slots are free.",
    code_version="1",
)
def fill_slots(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Run twice, nothing changes the second time."""
    from clash_pipeline.arena import entry, retirement

    now_ms = services.clock.now_ms()
    retired = retirement.carry_out_due(services.clash, now_ms)
    done = entry.sync(services.clash, services.settings, now_ms)
    for clone_id, blocked in done.passed_over.items():
        context.log.info(f"clone {clone_id} is passed over: {blocked.sentence}")
    context.add_output_metadata(
        {
            "admitted": len(done.admitted),
            "passed_over": len(done.passed_over),
            "expired": len(done.expired),
            "retired": len(retired),
            "free_slots": done.free,
        }
    )


@dg.op(
    description="Does all of the Arena that is due: races by their clock, auditions, slots, the next field.",
    code_version="1",
)
def turn_the_clockwork(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Every step is a transaction of its own, guarded by the state it starts from; again changes nothing."""
    from assets import race_pictures as pictures
    from clash_pipeline.arena import clockwork, races

    moved = clockwork.advance(services, services.clock.now_ms())
    for one in moved:
        context.log.info(f"{one.kind} {one.id}: {one.state}")
    counts = {kind: sum(one.kind == kind for one in moved) for kind in ("race", "audition", "clone", "slot")}
    context.add_output_metadata({f"{kind}s": count for kind, count in counts.items()})
    for race_id in dict.fromkeys(one.id for one in moved if one.kind == "race"):
        with services.clash.read() as connection:
            race = races.get(connection, race_id)
            drawn = pictures.of(connection, race) if race.launched_at is not None else {}
        if drawn:
            pages: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.md(text) for name, text in drawn.items()}
            pages |= {"race": dg.MetadataValue.int(race.id), "state": dg.MetadataValue.text(race.state)}
            context.log_event(dg.AssetMaterialization("races", metadata=pages))


@dg.job(
    description="Judges auditions whose account has ended; those that pass join the promotion queue.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("arena", "minute", alone="evaluate_auditions"),
)
def evaluate_auditions() -> None:
    """Judge what is due."""
    judge_auditions()


@dg.job(
    description="Carries out retirements and admits from the promotion queue while slots are free.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("arena", "minute", alone="sync_arena_entry"),
)
def sync_arena_entry() -> None:
    """Bring the slots up to date."""
    fill_slots()


@dg.job(
    description="Drives races by their clock: sales, launch, settlement, archive, and the field of the next one.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("arena", "minute", alone="advance_races"),
)
def advance_races() -> None:
    """Do what is due."""
    turn_the_clockwork()
