"""Decisions as jobs: one clone by hand, or a wave of all that is due. What happens stands in `decisions.waves`.

prepare → decide (one asynchronous op for all models) → one mapped step an account for gates and fills.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import dagster as dg

from clash_pipeline.decisions.runs import Decided, Due, Ended, Prepared
from clash_pipeline.services import Services
from jobs.labels import CLONE_TAG, labels
from resources.beta import TRADING

ENDED_COLUMNS = ("run", "account", "branch", "symbol", "state", "reason", "effective")
SHOWN_RUNS = 10
"""Runs and clones that one step names; `clash decisions list` has them all."""
IN_MEMORY = dg.Out(io_manager_key="in_memory")
ALL_STEPS = {"dagster/retry_strategy": "ALL_STEPS"}
"""Values pass between the steps in memory, so a retried run begins at the beginning; rows decide what is left to do."""


class CloneChoice(dg.Config):
    """Which clone decides; without one, every trading clone that is due."""

    clone_id: int | None = None
    account_id: int | None = None
    force: bool = False


class Shard(dg.Config):
    """Which part of the due accounts a wave takes: one engine, and account ids of one remainder."""

    engine: str | None = None
    shard: int = 0
    shards: int = 1


@dg.op(
    out=IN_MEMORY,
    description="Finds what is due, reads market memory and stores the context packets.",
    code_version="1",
)
def prepare_clone(
    context: dg.OpExecutionContext, config: CloneChoice, services: dg.ResourceParam[Services]
) -> list[Prepared]:
    """Prepare the runs of one clone (config, else the tag of the run), or of all trading clones."""
    from clash_pipeline.decisions import waves

    clone_id = config.clone_id or _tagged_clone(context.run.tags)
    if config.force and clone_id is None and config.account_id is None:
        raise dg.Failure("force needs clone_id or account_id", allow_retries=False)
    try:
        found = waves.due(services, clone_id=clone_id, account_id=config.account_id, force=config.force)
    except waves.ForcedRefused as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    return _prepared(context, services, found)


@dg.op(out=IN_MEMORY, description="Prepares the due runs of one shard.", code_version="1")
def prepare_shard(
    context: dg.OpExecutionContext, config: Shard, services: dg.ResourceParam[Services]
) -> list[Prepared]:
    """Prepare what is due now in this shard; what was due when the sensor looked may have been done since."""
    from clash_pipeline.decisions import waves

    found = waves.due(services, engine=config.engine, shard=config.shard, shards=config.shards)
    return _prepared(context, services, found)


@dg.op(
    out=IN_MEMORY,
    description="Asks the engines for all packets at once, bounded, and stores the responses.",
    code_version="1",
)
async def decide(
    context: dg.OpExecutionContext, services: dg.ResourceParam[Services], prepared: list[Prepared]
) -> list[Decided]:
    """Decide everything that was prepared."""
    from clash_pipeline.decisions import waves

    decided = await waves.decide_held(services, prepared)
    waves.record(services, decided)
    failed = sum(one.response is None for one in decided)
    context.add_output_metadata({"decided": len(decided), "without_response": failed})
    return decided


@dg.op(
    out=dg.DynamicOut(list, io_manager_key="in_memory"),
    description="One step an account, in the order of their ids; in a large wave a step takes several.",
    code_version="2",
)
def by_account(
    services: dg.ResourceParam[Services], decided: list[Decided]
) -> Iterator[dg.DynamicOutput[list[Decided]]]:
    """Cut a wave by account; the order of application is part of the result."""
    for block in blocks(decided, services.settings.decision_steps):
        first, last = block[0].claim.account_id, block[-1].claim.account_id
        key = f"account_{first:08d}" if first == last else f"accounts_{first:08d}_to_{last:08d}"
        yield dg.DynamicOutput(block, mapping_key=key)


@dg.op(description="Gates, fills and closes the runs of one account.", code_version="1")
def apply_account(context: dg.OpExecutionContext, services: dg.ResourceParam[Services], decided: list[Decided]) -> None:
    """Apply one account's decisions; a repeat answers the first result."""
    from clash_pipeline.decisions import waves

    report_ended(context, waves.apply(services, decided))


@dg.op(description="Applies every run that has a response and was not applied.", code_version="1")
def apply_undelivered(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Finish what was decided elsewhere, or cut off by a crash."""
    from clash_pipeline.decisions import waves

    worker = f"dagster-{context.run_id[:8]}"
    report_ended(
        context, waves.apply(services, waves.undelivered(services, worker=worker, dagster_run_id=context.run_id))
    )


@dg.job(
    description="One clone decides and trades: config `clone_id`, `account_id`, `force`, or the tag clash/clone_id. "
    "Without a clone, all due work of every trading clone.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags={**labels("decisions", "hand"), **ALL_STEPS},
)
def decide_clone() -> None:
    """Prepare, decide, apply."""
    by_account(decide(prepare_clone())).map(apply_account)


@dg.job(
    description="One wave: every account that is due, of one engine and one shard.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags={**labels("decisions", "minute"), **ALL_STEPS},
)
def decide_due() -> None:
    """Prepare, decide, apply."""
    by_account(decide(prepare_shard())).map(apply_account)


@dg.job(
    description="Applies every decision run that has a response and no apply yet.",
    executor_def=dg.in_process_executor,
    owners=TRADING,
    tags=labels("decisions", "minute", alone="fill_prop_orders"),
)
def fill_prop_orders() -> None:
    """Apply what is undelivered."""
    apply_undelivered()


def blocks(decided: Sequence[Decided], most: int) -> list[list[Decided]]:
    """Whole accounts in order, in at most so many blocks: a step costs more than the accounts in it."""
    ordered = sorted(decided, key=lambda one: one.claim.account_id)
    accounts = [list(mine) for _, mine in groupby(ordered, key=lambda one: one.claim.account_id)]
    size = max(-(-len(accounts) // most), 1)
    return [[one for mine in accounts[start : start + size] for one in mine] for start in range(0, len(accounts), size)]


def report_ended(context: dg.OpExecutionContext, ended: Sequence[Ended]) -> None:
    """Say how runs ended: counted by reason, and one by one in a table where they are few.

    All of it is one event: a line in the log is one each, and would cost Dagster more than the run itself.
    """
    from clash_pipeline.market.plots import table

    counts = Counter((e.state, e.reason) for e in ended)
    rows = [(e.run_id, e.account_id, e.branch, e.symbol, e.state, e.reason, e.effective) for e in ended[:SHOWN_RUNS]]
    if rows:
        reasons = [(number, *how) for how, number in counts.most_common(SHOWN_RUNS)]
        context.add_output_metadata(
            {
                "runs": len(ended),
                "reasons": dg.MetadataValue.md(table(("runs", "state", "reason"), reasons)),
                "ended": dg.MetadataValue.md(table(ENDED_COLUMNS, rows)),
            }
        )


def _prepared(context: dg.OpExecutionContext, services: Services, found: Sequence[Due]) -> list[Prepared]:
    from clash_pipeline.decisions import waves

    clones = sorted({due.clone_id for due in found})
    shown = ", ".join(map(str, clones[:SHOWN_RUNS])) + (", …" if len(clones) > SHOWN_RUNS else "")
    context.log.info("due: %d runs of clones %s", len(found), shown or "(none)")
    worker = f"dagster-{context.run_id[:8]}"
    ended = waves.parked(services)
    prepared, over = waves.prepare(services, found, worker=worker, dagster_run_id=context.run_id)
    report_ended(context, ended + over)
    context.add_output_metadata({"due": len(found), "prepared": len(prepared), "clones": shown or "(none)"})
    return waves.reserve(services, prepared)


def _tagged_clone(tags: Mapping[str, str]) -> int | None:
    given = tags.get(CLONE_TAG)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise dg.Failure(f"the tag {CLONE_TAG} must be a clone's number, not {given[:40]!r}", allow_retries=False)
    return int(given)
