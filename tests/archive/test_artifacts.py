"""Blobs are named by what they hold, and what comes back is what was stored or an error."""

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.archive import artifacts
from clash_pipeline.archive.artifacts import Artifact, get_artifact, put_artifact
from clash_pipeline.archive.stores import MemoryStore, StoreCorrupt, StoreMissing, StoreRefused, sha256

PREFIX = "decisions/2025-07-21/clone-1/run-7"


@given(st.binary(max_size=5_000))
def test_a_blob_comes_back_whole(body: bytes) -> None:
    store = MemoryStore()
    artifact = put_artifact(store, "packet", body, PREFIX)
    assert artifact == Artifact(f"{PREFIX}/packet/{sha256(body)}.zst", len(body), sha256(body))
    assert get_artifact(store, artifact.key, artifact.sha256) == body


def test_the_same_blob_twice_is_one_object() -> None:
    store = MemoryStore()
    first = put_artifact(store, "packet", b"{}", PREFIX)
    assert put_artifact(store, "packet", b"{}", PREFIX) == first
    assert list(store.list("")) == [first.key]


def test_blobs_are_compressed() -> None:
    store = MemoryStore()
    artifact = put_artifact(store, "prompt", b"the same words again " * 1_000, PREFIX)
    assert len(store.get(artifact.key)) < artifact.size // 50


def test_another_packing_of_the_same_body_is_no_conflict() -> None:
    store = MemoryStore()
    body = b"words " * 500
    key = artifacts.artifact_key("packet", sha256(body), PREFIX)
    store.put(key, zstandard.ZstdCompressor(level=19, write_checksum=True).compress(body))
    assert put_artifact(store, "packet", body, PREFIX).key == key


def test_a_damaged_object_in_the_way_is_stepped_around() -> None:
    store = MemoryStore()
    key = artifacts.artifact_key("packet", sha256(b"body"), PREFIX)
    store.put(key, b"damaged")
    artifact = put_artifact(store, "packet", b"body", PREFIX)
    assert artifact.key == key.replace(".zst", ".2.zst")
    assert get_artifact(store, artifact.key, artifact.sha256) == b"body"
    store.put(key.replace(".zst", ".3.zst"), b"damaged")
    store.put(artifact.key, b"damaged too", if_absent=False)
    with pytest.raises(StoreCorrupt, match="damaged objects"):
        put_artifact(store, "packet", b"body", PREFIX)


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-3], lambda body: body + b"x", lambda body: b"", lambda body: b"{"]
)
def test_damage_is_found(damage) -> None:  # type: ignore[no-untyped-def]
    store = MemoryStore()
    artifact = put_artifact(store, "packet", b"some body that matters", PREFIX)
    store.put(artifact.key, damage(store.get(artifact.key)), if_absent=False)
    with pytest.raises(StoreCorrupt):
        get_artifact(store, artifact.key, artifact.sha256)


def test_another_whole_body_is_found_by_its_hash() -> None:
    store = MemoryStore()
    artifact = put_artifact(store, "packet", b"honest", PREFIX)
    store.put(artifact.key, zstandard.compress(b"forged"), if_absent=False)
    with pytest.raises(StoreCorrupt, match="has SHA-256"):
        get_artifact(store, artifact.key, artifact.sha256)


def test_a_bomb_is_not_unpacked() -> None:
    store = MemoryStore()
    bomb = zstandard.compress(bytes(artifacts.BODY_LIMIT_BYTES + 1))
    store.put("bomb", bomb)
    with pytest.raises(StoreCorrupt, match="the limit is"):
        get_artifact(store, "bomb", sha256(b""))
    endless = zstandard.ZstdCompressor().compressobj()  # no size in its frame
    store.put("endless", endless.compress(b"x") + endless.flush())
    with pytest.raises(StoreCorrupt, match="the limit is"):
        get_artifact(store, "endless", sha256(b"x"))


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(StoreRefused, match="above the limit"):
        put_artifact(MemoryStore(), "packet", bytes(artifacts.BODY_LIMIT_BYTES + 1), PREFIX)
    with pytest.raises(StoreRefused, match="artifact kind"):
        put_artifact(MemoryStore(), "../packet", b"", PREFIX)
    with pytest.raises(StoreRefused, match="object key"):
        put_artifact(MemoryStore(), "packet", b"", "../elsewhere")


def test_an_absent_blob_is_missing() -> None:
    with pytest.raises(StoreMissing):
        get_artifact(MemoryStore(), "none", sha256(b""))
