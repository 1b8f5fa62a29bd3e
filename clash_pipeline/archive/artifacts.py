"""Content-addressed blobs: packets, prompts, responses, traces. Compressed with zstd, verified by hash when read."""

import re
from dataclasses import dataclass

import zstandard

from clash_pipeline.archive.stores import ArtifactStore, StoreConflict, StoreCorrupt, StoreRefused, safe_key, sha256

LEVEL = 3
"""Packets of a wave pack as small as at 6 and in less than half of the time."""
BODY_LIMIT_BYTES = 64 * 1024 * 1024
"""No artifact is larger; a stored object that claims to be is not unpacked."""
DAMAGED_COPIES = 3
"""How many damaged objects in the way of one artifact are stepped around before giving up."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """Where a blob is and what it must hash to; `size` and `sha256` are those of the plain body."""

    key: str
    size: int
    sha256: str


def artifact_key(kind: str, digest: str, prefix: str) -> str:
    """`<prefix>/<kind>/<sha256>.zst`: readable by prefix (date, clone, run), immutable by content (03 Artifacts).

    Raises:
        StoreRefused: a prefix that cannot be part of a key, or a kind that is not one plain word.
    """
    if not _KIND.fullmatch(kind):
        raise StoreRefused(f"{kind[:40]!r} cannot be an artifact kind: one lower-case word of at most 40 characters")
    return safe_key(f"{prefix.strip('/')}/{kind}/{digest}.zst")


def put_artifact(store: ArtifactStore, kind: str, body: bytes, prefix: str) -> Artifact:
    """Store a blob once; the same body under the same prefix is the same object.

    Raises:
        StoreRefused: the body is larger than 64 MiB, or the key cannot be.
        StoreUnavailable: the store did not take it; trying again is safe.
        StoreCorrupt: damaged objects stand where this one belongs.
    """
    if len(body) > BODY_LIMIT_BYTES:
        raise StoreRefused(f"a {kind} of {len(body):,} bytes is above the limit of {BODY_LIMIT_BYTES:,}")
    digest = sha256(body)
    first = artifact_key(kind, digest, prefix)
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(body)
    for key in _places(first):
        try:
            store.put(key, packed)
        except StoreConflict:  # another zstd release packs differently; what counts is what is inside
            if not _holds(store, key, digest):
                continue
        return Artifact(key, len(body), digest)
    raise StoreCorrupt(f"{first} and its {DAMAGED_COPIES - 1} stand-ins hold damaged objects")


def get_artifact(store: ArtifactStore, key: str, digest: str) -> bytes:
    """The plain body, verified.

    Raises:
        StoreMissing: there is no such object.
        StoreCorrupt: it is not a zstd frame of bounded size, or not of this SHA-256.
    """
    body = _unpacked(key, store.get(key))
    if (found := sha256(body)) != digest:
        raise StoreCorrupt(f"{key} has SHA-256 {found[:12]}…, not {digest[:12]}…")
    return body


def _unpacked(key: str, packed: bytes) -> bytes:
    try:
        claimed = zstandard.get_frame_parameters(packed).content_size
        if claimed > BODY_LIMIT_BYTES:  # also an unknown size, which zstd gives as the largest integer
            raise StoreCorrupt(f"{key} claims {claimed:,} bytes; the limit is {BODY_LIMIT_BYTES:,}")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise StoreCorrupt(f"{key} is not a whole zstd frame: {error}") from error


def _holds(store: ArtifactStore, key: str, digest: str) -> bool:
    try:
        get_artifact(store, key, digest)
    except StoreCorrupt:
        return False
    return True


def _places(key: str) -> list[str]:
    stem = key.removesuffix(".zst")
    return [key, *(f"{stem}.{number}.zst" for number in range(2, DAMAGED_COPIES + 1))]
