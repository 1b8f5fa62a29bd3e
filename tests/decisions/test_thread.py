"""The whole thread on hand-written rows: packet → rules → gates → fill → position → balance → ledger, to the cent."""

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.prop import views
from tests.fakes.world import RISING, World


def test_the_rules_clone_opens_in_a_trend_and_closes_at_its_target(world: World) -> None:
    """Prices 100 → 103: 20 % of 100,000 USD long, slippage and fees by hand, ledger equal to the cent."""
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    opened = waves.run_once(world, clone_id=clone_id, force=True)
    assert [(run.state, run.reason, run.effective) for run in opened.ended] == [("completed", "filled", "open_long")]

    world.clock.advance(10 * MINUTE_MS)
    world.minute("BTC", "103", hist=0.5, hist_before=0.6, **{**RISING, "rsi14": 67.0})
    closed = waves.run_once(world, clone_id=clone_id, force=True)
    assert [(run.reason, run.effective) for run in closed.ended] == [("filled", "close")]

    with world.clash.read() as connection:
        view = views.account_view(connection, account_id)
    # Half spread unknown, first by volume: 0.5 bp. σ unknown: 10 % a day; V 1e9 USD. Buy Q 20,000: √(Q/V) = 0.0044721…,
    # impact 3.13 bp. 100 × 1.00036305 = 100.036305 → up to the tick 100.04; size floor(20,000 / 100.04) = 199.920.
    # Sell Q = 199.92 × 103 = 20,591.76: impact 3.18 bp → 103 × 0.99963… = 102.9621… → down to 102.96.
    buy, sell = reversed(view["fills"])
    assert (buy["side"], buy["size"], buy["price"]) == ("buy", "199.92", "100.04")
    assert (sell["side"], sell["size"], sell["price"]) == ("sell", "199.92", "102.96")
    assert buy["notional"] == "19999.9968"
    assert buy["fee"] == "8.99999856"  # 4.5 bp of 19,999.9968, exactly 8.99999856
    assert sell["notional"] == "20583.7632"
    assert sell["fee"] == "9.26269344"
    assert sell["realized"] == "583.7664"
    assert view["balance"] == "100565.503708"  # 100,000 − 8.99999856 + 583.7664 − 9.26269344
    assert view["positions"] == []
    assert [line["kind"] for group in reversed(view["ledger"]) for line in group["lines"]] == ["fee", "realized", "fee"]
    assert audit(world.clash).is_clean


def test_the_hold_clone_completes_without_an_action(world: World) -> None:
    """A valid answer of hold completes the run and leaves no action row."""
    clone_id, account_id = world.clone("BTC", engine="hold")
    world.minute("BTC", "100", **RISING)
    report = waves.run_once(world, clone_id=clone_id, force=True)
    assert [(run.state, run.reason, run.effective) for run in report.ended] == [("completed", "hold", "hold")]
    with world.clash.read() as connection:
        view = views.account_view(connection, account_id)
    assert (view["actions"], view["balance"]) == ([], "100000")
    assert audit(world.clash).is_clean
