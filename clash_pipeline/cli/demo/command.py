"""`clash demo`: the whole way on replayed venues, from the wire to the ledger, in a few minutes.

The venues, the model endpoint, the ingester and a real Dagster instance run as processes of their own; this one steps
the venue's time, lets clones decide, asks Dagster for backfills, and reports what happened. Early waves run here, the
last ones are left to Dagster's sensor: both go through the same services.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from clash_pipeline.cli.demo import arena
from clash_pipeline.cli.demo.stage import READY_SEC, fresh_home, staged
from clash_pipeline.cli.demo.story import Story, example, run, say
from clash_pipeline.cli.output import Exit, fail, log_to, one_line_errors
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.storage.sqlite import one

SEED = 7
WARM_UP_MINUTES = 12
FAULTS = {24: "drop", 36: "stall:90s"}
"""What the venue does wrong, by minute."""
LONGEST_HOURS = 12
DAGSTER_MINUTES = 4
"""The last minutes are left to Dagster's sensors."""
LOOKING = frozenset({"observe_ingestion", "watch_alerts"})
"""Only these sensors look all the time. The others rest while this process does the same at replay speed: a Dagster run
that finds nothing left to do costs seconds. Schedules go by the clock of the wall, and rest to the end."""
CLONES = (
    ("Tide", "rules", "majors-trend"),
    ("Wake", "model", "btc-led-alts"),
    ("Anchor", "hold", "layer1-mean-reversion"),
)
"""Names, who decides, and the example graphs that they trade by; Wake's reads BTC for other assets."""
DRAWN_EVERY_MS = 300_000
POLL_SEC = 0.2
BACKFILL_SEC = 240.0
WAVE_SEC = 300.0
ARCHIVED = ("candles_1m", "candles_1h", "technical_indicators")


@one_line_errors
def demo(
    recordings: Annotated[Path | None, typer.Option(help="Replay recorded candles from this folder.")] = None,
    synthetic: Annotated[int, typer.Option(help="Seed of the synthetic market.")] = SEED,
    hours: Annotated[
        int | None, typer.Option(min=1, max=10, help="Only so many hours of trading, without the Arena.")
    ] = None,
) -> None:
    """Replay hours of a market: clones trade, audition, race and are paid for; ends with a report.

    Without --hours it goes the whole way, which takes about four hours of market.
    """
    from clash_pipeline.cli.dagster_web import DagsterError
    from clash_pipeline.cli.demo import report
    from clash_pipeline.replay.driver import ReplayStuck

    if recordings is not None and not recordings.is_dir():
        fail(f"{recordings} is not a folder of recordings")
    for _, _, strategy in CLONES:
        example(strategy)
    home = fresh_home()
    typer.echo(f"data in {home}")
    (home / "logs").mkdir()
    log_to((home / "logs" / "demo.log").open("a", encoding="utf-8"))
    market = ["--recordings", str(recordings.resolve())] if recordings else ["--synthetic", str(synthetic)]
    try:
        with staged(home, market) as story:
            _replay(story, hours)
            _look_after(story)
            is_sound = report.show(story)
    except (DagsterError, ReplayStuck) as error:
        fail(f"{error}; logs in {home / 'logs'}", Exit.UNAVAILABLE)
    if not is_sound:
        raise typer.Exit(Exit.UNHEALTHY)


# the replay


def _replay(story: Story, hours: int | None) -> None:
    """Step through the minutes: warm up, decide at each tick, break the link twice, leave the last ticks to Dagster.

    Without a number of hours the Arena plays its part, and the replay ends when that is over.
    """
    from clash_pipeline.clock import MINUTE_MS, SECOND_MS, iso

    start = story.driver.controls.now_ms()
    _create_clones_when_listed(story)
    act = iter(()) if hours else arena.lifecycle(story, WARM_UP_MINUTES)
    backfills = _backfills(story, start)
    left = DAGSTER_MINUTES
    for number, minute in enumerate(story.driver.minutes(start + LONGEST_HOURS * HOUR_MS)):
        if number in FAULTS:
            story.driver.controls.add_faults(FAULTS[number])
            story.faults.append(f"{iso(minute + MINUTE_MS)} {FAULTS[number]}")
        is_last_part = number >= hours * 60 - left if hours else story.play.is_over
        if number >= WARM_UP_MINUTES:
            _wave(story, by_dagster=is_last_part and _has_taken_over(story))
        if not hours:
            arena.turn(story, number)
        next(act, None)
        next(backfills, None)
        if number % 30 == 29:
            say("replay", f"{iso(minute + MINUTE_MS)[11:16]}Z, {number + 1} minutes")
        left -= is_last_part
        if left <= 0:
            break
    for _ in backfills:  # time goes on slowly, because the venue's weight budget needs it
        story.driver.controls.advance(story.driver.controls.now_ms() + SECOND_MS)
        time.sleep(POLL_SEC)


def _create_clones_when_listed(story: Story) -> None:
    deadline = time.monotonic() + READY_SEC
    while not _is_listed(story):
        if time.monotonic() > deadline:
            fail(f"the ingester did not fill the registry; log: {story.settings.home / 'logs' / 'ingester.log'}")
        time.sleep(0.1)
    for name, engine, strategy in CLONES:
        made = _clash(story, "clones", "create", name, "--engine", engine, "--graph", str(example(strategy)), "--json")
        symbols, who = ", ".join(made["symbols"]), f"{name} (clone {made['clone_id']}, {engine})"
        say("clones", f"{who} trades {symbols} by {strategy} in account {made['account_id']}")


def _clash(story: Story, *words: str) -> dict[str, Any]:
    """Run a command of ours, as a person would, and read its JSON."""
    done = run(story, *words)
    if done.returncode:
        fail(done.stderr.strip() or f"{' '.join(words)} ended with {done.returncode}", Exit.UNAVAILABLE)
    return dict(json.loads(done.stdout))


def _is_listed(story: Story) -> bool:
    with story.services.market.read() as connection:
        return bool(one(connection, "SELECT count(*) FROM hyperliquid_assets"))


def _wave(story: Story, *, by_dagster: bool) -> None:
    """Decide what is due, here or by waiting for Dagster's sensor, then mark every account."""
    from clash_pipeline.decisions import waves
    from clash_pipeline.prop import accounts, marks
    from clash_pipeline.prop.venue import PaperVenue

    services = story.services
    found = waves.due(services)
    if by_dagster:
        _wait_for_dagster(story)
    elif found or waves.deliverable(services):
        waves.run_once(services, worker="demo")
    if found:
        story.waves.append(("Dagster's sensor" if by_dagster else "the worker", len(found)))
    with services.clash.read() as connection:
        open_ids = accounts.open_ids(connection)
    venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
    marks.mark_all(services.clash, venue, open_ids, services.clock.now_ms())


def _has_taken_over(story: Story) -> bool:
    """Whether Dagster's sensors look for due work; they begin when they are first asked for."""
    if not story.is_dagsters and story.dagster.is_ready():
        story.dagster.resume_sensors()
        story.is_dagsters = True
    return story.is_dagsters


def _wait_for_dagster(story: Story) -> None:
    from clash_pipeline.decisions import waves

    deadline = time.monotonic() + WAVE_SEC
    while waves.due(story.services) or waves.deliverable(story.services) or _at_work(story):
        if time.monotonic() > deadline:
            fail(f"Dagster's sensor did not decide in {WAVE_SEC:g} s; log: {story.settings.home / 'logs'}")
        time.sleep(0.2)


def _at_work(story: Story) -> bool:
    """Whether a run is being decided; one that has its answer and waits for its common minute is not."""
    with story.services.clash.read() as connection:
        return bool(
            one(
                connection,
                "SELECT count(*) FROM decision_runs WHERE state IN ('queued', 'running') AND response_hash IS NULL",
            )
        )


# Dagster's part


def _backfills(story: Story, start: int) -> Iterator[None]:
    """Backfill a whole past day from the venue, then what is derived from it, then archive it; polled once a minute.

    The venue's weight budget lives in venue time, so the backfills go on only while the replay does.
    """
    from clash_pipeline.clock import DAY_MS, day_of, iso

    day = iso(day_of(start) - 2 * DAY_MS)[:10]
    hours = [f"{day}-{hour:02d}:00" for hour in range(24)]
    dagster = story.dagster
    while not dagster.is_ready():
        yield
    dagster.pause(keeping=LOOKING)
    say("dagster", f"{dagster.url} is up: lineage, partitions, runs")
    repair = dagster.materialize(["hyperliquid_candles_1m_repair"], day)
    yield from _until(story, f"materialized the minutes of {day} from the venue", lambda: dagster.run_ended(repair))
    derived = dagster.backfill(["hyperliquid_candles_1h", "hyperliquid_technical_indicators"], hours, "derive the day")
    yield from _until(
        story, f"backfilled 24 hours of candles and indicators of {day}", lambda: dagster.backfill_ended(derived, 1)
    )
    archive = dagster.materialize([f"hyperliquid_{name}_archive" for name in ARCHIVED], day)
    yield from _until(story, f"archived {day} and read it back", lambda: dagster.run_ended(archive))


def _until(story: Story, title: str, is_done: Callable[[], bool]) -> Iterator[None]:
    began = time.monotonic()
    while not is_done():
        if time.monotonic() - began > BACKFILL_SEC:
            fail(f"{title}: not done in {BACKFILL_SEC:g} s; logs in {story.settings.home / 'logs'}", Exit.UNAVAILABLE)
        yield
    story.backfills.append((title, f"{time.monotonic() - began:.0f} s"))
    say("dagster", title)


def _look_after(story: Story) -> None:
    """Prune what is archived and verified, and draw the accounts, at a minute at which Dagster's job draws them."""
    from clash_pipeline.clock import MINUTE_MS, minute_of

    while minute_of(story.driver.controls.now_ms()) % DRAWN_EVERY_MS:
        next(story.driver.minutes(story.driver.controls.now_ms() + MINUTE_MS))
    launched = [story.dagster.launch(job) for job in ("retain_market_memory", "mark_to_market")]
    for each in launched:
        story.dagster.wait_for_run(each, BACKFILL_SEC)
    say("archive", "retention: archived, verified, pruned")
    say("accounts", "marked and drawn by Dagster")
