"""A real S3-speaking server on loopback: moto in a process of its own, on a port the kernel chose."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clash_pipeline.archive.s3_store import S3Store

BUCKET = "clash-test"
SERVE = """
import sys, warnings
warnings.simplefilter("ignore")
import logging
logging.disable(logging.CRITICAL)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class ObjectServer:
    """Where the server listens."""

    port: int

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def store(self, url: str | None = None, **options: Any) -> S3Store:
        """A store on the test bucket, by way of another address (a fault proxy) where one is given."""
        chosen = {"prefix": "", "pause": lambda _seconds: None, **options}
        return S3Store(
            bucket=BUCKET, endpoint_url=url or self.url, access_key_id="test", secret_access_key="test", **chosen
        )


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run the server and make the bucket; it ends when its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        server = ObjectServer(int(process.stdout.readline()))
        where = {"LocationConstraint": "auto"}
        server.store()._client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield server
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
