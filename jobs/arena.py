"""The Arena before its races: auditions are judged, retirements carried out, free slots filled from the queue."""

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
