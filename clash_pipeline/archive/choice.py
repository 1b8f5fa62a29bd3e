"""Which store the settings name."""

from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.s3_store import S3Store
from clash_pipeline.archive.stores import ArtifactStore, MemoryStore
from clash_pipeline.settings import Settings


def store_from(settings: Settings) -> ArtifactStore:
    """The store that the settings name; nothing is contacted before it is used."""
    if settings.store == "memory":
        return MemoryStore()
    if settings.store == "file":
        return FileStore(settings.file_store / settings.store_prefix if settings.store_prefix else settings.file_store)
    key, secret = settings.store_access_key_id, settings.store_secret_access_key
    return S3Store(
        bucket=settings.store_bucket,
        prefix=settings.store_prefix,
        endpoint_url=str(settings.store_endpoint_url) if settings.store_endpoint_url else None,
        region=settings.store_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )
