"""Prepare, on the box of record: claim, check entitlement and state, choose candidates, read memory, store packets.

A wave is worked off in groups of whole accounts, so that memory is bounded whatever its size. A group reads its
accounts in one snapshot and its quotes once, stores packets and prompts side by side, and writes what became of its
runs in one transaction. All runs of an account see one `as_of`: now, or their tick where all clones are filled at one
common instant, so that nobody knows more for having been prepared later (11, 1).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from random import Random

import structlog

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.decisions import branches, claims, runs
from clash_pipeline.decisions.branches import End, Packed
from clash_pipeline.decisions.looking import Trouble
from clash_pipeline.decisions.runs import MAX_ATTEMPTS, Claim, Due, Ended, Prepared, Services
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.sqlite import Connection

AFTER_CLAIM = point("decisions.prepare.after_claim")
AFTER_PACKET_STORED = point("decisions.prepare.after_packet_stored")
AFTER_BEGIN = point("decisions.prepare.after_begin")
CLAIMS_AT_ONCE = 1_000
RUNS_AT_ONCE = 250
"""A group closes when it has this many runs; an account is never cut. Each reads memory and shows its rows once."""

log = structlog.get_logger(__name__)


def prepare(
    services: Services, due: Sequence[Due], *, worker: str, dagster_run_id: str | None = None
) -> tuple[list[Prepared], list[Ended]]:
    """Claim runs and store their packets; those that may not run end as skipped or failed, with the reason.

    A run that somebody else holds is in neither list, nor is one that is put back because something it needs could
    not be read or stored: it is taken up again later, and parked in the end. Claims are renewed on the way, so that
    those who decide have as much time after a long wave as after a short one.
    """
    wave = _Wave(services)
    claimed = _claim(services, due, worker, dagster_run_id)
    fault(AFTER_CLAIM)
    wave.held_since = services.clock.now_ms()
    with ThreadPoolExecutor(services.settings.prepare_uploads, "store") as pool:
        for start, group in _groups(claimed):
            wave.keep([*(item.claim for item in wave.prepared), *claimed[start:]])
            wave.prepare([claim for claim in group if claim.run_id not in wave.lost], pool)
    wave.keep([item.claim for item in wave.prepared])
    return [item for item in wave.prepared if item.claim.run_id not in wave.lost], wave.ended


def _claim(services: Services, due: Sequence[Due], worker: str, dagster_run_id: str | None) -> list[Claim]:
    """All claims of a wave, in transactions of a bounded size."""
    now_ms, ttl_ms = services.clock.now_ms(), services.settings.lease_ttl_sec * SECOND_MS
    taken: list[Claim] = []
    for start in range(0, len(due), CLAIMS_AT_ONCE):
        with services.clash.write() as connection:
            taken += claims.claim_all(
                connection, due[start : start + CLAIMS_AT_ONCE],
                worker=worker, now_ms=now_ms, ttl_ms=ttl_ms, dagster_run_id=dagster_run_id,
            )  # fmt: skip
    return sorted(taken, key=claims.in_order)


def _groups(claimed: Sequence[Claim]) -> Iterator[tuple[int, list[Claim]]]:
    """Whole accounts, together about `RUNS_AT_ONCE` runs, each group with the place of its first claim."""
    group: list[Claim] = []
    for place, claim in enumerate(claimed):
        if len(group) >= RUNS_AT_ONCE and claim.account_id != group[-1].account_id:
            yield place - len(group), group
            group = []
        group.append(claim)
    if group:
        yield len(claimed) - len(group), group


class _Wave:
    """What has become of a wave so far."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.prepared: list[Prepared] = []
        self.ended: list[Ended] = []
        self.lost: set[int] = set()
        self.held_since = services.clock.now_ms()

    def keep(self, held: Sequence[Claim]) -> None:
        """Renew claims when a third of their time is over; those that have passed on are left alone from here."""
        now_ms, ttl_ms = self.services.clock.now_ms(), self.services.settings.lease_ttl_sec * SECOND_MS
        if not held or now_ms - self.held_since < ttl_ms // 3:
            return
        with self.services.clash.write() as connection:
            ours = claims.renew(connection, held, now_ms=now_ms, ttl_ms=ttl_ms)
        self.held_since = now_ms
        passed_on = {claim.run_id for claim in held} - ours
        self.lost |= passed_on
        if passed_on:
            log.warning("runs_passed_on", runs=sorted(passed_on))

    def prepare(self, group: Sequence[Claim], pool: Executor) -> None:
        """One group: look, read, assemble, store, write down."""
        outcomes = list(branches.outcomes(self.services, group, pool))
        settled = [(claim, branches.settled(outcome, claim)) for claim, outcome in outcomes]
        fault(AFTER_PACKET_STORED)
        self._write(settled)
        fault(AFTER_BEGIN)

    def _write(self, settled: Sequence[tuple[Claim, Prepared | End | Trouble | Packed]]) -> None:
        """What became of the runs of a group, in one transaction; a run that has passed on is left to its holder."""
        now_ms = self.services.clock.now_ms()
        prepared: list[Prepared] = []
        ended: list[Ended] = []
        with self.services.clash.write() as connection:
            for claim, outcome in settled:
                try:
                    if isinstance(outcome, Packed):
                        prepared.append(_begin(connection, claim, outcome, now_ms))
                    elif isinstance(outcome, Prepared):
                        prepared.append(outcome)
                    elif (end := _end_of(connection, claim, outcome, now_ms)) is not None:
                        ended.append(end)
                except LeaseLost:
                    log.warning("run_passed_on", run_id=claim.run_id)
        self.prepared += prepared
        self.ended += ended


def _begin(connection: Connection, claim: Claim, packed: Packed, now_ms: int) -> Prepared:
    """The packet and the prompt are stored: the run may be decided."""
    runs.begin(connection, claim, packed.packet, now_ms=now_ms)
    runs.add_artifact(connection, claim.run_id, packed.prompt, now_ms=now_ms)
    return Prepared(claim, packed.packet)


def _end_of(connection: Connection, claim: Claim, outcome: End | Trouble, now_ms: int) -> Ended | None:
    """Close a run that does not go on; one in trouble is put back until its attempts are used up (09 W5)."""
    if isinstance(outcome, Trouble):
        if claim.attempts < MAX_ATTEMPTS:
            wait_ms = claims.back_off_ms(claim.attempts, Random(f"{claim.run_id}/{claim.attempts}"))
            if claims.put_back(connection, claim, outcome.reason, not_before=now_ms + wait_ms):
                log.warning("run_put_back", run_id=claim.run_id, reason=outcome.reason, wait_ms=wait_ms)
            return None
        outcome = End("failed", f"gave_up_after_{MAX_ATTEMPTS}_attempts: {outcome.reason}")
    effective = "hold" if outcome.state == "failed" else None
    return runs.end(connection, claim, outcome.state, outcome.reason, effective=effective, now_ms=now_ms)
