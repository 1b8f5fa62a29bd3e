"""kill -9 at every named fault point of a submission and a mark: before or after, never between (09 S1)."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clash_pipeline.prop import marks
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.desk import AFTER_LEDGER, FAULT_POINTS
from clash_pipeline.prop.intake import AFTER_ACTION
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.prop.snapshots import AFTER_SNAPSHOT
from tests.fakes.desk import Desk

CHILD = """
import sys
from clash_pipeline.prop import intake, marks
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_clash, open_market

home, account_id, now_ms = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings = load({"CLASH_HOME": home})
clash, market = open_clash(settings), open_market(settings)
flip = [Proposal("BTC", "open_short", "10", 2)]
intake.submit(clash, account_id, 2, flip, PaperVenue(market), now_ms=now_ms)
marks.mark(clash, market, account_id, now_ms)
print("acknowledged")
"""
SUBMISSION = [AFTER_ACTION, *FAULT_POINTS, f"{AFTER_LEDGER}@2", "storage.before_commit", "storage.after_commit"]
MARK = [marks.AFTER_FUNDING, marks.AFTER_POSITIONS, AFTER_SNAPSHOT]


def killed_at(desk: Desk, place: str) -> None:
    """A flip and a mark in a child process that dies at a fault point."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(desk.settings.home), str(desk.account_id), str(desk.clock.now_ms())],
        env={"CLASH_FAULT": f"{place}:kill", "PATH": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "acknowledged" not in done.stdout


@pytest.mark.parametrize("place", [*SUBMISSION, *MARK])
def test_a_kill_leaves_before_or_after_and_the_repeat_ends_at_after(desk: Desk, place: str) -> None:
    desk.order("open_long", size_pct="10")
    killed_at(desk, place)
    fills = len(desk.view()["fills"])
    assert fills == (3 if place in {"storage.after_commit", *MARK} else 1)
    assert audit(desk.clash).is_clean
    desk.run_id = 2
    (repeated,) = desk.submit(Proposal("BTC", "open_short", "10", 2))
    assert (repeated.status, repeated.is_repeat) == ("filled", fills == 3)
    assert len(desk.view()["fills"]) == 3
    assert desk.view()["positions"][0]["side"] == "short"
    assert marks.mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms()) is not None
    assert audit(desk.clash).is_clean
