"""Steps of the Arena in processes that may be killed, and the home in which each of them has something to do."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clash_pipeline.arena import admin, auditions, entry, retirement, strikes
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.economy import pools
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Database
from tests.fakes import forking
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.till import TICKET, Till
from tests.fakes.troupe import ADMIN, Troupe

START = 1_753_100_000_000
NOW = START + 8 * DAY_MS
EASY = {"LENGTH_SEC": "3600", "MIN_RETURN_BP": "0", "MIN_FILLS": "0", "MIN_HOURS": "0"}
FACELESS, WAITING, JUDGED, VOIDED, NEW = 1, 2, 3, 4, 5
RACED, RETIRED, WANTED = 6, 7, 8
"""The last three are house clones."""
RACE = 1


def settings_of(home: Path) -> Settings:
    """Rules that an idle account meets."""
    return load({"CLASH_HOME": str(home), **{f"CLASH_AUDITION_{name}": value for name, value in EASY.items()}})


def build(home: Path) -> None:
    """A head that expires, a place to admit, an audition to judge, one to void, a clone to submit, a race to count."""
    settings = settings_of(home)
    clash = open_clash(settings)
    troupe = Troupe(settings, SettableClock(START), clash, Till(clash))
    assert [_passed(troupe, face) for face in ("submitted", "approved")] == [FACELESS, WAITING]
    _note_blocked(troupe)
    troupe.clock.set(NOW - 3 * HOUR_MS)
    for _ in (JUDGED, VOIDED, NEW):
        troupe.clone()
    judged = troupe.submit(JUDGED)
    troupe.end(judged)
    troupe.clock.set(NOW - 10 * MINUTE_MS)
    troupe.submit(VOIDED)
    for _ in (RACED, RETIRED, WANTED):
        troupe.house()
    admin.retire(clash, RETIRED, actor=ADMIN, reason="enough", now_ms=troupe.now)
    _sell(troupe)
    clash.close()


def _passed(troupe: Troupe, face: str) -> int:
    audition = troupe.submit(troupe.clone(face=face))
    troupe.end(audition)
    troupe.judge()
    return audition.clone_id


def _note_blocked(troupe: Troupe) -> None:
    """The clock of the head runs; the other waits as nobody synced since."""
    full = troupe.settings.model_copy(update={"arena_slots": 0})
    entry.sync(troupe.clash, full, troupe.now)


def _sell(troupe: Troupe) -> None:
    with troupe.clash.write() as connection:
        pools.open_pool(
            connection, RACE, [PoolClone(RACED, None), PoolClone(WANTED, None)], price_wei=TICKET,
            opens_at=troupe.now - 1, closes_at=troupe.now + HOUR_MS, hidden_from=troupe.now, now_ms=troupe.now,
        )  # fmt: skip
    wanted = Wanted(troupe.till.person(9), "ticket", WANTED, race_id=RACE, count=2)
    troupe.till.record(troupe.till.deposit(troupe.till.quote(wanted, now_ms=troupe.now)), now_ms=troupe.now)


# what is done


def submit(clash: Database, settings: Settings) -> None:
    with clash.write() as connection:
        auditions.submit(connection, settings, NEW, actor="ada", now_ms=NOW)


def judge(clash: Database, settings: Settings) -> None:
    auditions.evaluate_due(clash, NOW)


def sync(clash: Database, settings: Settings) -> None:
    entry.sync(clash, settings, NOW)


def void(clash: Database, settings: Settings) -> None:
    with clash.read() as connection:
        (audition,) = auditions.every(connection, clone_id=VOIDED)
    admin.void(clash, SteadyVenue(), audition.id, actor=ADMIN, reason="an outage", now_ms=NOW)


def retire(clash: Database, settings: Settings) -> None:
    admin.retire(clash, RACED, actor=ADMIN, reason="enough", now_ms=NOW)


def reinstate(clash: Database, settings: Settings) -> None:
    admin.reinstate(clash, RETIRED, actor=ADMIN, reason="again", now_ms=NOW)


def strike(clash: Database, settings: Settings) -> None:
    with clash.write() as connection:
        strikes.record(connection, RACE, NOW, limit=1)


def carry_out(clash: Database, settings: Settings) -> None:
    """The race is counted, and the clone that it struck out goes."""
    strike(clash, settings)
    retirement.carry_out_due(clash, NOW)


STEPS: Mapping[str, Callable[[Database, Settings], None]] = {
    step.__name__: step for step in (submit, judge, sync, void, retire, reinstate, strike, carry_out)
}


def work(order: Mapping[str, Any]) -> None:
    """Take one step in a home."""
    settings = settings_of(Path(order["home"]))
    clash = open_clash(settings)
    STEPS[order["step"]](clash, settings)
    clash.close()


if __name__ == "__main__":
    forking.serve(work)
