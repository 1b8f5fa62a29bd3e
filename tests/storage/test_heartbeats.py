"""Beats are rows; how a worker is doing is a question of their age."""

import os
from typing import Any

import pytest

from clash_pipeline.storage.heartbeats import Heartbeat, beat, workers
from clash_pipeline.storage.sqlite import Database


def beat_at(database: Database, now_ms: int, *, worker: str = "ingester", **more: Any) -> None:
    more = {"instance": "one", **more}
    beat(database, worker, now_ms=now_ms, expected_interval_sec=10, version="1", **more)


def only(database: Database) -> Heartbeat:
    found = workers(database)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("age_ms", "status"),
    [(0, "ok"), (20_000, "ok"), (20_001, "late"), (50_000, "late"), (50_001, "stale"), (10**9, "stale")],
)
def test_two_missed_beats_are_late_and_five_are_stale(clash: Database, age_ms: int, status: str) -> None:
    beat_at(clash, 1_000)
    assert only(clash).status(1_000 + age_ms) == status


def test_a_goodbye_is_not_an_alarm(clash: Database) -> None:
    beat_at(clash, 1_000)
    beat_at(clash, 2_000, stopped=True)
    assert only(clash).status(10**9) == "stopped"
    beat_at(clash, 3_000)
    assert only(clash).status(3_000) == "ok"


def test_beats_count_and_keep_the_start(clash: Database) -> None:
    for at in (1_000, 11_000, 21_000):
        beat_at(clash, at)
    found = only(clash)
    assert (found.started_at, found.last_beat_at, found.last_ok_at, found.cycles) == (1_000, 21_000, 21_000, 3)
    assert found.pid == os.getpid()


def test_a_failed_cycle_keeps_the_last_good_time_and_says_why(clash: Database) -> None:
    beat_at(clash, 1_000)
    beat_at(clash, 11_000, error="venue: timed out")
    failed = only(clash)
    assert (failed.last_beat_at, failed.last_ok_at, failed.last_error) == (11_000, 1_000, "venue: timed out")
    beat_at(clash, 21_000)
    recovered = only(clash)
    assert (recovered.last_ok_at, recovered.last_error) == (21_000, None)


def test_a_worker_that_never_did_well_has_no_good_time(clash: Database) -> None:
    beat_at(clash, 1_000, error="no key")
    assert only(clash).last_ok_at is None


def test_the_newest_instance_speaks_for_its_worker(clash: Database) -> None:
    beat_at(clash, 5_000, instance="old")
    beat_at(clash, 9_000, instance="new")
    beat_at(clash, 6_000, instance="old")
    beat_at(clash, 1_000, worker="daemon")
    assert [(found.worker, found.instance) for found in workers(clash)] == [("daemon", "one"), ("ingester", "new")]
