"""One suite, every store: memory, files and S3 promise the same."""

import errno
import os
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from clash_pipeline import faults
from clash_pipeline.archive.choice import store_from
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.s3_store import S3Store
from clash_pipeline.archive.stores import (
    ArtifactStore,
    Head,
    MemoryStore,
    Put,
    StoreConflict,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    sha256,
)
from clash_pipeline.settings import load
from tests.fakes.object_store import ObjectServer


@pytest.fixture(params=["memory", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """Each store in turn, empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "file":
        return FileStore(tmp_path / "store")
    server: ObjectServer = request.getfixturevalue("s3")
    return server.store(prefix=f"test-{uuid4().hex}")


def test_what_was_put_is_what_is_got(store: ArtifactStore) -> None:
    body = bytes(range(256)) * 100
    assert store.put("a/b/c.bin", body) is Put.CREATED
    assert store.get("a/b/c.bin") == body
    assert store.head("a/b/c.bin") == Head(25_600, sha256(body))


def test_an_empty_object_is_an_object(store: ArtifactStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert store.head("empty") == Head(0, sha256(b""))


def test_the_same_put_twice_is_one_object(store: ArtifactStore) -> None:
    assert store.put("k", b"one") is Put.CREATED
    assert store.put("k", b"one") is Put.ALREADY_THERE


def test_a_conditional_put_never_replaces(store: ArtifactStore) -> None:
    store.put("k", b"one")
    with pytest.raises(StoreConflict, match="k already holds other bytes"):
        store.put("k", b"two")
    assert store.get("k") == b"one"


def test_an_unconditional_put_replaces(store: ArtifactStore) -> None:
    assert store.put("k", b"one", if_absent=False) is Put.CREATED
    assert store.put("k", b"two", if_absent=False) is Put.REPLACED
    assert store.get("k") == b"two"


def test_a_missing_object_is_said_to_be_missing(store: ArtifactStore) -> None:
    assert store.head("nothing/here") is None
    with pytest.raises(StoreMissing, match="nothing/here"):
        store.get("nothing/here")


def test_deleting_twice_is_deleting_once(store: ArtifactStore) -> None:
    store.put("k", b"one")
    store.delete("k")
    store.delete("k")
    assert store.head("k") is None
    assert store.put("k", b"two") is Put.CREATED


def test_keys_are_listed_by_prefix_in_order(store: ArtifactStore) -> None:
    for key in ("b/2", "a/10", "a/9", "a/1/deep", "ab"):
        store.put(key, key.encode())
    assert list(store.list("a/")) == ["a/1/deep", "a/10", "a/9"]
    assert list(store.list("a")) == ["a/1/deep", "a/10", "a/9", "ab"]
    assert list(store.list("")) == ["a/1/deep", "a/10", "a/9", "ab", "b/2"]
    assert list(store.list("none")) == []


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "..", "a/../b", ".hidden", "a/.incoming/b", "a b", "a\\b", "a\n", "é", "x" * 513]
)
def test_keys_that_mean_different_things_in_different_stores_are_refused(store: ArtifactStore, key: str) -> None:
    with pytest.raises(StoreRefused, match="cannot be an object key"):
        store.put(key, b"x")
    with pytest.raises(StoreRefused):
        store.get(key)
    with pytest.raises(StoreRefused):
        store.delete(key)


def test_of_many_writers_of_one_key_one_wins_and_the_others_know(store: ArtifactStore) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            outcomes.append(store.put("contested", b"%d" % (number % 2)))
        except StoreConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["already_there"] * 3 + ["conflict"] * 4 + ["created"]


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7])
def test_listing_goes_on_past_the_first_page(s3: ObjectServer, count: int) -> None:
    store = s3.store(prefix=f"pages-{uuid4().hex}", page_keys=3)
    keys = [f"k{number}" for number in range(count)]
    for key in keys:
        store.put(key, b"")
    assert list(store.list("k")) == keys


def test_a_file_that_was_cut_off_before_its_name_is_not_an_object(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    faults.arm("file_store.before_named:raise")
    try:
        with pytest.raises(faults.InjectedFault):
            store.put("a/b", b"body")
    finally:
        faults.arm("")
    assert store.head("a/b") is None
    assert list(store.list("")) == []
    assert store.put("a/b", b"body") is Put.CREATED


def test_files_of_an_unfinished_put_are_never_listed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    (tmp_path / ".incoming").mkdir()
    (tmp_path / ".incoming" / "left-by-a-crash").write_bytes(b"half")
    assert list(store.list("")) == []


def test_a_listing_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="leads out of the store"):
        FileStore(tmp_path / "store").list("../")


@pytest.mark.parametrize(
    ("number", "family"),
    [(errno.ENOSPC, StoreUnavailable), (errno.EIO, StoreUnavailable), (errno.EACCES, StoreRefused)],
)
def test_a_full_disk_passes_and_a_forbidden_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, family: type[Exception]
) -> None:
    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(family, match=os.strerror(number)):
        FileStore(tmp_path).put("k", b"body")
    monkeypatch.undo()
    assert list(FileStore(tmp_path).list("")) == []


def test_a_key_cannot_lie_below_another_file(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("a", b"1")
    with pytest.raises(StoreRefused):
        store.put("a/b", b"2")


def test_the_settings_choose_the_store(tmp_path: Path, s3: ObjectServer) -> None:
    home = {"CLASH_HOME": str(tmp_path)}
    assert isinstance(store_from(load({**home, "CLASH_STORE": "memory"})), MemoryStore)
    files = store_from(load({**home, "CLASH_STORE_PREFIX": "live"}))
    assert isinstance(files, FileStore)
    assert files.root == tmp_path / "store" / "live"
    remote = store_from(
        load(
            {
                **home, "CLASH_STORE": "s3", "CLASH_STORE_ENDPOINT_URL": s3.url, "CLASH_STORE_BUCKET": "clash-test",
                "CLASH_STORE_PREFIX": uuid4().hex, "CLASH_STORE_ACCESS_KEY_ID": "a",
                "CLASH_STORE_SECRET_ACCESS_KEY": "b",
            }
        )
    )  # fmt: skip
    assert isinstance(remote, S3Store)
    assert remote.put("k", b"v") is Put.CREATED


def test_each_store_names_itself(tmp_path: Path) -> None:
    assert (MemoryStore().name, FileStore(tmp_path).name, S3Store(bucket="b").name) == ("memory", "file", "s3")


def test_nobody_listening_is_unavailable_after_a_bounded_number_of_tries() -> None:
    pauses: list[float] = []
    store = S3Store(
        bucket="b", endpoint_url="http://127.0.0.1:9", access_key_id="a", secret_access_key="b", pause=pauses.append
    )
    with pytest.raises(StoreUnavailable, match="get k"):
        store.get("k")
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_an_absent_bucket_is_a_refusal_not_an_absent_object(s3: ObjectServer) -> None:
    store = S3Store(
        bucket="no-such-bucket", endpoint_url=s3.url, access_key_id="a", secret_access_key="b", pause=lambda _: None
    )
    with pytest.raises(StoreRefused, match="NoSuchBucket") as refused:
        store.get("k")
    assert not isinstance(refused.value, StoreMissing)
