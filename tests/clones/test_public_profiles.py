"""Public profiles: what is shown, when a name is taken, and what a name stays free of."""

import pytest

from clash_pipeline.clones import acts, clones, moderation, public_profiles
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.images import StoredImage
from clash_pipeline.clones.public_profiles import Badges, Profile
from clash_pipeline.clones.refusals import CloneUnknown, NameTaken, ProfileInvalid
from clash_pipeline.market.listing import Listed
from clash_pipeline.storage.sqlite import Database, IntegrityError, one

IMAGE = StoredImage("profiles/image/a.zst", "a" * 64, "image/png")


@pytest.fixture
def two(clash: Database) -> Database:
    """Clones 1 (Ada) and 2 (Bob), without profiles."""
    for name in ("Ada", "Bob"):
        clones.create(clash, name, engine="rules", now_ms=1)
    return clash


def submit(clash: Database, clone_id: int, name: str, *, now_ms: int = 5, **more: object) -> Profile:
    with clash.write() as connection:
        return public_profiles.submit(connection, clone_id, name, actor="ada", now_ms=now_ms, **more)  # type: ignore[arg-type]


def approve(clash: Database, profile: Profile, *, now_ms: int = 6) -> None:
    with clash.write() as connection:
        moderation.approve(connection, profile.id, actor="root", now_ms=now_ms)


def states(clash: Database, clone_id: int) -> list[tuple[str, str]]:
    with clash.read() as connection:
        return [(item.name, item.state) for item in public_profiles.history(connection, clone_id)]


def test_a_submitted_profile_is_not_public_yet(two: Database) -> None:
    made = submit(two, 1, "  Tide  Runner ", description="Follows\nthe tide.", image=IMAGE)
    assert (made.name, made.description, made.image, made.state) == (
        "Tide Runner", "Follows the tide.", IMAGE, "submitted",
    )  # fmt: skip
    with two.read() as connection, pytest.raises(CloneUnknown, match="no public profile"):
        public_profiles.public(connection, 1)


def test_an_edit_waits_while_the_approved_profile_is_shown(two: Database) -> None:
    approve(two, submit(two, 1, "Tide"))
    edit = submit(two, 1, "Ebb", now_ms=7)
    with two.read() as connection:
        assert public_profiles.public(connection, 1).profile.name == "Tide"
    approve(two, edit, now_ms=8)
    assert states(two, 1) == [("Ebb", "approved"), ("Tide", "replaced")]


def test_a_newer_submission_replaces_the_one_that_waits(two: Database) -> None:
    submit(two, 1, "Tide")
    submit(two, 1, "Ebb", now_ms=7)
    assert states(two, 1) == [("Ebb", "submitted"), ("Tide", "replaced")]
    assert submit(two, 2, "Tide").state == "submitted"


def test_the_same_content_again_is_the_same_submission(two: Database) -> None:
    first = submit(two, 1, "Tide", image=IMAGE)
    assert submit(two, 1, "Tide", image=IMAGE, now_ms=9) == first
    approve(two, first)
    assert submit(two, 1, "Tide", image=IMAGE, now_ms=9).state == "approved"
    assert submit(two, 1, "Tide", now_ms=9).id != first.id


def test_going_back_to_what_is_shown_withdraws_nothing_by_itself(two: Database) -> None:
    approve(two, submit(two, 1, "Tide"))
    submit(two, 1, "Ebb")
    back = submit(two, 1, "Tide", now_ms=9)
    assert states(two, 1) == [("Tide", "submitted"), ("Ebb", "replaced"), ("Tide", "approved")]
    approve(two, back)
    assert states(two, 1)[0] == ("Tide", "approved")


@pytest.mark.parametrize("lookalike", ["Tide", "TIDE", "Тidе", "Ｔｉｄｅ", "Ti\u200bde", "Tlde"])
@pytest.mark.parametrize("is_approved", [False, True])
def test_nobody_else_gets_a_name_that_is_taken(two: Database, lookalike: str, is_approved: bool) -> None:
    made = submit(two, 1, "Tide")
    if is_approved:
        approve(two, made)
    with pytest.raises(NameTaken, match="could be mistaken for another clone's"):
        submit(two, 2, lookalike)
    assert states(two, 2) == []


def test_both_names_of_a_clone_are_taken_while_an_edit_waits(two: Database) -> None:
    approve(two, submit(two, 1, "Tide"))
    edit = submit(two, 1, "Ebb")
    for name in ("tide", "ebb"):
        with pytest.raises(NameTaken):
            submit(two, 2, name)
    approve(two, edit)
    assert submit(two, 2, "Tide").state == "submitted"


def test_a_clone_may_vary_its_own_name(two: Database) -> None:
    approve(two, submit(two, 1, "Tide"))
    assert submit(two, 1, "TIDE").state == "submitted"


def test_a_rejected_name_is_free(two: Database) -> None:
    made = submit(two, 1, "Tide")
    with two.write() as connection:
        moderation.reject(connection, made.id, actor="root", reason="a brand", now_ms=6)
    assert submit(two, 2, "Tide").state == "submitted"


@pytest.mark.parametrize(
    ("name", "description", "said"),
    [("x" * 33, "", "at most 32 characters"), ("\u200b", "", "letter or a digit"), ("Ok", "x" * 281, "at most 280")],
)
def test_texts_are_bounded_and_nothing_is_left_of_a_refusal(
    two: Database, name: str, description: str, said: str
) -> None:
    with pytest.raises(ProfileInvalid, match=said):
        submit(two, 1, name, description=description)
    assert states(two, 1) == []


def test_a_profile_of_no_clone(two: Database) -> None:
    with pytest.raises(CloneUnknown, match="no clone 9"):
        submit(two, 9, "Tide")


def test_badges_say_what_is_traded_and_read_but_never_how(clash: Database, listing: dict[str, Listed]) -> None:
    clone_id = clones.create(clash, "Secret name", engine="rules", now_ms=1)
    graph = simple_graph(("BTC", "ETH"), prompt="Secret prompt")
    clones.save_draft(clash, clone_id, graph.wire(), listing, now_ms=2)
    with clash.read() as connection:
        assert public_profiles.badges(connection, clone_id) == Badges("rules", None, (), ())
    clones.publish(clash, clone_id, listing, now_ms=3)
    clones.set_engine(clash, clone_id, "model", now_ms=4)
    approve(clash, submit(clash, clone_id, "Tide"))
    with clash.read() as connection:
        view = public_profiles.public(connection, clone_id)
    assert view.badges == Badges("model", 1, ("BTC", "ETH"), ("defillama", "hyperliquid", "polymarket"))
    assert "Secret" not in repr(view)


def test_every_move_is_audited(two: Database) -> None:
    approve(two, submit(two, 1, "Tide"))
    approve(two, submit(two, 1, "Ebb", now_ms=7), now_ms=8)
    with two.read() as connection:
        found = [(item.act, item.profile_id, item.actor, item.at) for item in acts.of_clone(connection, 1)]
    assert found == [
        ("submitted", 1, "ada", 5), ("approved", 1, "root", 6), ("submitted", 2, "ada", 7), ("replaced", 1, "root", 8),
        ("approved", 2, "root", 8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clone_profiles SET name = 'x'",
        "UPDATE clone_profiles SET state = 'submitted', decided_at = NULL, decided_by = NULL, reason = NULL",
        "DELETE FROM clone_profiles",
        "DELETE FROM clone_moderation_acts",
        "UPDATE clone_moderation_acts SET actor = 'nobody'",
    ],
)
def test_the_database_itself_keeps_profiles_and_their_audit(two: Database, statement: str) -> None:
    approve(two, submit(two, 1, "Tide"))
    with pytest.raises(IntegrityError), two.write() as connection:
        connection.execute(statement)


def test_control_a_name_row_that_is_gone_lets_a_lookalike_in(two: Database) -> None:
    submit(two, 1, "Tide")
    with two.write() as connection:
        connection.execute("DELETE FROM clone_taken_names")
    assert submit(two, 2, "Tidе").state == "submitted"
    with two.read() as connection:
        assert one(connection, "SELECT count(*) FROM clone_profiles WHERE state = 'submitted'") == 2
