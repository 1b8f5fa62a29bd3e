"""The self-check: every guard passes on a good home and fails for its reason; a hard one refuses the start (G2)."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from clash_pipeline.alerts import guards
from clash_pipeline.alerts.guards import Guard
from clash_pipeline.archive.stores import StoreUnavailable
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.replay.chain import Chain
from clash_pipeline.replay.chain_server import environment, hosted_chain, views_of
from clash_pipeline.replay.chain_vault import ModelVault
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import StorageRefused
from tests.fakes.world import World


def seen(world: Any, name: str) -> Guard:
    (guard,) = [guard for guard in guards.check(world) if guard.name == name]
    return guard


def with_settings(world: World, **changed: object) -> World:
    return replace(world, settings=world.settings.model_copy(update=changed))


def with_chain(world: World, url: str) -> World:
    read = Settings.model_validate({k.removeprefix("CLASH_").lower(): v for k, v in environment(url).items()})
    return with_settings(world, **{name: getattr(read, name) for name in read.model_fields_set})


def of_chain(world: Any) -> list[Guard]:
    return list(guards.chain(world))


def test_a_good_home_passes_every_guard_in_one_line_each(world: World) -> None:
    found = guards.check(world)
    assert [guard.name for guard in found] == [
        "sqlite", "clash.db", "market.db", "disk", "clock", "store", "models", "chain", "alerts",
    ]  # fmt: skip
    assert all(guard.is_ok for guard in found), [guard.line for guard in found]
    assert all("\n" not in guard.line for guard in found)
    assert seen(world, "clash.db").said.endswith("journal wal, synchronous FULL")
    assert seen(world, "market.db").said.endswith("journal wal, synchronous NORMAL")


def test_an_old_library_refuses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def old() -> None:
        raise StorageRefused("SQLite 3.40.1 can lose commits")

    monkeypatch.setattr(guards, "refuse_old_sqlite", old)
    assert seen(world, "sqlite") == Guard("sqlite", False, True, "SQLite 3.40.1 can lose commits")


def test_a_database_that_is_not_there_refuses(world: World) -> None:
    world.clash.close()
    world.clash.path.write_bytes(b"not a database, whatever else it may be" * 100)
    guard = seen(world, "clash.db")
    assert (guard.is_ok, guard.is_hard) == (False, True)
    assert str(world.clash.path) in guard.said


def test_a_home_that_is_not_there_refuses_in_lines(world: World) -> None:
    absent = with_settings(world, home=world.settings.home / "absent")
    assert seen(absent, "disk").said.endswith("absent; run `clash migrate`")


def test_little_room_is_a_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "free_bytes", lambda folder: 255 * 2**20)
    assert seen(world, "disk").line.startswith("warn disk       255 MiB free")


@pytest.mark.parametrize(("back_ms", "is_ok"), [(0, True), (120_000, True), (120_001, False)])
def test_a_clock_that_was_set_back_refuses(world: World, back_ms: int, is_ok: bool) -> None:
    world.clone("BTC")
    world.clock.advance(-back_ms)
    guard = seen(world, "clock")
    assert (guard.is_ok, guard.is_hard) == (is_ok, True)


def test_a_store_that_is_down_or_lies_is_a_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.store, "get", lambda key: b"something else")
    assert seen(world, "store") == Guard("store", False, False, "memory: altered")

    def down(key: str) -> bytes:
        raise StoreUnavailable("no answer in 5 s")

    monkeypatch.setattr(world.store, "get", down)
    assert seen(world, "store").said == "memory: no answer in 5 s"


def test_models_are_named_with_what_they_may_cost(world: World) -> None:
    assert seen(world, "models").said.startswith("none: key_missing")
    able = with_settings(world, model_key=SecretStr("canary-key"), model_1="small", model_1_prices="1,2")
    assert seen(able, "models").said == "1 small; at most 500 USD a day in all"
    asked = with_settings(world, engine="model")
    assert (seen(asked, "models").is_ok, seen(asked, "models").is_hard) == (False, True)


def test_every_endpoint_of_the_chain_has_a_line(world: World) -> None:
    views = views_of(Chain(ModelVault()))
    with hosted_chain(views) as url:
        watching = with_chain(world, url)
        assert [(guard.is_ok, guard.said.partition(" ")[0]) for guard in of_chain(watching)] == [
            (True, "a:127.0.0.1:"), (True, "b:127.0.0.1:"),
        ]  # fmt: skip
        views["a"].is_down = True
        down, good = of_chain(watching)
        assert (down.is_ok, down.is_hard, good.is_ok) == (False, False, True), "silence only delays"
        views["a"].is_down, views["a"].lies = False, {"wrong id"}
        assert [guard.is_ok or guard.is_hard for guard in of_chain(watching)] == [True, True]
        assert not of_chain(watching)[0].is_ok


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("chain_code_hash", "0x" + "0" * 64, "another code"), ("chain_native", "0x" + "ab" * 20, "another native asset")],
)
def test_a_pin_that_is_not_met_refuses(world: World, name: str, value: str, said: str) -> None:
    with hosted_chain(views_of(Chain(ModelVault()))) as url:
        found = of_chain(with_settings(with_chain(world, url), **{name: value}))
    assert [(guard.is_ok, guard.is_hard, said in guard.said) for guard in found] == [(False, True, True)] * 2


def test_a_channel_that_does_not_exist_refuses_and_is_not_shown(world: World) -> None:
    guard = seen(with_settings(world, alert_urls=SecretStr("nonsense://canary")), "alerts")
    assert (guard.is_ok, guard.is_hard) == (False, True)
    assert "canary" not in guard.said


def test_control_a_check_that_leaves_a_guard_out_lets_a_bad_home_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.clone("BTC")
    world.clock.advance(-HOUR_MS)
    assert not seen(world, "clock").is_ok
    monkeypatch.setattr(guards, "GUARDS", [guard for guard in guards.GUARDS if guard is not guards.clock])
    assert all(guard.is_ok for guard in guards.check(world))
