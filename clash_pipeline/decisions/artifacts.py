"""Artifacts of decision runs: one readable prefix a run, `decisions/<date>/clone-<id>/run-<id>`."""

from clash_pipeline.archive.artifacts import get_artifact, put_artifact
from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import iso
from clash_pipeline.decisions.runs import ArtifactRef, Claim


def prefix_of(claim: Claim) -> str:
    """Where the artifacts of a run lie; known before any of them is hashed."""
    return f"decisions/{iso(claim.tick)[:10]}/clone-{claim.clone_id}/run-{claim.run_id}"


def put(store: ArtifactStore, claim: Claim, kind: str, body: bytes) -> ArtifactRef:
    """Store one artifact of a run; the same body again is the same object.

    Raises:
        StoreError: the store did not take it.
    """
    stored = put_artifact(store, kind, body, prefix_of(claim))
    return ArtifactRef(kind, stored.key, stored.sha256, stored.size, store.name)


def get(store: ArtifactStore, artifact: ArtifactRef) -> bytes:
    """The body of an artifact, verified by its hash.

    Raises:
        StoreError: gone, damaged, or the store does not answer.
    """
    return get_artifact(store, artifact.key, artifact.sha256)
