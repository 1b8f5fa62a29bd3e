"""`clash profiles`: from a submission through moderation to what everybody sees, and back."""

import json
from pathlib import Path

import pytest
from PIL import Image

from clash_pipeline.storage.sqlite import one
from tests.cli.trading import Run, run, world
from tests.fakes.pictures import encoded, picture
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def two(run: Run) -> Run:
    """Clones 1 and 2."""
    for name in ("Ada", "Bob"):
        run("clones", "create", name)
    return run


def test_the_whole_way_of_a_profile(two: Run, tmp_path: Path) -> None:
    upload, shown = tmp_path / "face.png", tmp_path / "shown.png"
    upload.write_bytes(encoded(picture(), "PNG"))
    made = two("profiles", "submit", "1", "--name", "Tide", "--description", "Follows it.", "--image", str(upload))
    assert made.stdout == "profile 1 of clone 1 (Tide) is submitted\n"
    assert [item["name"] for item in json.loads(two("profiles", "queue", "--json").stdout)] == ["Tide"]
    assert two("profiles", "approve", "1", "--as", "root").stdout == "profile 1 of clone 1 (Tide) is approved\n"
    view = json.loads(two("profiles", "show", "1", "--json").stdout)
    assert (view["shown"]["name"], view["badges"]["assets"], view["is_retired"]) == ("Tide", ["BTC"], False)
    assert [(act["act"], act["actor"]) for act in view["acts"]] == [("submitted", "operator"), ("approved", "root")]
    assert "image/png" in two("profiles", "image", "1", str(shown)).stdout
    with Image.open(shown) as written:
        assert written.size == (512, 512)


def test_what_is_left_out_stays_as_it_was(two: Run, tmp_path: Path) -> None:
    upload = tmp_path / "face.jpg"
    upload.write_bytes(encoded(picture(), "JPEG"))
    first = two("profiles", "submit", "1", "--name", "Tide", "--image", str(upload), "--json")
    edited = json.loads(two("profiles", "submit", "1", "--description", "New words.", "--json").stdout)
    assert (edited["name"], edited["description"]) == ("Tide", "New words.")
    assert edited["image"] == json.loads(first.stdout)["image"]


def test_reports_wait_for_a_decision(two: Run) -> None:
    two("profiles", "submit", "1", "--name", "Tide")
    two("profiles", "approve", "1")
    for reporter in ("m", "o"):
        two("profiles", "report", "1", "--category", "offensive", "--reporter", reporter, "--text", "bad")
    assert len(json.loads(two("profiles", "reports", "--json").stdout)) == 2
    assert two("profiles", "dismiss", "1", "--reason", "fine").stdout == "report 1 on clone 1 is dismissed\n"
    assert two("profiles", "uphold", "2", "--reason", "it is").stdout == "report 2 on clone 1 is upheld\n"
    assert "no approved profile" in two("profiles", "show", "1").stdout
    assert "Open reports" in two("profiles", "reports").stdout


def test_retired_and_reinstated(two: Run) -> None:
    two("profiles", "submit", "1", "--name", "Tide")
    assert two("profiles", "retire", "1", "--reason", "strikes").stdout == "clone 1 is retired\n"
    assert two("profiles", "retire", "1", "--reason", "strikes").stdout == "clone 1 was already retired\n"
    assert "retired" in two("clones", "show", "1").stdout
    assert two("profiles", "submit", "2", "--name", "Tide").exit_code == 0
    assert "is taken" in two("profiles", "reinstate", "1").stderr
    two("profiles", "reject", "2", "--reason", "copies Tide")
    assert two("profiles", "reinstate", "1").stdout == "clone 1 is reinstated\n"
    assert two("profiles", "reinstate", "1").stdout == "clone 1 is not retired\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit", "1"), "a first profile needs a --name"),
        (("submit", "9", "--name", "Tide"), "there is no clone 9"),
        (("submit", "1", "--name", "x" * 33), "at most 32 characters"),
        (("submit", "1", "--name", "\u200b"), "needs a letter or a digit"),
        (("submit", "1", "--name", "Tide", "--description", "x" * 281), "at most 280 characters"),
        (("submit", "1", "--name", "Tide", "--image", "/nowhere.png"), "No such file"),
        (("submit", "1", "--name", "Tide", "--image", __file__), "PNG or JPEG file"),
        (("show", "9"), "there is no clone 9"),
        (("image", "1", "/tmp/none.png"), "has no public profile"),
        (("approve", "9"), "there is no profile 9"),
        (("reject", "9", "--reason", "x"), "there is no profile 9"),
        (("report", "1", "--category", "other", "--reporter", "m", "--text", "x"), "has no public profile"),
        (("uphold", "9", "--reason", "x"), "there is no report 9"),
        (("dismiss", "9", "--reason", "x"), "there is no report 9"),
        (("retire", "9", "--reason", "x"), "there is no clone 9"),
        (("retire", "1", "--reason", " "), "needs a reason"),
        (("reinstate", "9"), "there is no clone 9"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(two: Run, world: World, words: tuple[str, ...], said: str) -> None:
    done = two("profiles", *words)
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert said in done.stderr
    with world.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM clone_moderation_acts") == 0
