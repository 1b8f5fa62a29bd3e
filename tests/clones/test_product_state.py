"""The product state, as a table of facts."""

import pytest

from clash_pipeline.clones import clones, moderation
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.product_state import ProductFacts, own_facts, product_state
from clash_pipeline.market.listing import Listed
from clash_pipeline.storage.sqlite import Database


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (ProductFacts(False), "setup_required"),
        (ProductFacts(True), "configured"),
        (ProductFacts(True, last_audition="voided"), "configured"),
        (ProductFacts(True, has_open_audition=True), "audition_running"),
        (ProductFacts(True, has_open_audition=True, last_audition="failed"), "audition_running"),
        (ProductFacts(True, last_audition="failed"), "audition_failed"),
        (ProductFacts(True, last_audition="passed"), "competition_eligible"),
        (ProductFacts(True, last_audition="passed", has_slot=True), "competing"),
        (ProductFacts(True, last_audition="passed", is_racing=True), "competing"),
        (ProductFacts(True, last_audition="passed", has_slot=True, is_retired=True), "retired"),
    ],
)
def test_the_strongest_fact_decides(facts: ProductFacts, state: str) -> None:
    assert product_state(facts) == state


def test_what_the_clone_service_knows_itself(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Ada", engine="rules", now_ms=1)
    clones.save_draft(clash, clone_id, simple_graph(("BTC",)).wire(), listing, now_ms=2)
    states = [_state(clash, clone_id)]
    clones.publish(clash, clone_id, listing, now_ms=3)
    states.append(_state(clash, clone_id))
    with clash.write() as connection:
        moderation.retire(connection, clone_id, actor="root", reason="enough", now_ms=4)
    assert [*states, _state(clash, clone_id)] == ["setup_required", "configured", "retired"]


def _state(clash: Database, clone_id: int) -> str:
    with clash.read() as connection:
        return product_state(own_facts(connection, clone_id))
