"""Tiers and capabilities: which model, how it is asked, what it costs."""

from typing import get_args

import pytest

from clash_pipeline.decisions.answer import schema
from clash_pipeline.decisions.engines.capabilities import CAPABILITIES, capability_of
from clash_pipeline.decisions.engines.completion import request_body
from clash_pipeline.decisions.engines.tiers import refusal, tiers
from clash_pipeline.decisions.prompt import SCHEMA, SYSTEM, Prompt
from clash_pipeline.settings import Capability, SettingsError, load

PROMPT = Prompt(SCHEMA, "0" * 64, SYSTEM, "identity: {}\n", 700)


def environment(model: str = "clash-replay", **more: str) -> dict[str, str]:
    return {"CLASH_MODEL_KEY": "k", "CLASH_MODEL_1": model, "CLASH_MODEL_1_PRICES": "0.15,0.60", **more}


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("gpt-4o-mini", "schema"), ("openai/gpt-4.1", "schema"), ("gpt-5-mini", "reasoning"), ("o3-mini", "reasoning"),
        ("gpt-4-turbo", "object"), ("deepseek-chat", "object"), ("gemini-2.5-flash", "schema_old"),
        ("some-new-thing", "plain"), ("anthropic/claude-x", "plain"),
    ],
)  # fmt: skip
def test_a_model_is_asked_as_its_row_says(model: str, row: str) -> None:
    assert capability_of(model).name == row
    assert capability_of(model, "plain").name == "plain"


def test_the_settings_know_the_rows_of_the_table() -> None:
    assert set(get_args(Capability)) == {"auto", *CAPABILITIES}
    with pytest.raises(KeyError, match="no row of the capability table"):
        capability_of("x", "free")


@pytest.mark.parametrize("row", CAPABILITIES)
def test_a_request_asks_for_structure_as_far_as_the_model_takes_it(row: str) -> None:
    (tier,) = tiers(load(environment(CLASH_MODEL_1_TAKES=row))).values()
    body = request_body(tier, PROMPT)
    capability = CAPABILITIES[row]
    limits = {"max_tokens", "max_completion_tokens"}
    assert limits & body.keys() == {capability.limit_name}
    assert body[capability.limit_name] == 2_000
    assert ("temperature" in body) == capability.has_temperature
    form = body.get("response_format", {"type": "none"})
    assert form["type"] == capability.structured
    is_told = "JSON Schema" in body["messages"][0]["content"]
    assert is_told == (capability.structured != "json_schema")
    if capability.structured == "json_schema":
        assert form["json_schema"]["schema"] == schema()


def test_a_cost_is_exact_and_rounded_up() -> None:
    (tier,) = tiers(load(environment())).values()
    assert tier.cost(1_000_000, 0) == 15_000_000
    assert tier.cost(0, 1_000_000) == 60_000_000
    assert tier.cost(1, 0) == 15
    (odd,) = tiers(load(environment(CLASH_MODEL_1_PRICES="0.00000001,0"))).values()
    assert (odd.cost(1, 0), odd.cost(0, 10**6)) == (1, 0)


def test_the_endpoint_of_a_circuit_never_shows_a_password() -> None:
    (tier,) = tiers(load(environment(CLASH_MODEL_URL="https://me:canary@models.example/v1"))).values()
    assert tier.circuit == "models.example/clash-replay"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"CLASH_MODEL_1_PRICES": ""}, ["CLASH_MODEL_1_PRICES", "needed"]),
        ({"CLASH_MODEL_1_PRICES": "free,free"}, ["CLASH_MODEL_1_PRICES", "0.15,0.60"]),
        ({"CLASH_MODEL_1_PRICES": "-1,2"}, ["CLASH_MODEL_1_PRICES"]),
        ({"CLASH_MODEL_1_TAKES": "everything"}, ["CLASH_MODEL_1_TAKES", "plain"]),
        ({"CLASH_MODEL_RESERVATION_SEC": "45"}, ["CLASH_MODEL_RESERVATION_SEC", "longer"]),
        ({"CLASH_ENGINE": "model", "CLASH_MODEL_KEY": ""}, ["CLASH_ENGINE=model", "CLASH_MODEL_KEY"]),
        ({"CLASH_MODEL_SYSTEM_USD_DAY": "NaN"}, ["CLASH_MODEL_SYSTEM_USD_DAY"]),
    ],
)
def test_models_that_cannot_be_are_refused_at_the_start(changed: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        load({**environment(), **changed})
    for word in words:
        assert word in str(refused.value)


def test_a_tier_without_key_or_model_says_which() -> None:
    assert refusal(load({}), 1) == "key_missing"
    assert refusal(load(environment()), 2) == "model_unset"
    assert refusal(load(environment()), 1) is None
