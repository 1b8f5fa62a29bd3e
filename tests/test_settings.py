"""Settings: one line for each problem, naming key and limit; secrets never shown."""

import pytest

from clash_pipeline.settings import Settings, SettingsError, load, usable_home


def test_defaults_need_nothing():
    assert load({}).start_balance_usd == 100_000


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CLASH_NO_SUCH_THING": "1"}, ["CLASH_NO_SUCH_THING", "no such setting"]),
        ({"CLASH_MAX_LEVERAGE": "99"}, ["CLASH_MAX_LEVERAGE", "50"]),
        ({"CLASH_STORE": "ftp"}, ["CLASH_STORE", "file"]),
        ({"CLASH_EXECUTION_VENUE": "live"}, ["CLASH_EXECUTION_VENUE", "paper"]),
        ({"CLASH_HYPERLIQUID_URL": "not an address"}, ["CLASH_HYPERLIQUID_URL"]),
        ({"CLASH_STORE": "s3", "CLASH_STORE_ACCESS_KEY_ID": "k"}, ["CLASH_STORE_SECRET_ACCESS_KEY", "needed together"]),
        ({"CLASH_HYPERLIQUID_WS_URL": "foo"}, ["CLASH_HYPERLIQUID_WS_URL", "ws://", "'foo'"]),
        ({"CLASH_HYPERLIQUID_WS_URL": "https://venue/ws"}, ["CLASH_HYPERLIQUID_WS_URL", "wss://"]),
        ({"CLASH_HYPERLIQUID_WS_URL": "ws://"}, ["CLASH_HYPERLIQUID_WS_URL", "HOST"]),
        ({"CLASH_HOME": "~no-such-user-here/x"}, ["CLASH_HOME", "without a home folder"]),
    ],
)
def test_a_wrong_environment_is_refused_by_name_and_limit(environment, words):
    with pytest.raises(SettingsError) as refused:
        load(environment)
    for word in words:
        assert word in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_a_websocket_address_stays_the_text_that_was_given():
    assert load({"CLASH_HYPERLIQUID_WS_URL": "ws://127.0.0.1:9/ws"}).hyperliquid_ws_url == "ws://127.0.0.1:9/ws"


def test_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    for home, reason in ((tmp_path / "file", "not a folder"), (tmp_path / "file" / "below", "Not a directory")):
        with pytest.raises(SettingsError, match=f"CLASH_HOME {home}: .*{reason}"), usable_home(Settings(home=home)):
            pass


def test_every_problem_is_named_at_once():
    with pytest.raises(SettingsError) as refused:
        load({"CLASH_MAX_LEVERAGE": "0", "CLASH_DAGSTER_PORT": "0", "CLASH_TYPO": "x"})
    assert len(str(refused.value).splitlines()) == 3


def test_secrets_are_hidden_where_settings_are_shown():
    made = load({"CLASH_STORE_ACCESS_KEY_ID": "AKIDSECRET", "CLASH_STORE_SECRET_ACCESS_KEY": "canary-7f3a"})
    assert "canary-7f3a" not in repr(made)
    assert "canary-7f3a" not in str(made.model_dump(mode="json"))


def test_every_setting_says_what_it_means():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
