"""A store that lies (B4): whatever it answers, nothing is pruned on trust, and a healed store is caught up with."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from clash_pipeline.archive import bookkeeping, objects, parquet, partitions, retention
from clash_pipeline.archive.s3_store import S3Store
from clash_pipeline.archive.stores import (
    ArtifactStore,
    Put,
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from clash_pipeline.clock import DAY_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, all_rows, fill_any
from tests.fakes.object_store import ObjectServer
from tests.fakes.store_proxy import StoreProxy, store_proxy

pytestmark = pytest.mark.goal

TABLE = "polymarket_quotes"
LATER = DAY + 9 * DAY_MS
DELAYS = ("unavailable", "stall", "skewed", "not_s3")
"""Trying again can help."""
SAVED = ("truncated", "flipped", "vanishes", "taken", "unauthorized", "forbidden", *DELAYS)
READ = ("truncated", "flipped", "not_found", "unauthorized", "forbidden", "cut", "trickle", *DELAYS)
LIES = [*[("PUT", fault) for fault in SAVED], *[("GET", fault) for fault in READ]]


@pytest.fixture(scope="module")
def proxy(s3: ObjectServer) -> Iterator[StoreProxy]:
    """The proxy before the real server."""
    with store_proxy(s3.port) as running:
        yield running


@pytest.fixture
def store(proxy: StoreProxy, s3: ObjectServer) -> Iterator[S3Store]:
    """A store behind the proxy, in a prefix of its own."""
    proxy.heal()
    yield s3.store(proxy.url, prefix=f"lies-{uuid4().hex}", read_timeout_sec=0.15, transfer_limit_sec=0.1)
    proxy.heal()


@pytest.mark.parametrize(("method", "fault"), LIES)
def test_nothing_is_pruned_until_it_was_read_back_whole(
    market: Database, store: ArtifactStore, settings: Settings, proxy: StoreProxy, method: str, fault: str
) -> None:
    fill_any(market, TABLE, rows=40)
    before = all_rows(market, TABLE)
    proxy.inject(method, fault)
    report = retention.run(market, store, settings, LATER)
    is_passing = fault in {*DELAYS, "cut", "trickle"}
    assert [day.outcome for day in report.days] == ["delayed" if is_passing else "failed"]
    assert report.days[0].reason
    assert all_rows(market, TABLE) == before
    partition = bookkeeping.current(market, TABLE, DAY)
    assert partition is None or (partition.verified_at is None and partition.prune_started_at is None)

    proxy.heal()
    report = retention.run(market, store, settings, LATER)
    assert [(day.outcome, day.rows) for day in report.days] == [("pruned", len(before))]
    assert all_rows(market, TABLE) == []
    partitions.restore_day(market, store, TABLE, DAY, LATER)
    assert all_rows(market, TABLE) == before


def test_an_object_that_goes_bad_after_it_was_verified_stops_the_prune(
    market: Database, store: ArtifactStore, settings: Settings, proxy: StoreProxy
) -> None:
    fill_any(market, TABLE, rows=40)
    before = all_rows(market, TABLE)
    assert partitions.archive_day(market, store, TABLE, DAY, LATER).verified_at == LATER
    for fault in READ:
        proxy.inject("GET", fault)
        with pytest.raises(StoreError):
            partitions.prune_day(market, store, TABLE, DAY, LATER, settings)
        assert all_rows(market, TABLE) == before
    proxy.heal()
    assert partitions.prune_day(market, store, TABLE, DAY, LATER, settings) == 40


def test_a_passing_fault_is_retried_within_the_call(store: ArtifactStore, proxy: StoreProxy) -> None:
    for number, fault in enumerate(("unavailable", "skewed", "unauthorized", "stall")):
        proxy.inject("PUT", fault, times=2)
        assert store.put(f"k{number}", b"body") is Put.CREATED
        proxy.inject("GET", fault, times=2)
        assert store.get(f"k{number}") == b"body"


def test_an_answer_that_was_lost_does_not_make_a_retry_a_conflict(store: S3Store, proxy: StoreProxy) -> None:
    """The first put arrived, its answer did not: the retry meets its own object."""
    store.put("k", b"body")
    proxy.inject("PUT", "taken", times=1)
    assert store.put("k", b"body") is Put.ALREADY_THERE
    with pytest.raises(StoreConflict):
        store.put("k", b"other")


@pytest.mark.parametrize(
    ("fault", "family"),
    [
        ("unavailable", StoreUnavailable), ("skewed", StoreUnavailable), ("stall", StoreUnavailable),
        ("not_s3", StoreUnavailable), ("cut", StoreUnavailable), ("trickle", StoreUnavailable),
        ("unauthorized", StoreRefused), ("forbidden", StoreRefused), ("not_found", StoreMissing),
    ],
)  # fmt: skip
def test_each_fault_that_stays_says_whether_trying_again_can_help(
    store: ArtifactStore, proxy: StoreProxy, fault: str, family: type[StoreError]
) -> None:
    store.put("k", bytes(4_000))
    proxy.inject("GET", fault)
    with pytest.raises(family) as raised:
        store.get("k")
    assert type(raised.value) is family
    assert "\n" not in str(raised.value)


def test_the_number_of_requests_is_bounded(store: ArtifactStore, proxy: StoreProxy) -> None:
    proxy.inject("GET", "unavailable")
    before = len(proxy.requests)
    with pytest.raises(StoreUnavailable):
        store.get("k")
    assert len(proxy.requests) - before == 4


def test_no_body_goes_out_in_aws_chunks(s3: ObjectServer, proxy: StoreProxy, store: ArtifactStore) -> None:
    """R2 refuses them; the library's own default would send them (the control)."""
    assert store.put("plain", b"body" * 1_000) is Put.CREATED
    chunked = s3.store(proxy.url, prefix=f"chunked-{uuid4().hex}", checksums="when_supported")
    chunked._client.meta.events.register("before-call.s3.PutObject", _as_trailer)
    with pytest.raises(StoreRefused, match="501 NotImplemented"):
        chunked.put("k", b"body" * 1_000)


def _as_trailer(params: dict[str, object], **_: object) -> None:
    """What `when_supported` does over TLS, done over loopback's plain HTTP."""
    headers = params["headers"]
    headers["Content-Encoding"] = "aws-chunked"  # type: ignore[index]
    headers["x-amz-trailer"] = "x-amz-checksum-crc32"  # type: ignore[index]


def test_damaged_objects_are_stepped_around_a_bounded_number_of_times(
    market: Database, store: S3Store, settings: Settings, proxy: StoreProxy
) -> None:
    fill_any(market, TABLE, rows=40)
    proxy.inject("PUT", "truncated")
    reasons = [retention.run(market, store, settings, LATER).days[0].reason for _ in range(objects.STAND_INS + 1)]
    assert "not the ones put there" in str(reasons[0])
    assert "stand-ins hold damaged objects" in str(reasons[-1])
    assert len(list(store.list("market/"))) == objects.STAND_INS
    assert len(all_rows(market, TABLE)) == 40


def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch verification off: what was encoded is taken for what is stored."""
    kept: dict[str, bytes] = {}
    original: Callable[..., objects.StoredDay] = objects.put

    def put(*args: object) -> objects.StoredDay:
        stored = original(*args)
        kept[stored.key] = stored.body
        return stored

    monkeypatch.setattr(objects, "put", put)
    monkeypatch.setattr(objects, "read_back", lambda _store, _table, key, **_: kept[key])


@pytest.mark.parametrize("fault", ["truncated", "flipped", "vanishes"])
def test_control_without_verification_the_lies_lose_rows(
    market: Database, store: S3Store, settings: Settings, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    fill_any(market, TABLE, rows=40)
    proxy.inject("PUT", fault)
    with monkeypatch.context() as patched:
        trusting(patched)
        assert retention.run(market, store, settings, LATER).counts == {"pruned": 1}
    assert all_rows(market, TABLE) == []
    proxy.heal()
    with pytest.raises((StoreCorrupt, StoreMissing)):
        partitions.restore_day(market, store, TABLE, DAY, LATER)


def test_every_single_byte_that_changes_is_found(market: Database, store: S3Store) -> None:
    fill_any(market, TABLE, rows=15)
    partition = partitions.archive_day(market, store, TABLE, DAY, LATER)
    body = store.get(partition.object_key)
    missed = []
    for at in range(0, len(body), 23):
        changed = body[:at] + bytes([body[at] ^ 0x01]) + body[at + 1 :]
        try:
            found = parquet.content_of(_table(), changed, "changed")
        except StoreCorrupt:
            continue
        if found != (partition.row_count, partition.content_hash):
            continue
        missed.append(at)  # a byte that no row depends on; the hash of the bytes themselves still finds it
        with pytest.raises(StoreCorrupt):
            objects.read_back(
                _Fixed(changed), _table(), "changed", object_sha256=partition.object_sha256,
                row_count=partition.row_count, content_hash=partition.content_hash,
            )  # fmt: skip
    assert len(missed) < len(body) // 23


def _table():  # type: ignore[no-untyped-def]
    from clash_pipeline.archive.catalogue import TABLES

    return TABLES[TABLE]


class _Fixed:
    """A store that gives the same bytes for every key."""

    name = "fixed"

    def __init__(self, body: bytes) -> None:
        self._body = body

    def get(self, key: str) -> bytes:
        return self._body
