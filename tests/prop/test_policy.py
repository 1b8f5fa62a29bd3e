"""The terms of each kind of account: figures of 04 and 11 from the settings, stored with a hash, readable for ever."""

import msgspec
import pytest

from clash_pipeline import canonical
from clash_pipeline.prop import policy
from clash_pipeline.prop.policy import Policy
from clash_pipeline.settings import Settings, SettingsError, load
from clash_pipeline.units import RATE, USD

OLD = (
    '{"candle_max_age_ms":75000,"closes_max_age_ms":600000,"has_funding":true,"mark_max_age_ms":90000,'
    '"max_drawdown":10000000,"max_gross_pct":300,"max_leverage":5,"max_open_positions":10,"max_orders_per_hour":60,'
    '"max_position_pct":100,"mid_max_age_ms":15000,"min_order":1000000000,"rule_set":1,"slippage_cap":1000000,'
    '"symbols":null}'
)
"""A policy as rule set 1 stored it."""


def said(terms: Policy, **figures: object) -> dict[str, object]:
    """What a policy says under the names that are asked for."""
    return {name: getattr(terms, name) for name in figures}


def test_the_figures_of_a_sandbox(settings: Settings) -> None:
    figures: dict[str, object] = {
        "max_leverage": 5, "max_position_pct": 100, "max_gross_pct": 300, "max_open_positions": 10,
        "min_order": 10 * USD, "max_orders_per_hour": 60, "max_volume_share": RATE // 200, "max_slippage": None,
        "mid_max_age_ms": 15_000, "candle_max_age_ms": 75_000, "mark_max_age_ms": 90_000, "risk_budget": None,
        "fill_delay_ms": 0, "last_order_before_end_ms": 0, "max_drawdown": RATE // 10, "drawdown_basis": "trailing",
        "allows_spot": True, "funding_credit_window_ms": 0,
    }  # fmt: skip
    assert said(policy.sandbox(settings), **figures) == figures


def test_the_figures_of_a_race(settings: Settings) -> None:
    figures: dict[str, object] = {
        "symbols": ("BTC", "ETH"), "max_leverage": 5, "max_position_pct": 300, "max_gross_pct": 300,
        "max_orders_per_hour": 30, "max_slippage": RATE // 100, "max_volume_share": RATE // 200,
        "risk_budget": 3 * RATE // 100, "volatility_floor": RATE // 100, "fill_delay_ms": 60_000,
        "last_order_before_end_ms": 600_000, "fixing_ms": 240_000, "oracle_after_ms": 600_000,
        "funding_credit_window_ms": 600_000, "min_cadence_sec": 300, "max_drawdown": RATE // 10,
        "drawdown_basis": "static", "allows_spot": False,
    }  # fmt: skip
    assert said(policy.race(settings, ("ETH", "BTC", "BTC")), **figures) == figures


def test_the_figures_of_an_audition(settings: Settings) -> None:
    terms, race = policy.audition(settings), policy.race(settings)
    assert (terms.max_drawdown, terms.drawdown_basis, terms.allows_spot) == (4 * RATE // 100, "trailing", True)
    same = {"max_drawdown": 0, "drawdown_basis": "static", "allows_spot": False, "min_cadence_sec": 0}
    assert msgspec.structs.replace(terms, **same) == msgspec.structs.replace(race, **same)


def test_a_policy_of_an_earlier_rule_set_still_says_the_same() -> None:
    terms = policy.decode(OLD)
    assert (terms.rule_set, terms.slippage_cap, terms.max_slippage, terms.max_volume_share) == (
        1,
        1_000_000,
        None,
        None,
    )
    assert (terms.risk_budget, terms.fill_delay_ms, terms.drawdown_basis) == (None, 0, "trailing")
    assert terms.equity_floor(100_000 * USD, 120_000 * USD) == 108_000 * USD


def test_a_policy_survives_its_own_text(settings: Settings) -> None:
    for terms in (policy.sandbox(settings), policy.audition(settings), policy.race(settings, ("BTC",))):
        assert policy.decode(canonical.text(terms)) == terms
        assert canonical.sha256(canonical.text(terms).encode()) == terms.digest


def test_floors_are_rounded_up_and_static_ones_do_not_follow_the_peak(settings: Settings) -> None:
    race, audition = policy.race(settings), policy.audition(settings)
    assert race.equity_floor(100, 10**9) == 90
    assert race.equity_floor(101, 101) == 91  # 90.9
    assert audition.equity_floor(100, 1_000) == 960


def test_the_fill_minute_is_the_one_that_closes_at_the_common_instant(settings: Settings) -> None:
    assert policy.race(settings).fill_minute(600_000) == 600_000
    assert policy.sandbox(settings).fill_minute(600_000) is None
    slower = msgspec.structs.replace(policy.race(settings), fill_delay_ms=120_000)
    assert slower.fill_minute(600_000) == 660_000


def test_ages_by_symbol_come_from_one_setting(settings: Settings) -> None:
    asked = load({"CLASH_HOME": str(settings.home), "CLASH_PRICE_MAX_AGE_BY_SYMBOL": "kPEPE=5, PURR/USDC=10"})
    assert policy.sandbox(asked).symbol_max_age_ms == (("PURR/USDC", 10_000), ("kPEPE", 5_000))


@pytest.mark.parametrize(
    "text", ["BTC", "BTC=", "=5", "BTC=0", "BTC=1.5", "BTC=-1", "BTC=1234567", "BTC=1,BTC=2", "BTC=٣"]
)
def test_ages_that_are_none_refuse_to_start(settings: Settings, text: str) -> None:
    with pytest.raises(SettingsError, match="CLASH_PRICE_MAX_AGE_BY_SYMBOL: "):
        load({"CLASH_HOME": str(settings.home), "CLASH_PRICE_MAX_AGE_BY_SYMBOL": text})
