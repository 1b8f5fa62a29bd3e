"""Objects in any S3-compatible store (R2, MinIO, AWS), with bounded retries of our own."""

import base64
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache, cached_property
from threading import Lock
from typing import Any, TypeVar

import structlog

from clash_pipeline.archive.stores import (
    Head,
    Put,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    safe_key,
    same_or_conflict,
    sha256,
)

T = TypeVar("T")

ATTEMPTS = 4
FIRST_PAUSE_SEC = 0.2
LONGEST_PAUSE_SEC = 5.0
CONNECT_TIMEOUT_SEC = 5
READ_TIMEOUT_SEC = 30
TRANSFER_LIMIT_SEC = 300
"""A whole download; the read timeout alone lets a trickle run for ever."""
CHUNK_BYTES = 16_384
PAGE_KEYS = 1_000
OBJECT_LIMIT_BYTES = 1 << 30
CLOCK_SKEW_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
WORTH_ANOTHER_TRY = frozenset({401, 403})
"""R2 answers these in passing; they are tried again, and are a refusal when they stay."""

log = structlog.get_logger(__name__)


_making_clients = Lock()


@cache
def _session(region: str, **credentials: str | None) -> Any:
    """One for all stores of an account: it reads the description of S3, which takes longer than many requests."""
    import boto3  # type: ignore[import-untyped]

    return boto3.session.Session(region_name=region, **credentials)


class S3Store:
    """A bucket, or the part of it below a prefix. The client is made on first use."""

    name = "s3"

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint_url: str | None = None,
        region: str = "auto",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        read_timeout_sec: float = READ_TIMEOUT_SEC,
        transfer_limit_sec: float = TRANSFER_LIMIT_SEC,
        pause: Callable[[float], None] = time.sleep,
        checksums: str = "when_required",
        page_keys: int = PAGE_KEYS,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._credentials = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key}
        self._endpoint_url = endpoint_url
        self._region = region
        self._read_timeout_sec = read_timeout_sec
        self._transfer_limit_sec = transfer_limit_sec
        self._pause = pause
        self._checksums = checksums
        self._page_keys = page_keys

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        """Store bytes under a key, conditionally unless told otherwise."""
        request: dict[str, Any] = {
            **self._place(key),
            "Body": body,
            "Metadata": {"sha256": sha256(body)},
            "ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        }
        if if_absent:
            request["IfNoneMatch"] = "*"
            outcome = self._ask(f"put {key}", lambda: self._put_if_absent(request))
            return Put.CREATED if outcome else same_or_conflict(key, self.get(key), body)
        existed = self.head(key) is not None
        self._ask(f"put {key}", lambda: self._client.put_object(**request))
        return Put.REPLACED if existed else Put.CREATED

    def get(self, key: str) -> bytes:
        """The whole object."""
        return self._ask(f"get {key}", lambda: self._read(key))

    def head(self, key: str) -> Head | None:
        """Size, and the hash that was noted at the put."""
        try:
            answer = self._ask(f"head {key}", lambda: self._client.head_object(**self._place(key)))
        except StoreMissing:
            return None
        return Head(answer["ContentLength"], answer.get("Metadata", {}).get("sha256"))

    def list(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, ascending, a page at a time."""
        token: str | None = None
        while True:
            page = self._ask(f"list {prefix}", lambda token=token: self._page(prefix, token))  # type: ignore[misc]
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(self._prefix)
            token = page.get("NextContinuationToken")
            if token is None:
                return

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._ask(f"delete {key}", lambda: self._client.delete_object(**self._place(key)))

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config  # type: ignore[import-untyped]

        # R2 refuses the checksum trailers that newer clients add by themselves; retries are ours, not the library's
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_TIMEOUT_SEC,
            read_timeout=self._read_timeout_sec,
            retries={"total_max_attempts": 1},
            request_checksum_calculation=self._checksums,
            response_checksum_validation=self._checksums,
            s3={"addressing_style": "path"},
        )
        with _making_clients:  # sessions are not thread-safe, clients are
            return _session(self._region, **self._credentials).client(
                "s3", endpoint_url=self._endpoint_url, config=config
            )

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + safe_key(key)}

    def _put_if_absent(self, request: dict[str, Any]) -> bool:
        """Whether the object was created; False when the name was taken."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            self._client.put_object(**request)
        except ClientError as error:
            if _status(error) == 412:
                return False
            raise
        return True

    def _read(self, key: str) -> bytes:
        answer = self._client.get_object(**self._place(key))
        if answer["ContentLength"] > OBJECT_LIMIT_BYTES:
            raise StoreCorrupt(f"{key} claims {answer['ContentLength']:,} bytes; the limit is {OBJECT_LIMIT_BYTES:,}")
        give_up_at = time.monotonic() + self._transfer_limit_sec
        received = bytearray()
        with closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                received += chunk
                if time.monotonic() > give_up_at:
                    raise StoreUnavailable(f"{key} still trickles in after {self._transfer_limit_sec:g} s")
        return bytes(received)

    def _page(self, prefix: str, token: str | None) -> Any:
        more = {"ContinuationToken": token} if token else {}
        return self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=self._prefix + prefix, MaxKeys=self._page_keys, **more
        )

    def _ask(self, what: str, request: Callable[[], T]) -> T:
        """One request with its retries; the outcome of a repeated conditional put is judged by the bytes found."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return request()
            except StoreError:
                raise
            except Exception as error:
                sorted_error, retry = _sorted(what, error)
                if not retry or attempt == ATTEMPTS:
                    raise sorted_error from error
                log.info("store_retry", what=what, attempt=attempt, reason=str(sorted_error))
            self._pause(random.uniform(0.5, 1) * min(FIRST_PAUSE_SEC * 2**attempt, LONGEST_PAUSE_SEC))
        raise AssertionError("unreachable")


def _sorted(what: str, error: Exception) -> tuple[StoreError, bool]:
    """The error in our words, and whether another try can help; anything that is not the store's is raised on."""
    from botocore import exceptions as boto  # type: ignore[import-untyped]
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    if isinstance(error, boto.ClientError):
        return _refusal(what, _status(error), error.response.get("Error", {}).get("Code", ""))
    link = boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError | boto.ResponseStreamingError
    if isinstance(error, link):
        return StoreUnavailable(f"{what}: {_line(error)}"), True
    if isinstance(error, ResponseParserError):
        return StoreUnavailable(f"{what}: an answer that is not S3's"), True
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        needed = "CLASH_STORE_ACCESS_KEY_ID and CLASH_STORE_SECRET_ACCESS_KEY"
        return StoreRefused(f"{what}: no credentials; set {needed}, or what AWS's own chain looks for"), False
    if isinstance(error, boto.BotoCoreError):
        return StoreRefused(f"{what}: {_line(error)}"), False
    raise error


def _refusal(what: str, status: int, code: str) -> tuple[StoreError, bool]:
    said = f"{what}: {status} {code}".rstrip()
    if status in TRANSIENT_STATUSES or code in CLOCK_SKEW_CODES:
        return StoreUnavailable(said), True
    if status == 404 and code != "NoSuchBucket":
        return StoreMissing(said), False
    return StoreRefused(said), status in WORTH_ANOTHER_TRY


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
