"""Grants and what follows from them: the component-wise maximum, mock without a purchase, history kept."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.compiler import compile_graph
from clash_pipeline.clones.entitlements import CAPACITIES, MOCK_STARTER, Entitlement, Grant, combined, exceeded
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import CloneConflict, CloneError, CloneUnknown
from clash_pipeline.market.listing import Listed
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError


@pytest.fixture
def ada(clash: Database) -> int:
    return clones.create(clash, "Ada", engine="rules", now_ms=1)


def bought(connection: Connection, clone_id: int, capacity: Any, model: int, ref: str, **others: Any) -> int:
    return entitlements.grant(connection, clone_id, capacity, model, source="purchase", ref=ref, now_ms=1, **others)


def test_without_a_grant_a_clone_has_a_mock_starter(clash: Database, ada: int) -> None:
    with clash.read() as connection:
        assert entitlements.effective(connection, ada) == MOCK_STARTER
        assert entitlements.purchased(connection, ada) is None
    assert MOCK_STARTER.may_audition is False


def test_only_a_purchase_leads_into_an_audition(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        entitlements.grant(connection, ada, "pro", 3, source="debug", ref="d", now_ms=1)
        entitlements.grant_candidates(connection, ada, 25, ref="o", now_ms=1)
        debugged = entitlements.effective(connection, ada)
        bought(connection, ada, "starter", 1, "p1")
        paid = entitlements.effective(connection, ada)
    assert (debugged.may_audition, paid.may_audition) == (False, True)
    assert debugged[:2] == paid[:2]


def test_what_was_bought_is_the_maximum_of_the_purchases_alone(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        bought(connection, ada, "starter", 3, "p1")
        bought(connection, ada, "builder", 1, "p2", purpose="upgrade")
        entitlements.grant(connection, ada, "pro", 1, source="debug", ref="d", now_ms=1)
        assert entitlements.purchased(connection, ada) == ("builder", 3)
        assert entitlements.effective(connection, ada).capacity.name == "pro"


def test_a_candidate_grant_lifts_the_cap_and_the_assets_with_it(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        entitlements.grant_candidates(connection, ada, 15, ref="o", now_ms=1, actor="root", reason="load test")
        lifted = entitlements.effective(connection, ada)
    assert (lifted.candidates, lifted.capacity.assets, lifted.capacity.prompts) == (15, 15, 1)


@pytest.mark.parametrize("candidates", [0, 10, 26])
def test_a_candidate_grant_is_11_to_25(clash: Database, ada: int, candidates: int) -> None:
    with clash.write() as connection, pytest.raises(CloneError, match="11 to 25"):
        entitlements.grant_candidates(connection, ada, candidates, ref="o", now_ms=1)


def test_the_same_purchase_grants_once_and_nothing_else(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        first = bought(connection, ada, "pro", 2, "p1")
        assert bought(connection, ada, "pro", 2, "p1") == first
        with pytest.raises(CloneConflict, match="already granted something else"):
            bought(connection, ada, "pro", 3, "p1")
        assert bought(connection, ada, "pro", 3, "p1", purpose="upgrade") != first
        assert len(entitlements.history(connection, ada)) == 2


def test_a_revoked_grant_counts_no_more_and_stays_in_the_history(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        grant_id = entitlements.grant(connection, ada, "pro", 3, source="debug", ref="d", now_ms=1)
        assert entitlements.revoke(connection, grant_id, actor="root", reason="test over", now_ms=2)
        assert not entitlements.revoke(connection, grant_id, actor="root", reason="again", now_ms=3)
        assert entitlements.effective(connection, ada) == MOCK_STARTER
        (kept,) = entitlements.history(connection, ada)
    assert (kept.revoked_at, kept.revoked_by, kept.revoked_because) == (2, "root", "test over")


def test_what_was_bought_is_never_revoked(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        grant_id = bought(connection, ada, "pro", 3, "p1")
        with pytest.raises(CloneConflict, match="was bought"):
            entitlements.revoke(connection, grant_id, actor="root", reason="no", now_ms=2)
        with pytest.raises(CloneUnknown, match="no grant 9"):
            entitlements.revoke(connection, 9, actor="root", reason="no", now_ms=2)
    with pytest.raises(IntegrityError, match="never revoked"), clash.write() as connection:
        connection.execute("INSERT INTO clone_entitlement_revocations VALUES (?, '', '', 1)", (grant_id,))


def test_a_grant_may_end_by_itself(clash: Database, ada: int) -> None:
    with clash.write() as connection:
        entitlements.grant(connection, ada, "pro", 3, source="debug", ref="d", now_ms=1, expires_at=100)
        tiers = [entitlements.effective(connection, ada, now_ms).capacity.name for now_ms in (99, 100)]
        timeless = entitlements.effective(connection, ada)
    assert tiers == ["pro", "starter"]
    assert timeless == MOCK_STARTER


def test_a_grant_for_nobody(clash: Database) -> None:
    with clash.write() as connection, pytest.raises(CloneUnknown, match="no clone 9"):
        bought(connection, 9, "pro", 1, "p1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clone_entitlements SET capacity_tier = 'pro'",
        "DELETE FROM clone_entitlements",
        "DELETE FROM clone_entitlement_revocations",
        "UPDATE clone_entitlement_revocations SET reason = ''",
        """
        INSERT INTO clone_entitlements (clone_id, source, ref, purpose, candidates, granted_at, granted_by, reason)
        VALUES (1, 'purchase', 'x', 'audition', 25, 1, '', '')
        """,
    ],
)
def test_the_history_never_changes_and_candidates_are_not_for_sale(clash: Database, ada: int, statement: str) -> None:
    with clash.write() as connection:
        grant_id = entitlements.grant(connection, ada, "builder", 1, source="debug", ref="d", now_ms=1)
        entitlements.revoke(connection, grant_id, actor="root", reason="over", now_ms=2)
    with pytest.raises(IntegrityError), clash.write() as connection:
        connection.execute(statement)


def made(source: str, capacity: str | None, model: int | None, candidates: int | None) -> Grant:
    return Grant(1, source, "r", "p", capacity, model, candidates, 1, "x", "", None, None, None, None)


GRANTS = st.one_of(
    st.builds(
        made, st.sampled_from(["purchase", "debug"]), st.sampled_from(list(CAPACITIES)), st.integers(1, 3), st.none()
    ),
    st.builds(made, st.just("operator"), st.none(), st.none(), st.integers(11, 25)),
)


@given(st.lists(GRANTS, max_size=6))
def test_no_order_and_no_repeat_of_grants_matters_and_more_never_takes_away(grants: list[Grant]) -> None:
    best = combined(grants)
    assert combined(reversed(grants)) == combined([*grants, *grants]) == best
    for fewer in itertools.combinations(grants, max(len(grants) - 1, 0)):
        less = combined(fewer)
        assert all(mine <= whole for mine, whole in zip(less.capacity[1:], best.capacity[1:], strict=True))
        assert (less.model_tier, less.candidates, best.is_mock) <= (best.model_tier, best.candidates, less.is_mock)


BUILDER = Entitlement(CAPACITIES["builder"], 2, False)


@pytest.mark.parametrize(
    ("entitlement", "engine", "tier", "said"),
    [
        (BUILDER, "model", 2, None),
        (BUILDER, "model", 3, "model tier 3 of 2"),
        (BUILDER, "rules", 3, None),
        (MOCK_STARTER, "rules", 1, "active assets 4 of 3"),
        (BUILDER._replace(capacity=BUILDER.capacity._replace(prompts=0)), "rules", 1, "enabled prompts 1 of 0"),
        (BUILDER._replace(candidates=9), "rules", 1, "candidates 10 of 9"),
        (BUILDER._replace(capacity=BUILDER.capacity._replace(links=3)), "rules", 1, "links 4 of 3"),
        (
            BUILDER._replace(capacity=BUILDER.capacity._replace(links_per_asset=0)),
            "rules",
            1,
            "links to one asset 1 of 0",
        ),
    ],
)
def test_a_run_is_told_what_its_graph_exceeds(
    listing: dict[str, Listed], entitlement: Entitlement, engine: str, tier: int, said: str | None
) -> None:
    compiled = compile_graph(simple_graph(("BTC", "ETH", "SOL", "DOGE")), listing)
    assert exceeded(entitlement, compiled, engine, tier) == said
