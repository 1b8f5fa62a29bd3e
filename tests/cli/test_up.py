"""`clash up`: what it keeps running."""

from importlib.metadata import version

from clash_pipeline.cli.up import children
from clash_pipeline.replay.chain_server import environment
from clash_pipeline.settings import load

ALWAYS = ["ingester", "api", "code-server", "daemon", "webserver"]


def names(variables, home):
    """The children by name, where Dagster's home was set up before: that takes a while."""
    settings = load({"CLASH_HOME": str(home), **variables})
    settings.dagster_home.mkdir()
    (settings.dagster_home / ".initialised").write_text(version("dagster"))
    return [child.name for child in children(settings)]


def test_everything_of_production_is_kept_running(tmp_path):
    assert names({}, tmp_path) == ALWAYS


def test_a_chain_that_is_set_is_watched(tmp_path):
    assert names(environment("http://127.0.0.1:9"), tmp_path) == [*ALWAYS[:2], "economy", *ALWAYS[2:]]
