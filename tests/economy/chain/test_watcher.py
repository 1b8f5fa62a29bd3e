"""The watcher: what is final becomes known, what is not stays pending, and no endpoint decides anything alone."""

import json

import pytest

from clash_pipeline.archive.artifacts import get_artifact
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.economy import pools, purchases
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.chain.endpoints import disabled
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.replay.chain_vault import CONTRACT, RESOLVER, deposit_log
from tests.fakes.chained import Chained
from tests.fakes.till import wallet

SOMEBODY = wallet(99)


@pytest.fixture
def quoted(chained: Chained) -> Purchase:
    """An audition that somebody asked the price of."""
    user = chained.till.person(1)
    return chained.quote(Wanted(user, "audition", chained.till.clone("One", user)))


def hint(chained: Chained, purchase: Purchase, tx_hash: str) -> None:
    with chained.clash.write() as connection:
        purchases.hint(connection, purchase.id, tx_hash, now_ms=chained.clock.now_ms())


def state(chained: Chained, purchase: Purchase) -> tuple[str, str | None]:
    stands = chained.get(purchase)
    return stands.state, stands.reason


def test_a_deposit_is_granted_though_nobody_tells_of_it(chained: Chained, quoted: Purchase) -> None:
    chained.pay(quoted)
    chained.chain.mine(2)
    chained.step()
    assert state(chained, quoted) == ("pending", "not_final"), "seen, and it may still go"
    assert chained.settle_in().recorded == 1
    assert state(chained, quoted) == ("granted", None)
    assert chained.settle_in().recorded == 0
    assert audit(chained.clash).is_clean
    assert chained.incidents() == []


def test_what_was_seen_is_kept(chained: Chained, quoted: Purchase) -> None:
    tx_hash = chained.pay(quoted)
    chained.settle_in()
    with chained.clash.read() as connection:
        row = connection.execute("SELECT * FROM chain_deposits").fetchone()
    kept = json.loads(get_artifact(chained.parts.store, row["evidence_key"], row["evidence_hash"]))
    assert [answer["endpoint"] for answer in kept["answers"]] == ["a", "b"]
    assert {answer["receipt"]["tx_hash"] for answer in kept["answers"]} == {tx_hash}
    assert kept["block"]["hash"] == row["block_hash"]
    assert kept["answers"][0]["deposited"][0][4] == str(quoted.amount_wei)


@pytest.mark.parametrize("trouble", ["lagging", "down", "no receipt", "no finality", "other fork"])
def test_it_stays_pending_while_an_endpoint_cannot_confirm(chained: Chained, quoted: Purchase, trouble: str) -> None:
    view = chained.views["b"]
    hint(chained, quoted, chained.pay(quoted))
    chained.step()
    if trouble == "lagging":
        view.behind = 6
    elif trouble == "down":
        view.is_down = True
    else:
        view.lies = {trouble}
    for _ in range(3):
        chained.settle_in(2)
        assert state(chained, quoted)[0] == "pending"
    view.behind, view.is_down, view.lies = 0, False, set()
    chained.settle_in(6)
    assert state(chained, quoted) == ("granted", None)


def test_who_waits_is_looked_up_after_two_seconds_doubling_to_sixty(chained: Chained, quoted: Purchase) -> None:
    chained.chain.finality_blocks = 10**6
    hint(chained, quoted, chained.pay(quoted))
    chained.chain.mine(2)
    waits = []
    for _ in range(8):
        chained.step()
        after = chained.get(quoted).next_try_at
        assert after is not None
        waits.append((after - chained.clock.now_ms()) // 1_000)
        chained.clock.set(after)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("tx_failed", "tx_failed"),
        ("other contract", "contract_mismatch"),
        ("other resolver", "resolver_mismatch"),
        ("nothing", "no_deposit"),
        ("other nonce", "nonce_mismatch"),
        ("other asset", "asset_mismatch"),
        ("plain transfer", "no_deposit"),
    ],
)
def test_a_hint_that_is_no_deposit_of_ours_rejects_the_purchase(
    chained: Chained, quoted: Purchase, told: str, code: str
) -> None:
    pay = {"resolver": quoted.resolver, "nonce": quoted.nonce, "amount_wei": quoted.amount_wei}
    forged = {
        "other contract": deposit_log(quoted.wallet, **pay, address="0x" + "66" * 20),
        "other asset": deposit_log(quoted.wallet, **pay, asset="0x" + "77" * 20, address=CONTRACT),
    }
    if told == "tx_failed":
        content = b"anything"
        tx_hash = chained.chain.send(quoted.wallet, CONTRACT, quoted.amount_wei, content, is_doomed=True)
    elif told == "other resolver":
        tx_hash = chained.chain.deposit(quoted.wallet, RESOLVER, quoted.nonce, quoted.amount_wei)
    elif told == "other nonce":
        tx_hash = chained.chain.deposit(quoted.wallet, RESOLVER, quoted.nonce + 1, quoted.amount_wei)
    elif told == "plain transfer":
        tx_hash = chained.chain.send(quoted.wallet, quoted.resolver, quoted.amount_wei, b"")
    else:
        logs = [forged[told]] if told in forged else []
        tx_hash = chained.chain.send(quoted.wallet, "0x" + "66" * 20, 0, b"", forged=logs)
    if told == "other asset":
        with_state(chained, quoted)
    hint(chained, quoted, tx_hash)
    chained.settle_in(6)
    assert state(chained, quoted) == ("rejected", code)
    assert chained.owed() == []


def with_state(chained: Chained, quoted: Purchase) -> None:
    """The vault holds some token for us, as a contract of more assets would."""
    key = (quoted.wallet, "0x" + "77" * 20, quoted.resolver, quoted.nonce)
    machine = chained.chain.machine
    execute = machine.execute

    def holding(state, txs, chain_id, number, time_sec):  # type: ignore[no-untyped-def]
        done, after = execute(state, txs, chain_id, number, time_sec)
        return done, type(after)({**after.deposits, key: quoted.amount_wei}, after.balances, after.spent, after.paid)

    machine.execute = holding  # type: ignore[method-assign]


@pytest.mark.parametrize("off", [-1, 1])
def test_one_wei_off_goes_back(chained: Chained, quoted: Purchase, off: int) -> None:
    chained.pay(quoted, amount_wei=quoted.amount_wei + off)
    chained.settle_in()
    assert state(chained, quoted) == ("refund_due", "amount_mismatch")
    assert [each.amount_wei for each in chained.owed()] == [quoted.amount_wei + off]


def test_a_strangers_deposit_with_the_nonce_goes_back_to_the_stranger(chained: Chained, quoted: Purchase) -> None:
    hint(chained, quoted, chained.pay(quoted, by=SOMEBODY))
    chained.settle_in(6)
    assert state(chained, quoted) == ("rejected", "depositor_mismatch")
    assert [(each.recipient, each.reason) for each in chained.owed()] == [(SOMEBODY, "depositor_mismatch")]


def test_quotes_end_only_after_the_vault_was_asked_and_late_deposits_go_back(
    chained: Chained, quoted: Purchase
) -> None:
    chained.chain.mine((17 * MINUTE_MS + 4_000) // 2_000 + 4)
    assert chained.step(18 * MINUTE_MS).expired == 1
    assert state(chained, quoted) == ("expired", "not_paid")
    chained.pay(quoted)
    chained.settle_in()
    assert state(chained, quoted) == ("refund_due", "late")


def test_a_deposit_whose_event_both_endpoints_hide_is_raised_and_its_quote_does_not_end(
    chained: Chained, quoted: Purchase
) -> None:
    for view in chained.views.values():
        view.lies = {"hidden logs"}
    chained.pay(quoted)
    chained.chain.mine(600)
    assert chained.step(18 * MINUTE_MS).expired == 0
    assert chained.incidents() == [("deposit_without_event", f"purchase {quoted.id}")]


@pytest.mark.parametrize("lie", ["hidden logs", "forged log", "amount", "other fork"])
def test_one_liar_stops_the_watch_and_grants_nothing(chained: Chained, quoted: Purchase, lie: str) -> None:
    chained.step()
    chained.views["b"].lies = {lie}
    chained.pay(quoted)
    done = chained.settle_in()
    assert done.problem
    assert state(chained, quoted)[0] in {"quoted", "pending"}
    assert "endpoints_disagree" in {kind for kind, _ in chained.incidents()}
    with chained.clash.read() as connection:
        assert pools.watched_ms(connection) == chained.chain.blocks[0].time_sec * 1_000


@pytest.mark.parametrize("lie", ["chain id", "code", "wrong id", "error", "other method", "quantity", "large", "html"])
def test_an_endpoint_that_is_wrong_is_left_out_until_it_passes_its_checks(
    chained: Chained, quoted: Purchase, lie: str
) -> None:
    chained.pay(quoted)
    chained.views["b"].lies = {lie}
    if lie == "code":
        chained.step(6 * MINUTE_MS)
    assert chained.settle_in().problem
    with chained.clash.read() as connection:
        assert set(disabled(connection)) <= {"b"}
    assert state(chained, quoted)[0] in {"quoted", "pending"}
    is_unanswered = lie == "error"  # the first question of its checks is answered by an error: nothing is known of it
    assert ("endpoint_disabled", "b") in chained.incidents() or is_unanswered
    chained.views["b"].lies = set()
    chained.step(6 * MINUTE_MS)
    assert state(chained, quoted) == ("granted", None)
    assert chained.incidents() == []


def test_of_three_endpoints_one_may_be_wrong(clash) -> None:  # type: ignore[no-untyped-def]
    chained = Chained(clash, names=("a", "b", "c"))
    user = chained.till.person(1)
    purchase = chained.quote(Wanted(user, "audition", chained.till.clone("One", user)))
    chained.views["a"].lies = {"chain id"}
    chained.pay(purchase)
    assert chained.settle_in().problem is None
    assert state(chained, purchase) == ("granted", None)
    assert chained.incidents() == [("endpoint_disabled", "a")]


def test_a_deposit_is_looked_at_again_after_an_hour_and_a_day(chained: Chained, quoted: Purchase) -> None:
    chained.pay(quoted)
    chained.settle_in()
    for later in (HOUR_MS, DAY_MS):
        chained.step(later)
    with chained.clash.read() as connection:
        looks = [tuple(row) for row in connection.execute("SELECT look, outcome FROM chain_looks ORDER BY look DESC")]
    assert looks == [("hour", "there"), ("day", "there")]


def test_a_pool_is_watched_once_the_final_blocks_are_past_its_close(chained: Chained) -> None:
    creators = [chained.till.person(number) for number in range(1, 5)]
    field = chained.till.race(creators)
    ticket = chained.quote(Wanted(creators[0], "ticket", field[1], race_id=7, count=2))
    chained.pay(ticket)
    chained.settle_in()
    assert state(chained, ticket) == ("granted", None)
    with chained.clash.read() as connection:
        assert not pools.is_watched(connection, 7, now_ms=chained.clock.now_ms())
    chained.chain.mine(HOUR_MS // 2_000 + 5)
    chained.step(HOUR_MS)
    with chained.clash.read() as connection:
        assert pools.is_watched(connection, 7, now_ms=chained.clock.now_ms())


def test_small_deposits_may_count_by_depth_where_the_chain_is_set_so(chained: Chained, quoted: Purchase) -> None:
    from dataclasses import replace

    from clash_pipeline.economy.chain.verification import Finality
    from clash_pipeline.economy.chain.watcher import step

    chained.chain.finality_blocks = 10**6
    policy = replace(chained.parts.chain, finality=Finality(depth=2, most_wei=quoted.amount_wei))
    parts = replace(chained.parts, chain=policy)
    hint(chained, quoted, chained.pay(quoted))
    chained.chain.mine(2)
    step(parts, chained.clock.now_ms())
    assert state(chained, quoted) == ("pending", "not_final")
    chained.chain.mine(1)
    chained.clock.advance(MINUTE_MS)
    step(parts, chained.clock.now_ms())
    assert state(chained, quoted) == ("granted", None)


def test_a_restart_reads_on_from_where_it_was(chained: Chained, quoted: Purchase) -> None:
    chained.settle_in()
    chained.pay(quoted)
    asked = chained.views["a"].asked.copy()
    assert chained.settle_in().recorded == 1
    assert chained.views["a"].asked["eth_getLogs"] - asked["eth_getLogs"] == 3, "deposits, withdrawals, a glimpse ahead"
