"""The use-cases at the clone desk, and kill -9 at every fault point of the clone service: before or after."""

import signal
from collections.abc import Iterator

import pytest

from clash_pipeline import clone_desk
from clash_pipeline.clock import SettableClock
from clash_pipeline.clone_desk import RegistryEmpty
from clash_pipeline.clones import clones, drafts, moderation, public_profiles, reports, versions
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.refusals import CloneUnknown, ImageInvalid, NameTaken
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.faults import InjectedFault, arm
from clash_pipeline.prop import accounts
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database, one
from tests.fakes import market_rows
from tests.fakes.clone_desk_child import IN_A_TRANSACTION, Worker, worker
from tests.fakes.pictures import encoded, picture


@pytest.fixture
def desk(settings: Settings, clock: SettableClock) -> Iterator[Services]:
    """Services with BTC and ETH listed."""
    built = Services(settings, clock)
    for symbol in ("BTC", "ETH"):
        market_rows.list_asset(built.market, symbol, sz_decimals=3, max_leverage=20)
    yield built
    built.close()


def test_create_ends_with_a_clone_that_trades(desk: Services) -> None:
    made = clone_desk.create(desk, "Ada", simple_graph(("BTC", "ETH")).wire(), engine="rules", owner="ada")
    with desk.clash.read() as connection:
        clone = clones.get(connection, made.clone_id)
        account = accounts.get(connection, made.account_id)
    assert (clone.owner, clone.engine, clone.version, clone.is_trading) == ("ada", "rules", 1, True)
    assert (account.kind, account.state, account.clone_id) == ("sandbox", "active", made.clone_id)
    assert made.symbols == ("BTC", "ETH")
    assert clone_desk.open_sandbox(desk, made.clone_id) == made.account_id


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("Ada", simple_graph(("NOPE",)).wire(), GraphInvalid),
        ("Ada", simple_graph(()).wire(), GraphInvalid),
        ("Ada", {"version": 1, "nodes": [], "edges": []}, GraphInvalid),
        ("Ada", [], GraphInvalid),
        ("", simple_graph(("BTC",)).wire(), clones.CloneError),
        ("Bob", simple_graph(("BTC",)).wire(), NameTaken),
    ],
)
def test_a_refused_clone_leaves_nothing(desk: Services, name: str, content: object, refusal: type[Exception]) -> None:
    clone_desk.create(desk, "Bob", simple_graph(("BTC",)).wire())
    before = everything(desk.clash)
    with pytest.raises(refusal):
        clone_desk.create(desk, name, content)
    assert everything(desk.clash) == before


def test_nothing_can_be_checked_against_an_empty_registry(settings: Settings, clock: SettableClock) -> None:
    built = Services(settings, clock)
    with pytest.raises(RegistryEmpty, match="the registry is empty"):
        clone_desk.create(built, "Ada", simple_graph(("BTC",)).wire())
    built.close()


def test_a_draft_goes_through_the_desk_to_a_version(desk: Services) -> None:
    clone_id = clones.create(desk.clash, "Ada", engine="hold", now_ms=1)
    clone_desk.save_draft(desk, clone_id, simple_graph(("BTC",)).wire())
    assert clone_desk.publish(desk, clone_id, actor="ada").number == 1
    with desk.clash.read() as connection:
        assert versions.of_clone(connection, clone_id)[0].published_by == "ada"
    with pytest.raises(CloneUnknown):
        clone_desk.open_sandbox(desk, 9)


def test_a_profile_goes_through_the_desk_with_its_image(desk: Services) -> None:
    clone_id = clones.create(desk.clash, "Ada", engine="hold", now_ms=1)
    image = clone_desk.upload_image(desk, encoded(picture(), "PNG"))
    made = clone_desk.submit_profile(desk, clone_id, "Tide", description="d", image=image, actor="ada")
    assert (made.image, made.submitted_by, made.submitted_at) == (image, "ada", desk.clock.now_ms())
    with pytest.raises(ImageInvalid):
        clone_desk.upload_image(desk, b"GIF89a")


# kills


@pytest.fixture(scope="module")
def child() -> Iterator[Worker]:
    """The process that forks the ones to be killed."""
    with worker() as running:
        yield running


@pytest.fixture
def stage(desk: Services) -> Services:
    """Clone 1 is published with a newer draft, shows Tide and waits with Ebb-and-flow; Tide has report 1."""
    clone_desk.create(desk, "Ada", simple_graph(("BTC",)).wire())
    clone_desk.save_draft(desk, 1, simple_graph(("ETH",)).wire())
    with desk.clash.write() as connection:
        public_profiles.submit(connection, 1, "Tide", actor="ada", now_ms=1)
        moderation.approve(connection, 1, actor="root", now_ms=2)
        reports.report(connection, 1, category="offensive", text="", reporter="m", now_ms=3)
        public_profiles.submit(connection, 1, "Ebb and flow", actor="ada", now_ms=4)
    return desk


PLACES = [
    ("create", clone_desk.AFTER_DRAFT),
    ("create", clone_desk.AFTER_VERSION),
    ("create", clone_desk.AFTER_ACCOUNT),
    ("publish", versions.PUBLISH_AFTER_RETIRED),
    ("publish", versions.PUBLISH_AFTER_INSERTED),
    ("submit", public_profiles.AFTER_MOVED),
    ("submit", public_profiles.AFTER_INSERTED),
    ("approve", public_profiles.AFTER_MOVED),
    ("approve", moderation.APPROVE_AFTER_REPLACED),
    ("approve", f"{public_profiles.AFTER_MOVED}@2"),
    ("uphold", reports.AFTER_DECIDED),
    ("uphold", public_profiles.AFTER_MOVED),
    ("retire", moderation.RETIRE_AFTER_WRITTEN),
    ("reinstate", moderation.REINSTATE_AFTER_ENDED),
]
WHOLE = ["create", "publish", *IN_A_TRANSACTION]


@pytest.mark.parametrize(("work", "place"), [*PLACES, *((work, "storage.before_commit") for work in WHOLE)])
def test_a_kill_inside_leaves_all_as_it_was(stage: Services, child: Worker, work: str, place: str) -> None:
    _prepare(stage, work)
    before = everything(stage.clash)
    assert child.run(stage.settings.home, work, f"{place}:kill") == -signal.SIGKILL
    assert everything(stage.clash) == before
    assert child.run(stage.settings.home, work) == 0
    assert everything(stage.clash) != before


@pytest.mark.parametrize("work", WHOLE)
def test_a_kill_after_the_commit_leaves_all_of_it_and_a_repeat_adds_nothing(
    stage: Services, child: Worker, work: str
) -> None:
    _prepare(stage, work)
    assert child.run(stage.settings.home, work, "storage.after_commit:kill") == -signal.SIGKILL
    after = everything(stage.clash)
    child.run(stage.settings.home, work)  # a clone's name is taken by then, all else answers itself
    assert everything(stage.clash) == after


def test_control_without_a_transaction_a_fault_leaves_a_clone_without_an_account(desk: Services) -> None:
    clone_id = clones.create(desk.clash, "Ada", engine="hold", now_ms=1)
    clone_desk.save_draft(desk, clone_id, simple_graph(("BTC",)).wire())
    arm(f"{versions.PUBLISH_AFTER_INSERTED}:raise")
    try:
        with pytest.raises(InjectedFault):
            clone_desk.publish(desk, clone_id)
    finally:
        arm("")
    with desk.clash.read() as connection:
        assert drafts.of(connection, clone_id) is not None
        assert one(connection, "SELECT count(*) FROM prop_accounts") == 0


def _prepare(stage: Services, work: str) -> None:
    if work == "reinstate":
        with stage.clash.write() as connection:
            moderation.retire(connection, 1, actor="root", reason="enough", now_ms=5)


def everything(clash: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, by table."""
    with clash.read() as connection:
        tables = [
            row["name"]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        ]
        return {name: [tuple(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in tables}
