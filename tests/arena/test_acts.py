"""What admins do to the Arena is kept, refused acts too: so an act is a transaction of its own."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from clash_pipeline.arena import acts, admin, race_admin
from clash_pipeline.arena.acts import Order
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.prop import admin as prop_admin
from clash_pipeline.prop.accounts import StateConflict
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.sqlite import Database
from tests.fakes.steady_venue import SteadyVenue
from tests.fakes.troupe import ADMIN, Troupe

WHO = {"actor": ADMIN, "reason": "look", "now_ms": 7}
ACTS: dict[str, Callable[[Troupe], object]] = {
    "void": lambda troupe: admin.void(troupe.clash, SteadyVenue(), 1, **WHO),
    "admit": lambda troupe: admin.admit(troupe.clash, troupe.settings, 1, **WHO),
    "remove": lambda troupe: admin.remove(troupe.clash, 1, **WHO),
    "reinstate": lambda troupe: admin.reinstate(troupe.clash, 1, **WHO),
    "take_out": lambda troupe: race_admin.remove(troupe.clash, 1, 1, **WHO),
    "cancel": lambda troupe: race_admin.cancel(troupe.clash, 1, **WHO),
}


def refused(clash: Database) -> list[tuple[str, str]]:
    """What was refused, and why, as it was kept."""
    with clash.read() as connection:
        return [(act.act, act.detail) for act in acts.newest(connection) if act.outcome == "refused"]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_not_begun_inside_a_larger_transaction(troupe: Troupe, act: str) -> None:
    with troupe.clash.together(), pytest.raises(StorageError, match=f"{act} is a transaction of its own"):
        ACTS[act](troupe)


def test_what_an_account_refuses_undoes_the_void_and_is_kept_as_its_refusal(troupe: Troupe) -> None:
    made = troupe.submit(troupe.clone())
    troupe.clock.set(made.ends_at + MINUTE_MS)
    with pytest.raises(StateConflict, match="its fixing ends it"):
        admin.void(troupe.clash, SteadyVenue(), made.id, actor=ADMIN, reason="an outage", now_ms=troupe.now)
    assert troupe.get(made.id).is_open
    ((act, why),) = refused(troupe.clash)
    assert act == "void"
    assert "its fixing ends it" in why
    with troupe.clash.read() as connection:
        assert prop_admin.acts(connection) == []


def test_control_a_refusal_inside_a_larger_transaction_would_be_lost(troupe: Troupe) -> None:
    order = Order("admit", ADMIN, "a friend", troupe.now, troupe.clone())
    with suppress(ArenaConflict), troupe.clash.together() as connection:
        acts.record(connection, order, "refused", "only house clones")
        raise ArenaConflict("only house clones")
    assert refused(troupe.clash) == []
    with suppress(ArenaConflict), acts.refusals(troupe.clash, order), troupe.clash.together():
        raise ArenaConflict("only house clones")
    assert refused(troupe.clash) == [("admit", "only house clones")]
